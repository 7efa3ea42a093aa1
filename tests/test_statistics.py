"""pass@k, pass^k and the paired interval, against numbers that can be checked by hand."""

import doctest
from itertools import combinations, product
from math import prod

import pytest
from scipy.stats import binomtest
from threadmill.errors import BadEvaluation
from threadmill.training import statistics
from threadmill.training.statistics import bound_alike, paired_difference, pass_at_k, pass_hat_k


def test_pass_at_k_is_the_share_of_draws_with_a_success():
    assert pass_at_k(n=4, c=1, k=1) == 0.25
    assert pass_at_k(n=4, c=1, k=2) == 0.5  # 3 of the 6 pairs hold the success
    assert pass_at_k(n=4, c=0, k=4) == 0.0
    assert pass_at_k(n=4, c=3, k=2) == 1.0  # one failure cannot fill two places


@pytest.mark.parametrize("n", [1, 4, 6])
def test_both_estimates_are_what_drawing_k_of_n_trials_in_every_way_gives(n: int):
    for c in range(n + 1):
        trials = [True] * c + [False] * (n - c)
        for k in range(1, n + 1):
            draws = [*combinations(trials, k)]
            assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))
            assert pass_hat_k(n, c, k) == pytest.approx(sum(map(all, draws)) / len(draws))


def test_both_estimates_are_unbiased():
    """3 trials at a chance of 0.4: the mean over all 8 outcomes is 1 - 0.6² and 0.4²."""
    at_k, hat_k = 0.0, 0.0
    for outcome in product([True, False], repeat=3):
        chance = prod(0.4 if success else 0.6 for success in outcome)
        at_k += chance * pass_at_k(3, sum(outcome), 2)
        hat_k += chance * pass_hat_k(3, sum(outcome), 2)
    assert (at_k, hat_k) == (pytest.approx(0.64), pytest.approx(0.16))


def test_pass_hat_k_is_the_share_of_draws_without_a_failure():
    assert pass_hat_k(n=4, c=2, k=1) == 0.5
    assert pass_hat_k(n=4, c=3, k=2) == 0.5  # 3 of the 6 pairs
    assert pass_hat_k(n=3, c=2, k=3) == 0.0
    assert pass_hat_k(n=3, c=3, k=3) == 1.0


@pytest.mark.parametrize(("n", "c", "k"), [(2, 1, 3), (2, 3, 1), (2, 1, 0), (2, -1, 1)])
def test_counts_that_say_nothing_are_refused(n: int, c: int, k: int):
    for estimate in (pass_at_k, pass_hat_k):
        with pytest.raises(BadEvaluation, match=f"{c} successes in {n} trials say nothing about k = {k}"):
            estimate(n, c, k)


def test_difference_weighs_trials_within_a_task_and_every_tier_alike():
    tiers = {"a": "simple", "b": "simple", "c": "complex", "d": "complex", "e": "complex", "f": "complex"}
    before = {"a": [0.0, 0.0], "b": [1.0, 0.0], "c": [0.0], "d": [0.0], "e": [1.0], "f": [0.0]}
    after = {"a": [1.0, 1.0], "b": [1.0, 0.0], "c": [1.0], "d": [0.0], "e": [1.0], "f": [0.0]}
    #        a: +1            b: 0             c: +1       d: 0        e: 0        f: 0
    difference = paired_difference(before, after, tiers=tiers, seed=0)
    assert difference.by_tier == {"simple": 0.5, "complex": 0.25}
    assert difference.mean == 0.375


def test_the_interval_is_that_of_the_binomial_it_draws_from():
    """50 of 100 tasks improve: resampled means are Binomial(100, 0.5)/100, 95 % within 0.40 to 0.60."""
    tasks = [f"t{number}" for number in range(100)]
    before = {task: [0.0] for task in tasks}
    after = {task: [float(number < 50)] for number, task in enumerate(tasks)}
    difference = paired_difference(before, after, tiers=dict.fromkeys(tasks, "simple"), seed=1)
    assert (difference.mean, round(difference.low, 2), round(difference.high, 2)) == (0.5, 0.4, 0.6)


def test_pairing_takes_out_how_hard_a_task_is():
    before = {"easy": [0.8], "hard": [0.1]}
    after = {"easy": [1.0], "hard": [0.2]}
    difference = paired_difference(before, after, tiers={"easy": "simple", "hard": "simple"}, seed=0)
    assert [round(x, 6) for x in (difference.low, difference.mean, difference.high)] == [0.1, 0.15, 0.2]


def test_tasks_that_all_differ_alike_leave_room_for_others():
    """Of 100 tasks none changed: 0.025 ** (1/100) = 0.9638, so up to 3.6 % of others may, for better or worse."""
    tasks = {f"t{number}": [1.0] for number in range(100)}
    tiers = {task: ("simple", "complex")[number % 2] for number, task in enumerate(tasks)}
    same = paired_difference(tasks, tasks, tiers=tiers, seed=0)
    assert [round(x, 4) for x in (same.low, same.mean, same.high)] == [-0.0362, 0.0, 0.0362]
    better = paired_difference({task: [0.0] for task in tasks}, tasks, tiers=tiers, seed=0)
    assert [round(x, 4) for x in (better.low, better.mean, better.high)] == [0.9276, 1.0, 1.0]  # 1 - 2 x 0.0362


@pytest.mark.parametrize(("successes", "tasks"), [(0, 5), (20, 20)])
def test_the_interval_of_tasks_alike_is_clopper_s_and_pearson_s(successes: int, tasks: int):
    exact = binomtest(successes, tasks).proportion_ci(method="exact")
    assert bound_alike([successes / tasks], [tasks]) == pytest.approx((exact.low, exact.high))


def test_of_tiers_alike_the_one_with_fewest_tasks_leaves_most_room():
    """Ones in 2 tasks, zeros in 50: at worst all that is unseen is in the first tier, (1 - share) ** 2 = 0.025."""
    low, high = bound_alike([1.0, 0.0], [2, 50])
    assert low == pytest.approx(0.5 - (1 - 0.025**0.5) / 2)
    assert high == pytest.approx(0.5 + (1 - 0.025 ** (1 / 50)) / 2)


def test_equal_seeds_give_equal_intervals():
    before = {name: [0.0] for name in "abcdef"}
    after = {"a": [0.31], "b": [0.07], "c": [0.93], "d": [0.2], "e": [0.55], "f": [0.74]}
    tiers = dict.fromkeys("abcdef", "simple")
    first = paired_difference(before, after, tiers=tiers, seed=3)
    assert first == paired_difference(before, after, tiers=tiers, seed=3)
    assert first.low < first.mean < first.high


def test_other_tasks_are_refused_by_name():
    with pytest.raises(BadEvaluation, match="1 tasks are in one evaluation only, 'b' among them"):
        paired_difference({"a": [1.0], "b": [1.0]}, {"a": [1.0]}, tiers={"a": "simple"}, seed=0)


def test_a_tier_of_one_task_has_no_interval():
    with pytest.raises(BadEvaluation, match="tier 'simple' has one task"):
        paired_difference({"a": [1.0]}, {"a": [1.0]}, tiers={"a": "simple"}, seed=0)


def test_no_tasks_are_refused():
    with pytest.raises(BadEvaluation, match="no tasks"):
        paired_difference({}, {}, tiers={}, seed=0)


def test_the_examples_in_the_docstrings_run():
    assert doctest.testmod(statistics) == doctest.TestResults(failed=0, attempted=5)
