"""The world of reasoning-gym: its tasks, the calculator, who scores what, and episodes through the agent."""

import doctest
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import ToolException
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.store import open_store
from threadmill.errors import MissingLibrary, UnknownSuite
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.training.rollout import play
from threadmill.training.slots import open_slot
from threadmill.training.suites import Judged, open_suite
from threadmill.training.worlds.reasoning.answer import final_answer
from threadmill.training.worlds.reasoning.calculator import calculator
from threadmill.training.worlds.reasoning.expert import calculation, make_expert
from threadmill.training.worlds.reasoning.suite import ReasoningSuite
from threadmill.training.worlds.reasoning.tasks import TIERS, make_tasks, split_of

PLACE = Path("nowhere")
SLOT = "reasoning.think"


def one_of_each(split: str = "train") -> list[Any]:
    """A task of each data set in each tier."""
    return make_tasks(split, 6, seed=3)


@pytest.mark.parametrize("module", ["answer", "calculator", "expert", "tasks"])
def test_the_examples_in_the_docstrings_are_true(module: str) -> None:
    outcome = doctest.testmod(import_module(f"threadmill.training.worlds.reasoning.{module}"))
    assert outcome.failed == 0
    assert outcome.attempted > 0


def test_equal_arguments_give_equal_tasks_and_more_tasks_begin_with_the_same() -> None:
    tasks = make_tasks("train", 8, seed=3)
    assert tasks == make_tasks("train", 8, seed=3)
    assert [task for task in make_tasks("train", 20, seed=3) if int(task.id[-4:]) < 8] == tasks
    assert {task.text for task in tasks}.isdisjoint(task.text for task in make_tasks("train", 8, seed=4))
    assert [(task.id, task.kind) for task in tasks[6:9]] == [
        ("reasoning-train-3-easy-0006", "chain_sum"),
        ("reasoning-train-3-easy-0007", "products"),
        ("reasoning-train-3-medium-0000", "chain_sum"),
    ]


def test_splits_share_no_item_even_where_there_are_few() -> None:
    few = {"only": {"chain_sum": dict(min_terms=2, max_terms=2, min_digits=1, max_digits=1)}}  # 200 questions in all
    train = {task.text for seed in range(3) for task in make_tasks("train", 60, seed, few)}
    held_out = {task.text for seed in range(3) for task in make_tasks("heldout", 30, seed, few)}
    assert train & held_out == set()
    assert len(train) > 100
    assert len(held_out) > 30
    turned = [(f"{a} + {b} =", f"{b} + {a} =") for a in range(10) for b in range(a)]
    assert [split_of("chain_sum", one) for one, _ in turned] == [split_of("chain_sum", other) for _, other in turned]


def test_a_list_of_tasks_repeats_none_and_ends_when_there_are_no_more() -> None:
    tiny = {"only": {"gcd": dict(min_numbers=2, max_numbers=2, min_value=2, max_value=4)}}
    tasks = make_tasks("train", 3, 0, tiny)
    assert len({task.text for task in tasks}) == 3
    with pytest.raises(UnknownSuite, match=r"gcd has no more than \d different items in tier only and split train"):
        make_tasks("train", 50, 0, tiny)
    with pytest.raises(UnknownSuite, match="no split 'test'"):
        make_tasks("test", 1)


@pytest.mark.parametrize("kind", TIERS["easy"])
def test_scores_are_those_of_reasoning_gym(kind: str) -> None:
    from reasoning_gym import get_score_answer_fn

    theirs = get_score_answer_fn(kind)
    for task in (task for task in one_of_each() if task.kind == kind):
        right = task.item["answer"]
        answers = (right, f"{right}.", f"It is {right}", str(int(right) + 1), "", None)
        assert [task.score(answer) for answer in answers] == [theirs(answer, task.item) for answer in answers]
        assert (task.score(right), task.score(str(int(right) + 1)), task.score(None)) == (1.0, 0.0, 0.0)


def test_the_expert_solves_every_kind_in_both_splits() -> None:
    for task in one_of_each("train") + one_of_each("heldout"):
        result = calculator.invoke({"expression": calculation(task.text)})
        assert (task.text, task.score(result)) == (task.text, 1.0)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The sum is <answer> 42 </answer>.", "42"),
        ("<answer>1</answer> no, <answer>\n-2\n</answer>", "-2"),
        ("<answer></answer>", ""),
        ("42", None),
        ("<answer>42", None),
    ],
)
def test_the_final_answer_is_what_reasoning_gym_takes_out(text: str, answer: str | None) -> None:
    from reasoning_gym.utils import extract_answer

    assert (final_answer(text), extract_answer(text)) == (answer, answer)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("12 + 30 * 2", "72"),
        ("-( 5 + -3 ) - 84", "-86"),
        ("1 / 3 + 1 / 6", "0.5"),
        ("0.1 + 0.2", "0.3"),
        ("7 // 2 + 7 % 4", "6"),
        ("gcd(12, 18, 8) * lcm(4, 6)", "24"),
        ("max(2, 3) ** 3", "27"),
        ("999999999999 * 999999999999", "999999999998000000000001"),
    ],
)
def test_the_calculator_is_exact(expression: str, result: str) -> None:
    assert calculator.invoke({"expression": expression}) == result


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "2 +",
        "1 / 0",
        "True + 1",
        "x",
        "__import__('os')",
        "(1).real",
        "[1][0]",
        "'a' * 9",
        "max(*[1, 2])",
        "gcd(4)",
        "gcd(1.5, 2)",
        "2 ** 0.5",
        "9**9**9",
        "10 ** 59 * 100",
        "1e999",
        "(" * 300 + "1" + ")" * 300,
        "1" * 401,
    ],
)
def test_the_calculator_refuses_what_is_no_small_calculation(expression: str) -> None:
    with pytest.raises(ToolException, match=r"^error: cannot work out"):
        calculator.invoke({"expression": expression})


def test_an_episode_is_judged_by_its_last_message() -> None:
    suite = ReasoningSuite()
    task = next(task for task in suite.tasks("train", 6, 3) if task.kind == "gcd")
    right = task.item["answer"]
    call = AIMessage("", tool_calls=[{"name": "calculator", "args": {"expression": "1"}, "id": "a"}])

    def judged(*messages: Any) -> Judged:
        return suite.judge(task, PLACE, [HumanMessage(task.text), *messages])

    assert judged(call, ToolMessage("1", tool_call_id="a"), AIMessage(f"<answer>{right}</answer>")) == Judged(
        1, 1, right
    )
    assert judged(AIMessage(f"It is {right}")) == Judged(0, 1, right)
    assert judged(AIMessage(f"<answer>{right}{'.' * len(right)}</answer>")) == Judged(1, 2, right)  # their part credit
    assert judged(AIMessage(f"<answer>{right}</answer>"), HumanMessage("Sure?")) == Judged(0, 1, right)
    assert judged(call) == Judged(0, 1, right)


def test_episodes_are_threads_and_the_fallible_expert_fails_where_it_errs(tmp_path: Path) -> None:
    suite = open_suite("reasoning")
    tasks = [task for task in suite.tasks("train", 6, 3) if task.tier == "easy"]
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:

        def expert(**rates: float) -> dict[str, Slot]:
            return {SLOT: Slot.fixed(SLOT, ScriptedModel(make_expert(tasks, rates, seed=1)), "expert")}

        good = play(store, suite, tasks, expert(), trials=1, seed=0, prefix="good-")
        bad = play(store, suite, tasks, expert(easy=1.0), trials=1, seed=0, prefix="bad-")
        labels = {
            label.kind: label.value for label in labels_of(store, [good[0].finished.thread])[good[0].finished.thread]
        }
    assert [(trial.finished.met, trial.finished.conditions, trial.finished.status) for trial in good] == [
        (1, 1, "done")
    ] * 6
    assert [trial.finished.met for trial in bad] == [0] * 6
    assert [message.type for message in good[0].finished.messages] == ["human", "ai", "tool", "ai"]
    assert labels == {"reward": 1.0, "success": 1.0}


def test_the_seed_policy_can_play_it(tmp_path: Path) -> None:
    suite = open_suite("reasoning")
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        slot = open_slot(store, SLOT, "seed", max_new_tokens=12)
        trials = play(store, suite, suite.tasks("heldout", 1, 0)[:2], {SLOT: slot}, trials=1, seed=0)
        slot.model("seed").close()  # pyright: ignore[reportAttributeAccessIssue]
    # it has never seen such questions
    assert [(trial.finished.met, trial.finished.conditions) for trial in trials] == [(0, 1), (0, 1)]
    assert all(trial.finished.sampled_tokens for trial in trials)


def test_without_reasoning_gym_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(MissingLibrary, match=r"pip install 'threadmill\[worlds\]'"):
        open_suite("reasoning").tasks("train", 1, 0)


@pytest.mark.parametrize("name", ["gsm", "lists"])
def test_the_suites_of_the_docs_are_suites(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parent.parent / "docs/worlds.md").read_text(encoding="utf-8")
    (code,) = re.findall(rf"<!-- {name}.py -->\n```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path(f"{name}.py").write_text(code, encoding="utf-8")
    suite = open_suite(f"{name}.py:make_suite")
    tasks = suite.tasks("train", 2, 0)
    assert len(tasks) == 4
    if name == "gsm":
        assert [task.score(task.item["answer"]) for task in tasks] == [1.0] * 4
        return
    call = {"name": "add_item", "args": {"item": "milk"}, "id": "a"}
    script = [AIMessage("", tool_calls=[call]), AIMessage("milk is on the list")]
    with open_store("sqlite:///runs.db") as store:
        slots = {"lists.think": Slot.fixed("lists.think", ScriptedModel(script * 2), "script")}
        trials = play(store, suite, [tasks[0], tasks[2]], slots, trials=1, seed=0, workers=1)
    assert [task.text for task in (tasks[0], tasks[2])] == ["We need milk.", "We need milk and bread."]
    assert [(trial.finished.met, trial.finished.conditions) for trial in trials] == [(2, 2), (1, 3)]
