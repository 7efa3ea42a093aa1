"""What forks say of turns: labels, columns of groups, rows, pairs; and nobody takes it for an outcome."""

import json
from pathlib import Path

import pytest
from enumerable_world import CounterSuite, CounterTask, fixed_slot, play, seed_of
from langchain_core.messages import HumanMessage
from pair_world import branch, spoken, won
from threadmill.checkpoints.labels import Label, add_labels, labels_of
from threadmill.checkpoints.store import open_store
from threadmill.checkpoints.where import Where, find_heads
from threadmill.cli.main import app
from threadmill.errors import UnknownSuite
from threadmill.training.branches import stream_branches
from threadmill.training.credit.forking import Forking, value_steps
from threadmill.training.credit.step_labels import new_labels, step_columns, step_labels
from threadmill.training.credit.step_rows import StepRows
from threadmill.training.credit.step_values import StepValue, StepValues
from threadmill.training.credit.tasks import find_tasks
from threadmill.training.groups import Groups
from threadmill.training.kto import Kto
from threadmill.training.pairing.pairs import Pairs
from threadmill.training.rows import sft_rows
from typer.testing import CliRunner

TASK = CounterTask("train-0-only-0000")

#  before turn 0: 0.25, before turn 1: 0.75, before turn 2: nobody knows; the thread ended with 1
VALUES = StepValues(
    "t",
    "task-1",
    1.0,
    (
        StepValue("m0", "c0", (0.0, 0.5)),
        StepValue("m1", "c1", (0.5, 1.0)),
        StepValue("m2", "c2"),
    ),
    opening="h",
    leaf="leaf",
)


def about(message, checkpoint, value):
    return Label("t", checkpoint, message, "reward", value, "forks:k=2")


def three_turns(*labels):
    turns = [spoken("m0", [1, 2], [10]), spoken("m1", [3], [11, 12]), spoken("m2", [4], [13])]
    path = ("leaf", "c2", "c1", "c0")
    return branch("t", HumanMessage("go", id="h"), *turns, outcome=won(), labels=labels, path=path)


def test_a_label_says_what_to_expect_after_its_message():
    assert step_labels(VALUES) == [about("h", "c0", 0.25), about("m0", "c1", 0.75), about("m2", "leaf", 1.0)]
    unknown = StepValues("t", "task-1", 1.0, (StepValue("m0", "c0"),), opening="h", leaf="leaf")
    assert step_labels(unknown) == []


def test_labels_that_are_there_are_not_added_again():
    labels = step_labels(VALUES)
    assert new_labels(labels, labels) == []
    other = about("m0", "c1", 0.5)
    assert new_labels(labels, [*labels, other]) == [about("m0", "c1", 0.75)]  # the last one counts


def test_the_columns_of_a_group_are_by_turn():
    one = three_turns(*step_labels(VALUES))
    (row, _) = Groups().of_task("task-1", [[one], [branch("u", spoken("u0", [1, 2], [10]), outcome=won(0.0))]])
    assert row["messages"] == ["m0", "m1", "m2"]
    assert row["step_values"] == [0.25, 0.75, None]
    assert row["step_advantages"] == [0.5, None, None]
    everything = three_turns(*step_labels(VALUES), about("m1", "c2", 0.5))
    assert step_columns(everything, ["m0", "m1", "m2"]) == {
        "step_values": [0.25, 0.75, 0.5],
        "step_advantages": [0.5, -0.25, 0.5],
    }
    assert step_columns(everything, ["m2"]) == {"step_values": [0.5], "step_advantages": [0.5]}
    assert step_columns(three_turns(), ["m0"]) == {"step_values": None, "step_advantages": None}


def test_values_of_another_branch_do_not_count():
    elsewhere = three_turns(about("m0", "c9", 0.75))
    assert step_columns(elsewhere, ["m0"]) == {"step_values": None, "step_advantages": None}


def test_rows_for_process_reward_models():
    maker = StepRows()
    shared = three_turns(*step_labels(VALUES))
    rows = list(maker.of([shared, shared]))
    assert [
        (row["prompt_ids"], row["completion_ids"], row["value"], row["value_before"], row["advantage"]) for row in rows
    ] == [
        ([1, 2], [10], 0.75, 0.25, 0.5),
        ([1, 2, 10, 3, 11, 12, 4], [13], 1.0, None, None),
    ]
    assert maker.left_out == {}


@pytest.fixture
def forked(tmp_path):
    """A thread that failed with one that did better, six continuations of it, and its step labels."""
    suite = CounterSuite()
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        play(store, suite, "better", tmp_path / "w1", seed=seed_of(["up", "up", "stop"]), task=TASK)
        play(store, suite, "worse", tmp_path / "w2", seed=seed_of(["up", "stop"]), task=TASK)
        values = value_steps(store, suite, fixed_slot(), {"worse": TASK}, Forking(k=3))
        add_labels(store, step_labels(values["worse"]))
        yield store, values["worse"]


def read(store):
    return [found.branches for found in stream_branches(store, find_heads(store, Where()), renderer=None)]


def test_step_labels_are_no_outcomes(forked):
    store, values = forked
    branches = {of[-1].thread: of[-1] for of in read(store)}
    assert branches["worse"].outcome.reward == values.reward  # that of the suite
    assert branches["worse"].outcome.source == "counter.check"
    only_steps = [label for label in labels_of(store)["worse"] if label.source.startswith("forks:")]
    assert len(only_steps) == len(values.steps) + 1
    by_turn = Kto()
    rows = list(by_turn.of([branches["worse"]]))
    assert [row["source"] for row in rows] == ["outcome"]
    assert by_turn.left_out == {}
    # Where rewards are to judge, the label of a turn judges that turn.
    judged = list(Kto(min_reward=0.5).of([branches["worse"]]))
    after = [*values.values[1:], values.reward]
    assert [(row["source"], row["label"]) for row in judged] == [("label", value >= 0.5) for value in after]


def test_continuations_are_no_trials_of_the_task_but_their_turns_are_trained_once(forked):
    store, values = forked
    threads = read(store)
    groups = Groups()
    rows = list(groups.of_task(TASK.id, threads))
    assert {row["thread"] for row in rows} == {"better", "worse"}
    assert groups.left_out == {"a continuation of another thread": 3 * len(values.steps)}
    assert [row["step_values"] for row in rows if row["thread"] == "worse"] == [values.values]
    trained = [message for row in sft_rows([one for of in threads for one in of])[0] for message in row["messages"]]
    assert len(trained) == len(set(trained))


def test_forked_siblings_of_different_outcome_become_pairs(forked):
    store, _ = forked
    threads = [of for of in read(store) if of[0].thread.startswith("worse.s1.")]
    outcomes = {of[0].thread: of[0].outcome.success for of in threads}
    assert {*outcomes.values()} == {True, False}
    rows = list(Pairs().of(threads))
    assert {row["source"] for row in rows} == {"trials"}
    for row in rows:
        better, worse = row["threads"]
        assert (outcomes[better], outcomes[worse]) == (True, False)
        assert row["prompt_ids"][:3] == [1, 20, 11]  # the task, up, at 1: what they were forked from
        assert row["chosen_ids"] != row["rejected_ids"]


OWN = """
from enumerable_world import CounterSuite, fixed_slot

class Own(CounterSuite):
    def build(self, slots):
        return super().build(fixed_slot())

def make_suite():
    return Own()
"""


def run(*words):
    return CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)


def test_the_command_shows_and_keeps_what_turns_were_worth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_suite.py").write_text(OWN)
    with open_store("sqlite:///runs.db") as store:
        reward = play(store, CounterSuite(), "t", tmp_path / "w", seed=seed_of(["up", "stop"]), task=TASK)
    fork = ("credit", "fork", "t", "-k", 2, "--suite", "own_suite.py:make_suite")
    made = run(*fork, "--json")
    assert made.exit_code == 0, made.output
    record = json.loads(made.stdout)
    assert (record["k"], record["refused"], record["labels"]) == (2, 0, 3)
    (thread,) = record["threads"]
    assert (thread["thread"], thread["task"], thread["reward"]) == ("t", TASK.id, reward)
    first, second = thread["steps"]
    assert (first["turn"], first["continuations"]) == (0, 2)
    assert first["advantage"] == second["value"] - first["value"]
    assert second["advantage"] == reward - second["value"]
    again = run(*fork)
    assert "1 threads, 0 refused, 0 labels" in again.stdout  # they are there
    assert "t · reward 0.5" in again.stdout
    written = run("credit", "rows", "steps.jsonl", "--json")
    rows = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    assert json.loads(written.stdout)["rows"] == len(rows) == 2
    assert [row["value"] for row in rows] == [second["value"], reward]


def test_the_task_of_a_thread_is_found_by_its_id():
    suite = CounterSuite()
    assert find_tasks(suite, [TASK.id, "train-0-only-0003"])["train-0-only-0003"].id == "train-0-only-0003"
    with pytest.raises(UnknownSuite, match="'count-1' is no id of a suite's task"):
        find_tasks(suite, ["count-1"])
    with pytest.raises(UnknownSuite, match="suite 'counter' has no task 'train-0-hard-0000'"):
        find_tasks(suite, ["train-0-hard-0000"])
