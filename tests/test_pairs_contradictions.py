"""Pairs made twice, and pairs that contradict each other."""

from pair_world import branch, lost, spoken, won
from threadmill.training.pairing.contradictions import edge_of, find_contradictions, name_of
from threadmill.training.pairing.pairs import Pairs


def trial(thread, token, outcome, task="task-1"):
    return branch(thread, spoken(thread, [1], [token]), outcome=outcome, task=task)


def test_the_same_pair_of_other_trials_is_dropped():
    pairs = Pairs()
    trials = [trial("t0", 10, won()), trial("t1", 11, lost()), trial("t2", 11, lost())]
    assert len(list(pairs.of_trials(trials))) == 1
    assert pairs.left_out == {"trials: the same pair again": 1}
    again = [trial("u0", 10, won(), "task-2"), trial("u1", 11, lost(), "task-2")]
    assert list(pairs.of_trials(again)) == []
    assert pairs.left_out == {"trials: the same pair again": 2}


def test_a_pair_made_before_an_interruption_is_not_made_again():
    trials = [trial("t0", 10, won()), trial("t1", 11, lost())]
    (row,) = Pairs().of_trials(trials)
    resumed = Pairs()
    resumed.remember(row)
    assert list(resumed.of_trials(trials)) == []
    assert resumed.left_out == {"trials: the same pair again": 1}


def test_pairs_that_say_the_opposite_are_named_though_a_task_lies_between_them():
    pairs = Pairs()
    first = list(pairs.of_trials([trial("a0", 10, won()), trial("a1", 11, lost())]))
    between = list(pairs.of_trials([trial("b0", 10, won(), "task-2"), trial("b1", 12, lost(), "task-2")]))
    assert pairs.contradictions() == set()
    last = list(pairs.of_trials([trial("c0", 11, won(), "task-3"), trial("c1", 10, lost(), "task-3")]))
    contradicting = pairs.contradictions()
    assert contradicting == {first[0]["pair"], last[0]["pair"]}
    assert between[0]["pair"] not in contradicting
    dropped = [row for row in [*first, *between, *last] if row["pair"] in contradicting]
    assert [row["threads"] for row in dropped] == [["a0", "a1"], ["c0", "c1"]]


A, B, C, D = [10], [11], [12], [13]


def names(*edges):
    return {name_of(edge) for edge in edges}


def test_a_circle_over_others_is_a_contradiction_too():
    circle = [edge_of([1], A, B), edge_of([1], B, C), edge_of([1], C, A)]
    beside = [edge_of([1], A, D), edge_of([1], D, [14])]
    assert find_contradictions([*circle, *beside]) == names(*circle)


def test_what_follows_other_tokens_contradicts_nothing():
    assert find_contradictions([edge_of([1], A, B), edge_of([2], B, A)]) == set()
    assert find_contradictions([edge_of([1], A, B), edge_of([1], B, C), edge_of([1], A, C)]) == set()
    assert find_contradictions([]) == set()


def test_two_circles_joined_by_a_pair_leave_that_pair_alone():
    one, two = [edge_of([1], A, B), edge_of([1], B, A)], [edge_of([1], C, D), edge_of([1], D, C)]
    bridge = edge_of([1], B, C)
    assert find_contradictions([*one, bridge, *two]) == names(*one, *two)


def test_the_name_of_a_pair_is_the_same_in_every_process():
    assert name_of(edge_of([1, 2], [3], [4])) == "a69728a041db3d2604cd15b9b93a1f48"
    assert len(edge_of([1, 2], [3], [4])) == 48
