"""KTO rows: what is prompt, what is completion, and who judges which turn."""

from dataclasses import replace

import pytest
from pair_world import CALL, branch, lost, result, spoken, won
from threadmill.checkpoints.labels import Label
from threadmill.training.branches import Outcome
from threadmill.training.kto import Kto


def on(message, kind, value, thread="t"):
    return Label(thread, None, message, kind, value, "ann")


def sides(row):
    """Prompt, completion with its mask, and whether it is desirable."""
    return [row["prompt_ids"], row["completion_ids"], row["completion_mask"], row["label"]]


def three(outcome=won(), labels=(), **more):  # noqa: B008 outcomes never change
    turns = [spoken("a", [1], [10]), spoken("b", [2], [11]), spoken("c", [3], [12])]
    return branch("t", *turns, outcome=outcome, labels=tuple(labels), **more)


def test_a_branch_is_one_row_from_its_first_turn_to_its_last():
    (row,) = Kto().of([three()])
    assert row == {
        "prompt_ids": [1],
        "completion_ids": [10, 2, 11, 3, 12],
        "completion_mask": [1, 0, 1, 0, 1],
        "label": True,
        "tokens": "recorded",
        "source": "outcome",
        "thread": "t",
        "checkpoint": "leaf",
        "messages": ["a", "b", "c"],
        "versions": ["a.think@0001"],
        "agent": "shop",
        "task": "task-1",
        "why": "check: success",
    }
    (failed,) = Kto().of([three(lost())])
    assert (failed["label"], failed["why"]) == (False, "check: failure")


def test_a_label_on_a_message_speaks_for_that_turn_alone():
    one, whole = Kto().of([three(labels=[on("b", "success", 0.0)])])
    assert sides(one) == [[1, 10, 2], [11], [1], False]
    assert (one["source"], one["messages"], one["why"]) == ("label", ["b"], "ann: failure")
    assert sides(whole) == [[1], [10, 2, 11, 3, 12], [1, 0, 0, 0, 1], True]
    assert whole["messages"] == ["a", "c"]


def test_a_judged_first_turn_is_prompt_of_the_rest():
    _, whole = Kto().of([three(labels=[on("a", "success", 0.0)])])
    assert sides(whole) == [[1, 10, 2], [11, 3, 12], [1, 0, 1], True]
    _, whole = Kto().of([three(labels=[on("c", "success", 0.0)])])
    assert sides(whole) == [[1], [10, 2, 11], [1, 0, 1], True]


def test_thumbs_speak_for_a_message_or_for_a_branch():
    unknown = Outcome()
    down, up = on("b", "feedback", "thumbs down"), on(None, "feedback", 1)
    rows = list(Kto().of([three(unknown, [down, up])]))
    assert [(row["messages"], row["label"], row["why"]) for row in rows] == [
        (["b"], False, "ann: thumbs down"),
        (["a", "c"], True, "ann: thumbs up"),
    ]
    kto = Kto()
    assert list(kto.of([three(unknown, [on(None, "feedback", "wrong order")])])) == []
    assert kto.left_out == {"no outcome": 1}


def test_rewards_count_where_asked_from_when_on_they_are_good():
    rewarded = three(Outcome(reward=0.5, source="judge"), [on("b", "reward", 0.1)])
    assert list(Kto().of([rewarded])) == []
    rows = list(Kto(min_reward=0.5).of([rewarded]))
    assert [(row["messages"], row["label"], row["why"]) for row in rows] == [
        (["b"], False, "ann: reward 0.1"),
        (["a", "c"], True, "judge: reward 0.5"),
    ]


def test_a_call_that_a_person_refused_is_undesirable_in_a_success_too():
    refused = spoken("a", [1], [10], calls=[CALL])
    one, whole = Kto().of([branch("t", refused, result("rejected"), spoken("b", [2], [11]), outcome=won())])
    assert sides(one) == [[1], [10], [1], False]
    assert (one["source"], one["why"]) == ("rejection", "a person refused its call")
    assert sides(whole) == [[1, 10, 2], [11], [1], True]


@pytest.mark.parametrize("kind", ["invalid", "unknown_tool"])
def test_a_call_that_could_not_run_is_undesirable(kind):
    bad = spoken("a", [1], [10], calls=[CALL])
    (row,) = Kto().of([branch("t", bad, result(kind), spoken("b", [2], [11]))])
    assert sides(row) == [[1], [10], [1], False]
    assert row["source"] == "invalid"


def test_a_proposal_is_undesirable_and_what_the_human_wrote_is_desirable():
    messages = [spoken("a", [1], [10, 11], edited=True), spoken("b", [20, 11, 2], [12], human=((0, 2),))]
    rows = list(Kto().of([branch("t", *messages, outcome=lost())]))
    assert [sides(row) for row in rows] == [
        [[1], [20, 11], [1, 1], True],
        [[1], [10, 11], [1, 1], False],
        [[1, 20, 11, 2], [12], [1], False],
    ]
    assert [row["source"] for row in rows] == ["human_edit", "human_edit", "outcome"]


def test_a_proposal_nobody_went_on_from_is_undesirable_all_the_same():
    (row,) = Kto().of([branch("t", spoken("a", [1], [10], edited=True))])
    assert sides(row) == [[1], [10], [1], False]


def test_a_turn_that_a_good_and_a_bad_branch_share_is_not_judged():
    shared = spoken("a", [1], [10])
    good = branch("t", shared, spoken("b", [2], [11]), outcome=won(), leaf="c1")
    bad = branch("t", shared, spoken("c", [2], [12]), outcome=lost(), leaf="c2")
    kto = Kto()
    assert [sides(row) for row in kto.of([good, bad])] == [
        [[1, 10, 2], [11], [1], True],
        [[1, 10, 2], [12], [1], False],
    ]
    assert kto.left_out == {"turns that branches of different outcome share": 1}


def test_a_turn_that_branches_of_the_same_outcome_share_is_in_one_row():
    shared = spoken("a", [1], [10])
    branches = [branch("t", shared, spoken(name, [2], [11]), outcome=won(), leaf=name) for name in ("b", "c")]
    copy = replace(branches[0], thread="copy")
    assert [sides(row) for row in Kto().of([*branches, copy])] == [
        [[1], [10, 2, 11], [1, 0, 1], True],
        [[1, 10, 2], [11], [1], True],
    ]


def test_a_restart_makes_a_second_row():
    messages = [spoken("a", [1], [10]), spoken("b", [1, 7], [12], restart=True)]
    rows = Kto().of([branch("t", *messages, outcome=won())])
    assert [sides(row) for row in rows] == [[[1], [10], [1], True], [[1, 7], [12], [1], True]]


def test_only_the_turns_of_chosen_nodes_are_judged():
    mixed = replace(three(), nodes={"a": "plan", "b": "think", "c": "plan"})
    (row,) = Kto(nodes={"think"}).of([mixed])
    assert sides(row) == [[1, 10, 2], [11], [1], True]


def test_what_gives_no_row_is_counted():
    kto = Kto(max_length=4)
    long = three()
    nothing = branch("u", outcome=won())
    stray = branch("v", spoken("z", [1], [10]), labels=(on("nobody", "success", 1.0, "v"),))
    assert list(kto.of([long, nothing, stray])) == []
    assert kto.left_out == {
        "longer than 4 tokens": 1,
        "no message of a model": 1,
        "no outcome": 1,
        "labels on messages that are no turn of the policy": 1,
    }


def test_a_judged_turn_that_is_too_far_back_leaves_the_rest_its_row():
    kto = Kto(max_length=4)
    (row,) = kto.of([three(labels=[on("c", "success", 0.0)])])
    assert sides(row) == [[1], [10, 2, 11], [1, 0, 1], True]
    assert kto.left_out == {"longer than 4 tokens": 1}
