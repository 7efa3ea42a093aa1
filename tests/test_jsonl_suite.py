"""Suites in JSONL files: checks, lines that are no tasks, agents, and an evaluation from the documents."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from threadmill.checkpoints.store import open_store
from threadmill.errors import BadSuite, UnknownSuite
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.training.answer_checks import make_check
from threadmill.training.evaluation.identity import suite_digest
from threadmill.training.jsonl_suite import open_jsonl
from threadmill.training.rollout import play
from threadmill.training.suites import Judged, Suite, open_suite

LOOK = {"name": "look", "args": {"item": "tea", "shelf": 3}, "id": "c1"}
EPISODE = [
    HumanMessage("Where is the tea?"),
    AIMessage("", tool_calls=[LOOK]),
    ToolMessage("row 3", tool_call_id="c1"),
    AIMessage('{"row": 3}'),
]
ASKED = [HumanMessage("Where is it?"), AIMessage("What do you mean?")]
EDITED = [
    AIMessage(
        "",
        tool_calls=[{**LOOK, "args": {"item": "salt"}}],
        response_metadata={"edit": {"by": "ann", "at": "", "proposal": {"content": "", "tool_calls": [LOOK]}}},
    )
]
AGENT = '''
from langchain_core.tools import tool
from threadmill.graphs import build_react

@tool
def look(item: str) -> str:
    """Where an item is."""
    return "row 3"

def build_shop(slots):
    return build_react(slots["shop.think"], [look], name="shop", ask=lambda tool, args: "a person decides")
'''
HEAD = {"agent": "shop.py:build_shop"}


def task(id_: Any = "1", **other: Any) -> dict[str, Any]:
    return {"id": id_, "text": "Where is the tea?", "checks": [{"contains": "row 3"}], **other}


@pytest.fixture
def write(tmp_path: Path):
    (tmp_path / "shop.py").write_text(AGENT)

    def write_file(*rows: Any, name: str = "tasks") -> Path:
        file = tmp_path / f"{name}.jsonl"
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return file

    return write_file


@pytest.mark.parametrize(
    ("said", "messages", "met"),
    [
        ({"contains": '"row"'}, EPISODE, True),
        ({"contains": "Row"}, EPISODE, False),
        ({"not_contains": "shelf"}, EPISODE, True),
        ({"not_contains": "shelf"}, EPISODE[:3], False),  # there is no answer
        ({"equals": ' {"row": 3}\n'}, EPISODE, True),
        ({"matches": r"\b\d\b"}, EPISODE, True),
        ({"matches": "^row"}, EPISODE, False),
        ({"json_schema": {}}, [AIMessage("[" * 100_000)], False),
        ({"asks": True}, ASKED, True),
        ({"asks": True}, EPISODE, False),
        ({"asks": False}, EPISODE, True),
        ({"asks": False}, EPISODE[:3], False),
        ({"json_schema": {"properties": {"row": {"type": "integer"}}, "required": ["row"]}}, EPISODE, True),
        ({"json_schema": {"required": ["shelf"]}}, EPISODE, False),
        ({"json_schema": {}}, ASKED, False),  # no JSON
        ({"called": "look"}, EPISODE, True),
        ({"called": "look", "args": {"item": "tea"}}, EPISODE, True),
        ({"called": "look", "args": {"item": "salt"}}, EPISODE, False),
        ({"called": "look", "args": {"row": 3}}, EPISODE, False),
        ({"called": "look", "args": {"item": "tea"}}, EDITED, True),  # as the model proposed it
        ({"not_called": "buy"}, EPISODE, True),
        ({"not_called": "look", "args": {"item": "salt"}}, EPISODE, True),
        ({"not_called": "look"}, EPISODE, False),
        ({"max_calls": 1}, EPISODE, True),
        ({"max_calls": 0}, EPISODE, False),
        (
            {"max_calls": 0},
            [AIMessage("", invalid_tool_calls=[{"name": "x", "args": "{", "id": "", "error": ""}])],
            False,
        ),
    ],
)
def test_a_check_is_one_condition(said: Any, messages: Any, met: bool) -> None:
    assert make_check(said)(messages) is met


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Oslo", "'Oslo' is no check"),
        ({}, "names one of contains, not_contains, .*, and {} names 0"),
        ({"contains": "a", "equals": "b"}, "names 2"),
        ({"contains": "a", "case": False}, "'contains' has no 'case'"),
        ({"equals": "a", "args": {}}, "'equals' has no 'args'"),
        ({"contains": 3}, "'contains' takes a text, not 3"),
        ({"max_calls": True}, "'max_calls' takes a whole number, not true"),
        ({"max_calls": -1}, "write 0 or more"),
        ({"asks": "yes"}, "'asks' takes true or false"),
        ({"called": "look", "args": [1]}, "'args' is an object"),
        ({"matches": "("}, "is no regular expression: missing"),
        ({"json_schema": {"type": "nix"}}, "is no JSON Schema: 'nix'"),
    ],
)
def test_what_is_no_check_is_refused(said: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make_check(said)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "no JSON: Expecting property name"),
        ("[1]", r"\[1\] is no object"),
        ({"id": "1", "text": "Hi"}, "the field 'checks' is missing"),
        (task(check=[]), "a task has no field 'check'; there are id, text, checks, tier"),
        (task(checks=[]), "anything would be a success"),
        (task(checks=[{"contians": "tea"}]), "names 0"),
        (task(text=" "), "'text' is empty"),
        (task("a/b"), "the id 'a/b' becomes part of thread ids"),
        (task(split="test"), "'split' is 'test'; write train or heldout"),
        (task(tier=1), "'tier' is 1, which is none of a text"),
        (task(approve="yes"), "'approve' is \"yes\", which is none of true or false"),
        (HEAD, "a task has no field 'agent'"),
    ],
)
def test_a_wrong_line_is_named_with_file_and_number(write: Any, line: Any, words: str) -> None:
    with pytest.raises(BadSuite, match=f"tasks.jsonl:3: .*{words}"):
        open_jsonl(write(HEAD, task(), line))


def test_all_wrong_lines_are_told_before_anything_runs(write: Any) -> None:
    with pytest.raises(BadSuite) as told:
        open_jsonl(write(HEAD, task("same"), *[task("same")] * 7))
    assert str(told.value).count("the id 'same' is that of an earlier line") == 5
    assert str(told.value).endswith("… and 2 lines more")


@pytest.mark.parametrize(
    ("rows", "agent", "words"),
    [
        ([HEAD], None, "holds no task"),
        ([task()], None, "does not say which agent plays its tasks; begin it with"),
        ([{**HEAD, "model": "seed"}, task()], None, "does not say which agent"),
        ([{"agent": "shop"}, task()], None, "no agent 'shop' is built in"),
        ([{"agent": "nowhere.py:build"}, task()], None, "'nowhere.py:build' cannot be loaded: there is no file"),
        ([{"agent": "shop.py:missing"}, task()], None, "has no attribute 'missing'"),
        ([{"agent": "shop.py:__doc__"}, task()], None, "is a NoneType; name a function"),
    ],
)
def test_an_agent_that_cannot_be_built_is_refused(write: Any, rows: Any, agent: str | None, words: str) -> None:
    with pytest.raises(BadSuite, match=words):
        open_jsonl(write(*rows), agent)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadSuite, match=r"none\.jsonl cannot be read"):
        open_suite(str(tmp_path / "none.jsonl"))


def test_tasks_are_chosen_by_split_and_tier_in_the_order_of_the_file(write: Any) -> None:
    rows = [task(n, tier="easy" if n % 2 else "hard", split="train" if n > 7 else "heldout") for n in range(10)]
    suite = open_jsonl(write(HEAD, "", *rows))
    assert [one.id.split("-")[1] for one in suite.tasks("train", 9, 0)] == ["8", "9"]
    two = suite.tasks("heldout", 2, 0)
    assert [one.tier for one in two].count("easy") == 2 == len(two) - 2
    assert [one.id for one in two] == sorted(one.id for one in two)
    assert two == suite.tasks("heldout", 2, 0)
    assert {one.id for one in two} <= {one.id for one in suite.tasks("heldout", 3, 0)}
    with pytest.raises(BadSuite, match="no task of the split 'train'; mark some lines"):
        open_jsonl(write(HEAD, task())).tasks("train", 1, 0)


def test_another_line_is_another_task_and_another_file_another_suite(write: Any) -> None:
    one = open_jsonl(write(HEAD, task()))
    other = open_jsonl(write(HEAD, task(checks=[{"contains": "row 4"}])))
    assert one.everything[0].id != other.everything[0].id
    assert one.everything[0].id.startswith("tasks-1-")
    assert suite_digest(one) != suite_digest(other)
    assert suite_digest(one) == suite_digest(open_jsonl(write(HEAD, task())))


def test_tasks_are_played_with_reply_review_and_partial_credit(write: Any, tmp_path: Path) -> None:
    checks = [{"called": "look", "args": {"item": "tea"}}, {"contains": "row 3"}, {"max_calls": 0}]
    file = write(HEAD, task("a", checks=checks, reply="The tea."), task("b", checks=checks, approve=False))

    def say(messages: Any) -> AIMessage:
        if messages[-1].type == "tool":
            return AIMessage(f"It says: {messages[-1].text}")
        if len(messages) == 1 and messages[0].text == "Where is the tea?":
            return AIMessage("Which one?")
        return AIMessage("", tool_calls=[{"name": "look", "args": {"item": "tea"}, "id": "c"}])

    suite: Suite = open_suite(str(file))
    assert (suite.name, suite.slots) == ("tasks", ("shop.think",))
    slots = {"shop.think": Slot.fixed("shop.think", ScriptedModel(say), "shop.think@0001")}
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        first, second = play(store, suite, suite.tasks("heldout", 9, 0), slots, trials=1, seed=0)
    assert (first.finished.met, first.finished.conditions) == (2, 3)  # it called, and said so; once too often
    assert first.finished.answer == "It says: row 3"
    assert (second.finished.met, second.finished.answer) == (1, "Which one?")  # nobody replied, nothing was called


def test_a_reviewer_who_does_not_approve_rejects(write: Any) -> None:
    suite = open_jsonl(write(HEAD, task(approve=False), task("2")))
    no, yes = (suite.review(one, {"id": "q"}) for one in suite.everything)
    assert (no["type"], no["text"], yes["type"]) == ("reject", "no", "approve")


def test_the_helpdesk_plays_lines_in_the_world_of_their_seed(write: Any, tmp_path: Path) -> None:
    suite = open_suite(f"{write(task(seed=4), task('2', configurable={'temperature': 0.5}))}:helpdesk")
    place = tmp_path / "world"
    one, two = suite.tasks("heldout", 2, 0)
    assert (suite.slots, suite.start(one, place)) == (("helpdesk.think",), {"world": str(place)})
    assert place.stat().st_size > 1000
    assert suite.start(two, place)["temperature"] == 0.5
    suite.close(place)
    assert not place.exists()
    assert suite.judge(one, place, [AIMessage("In row 3.")]) == Judged(1, 1)


def test_the_documents_example_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parent.parent / "docs/suites.md").read_text(encoding="utf-8")
    for name, _, code in re.findall(r"<!-- (atlas\.py|capitals\.jsonl) -->\n```(\w+)\n(.*?)```", text, re.DOTALL):
        (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    suite = open_suite("capitals.jsonl")

    def say(messages: Any) -> AIMessage:
        if messages[-1].type == "tool":
            return AIMessage(f"It is {messages[-1].text}.")
        country = "Norway" if "Norway" in messages[-1].text else ""
        return AIMessage("", tool_calls=[{"name": "capital", "args": {"country": country}, "id": "c"}])

    slots = {name: Slot.fixed(name, ScriptedModel(say), f"{name}@0001") for name in suite.slots}
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        played = play(store, suite, suite.tasks("heldout", 9, 0), slots, trials=1, seed=0)
    assert [trial.finished.met == trial.finished.conditions for trial in played] == [True, False]


def test_the_same_file_says_what_must_not_be_trained_on(write: Any) -> None:
    from threadmill.training.selection.contamination import open_suite as open_held_out

    suite = open_held_out(str(write(HEAD, task("a"), task("b", text="Where is the salt?"))))
    assert suite.tasks == {"a", "b"}


def test_the_tasks_of_stored_threads_are_found_by_their_ids(write: Any) -> None:
    from threadmill.training.credit.tasks import find_tasks

    suite = open_jsonl(write(HEAD, task("a"), task("b")))
    second = suite.everything[1]
    assert find_tasks(suite, [second.id]) == {second.id: second}
    with pytest.raises(UnknownSuite, match="has no task 'tasks-b-old'; a task whose line has changed is another one"):
        find_tasks(suite, ["tasks-b-old"])


def test_a_line_ends_at_its_line_break_alone(write: Any):
    text = "one\u2028two\x85three\x0cfour"
    suite = open_jsonl(write(HEAD, json.dumps(task(text=text), ensure_ascii=False)))
    assert [one.text for one in suite.everything] == [text]


def test_an_agent_whose_code_has_changed_makes_another_suite(write: Any):
    file = write(HEAD, task())
    before = open_jsonl(file).digest
    assert open_jsonl(file).digest == before
    (file.parent / "shop.py").write_text(AGENT.replace("row 3", "row 4"))
    assert open_jsonl(file).digest != before


def test_a_regular_expression_that_would_search_for_years_is_stopped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("threadmill.training.answer_checks.SEARCH_S", 0.1)
    check = make_check({"matches": "(a|aa)+$"})
    assert check([AIMessage("aaa")])
    with pytest.raises(BadSuite, match=r"took more than 0\.1 s for one answer; write it without repeats of repeats"):
        check([AIMessage("a" * 60 + "b")])
