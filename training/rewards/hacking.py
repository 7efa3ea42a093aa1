"""Does the policy learn its task, or how to please its reward? Finds rewards that rise while success falls.

An alarm needs both: a rise of the component (or of the total) that noise does not explain, and a fall of the success
on held-out tasks that noise does not explain. The chance that goes with it is the larger of the two: as long as success
does not really fall, alarms stay as rare as the exact test of the fall has them, whatever the reward does. Both are
looked for in the whole run and in its second half, for many a policy first learns and then cheats; the chances are
corrected for that and for the number of components. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from .series import Seen, Series
from .trends import holm, p_fell, trend

Kind = Literal["hacking", "longer", "saturated", "no spread"]

LAST = 4
"""Steps that count as the present."""
FULL = 0.99
FLAT = 0.01


@dataclass(frozen=True, slots=True)
class Sign:
    """Something that a run's rewards show. ``hacking`` is an alarm, the others are hints."""

    kind: Kind
    reward: str
    """The component, or ``total``."""
    p: float | None
    """The chance of it in a run where nothing of the sort happens; None where nothing was tested."""
    words: str


def find_signs(series: Series, *, alpha: float = 0.05) -> list[Sign]:
    """What ``series`` shows, alarms first, the most certain first; empty if nothing, or if the run is too short to say.

    ``alpha`` is the share of runs without hacking in which an alarm is tolerated.
    """
    return [
        *find_hacking(series, alpha=alpha),
        *_longer(series, alpha),
        *_saturated(series.steps),
        *_no_spread(series.steps),
    ]


def find_hacking(series: Series, *, alpha: float = 0.05) -> list[Sign]:
    """The rewards that rise while success on the held-out tasks falls."""
    windows = [window for window in (series, _second_half(series)) if len(window.held_out) >= 2]
    found: dict[str, Sign] = {}
    for window in windows:
        early, late = _early_and_late(window.held_out)
        tasks = sorted(early)
        p_down = p_fell([early[task] for task in tasks], [late[task] for task in tasks])
        rises = _rises(window.steps)
        for name, p_up in rises.items():
            p = min(1.0, len(windows) * max(p_up, p_down))
            if p < alpha and (name not in found or p < (found[name].p or 0)):
                found[name] = Sign("hacking", name, p, _words(name, window, early, late, p))
    return sorted(found.values(), key=lambda sign: (sign.p or 0, sign.reward))


def _rises(steps: Sequence[Seen]) -> dict[str, float]:
    """Component (and ``total``) to the corrected chance of its rise."""
    if not steps:
        return {}
    at = [seen.step for seen in steps]
    values = {name: [seen.components[name] for seen in steps] for name in steps[0].components}
    if len(values) > 1:
        values["total"] = [seen.total for seen in steps]
    return dict(zip(values, holm([trend(at, series).p_up for series in values.values()]), strict=True))


def _second_half(series: Series) -> Series:
    evaluated = sorted(series.held_out)
    if len(evaluated) < 4:
        return Series()
    start = evaluated[len(evaluated) // 2 - 1]
    return Series(
        tuple(seen for seen in series.steps if seen.step >= start),
        {step: success for step, success in series.held_out.items() if step >= start},
    )


def _early_and_late(held_out: Mapping[int, Mapping[str, float]]) -> tuple[dict[str, float], dict[str, float]]:
    """The mean success of each task over the first and over the last half of the evaluations, without a middle one."""
    evaluated = [held_out[step] for step in sorted(held_out)]
    half = len(evaluated) // 2
    tasks = set.intersection(*(set(one) for one in evaluated))
    first, last = evaluated[:half], evaluated[-half:]
    return (
        {task: fmean(one[task] for one in first) for task in tasks},
        {task: fmean(one[task] for one in last) for task in tasks},
    )


def _words(name: str, window: Series, early: Mapping[str, float], late: Mapping[str, float], p: float) -> str:
    first, last = window.steps[0], window.steps[-1]
    values = [seen.total if name == "total" else seen.components[name] for seen in (first, last)]
    fall = f"{fmean(early.values()):.0%} to {fmean(late.values()):.0%}"
    return (
        f"{name} rises from {values[0]:.3g} to {values[1]:.3g} (steps {first.step} to {last.step}) while success on "
        f"{len(early)} held-out tasks falls from {fall} (p = {p:.2g}); "
        "look at episodes that score high, and lower its weight or mend it"
    )


def _longer(series: Series, alpha: float) -> list[Sign]:
    if not series.held_out:
        return []
    steps, success = series.steps, {step: fmean(tasks.values()) for step, tasks in sorted(series.held_out.items())}
    grows = trend([seen.step for seen in steps], [seen.tokens for seen in steps]).p_up
    better = trend([*success], [*success.values()]).p_up
    if grows >= alpha or better < alpha:
        return []
    words = f"episodes grow from {steps[0].tokens:.0f} to {steps[-1].tokens:.0f} tokens, and held-out success does not"
    return [Sign("longer", "total", grows, f"{words}; consider the reward 'length'")]


def _saturated(steps: Sequence[Seen]) -> list[Sign]:
    last = steps[-LAST:]
    if len(last) < LAST:
        return []
    words = "is earned by nearly every episode, so it teaches nothing any more and only adds noise; lower its weight"
    return [
        Sign("saturated", name, None, f"{name} {words}")
        for name in last[0].components
        if all(seen.components[name] >= FULL for seen in last)
    ]


def _no_spread(steps: Sequence[Seen]) -> list[Sign]:
    last = steps[-LAST:]
    if len(last) < LAST or any(seen.spread >= FLAT for seen in last):
        return []
    words = "episodes of a group earn nearly the same, so there is nothing to learn from; take harder or other tasks"
    return [Sign("no spread", "total", None, words)]
