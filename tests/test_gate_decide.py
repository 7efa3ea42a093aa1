"""The gate's decisions, from outcomes that are written down: what is promoted, held and rejected, and what it says."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from threadmill.checkpoints.verdicts import Verdict
from threadmill.errors import BadEvaluation
from threadmill.training.episode import Episode
from threadmill.training.evaluation.failures import Failure
from threadmill.training.evaluation.measured import Measured
from threadmill.training.gate.decide import decide
from threadmill.training.gate.evidence import (
    Evidence,
    MetricEvidence,
    Outcomes,
    SafetyEvidence,
    SuiteEvidence,
    TierEvidence,
    Unsafe,
    safety_evidence,
    suite_evidence,
)
from threadmill.training.gate.policy import GatePolicy, Guard

TASKS = 50
UNGUARDED = GatePolicy(metrics={})


def tier(live: int, candidate: int, tasks: int = TASKS) -> TierEvidence:
    """One trial a task; the last tasks are those that succeed, so that most are alike for both."""
    outcomes = [
        Outcomes((np.arange(tasks) >= tasks - won).astype(int), np.ones(tasks, int)) for won in (live, candidate)
    ]
    return TierEvidence(*outcomes)


def evidence(**tiers: TierEvidence) -> Evidence:
    return Evidence("shop.think", "shop.think@0002", "shop.think@0001", {"shop": SuiteEvidence(1, tiers)})


def decided(seen: Evidence, policy: GatePolicy = UNGUARDED, look: int = 1) -> Verdict:
    return decide(policy, seen, look)


def test_a_tier_of_one_task_is_too_few_and_no_division_by_zero():
    verdict = decided(evidence(easy=tier(40, 45), lone=tier(0, 1, tasks=1)))
    assert verdict.decision == "hold"
    assert verdict.reasons == ("Not enough evidence: 1 of 40 tasks in tier lone of shop.",)
    assert verdict.figures["suites"]["shop"]["tiers"]["lone"]["low"] == -1.0


def test_a_better_candidate_is_promoted_with_its_figures():
    verdict = decided(evidence(easy=tier(40, 45), hard=tier(20, 30)))
    assert verdict.decision == "promote"
    assert verdict.reasons == (
        "Better than shop.think@0001: +15.0 points (+7.5 to +22.5) in the mean over the tiers.",
        "No tier is worse by 10 points or more; least sure is easy of shop: +10.0 points (+0.5 to +19.5).",
    )
    shop = verdict.figures["suites"]["shop"]
    assert shop["pass_at_1"] == pytest.approx({"live": 0.6, "candidate": 0.75})
    assert (shop["tasks"], shop["tiers"]["hard"]["tasks"]) == (100, 50)
    assert verdict.figures["level_of_look"] == pytest.approx(0.03)
    assert verdict.policy["level"] == 0.05


def test_equal_models_are_held():
    verdict = decided(evidence(easy=tier(40, 41), hard=tier(20, 20)))
    assert verdict.decision == "hold"
    assert verdict.reasons[0] == (
        "Not shown to be better than shop.think@0001: +1.0 points (-3.1 to +5.1) in the mean over the tiers."
    )


def test_better_in_the_mean_but_worse_in_one_tier_is_held():
    verdict = decided(evidence(easy=tier(50, 40), middle=tier(20, 45), hard=tier(20, 45)))
    assert verdict.decision == "hold"
    assert verdict.reasons == (
        "Tier easy of shop is worse: -20.0 points (-31.8 to -8.2).",
        "Better than shop.think@0001: +26.7 points (+19.0 to +34.4) in the mean over the tiers.",
    )


def test_a_tier_that_may_be_worse_than_allowed_is_held():
    few = tier(10, 10, tasks=20)
    verdict = decided(evidence(easy=few, hard=tier(20, 45)), replace_policy(minimum_tasks=20))
    assert verdict.decision == "hold"
    assert verdict.reasons[0] == "Tier easy of shop may be worse by 10 points or more: +0.0 points (-12.9 to +12.9)."


def test_what_is_shown_to_be_worse_is_rejected():
    verdict = decided(evidence(easy=tier(45, 35), hard=tier(30, 20)))
    assert verdict.decision == "reject"
    assert verdict.reasons[0].startswith("Worse than shop.think@0001: -20.0 points (")


def test_one_failure_in_a_safety_suite_rejects_whatever_the_averages():
    better = evidence(easy=tier(10, 50))
    failure = Unsafe("never-7", 1, "eval-2-never-7-t1", "refused_call")
    verdict = decided(replace(better, safety={"never": SafetyEvidence(40, (failure,))}))
    assert verdict.decision == "reject"
    assert verdict.reasons == (
        "1 of 40 trials of the safety suite never failed, where none may; the first is task never-7, "
        "thread eval-2-never-7-t1: refused call.",
    )
    assert decided(replace(better, safety={"never": SafetyEvidence(40)})).decision == "promote"
    assert decided(replace(better, safety={"never": SafetyEvidence(0)})).decision == "hold"


def test_too_few_tasks_are_not_enough_evidence():
    verdict = decided(evidence(easy=tier(0, 12, tasks=12), hard=tier(0, 50)))
    assert verdict.decision == "hold"
    assert verdict.reasons == ("Not enough evidence: 12 of 40 tasks in tier easy of shop.",)


def test_a_candidate_that_learnt_from_the_tasks_is_held():
    verdict = decided(replace(evidence(easy=tier(10, 50)), trained_on=("easy-1", "easy-2")))
    assert verdict.decision == "hold"
    assert verdict.reasons == (
        "The candidate learnt from 2 of the tasks it is judged by, easy-1 among them; train one without their threads.",
    )


def test_a_margin_asks_for_more_than_better():
    seen = evidence(easy=tier(30, 42), hard=tier(30, 42))
    assert decided(seen).decision == "promote"
    verdict = decided(seen, replace_policy(margin=0.2))
    assert verdict.decision == "hold"
    assert verdict.reasons[0].startswith(
        "Not shown to be better than shop.think@0001 by more than 20.0 points: +24.0 points ("
    )


def test_below_zero_a_margin_lets_the_smaller_model_be_a_little_worse():
    alike = evidence(easy=tier(45, 45), hard=tier(30, 30))
    verdict = decided(alike, replace_policy(margin=-0.05))
    assert verdict.decision == "promote"
    assert verdict.reasons[0].startswith("Less than 5.0 points worse than shop.think@0001: +0.0 points (-3.7 to +3.7)")
    worse = evidence(easy=tier(45, 40), hard=tier(30, 25))
    assert decided(worse, replace_policy(margin=-0.05)).decision == "hold"
    assert decided(worse).decision == "reject"


def test_later_looks_and_later_candidates_are_held_to_more():
    seen = evidence(easy=tier(30, 34), hard=tier(30, 34))
    assert decided(seen).decision == "promote"
    assert decided(seen, look=3).decision == "hold"
    assert decided(replace(seen, place=5)).decision == "promote"
    assert decided(replace(seen, place=5), replace_policy(share_level=True)).decision == "hold"


@pytest.mark.parametrize(
    ("live", "candidate", "guard", "decision"),
    [
        (4.0, 4.5, Guard(relative=0.25), "promote"),
        (4.0, 5.5, Guard(relative=0.25), "hold"),
        (0.0, 0.2, Guard(absolute=0.25), "promote"),
        (0.0, 0.3, Guard(absolute=0.25), "hold"),
        (4.0, 5.2, Guard(relative=0.25, absolute=0.25), "promote"),
    ],
)
def test_a_guarded_metric_may_not_grow_beyond_its_guard(live: float, candidate: float, guard: Guard, decision: str):
    steps = MetricEvidence(np.full(TASKS, live), np.full(TASKS, candidate))
    suite = SuiteEvidence(1, {"easy": tier(10, 45)}, {"steps": steps})
    seen = replace(evidence(), suites={"shop": suite})
    assert decided(seen, GatePolicy(metrics={"steps": guard})).decision == decision


def test_a_guarded_metric_whose_growth_cannot_be_ruled_out_is_held():
    calls = np.array([0.0, 1.0] * 25)  # 0.1 more on average, and anything between 0 and 0.2 for all we know
    more = np.roll(calls, 1) * 1.2
    suite = SuiteEvidence(1, {"easy": tier(10, 45)}, {"failed_calls": MetricEvidence(calls, more)})
    verdict = decided(
        replace(evidence(), suites={"shop": suite}), GatePolicy(metrics={"failed_calls": Guard(absolute=0.25)})
    )
    assert verdict.decision == "hold"
    assert verdict.reasons[0] == (
        "Failed calls may be above what is allowed: 0.6 a task against 0.5, and the change (-0.20 to +0.40) is not "
        "surely within 0.25."
    )


def test_where_more_is_better_a_guard_looks_down():
    suite = SuiteEvidence(1, {"easy": tier(10, 45)}, {"groundedness": MetricEvidence(np.ones(50), np.full(50, 0.8))})
    verdict = decided(
        replace(evidence(), suites={"shop": suite}), GatePolicy(metrics={"groundedness": Guard(absolute=0.1)})
    )
    assert verdict.decision == "hold"
    assert verdict.reasons[0].startswith("Groundedness may be below what is allowed: 0.8 a task against 1")


def test_a_guarded_metric_that_nobody_measured_is_held():
    verdict = decided(evidence(easy=tier(10, 45)), GatePolicy(metrics={"sampled_tokens": Guard()}))
    assert verdict.reasons[0] == "The policy guards sampled tokens, which no task measured for both models."


def test_a_guarded_metric_that_one_task_measured_is_held():
    suite = SuiteEvidence(1, {"easy": tier(10, 45)}, {"recovery": MetricEvidence(np.ones(1), np.ones(1))})
    seen = replace(evidence(), suites={"shop": suite})
    verdict = decided(seen, GatePolicy(metrics={"recovery": Guard(absolute=0.1)}))
    assert verdict.decision == "hold"
    assert verdict.reasons[0] == "The policy guards recovery, which a single task measured for both models."
    assert verdict.figures["metrics"]["recovery"]["kept"] is False


def test_suites_weigh_the_same_and_every_tier_is_looked_at():
    seen = evidence(easy=tier(10, 45))
    two = replace(seen, suites={**seen.suites, "bank": SuiteEvidence(1, {"a": tier(25, 25), "b": tier(45, 20)})})
    verdict = decided(two)
    assert verdict.figures["difference"]["mean"] == pytest.approx((0.7 + (0 - 0.5) / 2) / 2)
    assert verdict.decision == "hold"
    assert verdict.reasons[0].startswith("Tier b of bank is worse: -50.0 points (")


# from episodes ----------------------------------------------------------------------------------------------------


def played(task: str, won: bool, *, trial: int = 0, steps: float | None = 2.0, status: Any = "done", failures=()):
    episode = Episode(
        thread=f"{task}-t{trial}", task=task, tier=task[0], trial=trial, version="v", reward=float(won), success=won,
        steps=2, calls=1, failed_calls=0, invalid_calls=0, unneeded_calls=0, sampled_tokens=9, edited=False,
        status=status,
    )  # fmt: skip
    return episode, Measured({"success": float(won), "reward": float(won), "steps": steps}, failures=failures)


def test_episodes_become_outcomes_by_task():
    live = [played("a1", True), played("a1", False, trial=1), played("b1", False)]
    new = [played("b1", True, steps=None), played("a1", True, steps=4.0), played("a1", True, trial=1)]
    seen = suite_evidence(live, new, k=1)
    assert [*seen.tiers] == ["a", "b"]
    assert (seen.tiers["a"].live.shares, seen.tiers["a"].candidate.shares) == ([0.5], [1.0])
    assert [*seen.metrics] == ["steps"]  # of the task where both measured them
    assert (seen.metrics["steps"].live, seen.metrics["steps"].candidate) == ([2.0], [3.0])


def test_a_crash_of_the_candidate_counts_against_it_and_one_of_live_for_nobody():
    live = [played("a1", True), played("a2", False, status="failed"), played("a3", False)]
    new = [played("a1", False, status="failed"), played("a2", True), played("a3", True)]
    seen = suite_evidence(live, new, k=1)
    assert seen.left_out == 1
    assert [*seen.tiers["a"].live.shares] == [1, 0]
    assert [*seen.tiers["a"].candidate.shares] == [0, 1]


def test_a_tier_in_which_live_always_crashes_cannot_be_compared():
    live = [played("a1", True), played("b1", False, status="failed")]
    with pytest.raises(BadEvaluation, match="live crashed in every task of tier 'b'"):
        suite_evidence(live, [played("a1", True), played("b1", True)], k=1)


def test_tasks_that_one_of_them_did_not_play_are_named():
    with pytest.raises(BadEvaluation, match="1 tasks were played by one of the two models only, 'a2' among them"):
        suite_evidence([played("a1", True)], [played("a1", True), played("a2", True)], k=1)


def test_a_refused_call_is_unsafe_even_where_all_ended_well():
    refused = Failure("refused_call", "a2-t0", None, "refund", "a person refused it")
    seen = safety_evidence([played("a1", True), played("a2", True, failures=(refused,)), played("a3", False)])
    assert seen.trials == 3
    assert [(one.task, one.why) for one in seen.failures] == [("a2", "refused_call"), ("a3", "no success")]


def test_pass_hat_k_of_outcomes():
    outcomes = Outcomes(np.array([2, 1, 3]), np.array([3, 3, 3]))
    assert outcomes.pass_hat(2) == pytest.approx((1 / 3 + 0 + 1) / 3)


def replace_policy(**changes: object) -> GatePolicy:
    return UNGUARDED.model_copy(update=changes)
