"""Preference pairs: the same prefix, two continuations, and refusals that are counted."""

from langchain_core.messages import AIMessage, ToolMessage
from threadmill.nodes.models.trace import Trace, write_trace
from threadmill.training.branches import Branch, Outcome
from threadmill.training.pairs import Pairs
from threadmill.training.trajectory import read_trajectory

CALL = {"name": "refund", "args": {}, "id": "c"}


def spoken(name, prompt, sampled, *, human=(), edited=False, calls=(CALL,)):
    trace = Trace(
        version="a.think@0001",
        prompt_ids=tuple(prompt),
        sampled_ids=tuple(sampled),
        logprobs=tuple(-0.5 for _ in sampled),
        human=human,
    )
    edit = {"edit": {"by": "ann", "at": "", "proposal": {}}} if edited else {}
    metadata = {"trace": write_trace(trace), **edit}
    return AIMessage("", id=name, tool_calls=list(calls), response_metadata=metadata)


def branch(thread, success, *messages, leaf="leaf", task="task-1"):
    outcome = Outcome(success=success, reward=float(bool(success)), source="check")
    return Branch(thread, leaf, task, tuple(messages), "recorded", tuple(read_trajectory(messages)), outcome)


def continuations(row):
    """Prompt, then each side with its mask, as aligned rows."""
    return [
        row["prompt_ids"],
        row["chosen_ids"],
        row["chosen_mask"],
        row["rejected_ids"],
        row["rejected_mask"],
    ]


def test_a_human_edit_against_the_proposal():
    messages = [
        spoken("a", [1, 2], [10, 11], edited=True),
        spoken("b", [20, 11, 3], [12], human=((0, 2),)),
    ]
    pairs = Pairs()
    (row,) = pairs.of_thread([branch("t", None, *messages)])
    assert continuations(row) == [
        [1, 2],
        [20, 11],
        [1, 1],
        [10, 11],
        [1, 1],
    ]
    assert row["source"] == "human_edit"
    assert row["threads"] == ["t", "t"]
    assert row["why"] == "a human replaced the proposal of message a"


def test_an_edit_nobody_went_on_from_is_counted():
    pairs = Pairs()
    assert list(pairs.of_thread([branch("t", None, spoken("a", [1], [10], edited=True))])) == []
    assert pairs.left_out == {"human_edit: no later call has seen it": 1}


def test_trials_are_cut_at_the_first_turn_where_they_differ():
    good = branch("t0", True, spoken("a", [1], [10, 11]), spoken("b", [2], [12, 11]), spoken("c", [3], [13]))
    bad = branch("t1", False, spoken("d", [1], [10, 11]), spoken("e", [2], [14]), spoken("f", [4, 5], [15]))
    (row,) = Pairs().of_trials([bad, good])
    assert continuations(row) == [
        [1, 10, 11, 2],
        [12, 11, 3, 13],
        [1, 1, 0, 1],
        [14, 4, 5, 15],
        [1, 0, 0, 1],
    ]
    assert (row["source"], row["threads"], row["task"]) == ("trials", ["t0", "t1"], "task-1")
    assert row["why"] == "check: success against failure, from turn 2 on"
    (turn,) = Pairs(continuation="turn").of_trials([bad, good])
    assert continuations(turn) == [[1, 10, 11, 2], [12, 11], [1, 1], [14], [1]]


def test_trials_with_other_prompts_or_observations_are_refused_and_counted():
    good = branch("t0", True, spoken("a", [1], [10]), spoken("b", [2], [12]))
    others = [
        branch("t1", False, spoken("c", [9], [10])),
        branch("t2", False, spoken("d", [1], [10]), spoken("e", [7], [14])),
        branch("t3", False, spoken("f", [1], [10])),
        branch("t4", False, spoken("g", [1], [10]), spoken("h", [2], [12])),
    ]
    pairs = Pairs()
    assert list(pairs.of_trials([good, *others])) == []
    assert pairs.left_out == {
        "trials: prompts differ": 1,
        "trials: observations differ first": 1,
        "trials: one is the beginning of the other": 1,
        "trials: no turn differs": 1,
    }


def test_each_trial_is_used_once_before_any_is_used_twice():
    trials = [branch(f"s{i}", True, spoken(f"s{i}", [1], [10 + i])) for i in range(2)]
    trials += [branch(f"f{i}", False, spoken(f"f{i}", [1], [20 + i])) for i in range(2)]
    pairs = Pairs(max_pairs_per_task=3)
    rows = list(pairs.of_trials(trials))
    assert [row["threads"] for row in rows] == [["s0", "f0"], ["s1", "f1"], ["s0", "f1"]]
    assert pairs.left_out == {"trials: more than 3 of one task": 1}


def test_the_same_pair_of_other_trials_is_dropped():
    good = branch("t0", True, spoken("a", [1], [10]))
    pairs = Pairs()
    rows = list(pairs.of_trials([good, *(branch(f"t{i}", False, spoken(f"b{i}", [1], [11])) for i in (1, 2))]))
    assert len(rows) == 1
    assert pairs.left_out == {"trials: the same pair again": 1}


def test_sibling_branches_with_different_labels():
    shared = spoken("a", [1], [10])
    siblings = [
        branch("t", False, shared, spoken("b", [2], [11]), leaf="c1"),
        branch("t", True, shared, spoken("c", [2], [12]), leaf="c2"),
    ]
    (row,) = Pairs().of_thread(siblings)
    assert continuations(row) == [[1, 10, 2], [12], [1], [11], [1]]
    assert (row["source"], row["checkpoints"]) == ("branches", ["c2", "c1"])


def test_a_repaired_call_against_the_invalid_one():
    answer = ToolMessage("error: no such order", tool_call_id="c", additional_kwargs={"kind": "invalid"})
    result = ToolMessage("done", tool_call_id="c", additional_kwargs={"kind": "result"})
    messages = [spoken("a", [1], [10]), answer, spoken("b", [2, 3], [12]), result]
    (row,) = Pairs().of_thread([branch("t", None, *messages)])
    assert continuations(row) == [[1], [12], [1], [10], [1]]
    assert row["source"] == "repair"


def test_two_invalid_calls_in_a_row_make_one_pair_from_the_second():
    invalid = ToolMessage("error", tool_call_id="c", additional_kwargs={"kind": "unknown_tool"})
    messages = [spoken("a", [1], [10]), invalid, spoken("b", [2], [11]), invalid, spoken("c", [3], [12])]
    (row,) = Pairs().of_thread([branch("t", None, *messages)])
    assert continuations(row) == [[1, 10, 2], [12], [1], [11], [1]]


def test_a_pair_of_equals_or_one_that_is_too_long_is_counted():
    messages = [spoken("a", [1], [10], edited=True), spoken("b", [10, 3], [12], human=((0, 1),))]
    pairs = Pairs()
    assert list(pairs.of_thread([branch("t", None, *messages)])) == []
    assert pairs.left_out == {"human_edit: chosen and rejected are the same": 1}
    short = Pairs(max_length=2)
    trials = [
        branch("t0", True, spoken("a", [1, 2], [10])),
        branch("t1", False, spoken("b", [1, 2], [11])),
    ]
    assert list(short.of_trials(trials)) == []
    assert short.left_out == {"trials: longer than 2 tokens": 1}
