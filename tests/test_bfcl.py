"""Function calling as the Berkeley leaderboard asks for it: tasks, tools, and which calls are right.

Name a folder with its files in ``THREADMILL_SAMPLES`` (as ``bfcl/simple_python.jsonl.gz`` …) to check all 1,240 tasks.
"""

import gzip
import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from call_changes import Calls, changes, expected_of
from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage, HumanMessage
from selection_rows import decisions, row
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import BadEvaluation, UnknownSuite
from threadmill.nodes.bound_tools import tools_at
from threadmill.nodes.calls import make_check
from threadmill.nodes.models.schema_grammar import schema_grammar
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.training.rollout import play
from threadmill.training.worlds.calling.ast_match import Expected, complaint, count_right
from threadmill.training.worlds.calling.bfcl import make_bfcl
from threadmill.training.worlds.calling.suite import AnswerSuite, Task

EXCERPT = Path(__file__).parent / "data/bfcl"
SAMPLES = Path(os.environ.get("THREADMILL_SAMPLES", "no folder")) / "bfcl"
BOOK = Expected(
    "book",
    {"city": ["New York, NY", "NYC"], "nights": [2], "price": [80.0, ""], "pets": ["", False], "days": [["Mon", "Tue"]],
     "guest": [{"name": ["Ann"], "age": [7, ""]}], "pool": ["", True]},
    {"properties": {"city": {"type": "string"}, "nights": {"type": "integer"}, "price": {"type": "number"},
                    "pets": {"type": "boolean"}, "days": {"type": "array", "items": {"type": "string"}},
                    "guest": {"type": "object"}, "view": {"type": "string"}},
     "required": ["city", "nights"]},
)  # fmt: skip
RIGHT = {"city": "nyc", "nights": 2, "days": ["mon", "Tue."], "guest": {"name": "Ann"}}


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def answer(calls: Calls) -> AIMessage:
    return AIMessage(
        "", tool_calls=[{"name": name, "args": args, "id": str(n)} for n, (name, args) in enumerate(calls)]
    )


def call(args: dict[str, Any], name: str = "book") -> Any:
    return {"name": name, "args": args, "id": "c1", "type": "tool_call"}


def of_kind(suite: AnswerSuite, kind: str) -> list[Task]:
    return [task for task in suite.everything if task.tier == kind]


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({}, ""),
        ({"city": "new york ny"}, ""),
        ({"city": "New Jersey"}, "city is 'New Jersey'; right would be 'New York, NY' or 'NYC'"),
        ({"nights": 2.0}, "nights is 2.0; right would be 2"),
        ({"nights": True}, "nights is True; right would be 2"),
        ({"nights": "2"}, "nights is '2'; right would be 2"),
        ({"price": 80}, ""),
        ({"price": ""}, "price is ''; right would be 80.0 or ''"),
        ({"pets": False}, ""),
        ({"pets": 0}, "pets is 0; right would be '' or False"),
        ({"days": ("Mon", "Tue")}, ""),
        ({"days": ["Tue", "Mon"]}, "days is ['Tue', 'Mon']; right would be ['Mon', 'Tue']"),
        ({"days": None}, "days is None; right would be ['Mon', 'Tue']"),
        ({"guest": {"age": 7, "name": "ANN"}}, ""),
        ({"guest": {"age": 7}}, "guest is {'age': 7}; right would be {'name': ['Ann'], 'age': [7, '']}"),
        ({"guest": {"name": "Ann", "sex": "f"}}, "guest is {'name': 'Ann', 'sex': 'f'}; right would be "
         "{'name': ['Ann'], 'age': [7, '']}"),
        ({"view": "sea"}, "view is not expected"),  # the answer does not know it
        ({"pool": True}, "pool is not expected"),  # the function does not
    ],
)  # fmt: skip
def test_a_call_is_compared_as_the_leaderboard_does(changed: dict[str, Any], wrong: str) -> None:
    assert complaint(call({**RIGHT, **changed}), BOOK) == wrong


@pytest.mark.parametrize(
    ("name", "wrong"), [("nights", "the required nights is missing"), ("days", "days is missing"), ("price", "")]
)
def test_only_what_may_be_left_out_may(name: str, wrong: str) -> None:
    args = {key: value for key, value in {**RIGHT, "price": 80.0}.items() if key != name}
    assert complaint(call(args), BOOK) == wrong


def test_calls_made_together_are_paired_in_the_best_way() -> None:
    schema = {"properties": {"x": {"type": "integer"}}, "required": ["x"]}
    either, two = Expected("f", {"x": [1, 2]}, schema), Expected("f", {"x": [2]}, schema)
    one_first, two_first = [call({"x": 1}, "f"), call({"x": 2}, "f")], [call({"x": 2}, "f"), call({"x": 1}, "f")]
    assert count_right(one_first, [either, two]) == count_right(two_first, [either, two]) == 2
    assert count_right([one_first[0], one_first[0]], [either, two]) == 1
    assert count_right([], [either, two]) == 0


def test_the_checker_agrees_with_the_published_answers_and_minds_every_change() -> None:
    counted = count_verdicts(make_bfcl(str(EXCERPT)))
    assert counted == {  # 19 tasks, 3 of them without a call; 27 calls
        ("as published", True): 19,
        ("other order", True): 16,
        ("another allowed value", True): 82,
        ("other writing", True): 15,
        ("integer for float", True): 5,
        ("other order of keys", True): 4,
        ("left out", True): 6,
        ("left out", False): 4,
        ("renamed function", False): 27,
        ("dropped call", False): 27,
        ("doubled call", False): 27,
        ("unknown parameter", False): 27,
        ("missing required", False): 52,
        ("wrong value", False): 49,
        ("wrong type", False): 62,
        ("float for integer", False): 25,
        ("longer list", False): 9,
        ("other order in a list", False): 8,
        ("unknown key", False): 4,
        ("missing key", False): 14,
        ("a call where none is due", False): 3,
    }


def count_verdicts(suite: AnswerSuite) -> dict[tuple[str, bool], int]:
    """How often each kind of change was judged as it should be; any other verdict is an error."""
    counted: Counter[tuple[str, bool]] = Counter()
    for task in suite.everything:
        for change in changes(task):
            judged = task.check(answer(change.calls))
            assert judged.success == change.right, (task.id, change, [one.args for one in expected_of(task)])
            counted[change.kind, change.right] += 1
    return dict(counted)


def test_partial_credit_is_the_share_of_calls_that_are_right() -> None:
    task = of_kind(make_bfcl(str(EXCERPT)), "parallel")[0]
    first, second = task.needed
    assert task.check(answer([second])).reward == 1 / 2
    assert task.check(answer([second, first, first])).reward == 2 / 3
    unread = AIMessage("", invalid_tool_calls=[{"name": "f", "args": "{", "id": "1", "error": "cut"}])
    assert task.check(unread).reward == 0
    assert not of_kind(make_bfcl(str(EXCERPT)), "irrelevance")[0].check(unread).success


def test_tools_are_told_as_models_take_them() -> None:
    suite = make_bfcl(str(EXCERPT))
    names = {tool["function"]["name"] for task in suite.everything for tool in task.conversation.tools}
    assert {"math_factorial", "random_forest_train", "determine_body_mass_index"} < names
    assert all(name.replace("_", "a").isalnum() for name in names)
    data = next(task for task in suite.everything if task.id == "bfcl-simple_python_109").conversation.tools[0]
    assert data["function"]["parameters"]["properties"] == {
        "n_estimators": {"type": "integer", "description": "The number of trees in the forest."},
        "max_depth": {"type": "integer", "description": "The maximum depth of the tree."},
        "data": {"description": "The training data for the model."},
    }
    assert unfit_answers(suite) == ["bfcl-parallel_multiple_94"]  # texts where the schema has integers


def unfit_answers(suite: AnswerSuite) -> list[str]:
    """The tasks whose published answer is no call of their own tools; all tools can be held by a grammar."""
    unfit = []
    for task in suite.everything:
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in task.conversation.tools}
        for schema in schemas.values():
            Draft202012Validator.check_schema(schema)
            assert schema_grammar(schema).notes == ()
        if any(make_check(schemas[name])(args) for name, args in task.needed):
            unfit.append(task.id)
    return unfit


def test_a_model_that_knows_the_answers_scores_everywhere(store: Store) -> None:
    suite = make_bfcl(str(EXCERPT))
    tasks = suite.tasks("heldout", 2, seed=0)
    known = {task.text: answer([*task.needed]) for task in tasks}
    slot = Slot.fixed("calling.think", ScriptedModel(lambda messages: known[messages[-1].text]), "scripted")
    played = play(store, suite, tasks, {"calling.think": slot}, trials=1, seed=0)
    assert [(one.finished.tier, one.finished.met == one.finished.conditions) for one in played] == [
        (tier, True) for tier in ("simple", "multiple", "parallel", "parallel-multiple", "irrelevance") for _ in "12"
    ]
    assert {one.finished.status for one in played} == {"done"}
    said = read_messages(store, f"{tasks[0].id}-t0")
    assert [message.type for message in said] == ["human", "ai"]
    assert tools_at(said) == [*tasks[0].conversation.tools]
    again = play(store, suite, tasks, {"calling.think": slot}, trials=1, seed=0)  # read back, not played
    assert [one.finished.status for one in again] == ["done"] * 10


def test_an_answer_that_names_functions_as_the_leaderboard_does_is_right() -> None:
    (task,) = [task for task in make_bfcl(str(EXCERPT)).everything if task.id == "bfcl-simple_python_1"]
    assert task.check(answer([("math.factorial", {"number": 5})])).success
    assert task.needed == (("math_factorial", {"number": 5}),)


def test_a_benchmark_has_no_tasks_to_train_on_and_more_tasks_begin_with_the_same(tmp_path: Path) -> None:
    suite = make_bfcl(f"{EXCERPT}:parallel")
    assert {task.tier for task in suite.everything} == {"parallel"}
    with pytest.raises(UnknownSuite, match="bfcl has no split 'train': it is a benchmark, all of it is heldout"):
        suite.tasks("train", 1, 0)
    two, many = suite.tasks("heldout", 2, 7), suite.tasks("heldout", 100, 7)
    assert [task.id for task in many[:2]] == [task.id for task in two]
    assert make_bfcl(f"{EXCERPT}:parallel").tasks("heldout", 2, 7) == two
    assert sorted(task.id for task in many) == sorted(task.id for task in suite.everything)
    assert len({tuple(task.id for task in suite.tasks("heldout", 4, seed)) for seed in range(9)}) > 1


def test_rows_of_a_benchmark_are_kept_out_of_what_is_trained() -> None:
    task = make_bfcl(str(EXCERPT)).everything[0]
    rows = [row(0, task=task.id), row(1, opening=f"  {task.text.upper()}"), row(2)]
    assert decisions(rows, suites=(f"bfcl:{EXCERPT}",)) == ["left out: decontaminated: bfcl"] * 2 + ["train"]


def test_files_are_found_as_the_leaderboard_names_them(tmp_path: Path) -> None:
    (tmp_path / "possible_answer").mkdir()
    for folder, name in ((".", "parallel"), ("possible_answer", "parallel.answers")):
        content = gzip.decompress((EXCERPT / f"{name}.jsonl.gz").read_bytes())
        (tmp_path / folder / "BFCL_v4_parallel.json").write_bytes(content)
    shutil.copy(tmp_path / "BFCL_v4_parallel.json", tmp_path / "BFCL_v4_live_parallel.json")
    found = make_bfcl(str(tmp_path))
    assert [task.id for task in found.everything] == [task.id for task in make_bfcl(f"{EXCERPT}:parallel").everything]
    digest = found.digest
    (tmp_path / "BFCL_v4_parallel.json").write_bytes((tmp_path / "BFCL_v4_parallel.json").read_bytes() + b"\n")
    assert make_bfcl(str(tmp_path)).digest != digest
    (tmp_path / "possible_answer/BFCL_v4_parallel.json").unlink()
    with pytest.raises(UnknownSuite, match=r"there are no answers to .*BFCL_v4_parallel\.json, neither beside it"):
        make_bfcl(str(tmp_path))


def test_what_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UnknownSuite, match=r"no file of parallel is in the folder .* categories: simple, multiple"):
        make_bfcl(f"{tmp_path}:parallel")
    with pytest.raises(UnknownSuite, match="it should hold those of the Berkeley leaderboard"):
        make_bfcl(str(tmp_path / "nowhere"))
    file = tmp_path / "irrelevance.jsonl"
    file.write_text(json.dumps({"id": "x", "question": [[]], "function": []}) + "\n")
    with pytest.raises(BadEvaluation, match=r"irrelevance\.jsonl, line 1, is no task of irrelevance"):
        make_bfcl(str(tmp_path))
    file.write_text("\n{")
    with pytest.raises(BadEvaluation, match=r"irrelevance\.jsonl, line 2, cannot be read"):
        make_bfcl(str(tmp_path))


def test_an_answer_that_never_came_is_wrong() -> None:
    suite = make_bfcl(f"{EXCERPT}:irrelevance")
    task = suite.everything[0]
    asked, given = HumanMessage(task.text), AIMessage("Hello.", response_metadata={"canned": True})
    assert not suite.judge(task, Path("nowhere"), [asked]).success
    assert not suite.judge(task, Path("nowhere"), [asked, given]).success
    assert suite.judge(task, Path("nowhere"), [asked, AIMessage("I have no tool for that.")]).success


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="no folder of samples is named")
def test_all_published_answers_are_right_and_no_change_of_them_is() -> None:
    suite = make_bfcl(str(SAMPLES))
    tiers = Counter(task.tier for task in suite.everything)
    assert tiers == {"simple": 400, "multiple": 200, "parallel": 200, "parallel-multiple": 200, "irrelevance": 240}
    counted = count_verdicts(suite)
    assert counted["as published", True] == 1240
    assert sum(counted.values()) == 33_520
    assert unfit_answers(suite) == ["bfcl-parallel_multiple_21", "bfcl-parallel_multiple_94"]
