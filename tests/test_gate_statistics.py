"""The gate's arithmetic: an interval for paired differences, and bounds that many looks together keep a level by."""

from statistics import NormalDist

import numpy as np
import pytest
from scipy.special import ndtr
from threadmill.training.gate.paired import Estimate, mean_of, measure_above, success_above
from threadmill.training.gate.sequential import bounds, chance_at, share_of_candidate, share_of_look


def test_one_task_won_and_two_alike():
    estimate = success_above(np.array([0.0, 1.0, 0.5]), np.array([1.0, 1.0, 0.5]))
    # with a task won and one lost beside them the differences are 1, 0, 0, 1, -1
    assert estimate.mean == pytest.approx(1 / 3)
    assert estimate.error**2 == pytest.approx((3 / 5 - 1 / 25) / 5)
    assert estimate.freedom == 2


def test_tasks_that_all_end_alike_leave_room_for_the_next():
    hundred = success_above(np.ones(100), np.ones(100)).interval(0.05)
    assert hundred == pytest.approx((-0.023, 0.023), abs=0.0005)  # "three of a hundred" would say 0.03
    four = success_above(np.ones(4), np.ones(4)).interval(0.05)
    assert four[0] < -0.5


def test_what_a_metric_changes_by_has_the_interval_of_student():
    estimate = measure_above(np.array([1.0, 2.0, 3.0]))
    assert (estimate.mean, estimate.freedom) == (2.0, 2)
    assert estimate.error == pytest.approx(1 / 3**0.5)
    low, high = estimate.interval(0.05)
    assert (low, high) == pytest.approx((2 - 2.920 / 3**0.5, 2 + 2.920 / 3**0.5), abs=0.001)


def test_a_metric_that_never_changes_has_no_width():
    assert measure_above(np.zeros(5)).interval(0.05) == (0.0, 0.0)


def test_tiers_weigh_the_same():
    wide, narrow = Estimate(0.3, 0.04, 10), Estimate(0.1, 0.03, 1000)
    both = mean_of([wide, narrow])
    assert both.mean == pytest.approx(0.2)
    assert both.error == pytest.approx(0.025)
    assert 24 < both.freedom < 25  # 0.0025² / (0.0016² / 10 + 0.0009² / 1000)


def test_shares_of_looks_and_of_candidates_add_up_to_the_whole():
    assert sum(share_of_look(look) for look in range(1, 40)) == pytest.approx(1)
    assert [share_of_candidate(place) for place in (1, 2, 3)] == [1 / 2, 1 / 6, 1 / 12]


def test_the_second_bound_spends_its_share_of_what_the_first_let_pass():
    first, second = bounds((100, 300), 0.05)
    assert first == pytest.approx(NormalDist().inv_cdf(0.97))
    likeness = (1 / 3) ** 0.5  # a third of what the second look sees was there at the first
    at_first = np.linspace(-8, first, 20_001)
    rest = (second - likeness * at_first) / (1 - likeness**2) ** 0.5
    both = np.exp(-(at_first**2) / 2) / (2 * np.pi) ** 0.5 * ndtr(-rest)
    assert np.trapezoid(both, at_first) == pytest.approx(0.05 * 0.24, abs=1e-6)


def test_five_looks_err_as_often_as_their_shares_say():
    found = np.array(bounds((1, 2, 3, 4, 5), 0.05))
    steps = np.random.default_rng(0).standard_normal((200_000, 5))
    seen = steps.cumsum(axis=1) / np.arange(1, 6) ** 0.5
    ever = (seen > found).any(axis=1).mean()
    assert ever == pytest.approx(0.05 * (1 - 0.4**5), abs=0.002)  # four standard errors of 200,000 gates


def test_a_look_without_new_trials_decides_nothing_new():
    first, again, third = bounds((100, 100, 200), 0.05)
    assert first == again < third


def test_looks_that_overlap_anyhow_are_kept_apart():
    assert chance_at(2, 0.05, ()) == pytest.approx(0.012)
    assert chance_at(2, 0.05, (100, 200)) > 0.012
    assert chance_at(1, 0.05, (100,)) == pytest.approx(0.03)
