"""English words for the check of claims: forms of one word, words that mean the same, and the opposite. Pure.

A word that is not in the tables is compared by its stem, so a text in another language is compared word by word.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache

LITTLE = frozenset(
    "a an and are as at be been being but by do does did done for from had has have having he her hers him his "
    "how i if in into is it its itself me more most much many must my no nor not of off on once one or our out "
    "own she should so some such than that the their them themselves then there these they this those to too up "
    "us was we were what when where whether which while who whom whose will with would you your yes also just "
    "even still already ever here very quite according document documents passage passages text source says said "
    "say states stated e.g i.e etc per both each every any all other another about around approximately roughly "
    "nearly almost over only can could may might shall need needs get gets got make makes made take takes took "
    "taken use uses used using go goes went gone come comes came become becomes became put let lets keep keeps "
    "people person someone anyone time way thing seem seems appear appears likely possible possibly probably "
    "apparently usually normally generally called named within during through via upon toward towards against "
    "between among along because since due therefore thus however well able case kind part total together "
    "altogether combined sum overall exactly either certain please note mean means meaning like never none nobody "
    "nothing neither cannot without pm am less than fewer least don doesn didn isn aren wasn weren".split()
)
"""Words whose absence says nothing."""

_TABLE = """
allow permit permissible authorise legal may can could forbid forbidden prohibit ban disallow illegal; open unlock |
close shut lock; before prior beforehand | after afterwards; above exceed over beyond | below under beneath; more
extra additional | less fewer; rise rose increase grow grew up raise gain climb | fall fell drop decrease decline down
shrink reduce; early earlier sooner | late later; large largest big biggest great main | small smallest little tiny;
maximum max most highest upper | minimum min least lowest; high higher tall | low lower; long longer | short shorter
brief; fast quick quickly rapid speedy swift | slow slowly; begin start commence began begun | end finish stop stopped
conclude; include contain cover comprise exclude omit except; win won victory winner beat defeat | lose lost loss
loser; buy bought purchase acquire acquisition sell sold sale; arrive arrival reach | leave left depart departure;
enter entry entrance admission visit | exit; old oldest older ancient aged | new newest newer young modern; hot warm
heat | cold cool; add insert install attach | remove delete uninstall detach drop; inside indoor indoors | outside
outdoor outdoors; full complete entire whole | partial incomplete; public | private; accept approve approval agree
refuse deny | reject; import | export; enable activate | disable deactivate; true correct right | false wrong
incorrect; safe safely | dangerous unsafe harmful; succeed success | fail failure; north northern | south southern;
east eastern | west western; summer | winter; morning | evening; free gratis complimentary nothing | paid; easy easily
simple | hard difficult; cheap cheaper cheapest | expensive; inner | outer; left | right; first | last; good better
best well | bad worse worst poor; strong stronger | weak weaker; thick | thin; wide broad | narrow; full | empty; wet
damp moist | dry; hard | soft; loud | quiet; deep | shallow; same identical equal | different unequal; present |
absent missing; known | unknown; top | bottom; positive | negative; internal | external; major | minor; manual |
automatic automatically; temporary | permanent; online | offline; rich | poor; gain | loss; win | lose; appear |
disappear; connect join link | disconnect; require need necessary must requirement obligatory mandatory compulsory |
optional voluntary; on | off; cost price pay paid fee charge; child children kid minor youngster; adult grown-up;
photo photograph photography picture image; boat ship vessel ferry; car vehicle automobile; motor engine; bike bicycle
cycle; employee staff worker employ workforce personnel; boss manager supervisor; firm company business corporation;
contractor freelancer; vacation holiday leave; ill illness sick sickness; doctor physician; medicine drug medication;
tablet pill; dose dosage; near close nearby next; trip journey travel ride crossing cross voyage; run operate serve
service; last take duration; destroy ruin wreck demolish; build built construct erect construction building; found
founded establish; create creation; injure hurt harm wound injury; die died death dead; live living reside residence
inhabitant; born birth; happen occur; help assist support; show display exhibit present; inform notify notification
tell told; answer reply respond response; get obtain receive gain earn; give gave given provide supply offer; store
keep stored storage; fire dismiss sack; repair fix mend; replace substitute swap; expire lapse; daily day; weekly
week; monthly month; yearly annual annually year; minute min; hour hr; fault mistake error; user account; customer
client; buyer purchaser; town city; country nation; street road; river stream; film movie; author writer write wrote
written; teacher trainer coach teach taught; student pupil; eat ate meal food; drink drank beverage alcohol; drowsy
drowsiness sleepy; plant factory; revenue turnover; profit earnings; electricity power current; warranty guarantee;
discount rebate; ticket fare; seat place; guest visitor; pet animal; delivery deliver; refund reimburse repay; book
reserve reservation booking; rent hire lease rental; meet met meeting; speak spoke spoken; think thought; know knew
known; see saw seen; find found; bring brought; choose chose chosen choice select selection pick; drive drove driven;
fly flew flown flight; freeze froze frozen ice; break broke broken; steal stole stolen theft; hold held; lead led
leader; ceo executive; spend spent; catch caught; fight fought; draw drew drawn; throw threw thrown; wear wore worn;
kilogram kg kilo; kilometre kilometer km; metre meter; degree celsius; percent per-cent; january jan; february feb;
march mar; april apr; june jun; july jul; august aug; september sep sept; october oct; november nov; december dec;
monday mon; tuesday tue; wednesday wed; thursday thu; friday fri; saturday sat; sunday sun; advance ahead; altitude
elevation; deep depth; wide width; weigh weight heavy; maker manufacturer manufacture producer produce production;
quit resign; job post position; request ask; limit restrict restriction cap; shut closed; switch turn; clean wash;
show shown; retrieve recover recovery; big size; error failure; worth value; damage damaged; change modify alter;
expand extend; vote election elect; war conflict; soldier troop; marry married marriage wedding husband wife; son
daughter child; school college; collect gather; remain stay; move moved relocate; owner own owned possess; annually
yearly; fridge refrigerator; bread loaf; money cash fund funds; budget plan planned; reject rejection refusal
turned-down; broke broken break fail failure malfunction; quarter fifteen; shop store outlet; house home flat
apartment dwelling; lawyer attorney solicitor; autumn fall; lift elevator; mobile cell phone telephone; luggage
baggage suitcase bag; passenger traveller rider; flight plane aircraft airplane; hotel accommodation lodging; hospital
clinic; nurse carer; wage salary pay earnings; retire retirement pension; hire recruit engage; train training course
lesson; law act statute rule regulation; fine penalty; crime offence; police officer; signature sign; contract
agreement deal; tenant renter; landlord owner; bill invoice; debt loan; tax duty; insurance insure policy; data
information; computer machine pc laptop; screen monitor display; disk drive storage; server host; backup copy
duplicate; file document; folder directory; key button; erase delete wipe; update upgrade; setting settings option
preference configuration configure; message mail email e-mail letter; phone call ring; attempt try tried trial; verify
check confirm validate; restart reboot; tool instrument device equipment appliance gadget; battery accumulator; wire
cable lead; colour color shade; shape form; wood wooden timber; stone rock; gold golden; forest wood woods; hill
mountain peak summit; coast shore beach seaside; sea ocean; island isle; church chapel; castle fortress; garden park;
field meadow; farm farmer; animal creature beast; cow cattle; feed fed; hunt hunter; grow cultivate plant; species
kind type sort; population inhabitants residents; discover discovery find found detect; research study investigate
investigation; test exam examination trial; result outcome finding; avoid prevent; protect protection guard shield;
danger risk hazard threat; attack assault; victory triumph; battle fight; army military; leader head chief; president
chair chairman chairwoman; government state; parliament assembly; resident inhabitant; citizen national; visa permit;
border frontier; language tongue; translate translation; newspaper paper journal; sing sang singer; music musical;
band group; concert performance gig; play player game match; team side club squad; score point; run ran runner; prize
award medal; champion winner; coach manager; stadium arena; train railway rail; station stop; bus coach; platform
track; timetable schedule; delay late; fuel petrol gasoline diesel; truck lorry; accident crash collision; speed pace
velocity; oven stove cooker; dish meal plate; boil cook; bake baking roast; mix stir blend; cut chop slice; sugar
sweet; salt salty; sleep slept asleep; wake woke; pain ache hurt; fever temperature; infection infect; vaccine
vaccination vaccinate jab; treat treatment therapy cure; heart cardiac; pregnant pregnancy; baby infant newborn;
mother mum; father dad; neighbour neighbor; owner holder; director head manager; assistant aide helper; scientist
researcher; artist painter paint painting; sculptor sculpture statue; designer design; inventor invent invention;
explorer explore exploration; king queen royal; noon midday; moment instant; begin start commence; continue proceed;
pause break interrupt interruption; look view watch; listen hear heard; wish want desire; believe think; remember
recall; forget forgot forgotten; understand understood; learn learnt learned study; explain explanation; describe
description; complain complaint; argue argument dispute; advise advice recommend recommendation suggest; warn warning
alert; swallow ingest; morning evening daily; rubbish trash waste garbage; noise noisy loud; dirty dirt; repair
maintenance maintain service; inspect inspection check; install installation set-up; spare replacement; part component
piece; edge rim border; centre center middle; number count amount quantity; size dimension; half halve; double twice;
average mean; area surface
"""
"""Between semicolons stand words that mean the same, and behind the bar those that mean the opposite."""

DENIALS = frozenset(
    "no not never none nobody nothing neither nor cannot without except excluding forbid forbidden forbids "
    "prohibit prohibited prohibits ban banned bans disallow exclude excludes excluded avoid lack lacks refuse "
    "refuses refused deny denied unable impossible".split()
)
"""Words that turn a clause into its opposite; ``n't`` does too."""

_ENDINGS = (
    "ications ication izations ization ations ation itions ition ments ment ances ance ences ence ings ing ions "
    "ion ers er ors or ies ied ed es ly al s e y"
).split()  # fmt: skip
_INFLECTIONS = frozenset("ing ings ed es s e y ies ied".split())
_ASIAN = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]")
Signs = Mapping[str, int]
"""What a word may mean: 1, or -1 for the opposite."""


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """``word``, in small letters, without its ending.

    >>> {stem(word) for word in ("approved", "approving", "approval", "approves")}
    {'approv'}
    """
    word = word.removesuffix("'s").removesuffix("'")
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= (3 if ending in _INFLECTIONS else 4):
            if ending == "s" and word.endswith("ss"):
                return word
            word = word.removesuffix(ending)
            break
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiou" else word


@lru_cache(maxsize=8192)
def meanings(word: str) -> Signs:
    """The stem of ``word``, in small letters, and the groups of the table that it is in.

    >>> meanings("closes")["=1"], meanings("opened")["=1"]
    (-1, 1)
    """
    return {stem(word): 1, **_GROUPS.get(stem(word), {}), **_GROUPS.get(word, {})}


def split_word(word: str) -> Iterator[str]:
    """``word`` itself; of a script without spaces, each two letters of it."""
    if len(word) > 2 and _ASIAN.search(word):
        yield from (word[place : place + 2] for place in range(len(word) - 1))
    else:
        yield word


def _groups() -> dict[str, dict[str, int]]:
    groups: dict[str, dict[str, int]] = {}
    for number, line in enumerate(_TABLE.split(";")):
        for sign, words in zip((1, -1), line.split("|"), strict=False):
            for word in words.split():
                for form in (word, stem(word)):
                    groups.setdefault(form, {})[f"={number}"] = sign
    return groups


_GROUPS = _groups()
