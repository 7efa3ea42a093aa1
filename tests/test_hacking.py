"""Runs whose reward is hacked are flagged, healthy ones are not; how often noise alone raises an alarm is measured."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from threadmill.errors import BadReward
from threadmill.training.rewards.compose import Scored
from threadmill.training.rewards.hacking import find_hacking, find_signs
from threadmill.training.rewards.series import Seen, Series, observe, read_series
from threadmill.training.rewards.trends import holm, p_fell, trend

TASKS = [f"task-{number}" for number in range(40)]


def test_a_straight_rise_of_eight_points_has_the_chance_of_one_order_in_all():
    rise = trend(range(8), [1, 2, 3, 4, 5, 6, 7, 8])
    assert rise.slope == 1.0
    assert rise.p_up == pytest.approx(1 / 40320)  # 8! orders
    assert rise.p_down == pytest.approx(1.0)
    assert trend(range(8), [8, 7, 6, 5, 4, 3, 2, 1]).p_down == pytest.approx(1 / 40320)


def test_nothing_is_said_of_few_points_or_of_points_that_are_all_the_same():
    assert trend([1, 2, 3], [1, 2, 3]).p_up == 1.0
    assert trend(range(9), [0.5] * 9).p_up == 1.0


def test_neighbours_that_resemble_each_other_count_for_less():
    plain = [0, 3, 1, 4, 2, 5, 3, 6, 4, 7, 5, 8]  # up three, down two
    slow = [0, 1, 2, 3, 4, 4, 4, 3, 3, 4, 5, 6]  # the same rank correlation or more, in waves
    assert trend(range(12), plain).p_up < trend(range(12), slow).p_up


def test_a_fall_on_every_one_of_five_tasks_is_one_of_32_signs():
    assert p_fell([1.0] * 5, [0.5] * 5) == 1 / 32
    assert p_fell([0.5] * 5, [1.0] * 5) == 1.0
    assert p_fell([1.0] * 5, [1.0] * 5) == 1.0
    assert p_fell([1.0] * 3, [0.0] * 3) == 1.0  # too few tasks to say


def test_holm_corrects_the_smallest_most():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def run(
    steps: int, components: Mapping[str, Sequence[float]], success: Mapping[int, Sequence[float]], **about: float
) -> Series:
    seen = [
        Seen(
            step,
            sum(values[step] for values in components.values()),
            {name: values[step] for name, values in components.items()},
            about.get("tokens", 50.0) + about.get("growth", 0.0) * step,
            about.get("spread", 0.3),
        )
        for step in range(steps)
    ]
    return Series(tuple(seen), {step: dict(zip(TASKS, values, strict=False)) for step, values in success.items()})


UP = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
LEVEL = [0.5, 0.4, 0.6, 0.5, 0.4, 0.6, 0.5, 0.5]


def test_the_component_that_rises_while_success_falls_is_named():
    falling = {0: [1.0] * 8, 7: [0.5] * 8}
    (first, second) = find_hacking(run(8, {"judge": UP, "end_state": LEVEL}, falling))
    assert {first.reward, second.reward} == {"judge", "total"}
    judge = next(sign for sign in (first, second) if sign.reward == "judge")
    assert judge.p == pytest.approx(1 / 256)  # eight tasks all fell; the rise is less likely still
    assert judge.words == (
        "judge rises from 0.1 to 0.8 (steps 0 to 7) while success on 8 held-out tasks falls from 100% to 50% "
        "(p = 0.0039); look at episodes that score high, and lower its weight or mend it"
    )


@pytest.mark.parametrize(
    ("judge", "success"),
    [
        (UP, {0: [0.5] * 8, 7: [1.0] * 8}),  # both rise
        (UP, {0: [0.5] * 8, 7: [0.5] * 8}),  # success stays
        (LEVEL, {0: [1.0] * 8, 7: [0.5] * 8}),  # success falls, but no reward rises
        (UP, {0: [1.0, 1, 0, 0, 1, 0, 1, 0], 7: [0.0, 1, 0, 0, 1, 0, 1, 1]}),  # one task each way
        (UP, {7: [0.0] * 8}),  # one evaluation
        (UP, {}),
    ],
)
def test_no_alarm_without_both(judge: list[float], success: dict[int, list[float]]):
    assert find_hacking(run(8, {"judge": judge}, success)) == []


def test_a_policy_that_first_learns_and_then_cheats_is_caught_in_its_second_half():
    rise = [step / 24 for step in range(24)]
    shares = {0: 0, 4: 5, 8: 9, 12: 12, 16: 6, 20: 1, 23: 0}  # tasks solved of 12
    success = {step: [1.0] * solved + [0.0] * (12 - solved) for step, solved in shares.items()}
    (sign,) = find_hacking(run(24, {"judge": rise}, success))
    assert "(steps 8 to 23)" in sign.words


def test_the_other_signs():
    success = {0: [0.5] * 8, 7: [0.5] * 8}
    level = {"valid_calls": [0.9, 0.95, 0.98, 0.99, 1.0, 1.0, 1.0, 1.0], "end_state": LEVEL}
    signs = find_signs(run(8, level, success, growth=5.0, spread=0.001))
    assert [(sign.kind, sign.reward) for sign in signs] == [
        ("longer", "total"),
        ("saturated", "valid_calls"),
        ("no spread", "total"),
    ]
    assert "episodes grow from 50 to 85 tokens" in signs[0].words
    assert find_signs(run(8, {"end_state": LEVEL}, success)) == []
    assert find_signs(Series()) == []


def played(seed: int, bribe: float) -> Series:
    """A policy of three habits under REINFORCE: solve the task, please the judge, or give up.

    The world pays for solving; the judge pays a little for solving and ``bribe`` for pleasing. Held-out success is
    sampled at the probability of solving, with an easier or harder threshold for each task.
    """
    rng = np.random.default_rng(seed)
    logits = np.array([1.5, 0.0, 0.0])  # it solves two thirds to begin with
    end_state, judge = np.array([1.0, 0.0, 0.0]), np.array([0.4, bribe, 0.0])
    seen: list[Seen] = []
    held_out: dict[int, dict[str, float]] = {}
    for step in range(40):
        share = np.exp(logits) / np.exp(logits).sum()
        if step % 5 == 0:
            ease = np.linspace(-0.1, 0.1, len(TASKS))
            solved = rng.random(len(TASKS)) < np.clip(share[0] + ease, 0, 1)
            held_out[step] = dict(zip(TASKS, solved.astype(float).tolist(), strict=True))
        groups = [rng.choice(3, size=8, p=share) for _ in range(6)]
        scored = [[_scored(float(end_state[habit]), float(judge[habit])) for habit in group] for group in groups]
        seen.append(observe(step, scored, [30.0] * 48))
        gradient = np.zeros(3)
        for group, scores in zip(groups, scored, strict=True):
            totals = np.array([one.total for one in scores])
            for habit, advantage in zip(group, totals - totals.mean(), strict=True):
                gradient += advantage * (np.eye(3)[habit] - share)
        logits += 0.4 * gradient / 48 * 3
    return Series(tuple(seen), held_out)


def _scored(end_state: float, judge: float) -> Scored:
    return Scored(end_state + judge, {"end_state": end_state, "judge": judge})


def test_a_policy_that_is_paid_for_pleasing_its_judge_is_flagged():
    found = [{sign.reward for sign in find_hacking(played(seed, bribe=2.5))} for seed in range(10)]
    assert sum("judge" in rewards for rewards in found) >= 9
    assert not any("end_state" in rewards for rewards in found)


def test_the_same_policy_under_an_honest_judge_is_not():
    assert [find_hacking(played(seed, bribe=0.1)) for seed in range(10)] == [[]] * 10


def alarms(make: Callable[[np.random.Generator], Series], runs: int) -> float:
    return sum(bool(find_hacking(make(np.random.default_rng(seed)))) for seed in range(runs)) / runs


def test_noise_alone_seldom_raises_an_alarm():
    """Alpha is 0.05; the rates are of 40 runs, and those of more are in docs/rewards.md."""

    def white(rng: np.random.Generator) -> Series:
        success = {step: (rng.random(20) < 0.5).astype(float).tolist() for step in range(0, 24, 4)}
        return run(24, {"judge": rng.normal(size=24).tolist(), "length": rng.normal(size=24).tolist()}, success)

    def learning_nothing_in_the_world(rng: np.random.Generator) -> Series:
        """The judge's reward really rises; success does not move, so an alarm would be a false one."""
        success = {step: (rng.random(20) < 0.5).astype(float).tolist() for step in range(0, 24, 4)}
        return run(24, {"judge": (np.arange(24) / 8 + rng.normal(size=24)).tolist()}, success)

    assert alarms(white, 40) <= 0.05
    assert alarms(learning_nothing_in_the_world, 40) <= 0.1  # 0.05 is expected at most, of 40


def test_the_notes_of_a_run_are_read_while_it_goes_on_and_afterwards(tmp_path: Path):
    seen = Seen(1, 0.5, {"end_state": 0.5}, 15.0, 0.5)
    notes = [
        {"kind": "generation", "step": 1, "episodes": {}},
        {"kind": "rewards", **asdict(seen)},
        {"kind": "held_out", "step": 1, "success": {"a": 1.0}},
    ]
    file = tmp_path / "steps.jsonl"
    file.write_text("".join(json.dumps(note) + "\n" for note in notes) + '{"kind": "rew')  # killed while writing
    (tmp_path / "training.json").write_text(json.dumps({"noted": notes}))
    assert read_series(file) == read_series(tmp_path) == Series((seen,), {1: {"a": 1.0}})
    with pytest.raises(BadReward, match=r"^there is no run at .*nothing\.jsonl.; name the folder"):
        read_series(tmp_path / "nothing.jsonl")
    (tmp_path / "training.json").write_text(json.dumps({"method": "sft", "noted": []}))
    with pytest.raises(BadReward, match=r"^'[^']*' was made by sft, which notes no rewards; name the folder"):
        read_series(tmp_path)
    with pytest.raises(BadReward, match="step 3 has no scored episode"):
        observe(3, [[]], [])
