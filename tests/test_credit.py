"""Advantages against numbers that can be checked by hand, and the laws that hold for all of them."""

from itertools import chain
from math import isclose, sqrt

import pytest
from enumerable_world import ACTIONS, chances, episodes, exact_value
from hypothesis import given, settings
from hypothesis import strategies as st
from threadmill.errors import BadCredit
from threadmill.training.credit.advantages import (
    Credit,
    Played,
    advantages,
    batch_advantages,
    turn_advantages,
    value_differences,
)

UNSCALED = {"scale": "none"}

#        turn 0 sampled two tokens, then one was given, turn 1 sampled one
TURNS = [0, 0, -1, 1]


def test_the_outcome_is_the_credit_of_every_sampled_token():
    won, lost = Played(1.0, TURNS), Played(0.0, [0, -1])
    assert advantages([won, lost], Credit(**UNSCALED)) == [
        [0.5, 0.5, 0.0, 0.5],
        [-0.5, 0.0],
    ]


@pytest.mark.parametrize(
    ("baseline", "expected"),
    [
        ("mean", [-2.0, -1.0, 3.0]),  # 3
        ("leave_one_out", [-3.0, -1.5, 4.5]),  # 4, 3.5, 1.5
        ("min", [0.0, 1.0, 5.0]),  # 1
        ("none", [1.0, 2.0, 6.0]),
    ],
)
def test_baselines(baseline, expected):
    group = [Played(reward, [0]) for reward in (1.0, 2.0, 6.0)]
    assert advantages(group, Credit(baseline=baseline, **UNSCALED)) == [[one] for one in expected]


def test_group_scale_is_what_trl_divides_by():
    # mean 0.5, deviations of 0.5 four times, so s^2 = 4 * 0.25 / 3
    group = [Played(reward, [0]) for reward in (1.0, 0.0, 0.0, 1.0)]
    by = sqrt(1 / 3) + 1e-4
    assert advantages(group, Credit()) == [[0.5 / by], [-0.5 / by], [-0.5 / by], [0.5 / by]]


def test_batch_scale_divides_all_groups_by_the_spread_of_the_batch():
    groups = [[Played(4.0, [0]), Played(0.0, [0])], [Played(2.0, [0]), Played(2.0, [0])]]
    by = sqrt(8 / 3) + 1e-4  # of 4, 0, 2, 2
    assert batch_advantages(groups, Credit(scale="batch")) == [[[2 / by], [-2 / by]], [[0.0], [0.0]]]
    by = sqrt(8) + 1e-4  # of 4, 0
    assert batch_advantages(groups, Credit(scale="group")) == [[[2 / by], [-2 / by]], [[0.0], [0.0]]]


def test_discounted_returns_compare_turn_by_turn_and_ended_episodes_keep_their_last():
    long, short = Played(8.0, [0, 1, 2]), Played(4.0, [0])
    # G: 2 4 8 against 4; baselines 3, 4, 6
    assert advantages([long, short], Credit("discounted", gamma=0.5, **UNSCALED)) == [[-1.0, 0.0, 2.0], [1.0]]
    # the other's: 4 4 4 against 2
    loo = Credit("discounted", gamma=0.5, baseline="leave_one_out", **UNSCALED)
    assert advantages([long, short], loo) == [[-2.0, 0.0, 4.0], [2.0]]
    assert advantages([long, short], Credit("discounted", gamma=0.5, baseline="none", **UNSCALED)) == [
        [2.0, 4.0, 8.0],
        [4.0],
    ]


def test_discounting_prefers_the_shorter_of_two_successes():
    (long, *_), (short,) = advantages([Played(1.0, [0, 1]), Played(1.0, [0])], Credit("discounted", gamma=0.5))
    assert long < 0 < short


def test_step_rewards_are_summed_from_each_turn_on():
    one, other = Played(0.0, TURNS, step_rewards=[1.0, 2.0]), Played(0.0, [0, 1], step_rewards=[0.0, 4.0])
    # gamma 0.5: G = 2, 2 and 2, 4
    assert advantages([one, other], Credit("steps", gamma=0.5, **UNSCALED)) == [[0.0, 0.0, 0.0, -1.0], [0.0, 1.0]]


def test_the_spread_of_step_rewards_is_that_of_whole_episodes():
    one, other = Played(0.0, [0, 1], step_rewards=[1.0, 3.0]), Played(0.0, [0, 1], step_rewards=[0.0, 0.0])
    by = sqrt(8) + 1e-4  # of 4 and 0
    assert advantages([one, other], Credit("steps")) == [[2 / by, 1.5 / by], [-2 / by, -1.5 / by]]


def test_forks_credit_each_turn_with_what_it_changed():
    won = Played(1.0, TURNS, step_values=[0.25, 0.75])
    lost = Played(0.0, [0, 1, 2], step_values=[0.25, 0.5, 0.5])
    assert advantages([won, lost], Credit("forks", **UNSCALED)) == [[0.5, 0.5, 0.0, 0.25], [0.25, 0.0, -0.5]]


def test_turns_without_a_value_share_the_change_over_all_of_them():
    won = Played(1.0, [0, 1, 2], step_values=[None, 0.75, None])
    lost = Played(0.0, [0], step_values=[None])
    # V(s_0) is the baseline of the group, 0.5
    assert advantages([won, lost], Credit("forks", **UNSCALED)) == [[0.25, 0.25, 0.25], [-0.5]]


def test_forks_without_any_value_are_the_outcome():
    group = [Played(reward, [0, 1], step_values=[None, None]) for reward in (1.0, 0.0, 0.5)]
    assert advantages(group, Credit("forks")) == advantages(group, Credit("outcome"))


@pytest.mark.parametrize("assign", ["outcome", "discounted", "steps", "forks"])
def test_no_members_one_member_and_members_without_turns(assign):
    def played(reward, turns):
        steps = sorted({*turns} - {-1})
        return Played(reward, turns, [0.0 for _ in steps], [reward for _ in steps])

    credit = Credit(assign)
    assert advantages([], credit) == []
    assert batch_advantages([], credit) == []
    assert batch_advantages([[], []], credit) == [[], []]
    assert advantages([played(1.0, [0, -1])], credit) == [[0.0, 0.0]]
    assert advantages([played(1.0, []), played(0.0, [-1, -1])], credit) == [[], [0.0, 0.0]]


@pytest.mark.parametrize("baseline", ["mean", "min", "leave_one_out"])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_where_all_is_equal_there_is_nothing_to_learn(baseline, scale):
    group = [Played(0.1 + 0.2, [0]), Played(0.3, [0]), Played(0.3, [0])]  # equal but for rounding
    for member in advantages(group, Credit(baseline=baseline, scale=scale)):
        assert abs(member[0]) < 1e-15


def test_equal_rewards_without_baseline_are_not_divided_by_nothing():
    assert advantages([Played(2.0, [0]), Played(2.0, [0])], Credit(baseline="none")) == [[2.0], [2.0]]


@pytest.mark.parametrize(
    ("played", "credit", "message"),
    [
        (Played(float("nan"), [0]), Credit(), "nan among its rewards; leave it out"),
        (Played(1.0, [0, 1]), Credit("steps"), "no step_rewards; give one number for each of its 2 turns"),
        (Played(1.0, [0, 1], step_rewards=[1.0]), Credit("steps"), "1 step_rewards for 2 turns"),
        (Played(1.0, [0]), Credit("forks"), "no step_values"),
        (Played(1.0, [0], step_values=[float("inf")]), Credit("forks"), "inf among its step_values"),
        (Played(1.0, [0, -2]), Credit(), "a token is of turn -2"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(played, credit, message):
    with pytest.raises(BadCredit, match=message):
        advantages([played], credit)


@pytest.mark.parametrize(("assign", "gamma"), [("discounted", 0.0), ("steps", 1.5), ("outcome", 0.9), ("forks", 0.9)])
def test_a_gamma_that_means_nothing_is_refused(assign, gamma):
    with pytest.raises(BadCredit, match=f"gamma is {gamma}"):
        Credit(assign, gamma=gamma)


NUMBER = st.integers(-8, 8).map(lambda n: n / 4)


@st.composite
def groups(draw):
    """Groups of episodes of one to three turns, with a given token behind every turn."""
    found = []
    for _ in range(draw(st.integers(2, 5))):
        turns = draw(st.integers(1, 3))
        numbers = st.lists(NUMBER, min_size=turns, max_size=turns)
        tokens = [token for turn in range(turns) for token in (turn, -1)]
        found.append(Played(draw(NUMBER), tokens, draw(numbers), draw(numbers)))
    return found


CREDITS = st.builds(
    lambda assign, gamma, baseline, scale: Credit(
        assign, gamma=gamma if assign in ("discounted", "steps") else 1.0, baseline=baseline, scale=scale
    ),
    st.sampled_from(["outcome", "discounted", "steps", "forks"]),
    st.sampled_from([0.5, 1.0]),
    st.sampled_from(["mean", "min", "leave_one_out", "none"]),
    st.sampled_from(["group", "batch", "none"]),
)


def near(one, other):
    pairs = zip(chain.from_iterable(one), chain.from_iterable(other), strict=True)
    return all(isclose(mine, its, abs_tol=1e-9) for mine, its in pairs)


@settings(max_examples=40)
@given(groups(), CREDITS)
def test_every_token_has_a_number_and_given_ones_have_zero(group, credit):
    for played, numbers in zip(group, advantages(group, credit), strict=True):
        assert len(numbers) == len(played.turn_of_token)
        assert all(number == 0.0 for number, turn in zip(numbers, played.turn_of_token, strict=True) if turn == -1)
        of_turn = {}
        assert all(
            of_turn.setdefault(turn, number) == number
            for number, turn in zip(numbers, played.turn_of_token, strict=True)
        )


@settings(max_examples=40)
@given(groups(), CREDITS, st.randoms())
def test_the_order_of_the_members_does_not_matter(group, credit, chance):
    order = list(range(len(group)))
    chance.shuffle(order)
    shuffled = advantages([group[at] for at in order], credit)
    straight = advantages(group, credit)
    assert near(shuffled, [straight[at] for at in order])


@settings(max_examples=40)
@given(groups(), CREDITS.filter(lambda credit: credit.baseline != "none" and credit.gamma == 1.0), NUMBER)
def test_the_same_added_to_all_returns_changes_nothing(group, credit, more):
    def moved(played):
        steps = [*played.step_rewards]
        steps[-1] += more  # every return from there on
        values = [value + more for value in played.step_values]
        return Played(played.reward + more, played.turn_of_token, steps, values)

    assert near(advantages([moved(played) for played in group], credit), advantages(group, credit))


@settings(max_examples=40)
@given(groups(), st.sampled_from(["outcome", "discounted", "steps"]), st.sampled_from(["mean", "leave_one_out"]))
def test_advantages_of_the_first_turn_sum_to_zero(group, assign, baseline):
    (numbers,) = turn_advantages([group], Credit(assign, baseline=baseline, scale="none"))
    assert abs(sum(of_member[0] for of_member in numbers)) < 1e-9


@settings(max_examples=40)
@given(groups())
def test_what_the_turns_changed_sums_to_the_outcome_less_the_first_value(group):
    for played in group:
        assert isclose(
            sum(value_differences(played.step_values, played.reward, 0.0)),
            played.reward - played.step_values[0],
            abs_tol=1e-9,
        )


@settings(max_examples=40)
@given(groups(), CREDITS)
def test_without_discount_and_with_one_reward_in_the_end_all_are_the_outcome(group, credit):
    outcome = Credit(baseline=credit.baseline, scale=credit.scale)
    late = [Played(one.reward, one.turn_of_token, [*(0.0 for _ in one.step_rewards[1:]), one.reward]) for one in group]
    assert near(
        advantages(late, Credit("steps", baseline=credit.baseline, scale=credit.scale)), advantages(late, outcome)
    )
    discounted = Credit("discounted", baseline=credit.baseline, scale=credit.scale)
    assert advantages(late, discounted) == advantages(late, outcome)


def gradient(credit, with_values):
    """The expected policy gradient over all pairs of episodes: (counter, action) to the derivative by its logit.

    The policy is a softmax for each counter, so the derivative of log p(a) by the logit of b is [a = b] - p(b).
    """
    found = dict.fromkeys(((counter, action) for counter in (0, 1, 2) for action in ACTIONS), 0.0)
    ways = episodes()
    played = [
        Played(
            reward,
            list(range(len(steps))),
            step_values=[exact_value(counter, turn) for turn, (counter, _) in enumerate(steps)]
            if with_values
            else None,
        )
        for _, steps, reward in ways
    ]
    for (p, steps, _), mine in zip(ways, played, strict=True):
        for (q, _, _), other in zip(ways, played, strict=True):
            for (counter, action), number in zip(steps, advantages([mine, other], credit)[0], strict=True):
                state = max(0, min(2, counter))
                for chance, logit in zip(chances(counter), ACTIONS, strict=True):
                    found[state, logit] += p * q * number * ((action == logit) - chance)
    return found


def test_outcome_and_fork_credit_point_the_same_way_in_expectation():
    outcome = gradient(Credit("outcome", baseline="leave_one_out", scale="none"), with_values=False)
    plain = gradient(Credit("outcome", baseline="none", scale="none"), with_values=False)
    forks = gradient(Credit("forks", scale="none"), with_values=True)
    halved = gradient(Credit("outcome", baseline="mean", scale="none"), with_values=False)
    for parameter in plain:
        assert isclose(outcome[parameter], plain[parameter], abs_tol=1e-9)
        assert isclose(forks[parameter], plain[parameter], abs_tol=1e-9)
        assert isclose(halved[parameter], plain[parameter] / 2, abs_tol=1e-9)  # (n - 1) / n of it
    assert plain[0, "up"] > 0 > plain[0, "down"]
