"""Which claims of an answer are in the passages it cites."""

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
        ("The crossing offers scenic coastal views [guide.md#1].", "only 0 of its 5 words are in [guide.md#1]"),
    ],
)
def test_what_they_do_not_say_is_not(answer: str, why: str) -> None:
    assert verdicts(answer) == [("ungrounded", why)]


@pytest.mark.parametrize(
    "answer",
    ["I do not know.", "The documents don't mention the ferry's speed.", "Shall I look further?", "Yes.", ""],
)
def test_who_claims_nothing_needs_no_grounds(answer: str) -> None:
    assert {verdict for verdict, _ in verdicts(answer)} <= {"no claim"}


def test_what_denies_the_passage_is_not_grounded() -> None:
    (verdict,) = verdicts("Dogs never ride for free [guide.md#1].")
    assert verdict == ("ungrounded", "seems to turn round what [guide.md#1] says: Dogs ride for free")


def test_a_twist_in_words_that_are_all_there_passes() -> None:
    assert verdicts("Port Elm leaves the Alder ferry every day [guide.md#1].") == [("grounded", "")]


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
