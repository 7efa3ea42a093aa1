"""From evidence to a verdict: promote, hold or reject, with reasons. Pure: equal evidence gives an equal verdict.

Promoting needs every one of several tests to succeed (better in the mean, no tier and no metric worse than allowed),
each at the same level, so that all of them together err no more than one alone (Berger 1982).
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ...checkpoints.verdicts import Decision, Verdict
from ..evaluation.metrics import METRIC
from .evidence import Evidence, MetricEvidence, SuiteEvidence
from .paired import Estimate, mean_of, measure_above, success_above
from .policy import GatePolicy, Guard
from .sequential import chance_at, share_of_candidate


def decide(policy: GatePolicy, evidence: Evidence, look: int) -> Verdict:
    """The verdict about the candidate at this ``look`` at it, counted from 1; all looks together keep the level.

    Reject: a safety suite has a failure, or the candidate is shown to be worse. Hold: it is not shown to be better,
    a tier or a guarded metric may be worse than the policy allows, tasks are missing, or it learnt from the tasks.
    """
    level = policy.level * (share_of_candidate(evidence.place) if policy.share_level else 1)
    chance = chance_at(look, level, evidence.sizes)
    suites = {name: _suite_figures(suite, chance) for name, suite in evidence.suites.items()}
    overall = _overall(evidence)
    figures = {
        "difference": _share_ends(overall, chance),
        "suites": suites,
        "metrics": _metric_figures(policy, evidence, chance),
        "safety": {
            name: {"trials": suite.trials, "failures": [asdict(one) for one in suite.failures]}
            for name, suite in evidence.safety.items()
        },
        "level": level,
        "level_of_look": chance,
        "sizes": list(evidence.sizes),
        "candidates": evidence.place,
        "trained_on": list(evidence.trained_on),
    }
    decision, reasons = _judge(policy, evidence, figures)
    return Verdict(
        decision=decision,
        reasons=tuple(reasons),
        figures=figures,
        look=look,
        slot=evidence.slot,
        candidate=evidence.candidate,
        live=evidence.live,
        policy=policy.model_dump(mode="json"),
        evaluations=evidence.evaluations,
    )


def _judge(policy: GatePolicy, evidence: Evidence, figures: dict[str, Any]) -> tuple[Decision, list[str]]:
    if unsafe := [*_unsafe(figures)]:
        return "reject", unsafe
    if missing := [*_missing(policy, evidence, figures)]:
        return "hold", missing
    difference = figures["difference"]
    seen = f"{_points(difference)} in the mean over the tiers"
    if difference["high"] < min(policy.margin, 0):
        return "reject", [f"Worse than {evidence.live}: {seen}."]
    aim, worse = _aim(policy, evidence.live), [*_worse_tiers(policy, figures), *_worse_metrics(figures)]
    if difference["low"] <= policy.margin:
        return "hold", [f"Not shown to be {aim}: {seen}.", *worse]
    reached = f"{aim[0].upper()}{aim[1:]}: {seen}."
    if worse:
        return "hold", [*worse, reached]
    return "promote", [reached, *_cleared(policy, figures)]


def _aim(policy: GatePolicy, live: str) -> str:
    points = f"{100 * abs(policy.margin):.1f} points"
    if policy.margin < 0:
        return f"less than {points} worse than {live}"
    return f"better than {live}" + (f" by more than {points}" if policy.margin else "")


def _unsafe(figures: dict[str, Any]) -> Iterator[str]:
    for name, suite in figures["safety"].items():
        if suite["failures"]:
            first = suite["failures"][0]
            yield (
                f"{len(suite['failures'])} of {suite['trials']} trials of the safety suite {name} failed, where none "
                f"may; the first is task {first['task']}, thread {first['thread']}: {first['why'].replace('_', ' ')}."
            )


def _missing(policy: GatePolicy, evidence: Evidence, figures: dict[str, Any]) -> Iterator[str]:
    for name, suite in evidence.safety.items():
        if not suite.trials:
            yield f"Not enough evidence: the safety suite {name} has no tasks."
    for name, suite in figures["suites"].items():
        for tier, found in suite["tiers"].items():
            if found["tasks"] < policy.minimum_tasks:
                yield f"Not enough evidence: {found['tasks']} of {policy.minimum_tasks} tasks in tier {tier} of {name}."
    if evidence.trained_on:
        yield (
            f"The candidate learnt from {len(evidence.trained_on)} of the tasks it is judged by, "
            f"{evidence.trained_on[0]} among them; train one without their threads."
        )


def _worse_tiers(policy: GatePolicy, figures: dict[str, Any]) -> Iterator[str]:
    allowed = f"{100 * policy.tier_margin:.3g} points"
    for name, suite in figures["suites"].items():
        for tier, found in suite["tiers"].items():
            if found["high"] < 0:
                yield f"Tier {tier} of {name} is worse: {_points(found)}."
            elif found["low"] <= -policy.tier_margin:
                yield f"Tier {tier} of {name} may be worse by {allowed} or more: {_points(found)}."


def _worse_metrics(figures: dict[str, Any]) -> Iterator[str]:
    for name, found in figures["metrics"].items():
        if "allowed" not in found:
            continue
        what = name.replace("_", " ")
        if found["tasks"] < 2:
            which = "a single task" if found["tasks"] else "no task"
            yield f"The policy guards {what}, which {which} measured for both models."
        elif not found["kept"]:
            yield (
                f"{what.capitalize()} may be {'above' if METRIC[name].better == 'lower' else 'below'} what is allowed: "
                f"{found['candidate']:.3g} a task against {found['live']:.3g}, and the change "
                f"({found['low']:+.2f} to {found['high']:+.2f}) is not surely within {found['allowed']:.2f}."
            )


def _cleared(policy: GatePolicy, figures: dict[str, Any]) -> Iterator[str]:
    tiers = [(found, tier, name) for name, suite in figures["suites"].items() for tier, found in suite["tiers"].items()]
    found, tier, name = min(tiers, key=lambda one: one[0]["low"])
    yield (
        f"No tier is worse by {100 * policy.tier_margin:.3g} points or more; least sure is {tier} of {name}: "
        f"{_points(found)}."
    )
    if guarded := [one.replace("_", " ") for one, found in figures["metrics"].items() if "allowed" in found]:
        yield f"Within what is allowed: {', '.join(guarded)}."
    if figures["safety"]:
        yield f"No failure in {sum(suite['trials'] for suite in figures['safety'].values())} trials of safety suites."


def _points(figure: Mapping[str, float]) -> str:
    mean, low, high = (100 * figure[name] for name in ("mean", "low", "high"))
    return f"{mean:+.1f} points ({low:+.1f} to {high:+.1f})"


def _ends(estimate: Estimate, chance: float) -> dict[str, float]:
    low, high = estimate.interval(chance)
    return {"mean": estimate.mean, "low": low, "high": high}


def _share_ends(estimate: Estimate, chance: float) -> dict[str, float]:
    """As ``_ends`` for a difference of shares, which cannot be beyond 1."""
    ends = _ends(estimate, chance)
    return {**ends, "low": max(ends["low"], -1.0), "high": min(ends["high"], 1.0)}


def _overall(evidence: Evidence) -> Estimate:
    """Every suite weighs the same, every tier within it, every task within that."""
    return mean_of([mean_of([*_tier_estimates(suite).values()]) for suite in evidence.suites.values()])


def _tier_estimates(suite: SuiteEvidence) -> dict[str, Estimate]:
    return {tier: success_above(one.live.shares, one.candidate.shares) for tier, one in suite.tiers.items()}


def _suite_figures(suite: SuiteEvidence, chance: float) -> dict[str, Any]:
    tiers = {}
    for tier, estimate in _tier_estimates(suite).items():
        one = suite.tiers[tier]
        tiers[tier] = {
            "tasks": one.tasks,
            "live": float(one.live.shares.mean()),
            "candidate": float(one.candidate.shares.mean()),
            **_share_ends(estimate, chance),
            "pass_hat_k": {"live": one.live.pass_hat(suite.k), "candidate": one.candidate.pass_hat(suite.k)},
        }
    number = len(tiers)
    return {
        "k": suite.k,
        "tasks": sum(one["tasks"] for one in tiers.values()),
        "left_out": suite.left_out,
        "pass_at_1": {who: sum(one[who] for one in tiers.values()) / number for who in ("live", "candidate")},
        "pass_hat_k": {
            who: sum(one["pass_hat_k"][who] for one in tiers.values()) / number for who in ("live", "candidate")
        },
        "tiers": tiers,
    }


def _metric_figures(policy: GatePolicy, evidence: Evidence, chance: float) -> dict[str, Any]:
    import numpy as np

    names = dict.fromkeys([*policy.metrics, *(name for suite in evidence.suites.values() for name in suite.metrics)])
    found = {}
    for name in names:
        seen = [suite.metrics[name] for suite in evidence.suites.values() if name in suite.metrics]
        live = np.concatenate([one.live for one in seen]) if seen else np.empty(0)
        candidate = np.concatenate([one.candidate for one in seen]) if seen else np.empty(0)
        found[name] = _metric_figure(name, MetricEvidence(live, candidate), policy.metrics.get(name), chance)
    return found


def _metric_figure(name: str, seen: MetricEvidence, guard: Guard | None, chance: float) -> dict[str, Any]:
    tasks = len(seen.live)
    if not tasks:
        return {"tasks": 0, **({} if guard is None else {"allowed": 0.0, "kept": False})}
    figure: dict[str, Any] = {
        "tasks": tasks,
        "live": float(seen.live.mean()),
        "candidate": float(seen.candidate.mean()),
        **_ends(measure_above(seen.candidate - seen.live), chance),
    }
    if guard is not None:
        sign = 1 if METRIC[name].better == "lower" else -1
        figure["allowed"] = sign * (guard.relative * figure["live"] + guard.absolute)
        beyond = sign * (seen.candidate - seen.live) - guard.relative * seen.live  # live's own noise is in it
        figure["kept"] = tasks > 1 and measure_above(beyond).interval(chance)[1] <= guard.absolute
    return figure
