"""From episodes to figures: means over tiers and tasks, quantiles, intervals and paired tests."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap
from threadmill.errors import BadEvaluation
from threadmill.training.evaluation.intervals import Interval, aggregate, aggregate_by_tier, paired
from threadmill.training.evaluation.measured import Measured
from threadmill.training.evaluation.prices import Price, load_prices


def values(name: str, *of_trials: float | None) -> list[Measured]:
    return [Measured({name: value}) for value in of_trials]


def test_success_weighs_tiers_alike_and_other_metrics_tasks():
    tasks, tiers = ["a", "b", "b", "c"], {"a": "simple", "b": "complex", "c": "complex"}
    success = aggregate(values("success", 1, 0, 1, 0), tasks, seed=0, tiers=tiers)["success"]
    assert success.mean == 0.625  # simple 1; complex 0.5 and 0, 0.25
    steps = aggregate(values("steps", 1, 0, 1, 0), tasks, seed=0, tiers=tiers)["steps"]
    assert steps.mean == 0.5  # 1, 0.5 and 0


def test_what_does_not_apply_takes_no_part():
    figures = aggregate(values("recovery", None, 1.0, None, 0.5), ["a", "a", "b", "c"], seed=0)
    assert [*figures] == ["recovery"]
    assert (figures["recovery"].mean, figures["recovery"].n) == (0.75, 2)  # tasks a and c


def test_a_single_task_has_no_interval():
    assert aggregate(values("steps", 3, 5), ["a", "a"], seed=0)["steps"] == Interval(4.0, None, None, 1)


def test_where_a_tier_has_a_single_task_resamples_are_drawn_over_all():
    tiers = {"a": "simple", "b": "complex"}
    assert aggregate(values("reward", 1, 0), ["a", "b"], seed=0, tiers=tiers)["reward"] == Interval(0.5, 0.0, 1.0, 2)


def test_estimates_over_trials_are_means_over_tiers():
    tasks, tiers = ["a", "a", "b", "b", "c", "c"], {"a": "simple", "b": "simple", "c": "complex"}
    figures = aggregate(values("success", 1, 0, 1, 1, 0, 0), tasks, seed=0, tiers=tiers, k=2)
    assert {name: figures[name].mean for name in ("success", "pass_at_k", "pass_hat_k")} == {
        "success": 0.375,  # 0.5 and 1, 0.75; 0
        "pass_at_k": 0.5,  # 1 and 1; 0
        "pass_hat_k": 0.25,  # 0 and 1; 0
    }
    with pytest.raises(BadEvaluation, match="run at least k trials"):
        aggregate(values("success", 1), ["a"], seed=0, k=2)


def test_a_tier_has_figures_of_its_own():
    tiers = {"a": "simple", "b": "simple", "c": "complex"}
    found = aggregate_by_tier(values("reward", 1, 0.5, 0.25), ["a", "b", "c"], seed=0, tiers=tiers)
    assert [(tier, figures["reward"].mean) for tier, figures in found.items()] == [("simple", 0.75), ("complex", 0.25)]
    assert (found["simple"]["reward"].low, found["simple"]["reward"].high) == (0.5, 1.0)


def test_quantiles_are_those_of_all_samples():
    fast = Measured({}, samples={"model_call": tuple(float(second) for second in range(1, 11))})
    slow = Measured({}, samples={"model_call": tuple(float(second) for second in range(11, 21))})
    figures = aggregate([fast, slow], ["a", "b"], seed=0)
    assert [*figures] == ["model_call_p50", "model_call_p95"]
    assert figures["model_call_p50"] == Interval(10.0, 5.0, 15.0, 2)  # both fast, or both slow
    assert figures["model_call_p95"] == Interval(19.0, 10.0, 20.0, 2)


def test_trials_of_a_task_stay_together():
    """Ten equal trials of each of 20 tasks say no more than one of each."""
    tasks = [f"t{number}" for number in range(20)]
    once = [float(number % 2) for number in range(20)]
    ten = aggregate(values("success", *(value for value in once for _ in range(10))), repeated(tasks, 10), seed=0)
    assert ten == aggregate(values("success", *once), tasks, seed=0)


def test_the_interval_agrees_with_scipy_s_bootstrap():
    rng = np.random.default_rng(0)
    drawn = {tier: rng.exponential(size=30) for tier in ("simple", "complex")}
    tasks = [f"{tier}-{place}" for tier in drawn for place in range(30)]
    tiers = {task: task.partition("-")[0] for task in tasks}
    ours = aggregate(values("reward", *np.concatenate([*drawn.values()]).tolist()), tasks, seed=1, tiers=tiers)[
        "reward"
    ]

    def mean_of_tiers(first: Any, second: Any, axis: int) -> Any:
        return (first.mean(axis=axis) + second.mean(axis=axis)) / 2

    theirs = bootstrap([*drawn.values()], mean_of_tiers, method="percentile", rng=2).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.02)
    assert ours.high == pytest.approx(theirs.high, abs=0.02)


def test_where_all_tasks_have_the_same_share_the_interval_is_exact():
    figure = aggregate(values("success", *[1.0] * 20), names(20), seed=0)["success"]
    assert (round(figure.low or 0, 4), figure.high) == (0.8316, 1.0)  # 0.025 ** (1/20)
    assert aggregate(values("steps", *[2.0] * 20), names(20), seed=0)["steps"] == Interval(2.0, 2.0, 2.0, 20)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """40 tasks of a known distribution, 40 times: at least 87 % of the 95 % intervals hold its mean."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(40):
        drawn = rng.random(40) < rng.beta(2, 2, 40)
        figure = aggregate(values("success", *drawn.astype(float).tolist()), names(40), seed=0)["success"]
        held += (figure.low or 0) <= 0.5 <= (figure.high or 0)
    assert held >= 35


def test_a_paired_difference_is_after_less_before_on_each_task():
    before, after = values("success", 0, 0, 1, 0, 1), values("success", 1, 1, 1, 0, 1)
    found = paired(before, after[::-1], names(5), names(5)[::-1], seed=0)["success"]
    assert (found.difference, found.n) == (0.4, 5)
    assert found.p == 0.5  # of the 4 ways to choose two signs, one is as high and one as low
    assert found.low == 0.0


def test_ten_better_tasks_of_ten_are_no_accident():
    found = paired(values("steps", *[5.0] * 10), values("steps", *[4.0] * 10), names(10), names(10), seed=0)["steps"]
    assert found.p == 2 / 1024
    assert (found.difference, found.low, found.high) == (-1.0, -1.0, -1.0)


def test_equal_versions_differ_by_an_interval_that_has_a_width():
    found = paired(values("success", *[0.0] * 10), values("success", *[0.0] * 10), names(10), names(10), seed=0)
    low, high = found["success"].low or 0, found["success"].high or 0
    assert (round(low, 4), round(high, 4), found["success"].p) == (-0.3085, 0.3085, 1.0)  # 1 - 0.025 ** (1/10)


def test_quantiles_are_compared_as_quantiles():
    def runs(seconds: Sequence[float]) -> list[Measured]:
        return [Measured({}, samples={"episode": (second,)}) for second in seconds]

    found = paired(runs([1.0, 2, 3, 4, 5, 6]), runs([2.0, 3, 4, 5, 6, 7]), names(6), names(6), seed=0)
    assert found["episode_p50"].difference == 1.0
    assert found["episode_p95"].difference == 1.0
    swapped = paired(runs([1.0] * 5), runs([9.0] * 5), names(5), names(5), seed=0)
    assert swapped["episode_p50"].p == 1.0  # with up to two of five swapped the median is no smaller: 16 of 32 ways
    assert swapped["episode_p95"].p == 2 / 32  # only as they are, or with all swapped


def test_several_metrics_have_their_chances_corrected():
    def one(steps: float, calls: float) -> Measured:
        return Measured({"steps": steps, "calls": calls})

    before, after = [one(5, 5)] * 10, [one(4, 5)] * 10
    found = paired(before, after, names(10), names(10), seed=0)
    assert [(name, one.p, one.p_holm) for name, one in found.items()] == [
        ("steps", 2 / 1024, 4 / 1024),
        ("calls", 1.0, 1.0),
    ]


def test_other_tasks_are_refused_by_name():
    with pytest.raises(BadEvaluation, match="1 tasks are in one evaluation only, 'b' among them"):
        paired(values("steps", 1), values("steps", 1, 2), ["a"], ["a", "b"], seed=0)


def test_no_episodes_have_no_figures():
    assert aggregate([], [], seed=0) == {} == paired([], [], [], [], seed=0)


shares = st.one_of(st.none(), st.floats(0, 1))


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(shares, shares, st.integers(0, 4), st.lists(st.floats(0, 9), max_size=2)), min_size=1, max_size=8
    )
)
def test_figures_lie_in_their_bounds_and_depend_on_no_order(rows: Any):
    measured = [
        Measured({"success": success, "groundedness": grounded}, samples={"episode": tuple(seconds)})
        for success, grounded, _, seconds in rows
    ]
    tasks = [f"t{task}" for _, _, task, _ in rows]
    tiers = {task: "odd" if int(task[1:]) % 2 else "even" for task in tasks}
    figures = aggregate(measured, tasks, seed=0, tiers=tiers)
    for name, figure in figures.items():
        most = 9.0 if name.startswith("episode") else 1.0
        assert -1e-9 <= figure.mean <= most + 1e-9
        if figure.low is not None and figure.high is not None:
            assert -1e-9 <= figure.low <= figure.high + 1e-9 <= most + 2e-9
    order = random.Random(0).sample(range(len(rows)), len(rows))
    assert aggregate([measured[at] for at in order], [tasks[at] for at in order], seed=0, tiers=tiers) == figures


def test_a_price_table_is_read_and_its_first_match_counts(tmp_path: Path):
    place = tmp_path / "prices.toml"
    place.write_text('["openai:gpt-5-mini"]\nprompt = 0.25\ncompletion = 2\n["openai:*"]\nprompt = 1\ncompletion = 9\n')
    table = load_prices(place)
    assert table.of("openai:gpt-5-mini") == Price(prompt=0.25, completion=2)
    assert table.of("unheard-of", "openai:gpt-5") == Price(prompt=1, completion=9)
    assert table.of("seed") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a", "cannot be read"),
        ("[a]\nprompt = 1\n", "a.completion: Field required"),
        ("[a]\nprompt = -1\ncompletion = 1\n", "a.prompt: Input should be greater than or equal to 0"),
        ("[a]\nprompt = 1\ncompletion = 1\noutput = 2\n", "a.output: Extra inputs are not permitted"),
    ],
)
def test_a_bad_price_table_is_refused(tmp_path: Path, text: str, said: str):
    place = tmp_path / "prices.toml"
    place.write_text(text)
    with pytest.raises(BadEvaluation, match=said):
        load_prices(place)


def names(count: int) -> list[str]:
    return [f"t{number:02}" for number in range(count)]


def repeated(tasks: Sequence[str], times: int) -> list[str]:
    return [task for task in tasks for _ in range(times)]
