"""Which claims of an answer are in the passages it cites."""

from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadmill.graphs.grounding import Passage, check_answer, split_claims

GUIDE = [
    Passage(
        id="guide.md#1",
        text="The Alder ferry leaves Port Elm at 09:30 every day. A ticket costs 1,200 crowns. Dogs ride for free.",
    ),
    Passage(id="guide.md#2", text='Captain Rosa Vance has run the ferry since 3 May 2019 and says: "we never wait".'),
]


def verdicts(answer: str) -> list[tuple[str, str]]:
    return [(claim["verdict"], claim["why"]) for claim in check_answer(answer, GUIDE)]


@pytest.mark.parametrize(
    "answer",
    [
        "The ferry leaves Port Elm at 9:30 [guide.md#1].",
        "A ticket costs 1200 crowns. [guide.md#1]",
        "The ferry leaves every day. Dogs ride for free [guide.md#1].",
        "- Tickets cost 1,200 crowns [guide.md#1]",
        "Rosa Vance has run the ferry since 2019-05-03 [guide.md#2].",
        'The captain says "we never wait" [guide.md#2].',
        "Rosa Vance runs the ferry from Port Elm [guide.md#1, guide.md#2].",
    ],
)
def test_what_the_passages_say_is_grounded(answer: str) -> None:
    assert {verdict for verdict, _ in verdicts(answer)} == {"grounded"}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("A ticket costs 900 crowns [guide.md#1].", "says 900, which is not in [guide.md#1]"),
        ("The ferry leaves Port Elm at 10:30 [guide.md#1].", "says 10:30, which is not in [guide.md#1]"),
        (
            "Rosa Vance has run the ferry since 4 May 2019 [guide.md#2].",
            "says 4 May 2019, which is not in [guide.md#2]",
        ),
        ("Since May the captain is Iris Vance [guide.md#2].", "names Iris, which is not in [guide.md#2]"),
        ('The captain says "always be early" [guide.md#2].', "says always be early, which is not in [guide.md#2]"),
        ("Dogs ride for free [guide.md#3].", "cites [guide.md#3], which was not retrieved"),
        ("Dogs ride for free [guide.md#2].", "only 0 of its 3 words are in [guide.md#2]"),
        ("Dogs ride for free.", "cites nothing"),
        ("The crossing offers scenic coastal views [guide.md#1].", "only 1 of its 5 words are in [guide.md#1]"),
    ],
)
def test_what_they_do_not_say_is_not(answer: str, why: str) -> None:
    assert verdicts(answer) == [("ungrounded", why)]


@pytest.mark.parametrize(
    "answer",
    [
        "I do not know.",
        "I could not find it, sorry.",
        "The documents don't mention the ferry's speed.",
        "Shall I look further?",
        "Yes.",
        "",
    ],
)
def test_who_claims_nothing_needs_no_grounds(answer: str) -> None:
    assert {verdict for verdict, _ in verdicts(answer)} <= {"no claim"}


def test_what_denies_the_passage_is_not_grounded() -> None:
    (verdict,) = verdicts("Dogs never ride for free [guide.md#1].")
    assert verdict == ("ungrounded", "seems to turn round what [guide.md#1] says: Dogs ride for free.")


LAKE = Passage(
    id="lake#1",
    text=(
        "Mira Okafor beat Jonas Lind in 2018. Lind had won in 2016, a year after her. A single ticket costs 12 crowns, "
        "a return ticket 20 crowns, and the trip takes 50 minutes. Motor boats are prohibited, but rowing boats can be "
        "rented. The warranty covers parts, but not glass. Most fish are trout. The shop is open from Tuesday to "
        "Sunday and closed on Mondays. White flour absorbs less water than rye flour. It was sold in May 2021."
    ),
)


@pytest.mark.parametrize(
    "claim",
    [
        "Jonas Lind was beaten by Mira Okafor in 2018",  # a passive is no swap
        "Glass is excluded from the warranty",
        "Motors are forbidden on boats",
        "You pay 20 crowns for a return ticket",
        "Both tickets cost 32 crowns in total",
        "The journey takes less than an hour",
        "On Mondays the store is shut",
        "Rye flour absorbs more water than white flour",
        "Not all fish are trout",
        "Most fish are trout, luckily",
        "On Mondays the shop is not open",
        "It was sold in May 2021 by mistake",
    ],
)
def test_what_is_said_in_other_words_is_grounded(claim: str) -> None:
    assert [(one["verdict"], one["why"]) for one in check_answer(f"{claim} [lake#1].", [LAKE])] == [("grounded", "")]


@pytest.mark.parametrize(
    ("claim", "why"),
    [
        ("Jonas Lind beat Mira Okafor", "seems to change Jonas and Mira about"),
        ("Okafor had won in 2016", "says 2016 of that of which [lake#1] says: Mira Okafor beat Jonas Lind in 2018."),
        ("A single ticket costs 20 crowns", "says 20 of that of which [lake#1] says: A single ticket costs 12 crowns"),
        ("Both tickets cost 35 crowns in total", "says 35, which is not in [lake#1]"),
        ("The trip takes 50 hours", "says 50 hours, which is not in [lake#1]"),
        ("The trip takes more than an hour", "says an hour, which is not in [lake#1]"),
        ("It was sold in May 2020", "says May 2020, which is not in [lake#1]"),
        ("Motor boats can be rented", "seems to turn round what [lake#1] says: Motor boats are prohibited"),
        ("The warranty covers glass", "seems to turn round what [lake#1] says: but not glass."),
        ("The shop is open on Mondays", "seems to turn round what [lake#1] says: and closed on Mondays."),
        ("All fish are trout", "says All where [lake#1] says Most"),
        ("A single ticket costs 12 crowns and smells terrible", "adds and smells terrible."),
        ("The trip is steered by robots", "names robots, which is not in [lake#1]"),
        (
            "White flour absorbs more water than rye flour",
            "seems to turn round what [lake#1] says: White flour absorbs less water than rye flour.",
        ),
    ],
)
def test_what_is_twisted_is_not(claim: str, why: str) -> None:
    assert [(one["verdict"], one["why"]) for one in check_answer(f"{claim} [lake#1].", [LAKE])] == [("ungrounded", why)]


def test_a_twist_that_the_rules_do_not_know_passes() -> None:
    answer = "Boats can be rented by rowing [lake#1]."
    assert [one["verdict"] for one in check_answer(answer, [LAKE])] == ["grounded"]


def test_not_knowing_one_thing_covers_no_other() -> None:
    (claim,) = check_answer("The guide doesn't mention dogs, but the trip takes 70 minutes [lake#1].", [LAKE])
    assert claim["why"] == "says 70 minutes, which is not in [lake#1]"


@pytest.mark.parametrize(
    "answer",
    [
        "Hello! Most fish are trout [lake#1]. I hope this helps! Let me know if you need more.",
        "Most fish are trout.\n[lake#1]",
        "Ich weiß nicht, was er kostet.",
        "Je ne sais pas quel est le prix.",
        "No lo sé, no se menciona.",
    ],
)
def test_courtesies_and_other_languages_are_not_sent_back(answer: str) -> None:
    assert "ungrounded" not in {one["verdict"] for one in check_answer(answer, [LAKE])}


def test_a_courtesy_that_cites_is_a_claim() -> None:
    (claim,) = check_answer("Sure, all fish are pike [lake#1].", [LAKE])
    assert claim["verdict"] == "ungrounded"


def test_capitals_of_german_nouns_are_no_names() -> None:
    ferry = Passage(id="f#1", text="Die Fähre fährt täglich um 09:30 Uhr ab, und eine Karte kostet 12 Kronen.")
    answer = "Die Fähre fährt jeden Tag um 9:30 Uhr ab [f#1]. Eine Karte kostet 15 Kronen [f#1]."
    assert [one["why"] for one in check_answer(answer, [ferry])] == ["", "says 15, which is not in [f#1]"]


def test_letters_with_accents_are_no_capitals() -> None:
    museum = Passage(id="m#1", text="Le musée est fermé le lundi et le mardi.")
    (claim,) = check_answer("Le musée était fermé le lundi [m#1].", [museum])
    assert claim["verdict"] == "grounded"


def test_a_name_with_a_comma_can_be_cited() -> None:
    letter = Passage(id="Vance, Rosa.md#1", text="The ferry runs in winter.")
    (claim,) = check_answer("The ferry runs in winter [Vance, Rosa.md#1].", [letter])
    assert (claim["cites"], claim["verdict"]) == (["Vance, Rosa.md#1"], "grounded")


@pytest.mark.parametrize("hostile", ["a" * 20_000, "1" * 20_000, "\n[a] " * 3_000])
def test_a_document_cannot_hold_the_check_up(hostile: str) -> None:
    began = process_time()
    check_answer("Most fish are trout [x#1].", [Passage(id="x#1", text=hostile)])
    assert process_time() - began < 2  # it was 5 to 85 s


def test_texts_without_spaces_are_compared_by_pairs_of_letters() -> None:
    tea = Passage(id="t#1", text="绿茶在八十度的水中泡三分钟。")
    answer = "绿茶泡三分钟[t#1]。红酒产自法国南部[t#1]。"
    assert [one["verdict"] for one in check_answer(answer, [tea])] == ["grounded", "ungrounded"]


def test_sentences_and_their_citations() -> None:
    answer = "Prices rose. [a#1] They fell again [b#2]! See below:\n1. Dr. Who [c d.md#3]\nThat is all."
    assert list(split_claims(answer)) == [
        ("Prices rose.", ["a#1"]),
        ("They fell again!", ["b#2"]),
        ("See below:", []),
        ("Dr.", ["c d.md#3"]),
        ("Who", ["c d.md#3"]),
        ("That is all.", []),
    ]


@given(st.text(max_size=200))
def test_any_text_can_be_checked(answer: str) -> None:
    assert all(claim["verdict"] != "grounded" for claim in check_answer(answer, []))
