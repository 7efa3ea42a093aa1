"""Explicit preferences: a label says what its subject is preferred over."""

import pytest
from pair_world import branch, sides, spoken
from threadmill.checkpoints.labels import Label
from threadmill.checkpoints.preferences import Place, read_grade, read_over, write_over
from threadmill.training.pairing.pairs import Pairs
from threadmill.training.pairing.preferences import linked_threads


def prefers(thread, value, *, checkpoint=None, message=None):
    return Label(thread, checkpoint, message, "preference", value, "ann")


def thread(name, *turns, labels=(), leaf="leaf", task=None, path=()):
    messages = [spoken(f"{name}-{at}", prompt, sampled) for at, (prompt, sampled) in enumerate(turns)]
    return branch(name, *messages, labels=tuple(labels), leaf=leaf, task=task, path=path)


def test_one_thread_over_another():
    a = thread("a", ([1], [10]), ([2], [11]), labels=[prefers("a", "over b")])
    b = thread("b", ([1], [10]), ([2], [12, 13]))
    (row,) = Pairs().of([[a], [b]])
    assert sides(row) == [[1, 10, 2], [11], [1], [12, 13], [1, 1]]
    assert (row["source"], row["threads"], row["messages"]) == ("preference", ["a", "b"], ["a-1", "b-1"])
    assert row["why"] == "ann: preferred, from turn 2 on"


def test_the_preferred_thread_may_come_last_and_be_of_another_task():
    a = thread("a", ([1], [11]), task="task-1", labels=[prefers("a", "over B"), prefers("a", "over B")])
    b = thread("B", ([1], [12]), task="task-2")
    (row,) = Pairs().of([[b], [a]])
    assert row["threads"] == ["a", "B"]
    assert linked_threads([*a.labels, prefers("a", "over a@c1"), prefers("a", 1.0)]) == [("a", "B"), ("a", "B")]


def test_a_preference_over_a_thread_that_is_not_there_is_counted():
    pairs = Pairs()
    assert list(pairs.of([[thread("a", ([1], [11]), labels=[prefers("a", "over gone")])]])) == []
    assert pairs.left_out == {"preference: the other thread is not exported": 1}


def test_one_branch_over_another_of_the_same_thread():
    labels = [prefers("t", "over t@c1", checkpoint="c0")]
    old = thread("t", ([1], [11]), leaf="c1", path=("c1", "root"), labels=labels)
    new = thread("t", ([1], [12]), leaf="c2", path=("c2", "c0", "root"), labels=labels)
    (row,) = Pairs().of([[old, new]])
    assert sides(row) == [[1], [12], [1], [11], [1]]
    assert row["checkpoints"] == ["c2", "c1"]


def test_one_message_over_the_turn_at_the_same_place():
    a = thread("a", ([1], [10]), ([2], [11]), ([3], [14]), labels=[prefers("a", "over b", message="a-1")])
    b = thread("b", ([1], [10]), ([2], [12]), ([3], [15]))
    (row,) = Pairs(continuation="whole").of([[a], [b]])
    assert sides(row) == [[1, 10, 2], [11], [1], [12], [1]]
    elsewhere = thread("a", ([1], [10]), ([2], [11]), labels=[prefers("a", "over b@#b-2", message="a-1")])
    pairs = Pairs()
    assert list(pairs.of([[elsewhere], [b]])) == []
    assert pairs.left_out == {"preference: the turns do not follow the same tokens": 1}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("over t@gone", "preference: no branch has the checkpoint or message that it names"),
        ("over t", "preference: both sides are one branch"),
    ],
)
def test_a_preference_that_cannot_be_compared_is_counted(value, reason):
    pairs = Pairs()
    assert list(pairs.of([[thread("t", ([1], [11]), labels=[prefers("t", value)])]])) == []
    assert pairs.left_out == {reason: 1}


def test_preferences_after_other_prompts_are_refused():
    a = thread("a", ([1], [11]), labels=[prefers("a", "over b")])
    pairs = Pairs()
    assert list(pairs.of([[a], [thread("b", ([2], [11]))]])) == []
    assert pairs.left_out == {"preference: prompts differ": 1}


def test_the_words_of_an_import_grade_two_trials():
    a = thread("a", ([1], [11]), task="q", labels=[prefers("a", "rejected")])
    b = thread("b", ([1], [12]), task="q", labels=[prefers("b", "chosen")])
    (row,) = Pairs().of([[a], [b]])
    assert (row["source"], row["threads"], row["why"]) == ("preference", ["b", "a"], "ann: preferred, from turn 1 on")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (Place("b"), "over b"),
        (Place("b", "1f0c"), "over b@1f0c"),
        (Place("b", "1f0c", "m1"), "over b@1f0c#m1"),
        (Place("b", None, "m1"), "over b#m1"),
        (Place("me@home #2 100%", "1f0c", "run--@"), "over me%40home %232 100%25@1f0c#run--%40"),
        (Place("%40"), "over %2540"),
    ],
)
def test_the_value_of_a_label_names_the_other_place(place, value):
    assert write_over(place) == value
    assert read_over(value) == place


def test_other_values_name_no_place_and_only_numbers_and_two_words_are_grades():
    assert [read_over(value) for value in ("chosen", "b", 1.0)] == [None, None, None]
    assert read_over("over b@#b-2") == Place("b", None, "b-2")
    assert [read_grade(value) for value in (2.5, -1, "chosen", "rejected", "better", "over b")] == [
        2.5, -1.0, 1.0, 0.0, None, None
    ]  # fmt: skip
