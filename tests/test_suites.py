"""Suites: found by name or in a file, and the helpdesk as one."""

from pathlib import Path

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from threadmill.errors import UnknownSuite
from threadmill.training.suites import Judged, Suite, last_words, open_suite
from threadmill.training.worlds.helpdesk.suite import HelpdeskSuite
from threadmill.training.worlds.helpdesk.tasks import make_task

REFUND = make_task("train", "sequential", 2)


def test_a_suite_in_a_file_is_opened_by_its_place(tmp_path: Path) -> None:
    file = tmp_path / "own_suite.py"
    file.write_text("class Own:\n    name = 'own'\n\ndef make():\n    return Own()\n")
    assert open_suite(f"{file}:make").name == "own"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nix", "no suite 'nix'; built in: helpdesk, injection, reasoning; your own: file.py:make_suite"),
        ("nowhere.py:make", "the suite 'nowhere.py:make' cannot be opened: there is no file"),
        ("threadmill.training.suites:missing", r"has no attribute 'missing'; its file must define missing\(\)"),
    ],
)
def test_a_suite_that_is_not_there_says_what_is(name: str, words: str) -> None:
    with pytest.raises(UnknownSuite, match=words):
        open_suite(name)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def make(:\n", r"cannot be opened: SyntaxError: .*\(broken\.py, line 1\)"),
        ("one = 1\ntwo = nix\n", r"cannot be opened: NameError: name 'nix' is not defined \(.*broken\.py, line 2\)"),
    ],
)
def test_a_suite_whose_file_is_broken_says_where(tmp_path: Path, code: str, words: str) -> None:
    file = tmp_path / "broken.py"
    file.write_text(code)
    with pytest.raises(UnknownSuite, match=words):
        open_suite(f"{file}:make")


def test_the_helpdesk_plays_a_task_by_the_protocol(tmp_path: Path) -> None:
    suite: Suite = open_suite("helpdesk")
    place = tmp_path / "world"
    assert suite.start(REFUND, place) == {"world": str(place)}
    ((order, due),) = REFUND.refunds.items()
    said = [HumanMessage(REFUND.text), AIMessage(f"Order {order} is refunded.")]
    assert suite.judge(REFUND, place, said) == Judged(met=2, conditions=3)  # nothing else changed, and the words
    assert suite.needed(REFUND) == REFUND.needed
    assert [task.id for task in suite.tasks("train", 1, 0)] == [
        f"train-0-{tier}-0000" for tier in ("simple", "sequential", "parallel", "complex")
    ]
    suite.close(place)
    suite.close(place)
    assert not place.exists()
    question = {"id": "q1", "args": {"order_id": order, "amount": due + 1}}
    assert suite.review(REFUND, question)["type"] == "approve"
    assert HelpdeskSuite("scripted").review(REFUND, question)["args"]["amount"] == due


def test_the_last_words_are_the_agents() -> None:
    call = {"name": "look", "args": {}, "id": "c1"}
    assert last_words([HumanMessage("Hi"), AIMessage("Hello.")]) == "Hello."
    assert last_words([AIMessage("Hello."), HumanMessage("Hi")]) == ""
    assert last_words([AIMessage("Wait.", tool_calls=[call])]) == ""
    assert last_words([]) == ""
