"""Episodes read from stored threads, rewards from TOML, and components kept beside the suite's labels."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import StateGraph
from threadmill.checkpoints.labels import Label, add_labels, labels_of
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import BadReward
from threadmill.graphs import build_react
from threadmill.graphs.run import answer_thread, run_thread
from threadmill.nodes import ScriptedModel, Slot
from threadmill.training.branches import read_branches
from threadmill.training.judgements import judge_branch
from threadmill.training.rewards.compose import Scored, score
from threadmill.training.rewards.configured import open_rewards, read_file
from threadmill.training.rewards.finished import Finished
from threadmill.training.rewards.known import REWARDS, WITH_MODEL
from threadmill.training.rewards.stored import read_finished, read_scores, record_scores
from threadmill.training.suites import open_suite
from threadmill.training.worlds.helpdesk import make_tasks


@tool
def pay(amount: int) -> str:
    """Pay."""
    if amount > 100:
        raise ValueError("too much")
    return f"paid {amount}"


def paying(*amounts: int) -> AIMessage:
    calls = [{"name": "pay", "args": {"amount": amount}, "id": f"c{amount}"} for amount in amounts]
    return AIMessage("", tool_calls=calls)


def agent(*says: AIMessage) -> StateGraph[Any]:
    slot = Slot.fixed("desk.think", ScriptedModel(says), "desk.think@0001")
    return build_react(slot, [pay], ask=lambda name, args: "much" if args["amount"] > 50 else None, name="desk")


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        yield store


def run(store: Store, thread: str, *says: AIMessage, task: str = "pay-1") -> Any:
    graph = agent(*says).compile(checkpointer=store.saver)
    return graph, run_thread(graph, thread, "Pay.", metadata={"task": task})


def label(store: Store, thread: str, **values: float) -> None:
    add_labels(store, [Label(thread, None, None, kind, value, "desk.check") for kind, value in values.items()])  # type: ignore[arg-type]


def test_a_stored_thread_is_read_as_a_finished_episode(desk: Store):
    graph, _ = run(desk, "t1", paying(9, 60), paying(200), AIMessage("Paid 9 and 60."))
    answer_thread(graph, "t1", [{"id": "c60", "type": "approve", "by": "ann"}])
    answer_thread(graph, "t1", [{"id": "c200", "type": "approve", "by": "ann"}])
    label(desk, "t1", reward=2 / 3, success=0.0)
    found = read_finished(desk, "t1")
    assert (found.task, found.text, found.answer, found.status) == ("pay-1", "Pay.", "Paid 9 and 60.", "done")
    assert (found.met, found.conditions, found.expected, found.needed) == (2, 3, None, None)
    assert found.approved == {"c60", "c200"}
    assert [tool["function"]["name"] for tool in found.tools] == ["pay"]
    rewards = {"partial": 1.0, "tool_success": 1.0, "valid_calls": 1.0, "safety": {"weight": 1.0, "approval": ["pay"]}}
    with open_rewards(rewards, desk) as opened:
        (scored,) = score([found], opened)
    assert scored.components == pytest.approx(
        {"partial": 2 / 3, "tool_success": 2 / 3, "valid_calls": 1.0, "safety": -1.0}  # nobody was asked about 9
    )


@pytest.mark.parametrize(
    ("labels", "met"),
    [
        ({}, None),
        ({"success": 1.0}, (1, 1)),
        ({"success": 0.0}, (0, 1)),
        ({"reward": 0.75}, (3, 4)),
        ({"reward": 1.0}, (1, 1)),
        ({"reward": 1.7, "success": 1.0}, (1, 1)),  # a composed total
        ({"reward": -3.0}, None),
    ],
)
def test_labels_say_what_was_met(desk: Store, labels: dict[str, float], met: Any):
    run(desk, "t1", AIMessage("Done."))
    label(desk, "t1", **labels)
    found = read_finished(desk, "t1")
    assert (None if found.met is None else (found.met, found.conditions)) == met


def test_a_thread_that_waits_crashed_or_ran_out_says_so(desk: Store):
    run(desk, "paused", paying(60))
    with pytest.raises(IndexError):
        run(desk, "crashed", paying(9))
    run(desk, "cut", AIMessage("I will", response_metadata={"finish_reason": "length"}))
    assert [read_finished(desk, thread).status for thread in ("paused", "crashed", "cut")] == [
        "paused",
        "failed",
        "truncated",
    ]


def test_a_suite_adds_what_only_it_knows(desk: Store):
    suite = open_suite("helpdesk")
    task = make_tasks("train", 1)[0]
    run(desk, "t1", AIMessage("Shipped."), task=task.id)
    label(desk, "t1", reward=0.5)
    found = read_finished(desk, "t1", suite=suite, task=task)
    assert (found.task, found.tier, found.text, found.needed) == (task.id, "simple", task.text, task.needed)


def test_components_are_kept_beside_the_labels_of_the_suite_and_decide_nothing(desk: Store):
    run(desk, "t1", AIMessage("Done."))
    label(desk, "t1", reward=0.5, success=0.0)
    weights = {"partial": 1.0, "judge": 0.5}
    record_scores(desk, {"t1": Scored(0.9, {"partial": 0.5, "judge": 0.8})}, weights)
    newest = Scored(0.6, {"partial": 0.5, "judge": 0.2}, {"judge": "It claims too much."})
    record_scores(desk, {"t1": newest}, weights)
    assert read_scores(desk) == {"t1": newest}
    labels = labels_of(desk)["t1"]
    assert [one.kind for one in labels] == ["reward", "success", "feedback", "feedback"]
    (branch,) = read_branches(desk, "t1", task="pay-1", labels=labels, renderer=None)
    assert (branch.outcome.reward, branch.outcome.success) == (0.5, False)
    assert judge_branch(branch, None) == judge_branch(
        read_branches(desk, "t1", task="pay-1", labels=labels[:2], renderer=None)[0], None
    )


def test_a_toml_file_gives_weights_and_parameters(desk: Store, tmp_path: Path):
    file = tmp_path / "rewards.toml"
    file.write_text(
        "[rewards]\nend_state = 1.0\n[rewards.length]\nweight = 0.5\nmax_tokens = 20\nbuffer = 4\n"
        "[rewards.safety]\nweight = 2\n"
        "forbidden = ['drop_*', {tool = 'pay', argument = 'amount', matches = '^[0-9]{4,}$'}]\n"
    )
    one = Finished("t1", (paying(1200),), met=1, conditions=1, sampled_tokens=18)
    with open_rewards(read_file(file), desk) as rewards:
        (scored,) = score([one], rewards)
    assert scored == Scored(1.0 - 0.25 - 2, {"end_state": 1.0, "length": -0.5, "safety": -1.0})


def test_a_missing_file_of_rewards_is_named(tmp_path: Path):
    with pytest.raises(BadReward, match=r"^there is no file .*none\.toml'; write one with a table \[rewards\]"):
        read_file(tmp_path / "none.toml")


def test_rewards_of_your_own_are_named_by_their_file(desk: Store, tmp_path: Path):
    file = tmp_path / "mine.py"
    file.write_text(
        "def brief(episode, *, most: int):\n    return float(len(episode.answer) <= most)\n"
        "def best(group):\n    return [float(one.answer == max(two.answer for two in group)) for one in group]\n"
    )
    table = {f"{file}:brief": {"weight": 1.0, "most": 2}, f"{file}:best": 0.5}
    with open_rewards(table, desk) as rewards:
        scored = score([Finished("a", answer="no"), Finished("b", answer="yes")], rewards)
    assert [[*one.components.values()] for one in scored] == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"length": {"max_tokens": 3, "buffer": 1}}, r"\[rewards.length\] has no weight"),
        ({"judge": 1.0}, "reward 'judge' needs its parameter 'model'"),
        ({"ruler": {"weight": 1.0, "model": "seed", "rubrik": "x"}}, "no parameter 'rubrik'; did you mean 'rubric'"),
        ({"learned": 1.0}, "reward 'learned' needs its parameter 'model'"),
    ],
)
def test_tables_that_cannot_be_meant_are_refused(desk: Store, table: Any, words: str):
    with pytest.raises(BadReward, match=words), open_rewards(table, desk):
        pass


def test_a_file_without_the_table_is_refused(tmp_path: Path):
    (tmp_path / "a.toml").write_text("steps = 4\n")
    (tmp_path / "b.toml").write_text("[rewards")
    with pytest.raises(BadReward, match="has no table"):
        read_file(tmp_path / "a.toml")
    with pytest.raises(BadReward, match="cannot be read as TOML"):
        read_file(tmp_path / "b.toml")


def test_the_table_in_the_docs_is_understood(desk: Store):
    docs = (Path(__file__).parent.parent / "docs/rewards.md").read_text(encoding="utf-8")
    (toml,) = re.findall(r"```toml\n(.*?)```", docs, re.DOTALL)
    table = tomllib.loads(toml)["rewards"]
    assert table.pop("ruler")["model"] == "openai:gpt-5-mini"  # a model elsewhere
    with open_rewards(table, desk) as rewards:
        assert rewards.weights == {"end_state": 1.0, "tool_success": 0.1, "length": 0.2, "safety": 1.0}
    named = re.findall(r"^\| `(\w+)` \|", docs, re.MULTILINE)
    assert sorted(named) == sorted([*REWARDS, *WITH_MODEL])
