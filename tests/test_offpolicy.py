"""Off-policy estimates against the true value, in a world whose every episode can be written down."""

import json
from itertools import product
from math import inf, log

import numpy as np
import pytest
from enumerable_world import ACTIONS, CALLS, chances, episodes, met
from threadmill.errors import BadEvaluation
from threadmill.training.offpolicy.estimators import ESTIMATORS, absolute, effective_sizes, terms_of
from threadmill.training.offpolicy.logged import LoggedEpisode, as_arrays
from threadmill.training.offpolicy.screening import screen
from threadmill.training.offpolicy.values import Values, by_task_and_step

CANDIDATE = {0: (0.8, 0.05, 0.15), 1: (0.6, 0.1, 0.3), 2: (0.1, 0.2, 0.7)}
"""Counter to the probabilities of up, down and stop; the logged policy has others."""
EPISODES = episodes()
"""All 15 ways that an episode of the logged policy goes: probability, (counter, action) by turn, reward."""
CHANCES = np.array([chance for chance, _, _ in EPISODES])


def likelihood(counter, action):
    return CANDIDATE[max(0, min(2, counter))][ACTIONS.index(action)]


def true_value(counter=0, spoken=0):
    """What the candidate earns, by enumeration."""
    if spoken == CALLS:
        return met(counter) / 2
    after = {"up": counter + 1, "down": counter - 1}
    return sum(
        likelihood(counter, action) * (met(counter) / 2 if action == "stop" else true_value(after[action], spoken + 1))
        for action in ACTIONS
    )


def logged(number, task="only", name="t"):
    _, steps, reward = EPISODES[number]
    ratios = [log(likelihood(at, action) / chances(at)[ACTIONS.index(action)]) for at, action in steps]
    return LoggedEpisode(name, task, tuple(ratios), (*[0.0] * (len(steps) - 1), reward))


def all_estimates(found, values=None):
    arrays = as_arrays(found)
    terms = terms_of(arrays, values or by_task_and_step(arrays))
    return {name: one.estimates(np.ones((1, len(found))))[0] for name, one in terms.items()}


@pytest.mark.parametrize("tasks", [("one", "other"), ("same", "same")])
def test_the_unbiased_ones_are_right_on_average_over_every_log_of_two_episodes(tasks):
    mean = dict.fromkeys(ESTIMATORS, 0.0)
    for first, second in product(range(len(EPISODES)), repeat=2):
        chance = CHANCES[first] * CHANCES[second]
        for name, value in all_estimates([logged(first, tasks[0]), logged(second, tasks[1])]).items():
            mean[name] += chance * value
    assert true_value() == pytest.approx(0.552)
    assert [mean[name] for name in ("ips", "pdis", "dr")] == pytest.approx([0.552] * 3)  # nothing left to chance
    assert mean["snips"] < 0.5 < mean["wdr"]  # two episodes are few: the others are biased, by 0.11 and 0.03


def test_any_values_of_states_leave_doubly_robust_estimates_unbiased():
    mean = 0.0
    for number, chance in enumerate(CHANCES):
        steps = len(EPISODES[number][1])
        guess = np.array([[0.9, -0.3, 5.0][:steps]])
        mean += chance * all_estimates([logged(number)], Values(guess, guess))["dr"]
    assert mean == pytest.approx(0.552)


def test_with_true_values_doubly_robust_estimates_leave_nothing_to_chance():
    for number, (_, steps, _) in enumerate(EPISODES):
        states = [true_value(counter, spoken) for spoken, (counter, _) in enumerate(steps)]
        decisions = [*states[1:], EPISODES[number][2]]  # what follows is certain in this world
        found = all_estimates([logged(number)], Values(np.array([states]), np.array([decisions])))
        assert found["dr"] == pytest.approx(0.552)


def test_the_normalised_ones_come_close_with_many_episodes():
    drawn = np.random.default_rng(0).choice(len(EPISODES), 5000, p=CHANCES)
    found = all_estimates([logged(number) for number in drawn])
    assert found == pytest.approx(dict.fromkeys(ESTIMATORS, 0.552), abs=0.02)
    assert abs(found["wdr"] - 0.552) < 0.01


def test_a_policy_screened_on_its_own_log_earned_what_it_earned():
    found = screen([LoggedEpisode(f"t{n}", f"task{n % 4}", (0.0, 0.0), (0.0, n % 2)) for n in range(40)])
    assert {one.name: round(one.value, 12) for one in found.estimates} == dict.fromkeys(ESTIMATORS, 0.5)
    assert (found.logged, found.mean_weight, found.estimates[0].effective) == (0.5, 1.0, 40.0)
    assert (found.decisions.count, found.decisions.mean_log_ratio, found.decisions.kl) == (80, 0.0, 0.0)
    assert found.warnings == ()


def test_rewards_of_single_decisions_are_weighted_by_the_decisions_up_to_them():
    """The first of two earns 1 before the candidate leaves it: 1 x 1, and 2 x 0.5 twice as likely; then 4 x 0.25."""
    found = all_estimates(
        [
            LoggedEpisode("a", "a", (log(1.0), log(0.5)), (1.0, 0.0)),
            LoggedEpisode("b", "b", (log(2.0), log(2.0)), (0.5, 0.25)),
        ]
    )
    assert found["ips"] == pytest.approx((0.5 * 1.0 + 4 * 0.75) / 2)
    assert found["snips"] == pytest.approx((0.5 * 1.0 + 4 * 0.75) / 4.5)
    assert found["pdis"] == pytest.approx((1 * 1.0 + 2 * 0.5 + 4 * 0.25) / 2)
    assert found["wpdis"] == pytest.approx((1 * 1.0 + 2 * 0.5) / 3 + 4 * 0.25 / 4.5)


def test_values_are_means_of_the_other_episodes():
    arrays = as_arrays(
        [
            LoggedEpisode("a1", "a", (0.0,), (1.0,)),
            LoggedEpisode("a2", "a", (0.0, 0.0), (0.0, 0.5)),
            LoggedEpisode("b1", "b", (0.0,), (0.0,)),
        ]
    )
    values = by_task_and_step(arrays)
    # others of the task, and the mean of all others once: (0.5 + 0.25) / 2, (1 + 0.5) / 2, 0.75 / 1
    assert values.states[:, 0].tolist() == [0.375, 0.75, 0.75]
    assert values.states[:, 1].tolist() == [0.0, 0.0, 0.0]  # nobody else came so far; the others ended before


@pytest.mark.parametrize(
    ("weights", "warned"),
    [([1.0] * 30, False), ([1.0] * 29, True), ([1.0] * 30 + [1e-9] * 570, False), ([1.0] * 30 + [1e-9] * 571, True)],
)
def test_the_warning_comes_exactly_when_the_effective_sample_size_is_small(weights, warned):
    found = screen([LoggedEpisode(f"t{n}", f"t{n}", (log(w),), (1.0,)) for n, w in enumerate(weights)], resamples=50)
    assert found.estimates[0].effective == pytest.approx(min(len(weights), 30), rel=1e-6)
    assert [one.too_small for one in found.estimates] == [warned] * 6
    assert any("effective sample size is" in warning for warning in found.warnings) == warned


def test_a_candidate_that_leaves_the_log_is_noticed_by_its_mean_weight():
    found = screen([LoggedEpisode(f"t{n}", f"t{n}", (log(0.2),), (1.0,)) for n in range(100)], resamples=50)
    assert found.mean_weight == pytest.approx(0.2)
    (warning,) = found.warnings
    assert warning.startswith("Weights average 0.2 (0.2 to 0.2) where 1 is due")


def test_a_heavy_thread_is_named():
    found = screen([LoggedEpisode("light", "a", (0.0,), (1.0,)), LoggedEpisode("heavy", "b", (log(3),), (1.0,))])
    assert found.heaviest == (("heavy", 0.75), ("light", 0.25))


@pytest.mark.parametrize("extreme", [-1e5, 1e5, -inf])
def test_nothing_overflows(extreme):
    found = screen([LoggedEpisode(f"t{n}", f"t{n}", (extreme, 1.0), (0.0, n % 2)) for n in range(4)], resamples=50)
    json.dumps([(one.value, one.low, one.high, one.effective) for one in found.estimates], allow_nan=False)
    snips = found.estimates[1]
    assert (snips.value, snips.effective) == ((None, 0.0) if extreme == -inf else (0.5, 4.0))
    assert found.warnings


def test_intervals_are_over_tasks():
    """Eight trials of a task that are all alike say as much as one."""
    alike = [LoggedEpisode(f"t{n}-{k}", f"t{n}", (0.0,), (n % 2,)) for n in range(10) for k in range(8)]
    apart = [LoggedEpisode(f"t{n}", f"t{n}", (0.0,), (n % 2,)) for n in range(80)]
    widths = [screen(one).estimates[0].high - screen(one).estimates[0].low for one in (alike, apart)]
    assert widths[0] == pytest.approx(0.6, abs=0.05)  # 1.96 x 2 x 0.5 / sqrt(10)
    assert widths[1] == pytest.approx(0.22, abs=0.02)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ([], "no logged episodes"),
        ([LoggedEpisode("t", "t", (), ())], "has 0 decisions"),
        ([LoggedEpisode("t", "t", (0.0,), (1.0, 0.0))], "1 decisions and 2 rewards"),
        ([LoggedEpisode("t", "t", (float("nan"),), (1.0,))], "no finite number"),
        ([LoggedEpisode("t", "t", (inf,), (1.0,))], "no finite number"),
    ],
)
def test_numbers_that_are_none_are_refused(wrong, words):
    with pytest.raises(BadEvaluation, match=words):
        screen(wrong)


def test_effective_sizes_are_kishs():
    assert effective_sizes(np.log([[1.0, 1.0], [1.0, 3.0]])) == pytest.approx([2.0, 1.6])
    assert absolute(np.array([1e6])) == pytest.approx(np.exp(50))
