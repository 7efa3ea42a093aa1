"""Is an answer's every claim in the passages that it cites? By what can be looked up, without a model. Pure.

A claim is a sentence. It is grounded if it cites passages that were retrieved, and nothing is found wrong with it: that
something is not there (`claims/faults.py`), or is there and said otherwise (`claims/twists.py`). These are rules over
numbers, names and words, of English where words are concerned: a judge may be asked besides.
"""

import re
from collections.abc import Container, Iterator, Sequence
from typing import Literal, NotRequired

from typing_extensions import TypedDict

from .claims.clauses import words_of
from .claims.faults import find_fault
from .claims.quantities import quantities_in
from .claims.values import stated_in


class Passage(TypedDict):
    """A piece of a document, as a search tool gives it in its ``artifact``."""

    id: str
    """What an answer cites, as in ``[guide.md#3]``."""
    text: str
    source: NotRequired[str]
    heading: NotRequired[str]
    """What it stands under; the agent checks claims against it too."""


class Claim(TypedDict):
    """A sentence of an answer, and what is to be thought of it."""

    text: str
    cites: list[str]
    verdict: Literal["grounded", "ungrounded", "no claim"]
    why: str
    """What is wrong with one that is ungrounded."""


OVERLAP = 0.5
"""The share of a claim's words that the cited passages must have."""
_CITATION = re.compile(r"\[([^\[\]\n]+)\]")
_CITED_AFTER = re.compile(r"([.!?。！？])((?:\s*\[[^\[\]\n]+\])+)")
_ALONE = re.compile(r"\n\s*((?:\[[^\[\]\n]+\][ \t,;.]*)+)(?=\n|$)")
_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_ITEM = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_BUT = re.compile(r"[,;]\s+(?:but|however|though|although)\b|;\s", re.IGNORECASE)
_NOTHING = re.compile(
    r"\b(?:(?:I|we) (?:do not|don['’]t|did not|didn['’]t|could not|couldn['’]t|cannot|can['’]t) (?:know|find|say|tell)|"
    r"(?:do|does|did|is|are) ?(?:not|n['’]t) (?:say|mention|specify|state|mentioned|specified|stated)\b(?! that)|"
    r"(?:documents?|passages?|sources?|texts?) (?:do|does) ?(?:not|n['’]t) (?:tell|contain|include|cover)|"
    r"(?:nothing|no (?:information|mention|passage|document)s?) (?:about|on|of|says|mentions?)|no information|"
    r"(?:weiß|weiss) ich nicht|ich (?:weiß|weiss) (?:es )?nicht|steh(?:t|en) nicht in|nicht erwähnt|"
    r"keine (?:Angabe|Information)(?:en)?|ne sais pas|ne (?:mentionnent|mentionne|disent|dit|précise) pas|"
    r"aucune information|no (?:lo )?sé|no (?:se )?(?:menciona|mencionan|dice|dicen)|ninguna información)\b",
    re.IGNORECASE,
)
_POLITE = re.compile(
    r"(?:i hope (?:this|that) helps|let me know|feel free to|you['’]?re welcome|thanks?\b|happy to help|"
    r"if you (?:have|need) (?:any |more |further |other )+(?:questions?|information|help|details?))\b",
    re.IGNORECASE,
)


def check_answer(answer: str, passages: Sequence[Passage], overlap: float = OVERLAP) -> list[Claim]:
    """The claims of ``answer`` in order, each with a verdict.

    A sentence without a citation has that of the next sentence in its line; a line of nothing but citations belongs to
    the one before.

    >>> tea = Passage(id="tea.md#1", text="Green tea is steeped for three minutes at 80 degrees.")
    >>> [(claim["verdict"], claim["why"]) for claim in check_answer("Green tea is steeped for 3 minutes [tea.md#1]. "
    ...  "It was discovered in 1610 [tea.md#1].", [tea])]
    [('grounded', ''), ('ungrounded', 'says 1610, which is not in [tea.md#1]')]
    """
    known = {passage["id"]: passage for passage in passages}
    return [_judged(sentence, cites, known, overlap) for sentence, cites in split_claims(answer, known)]


def split_claims(answer: str, known: Container[str] = ()) -> Iterator[tuple[str, list[str]]]:
    """The sentences of ``answer`` without their citations, each with what it cites.

    A citation with a comma is several, unless it is one that is ``known``.

    >>> list(split_claims("Tea is hot. So is coffee [a#1, b#2]. Is it?"))
    [('Tea is hot.', ['a#1', 'b#2']), ('So is coffee.', ['a#1', 'b#2']), ('Is it?', [])]
    """
    for line in _ALONE.sub(r" \1", answer).splitlines():
        cited_within = _CITED_AFTER.sub(r"\2\1", _ITEM.sub("", line))
        sentences = [part for part in _SENTENCE.split(cited_within) if part.strip()]
        cited = [_cites(sentence, known) for sentence in sentences]
        for place in reversed(range(len(sentences) - 1)):
            cited[place] = cited[place] or cited[place + 1]
        for sentence, cites in zip(sentences, cited, strict=True):
            text = re.sub(r"\s+([.,;!?])", r"\1", " ".join(_CITATION.sub(" ", sentence).split()))
            if text.strip(" .,;:"):
                yield text, cites


def ungrounded(claims: Sequence[Claim]) -> list[Claim]:
    """Those that are."""
    return [claim for claim in claims if claim["verdict"] == "ungrounded"]


def _judged(text: str, cites: list[str], known: dict[str, Passage], overlap: float) -> Claim:
    verdict, why = _verdict(text, cites, known, overlap)
    return Claim(text=text, cites=cites, verdict=verdict, why=why)


def _verdict(
    text: str, cites: list[str], known: dict[str, Passage], overlap: float
) -> tuple[Literal["grounded", "ungrounded", "no claim"], str]:
    if _NOTHING.search(text):  # what else it says is a claim
        text = ", ".join(part.strip() for part in _BUT.split(text) if not _NOTHING.search(part))
    if text.endswith(("?", ":", "？", "：")) or (not cites and _POLITE.match(text)):
        return "no claim", ""
    if len(set(words_of(text))) < 2 and not [*stated_in(text)] and not [*quantities_in(text)]:
        return "no claim", ""
    if not cites:
        return "ungrounded", "cites nothing"
    if strange := [name for name in cites if name not in known]:
        return "ungrounded", f"cites {_shown(strange)}, which was not retrieved"
    why = find_fault(text, [known[name]["text"] for name in cites], overlap)
    return ("ungrounded", why.replace("{cited}", _shown(cites))) if why else ("grounded", "")


def _cites(sentence: str, known: Container[str]) -> list[str]:
    found = _CITATION.findall(sentence)
    names = [name.strip() for one in found for name in ([one] if one.strip() in known else re.split("[,;]", one))]
    return list(dict.fromkeys(name for name in names if name))


def _shown(names: Sequence[str]) -> str:
    return ", ".join(f"[{name}]" for name in names)
