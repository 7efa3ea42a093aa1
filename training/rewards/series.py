"""What a training run shows of its rewards, step by step: means of components, spread within groups, held-out success.

Kept as lines of JSON, one for each step that trained and one for each evaluation, so that a run can be watched while it
goes on.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from ...errors import BadReward
from .compose import Scored


@dataclass(frozen=True, slots=True)
class Seen:
    """One training step, as means over its episodes."""

    step: int
    total: float
    components: Mapping[str, float]
    tokens: float
    """Sampled in an episode."""
    spread: float
    """The standard deviation of the total within a group: what advantages are made of."""


@dataclass(frozen=True, slots=True)
class Series:
    """A run so far."""

    steps: tuple[Seen, ...] = ()
    held_out: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    """Step to the success of each held-out task, always the same tasks."""


def observe(step: int, groups: Sequence[Sequence[Scored]], tokens: Iterable[float]) -> Seen:
    """What a step shows of its ``groups``; ``tokens`` are those sampled in each episode.

    >>> pair = [Scored(1.0, {"end_state": 1.0}), Scored(0.0, {"end_state": 0.0})]
    >>> observe(3, [pair], [20, 10])
    Seen(step=3, total=0.5, components={'end_state': 0.5}, tokens=15.0, spread=0.5)

    Raises:
        BadReward: no episode.
    """
    episodes = [scored for group in groups for scored in group]
    if not episodes:
        raise BadReward(f"step {step} has no scored episode, so its rewards cannot be told; leave the step out")
    names = episodes[0].components
    return Seen(
        step=step,
        total=fmean(one.total for one in episodes),
        components={name: fmean(one.components[name] for one in episodes) for name in names},
        tokens=fmean(tokens),
        spread=fmean(pstdev(one.total for one in group) for group in groups if group),
    )


def to_line(seen: Seen) -> str:
    """``seen`` as a line of JSON."""
    return json.dumps(asdict(seen))


def held_out_line(step: int, success: Mapping[str, float]) -> str:
    """An evaluation as a line of JSON."""
    return json.dumps({"step": step, "held_out": dict(success)})


def read_series(path: Path) -> Series:
    """The run whose lines are in the file at ``path``; a last line that was cut off is passed over.

    Raises:
        BadReward: it cannot be read, or a line is not of these two kinds.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise BadReward(f"{str(path)!r} cannot be read: {error}; name the rewards.jsonl of a run") from error
    steps: dict[int, Seen] = {}
    held_out: dict[int, dict[str, float]] = {}
    for number, line in enumerate(lines, 1):
        try:
            said: dict[str, Any] = json.loads(line)
            if "held_out" in said:
                held_out[said["step"]] = said["held_out"]
            else:
                steps[said["step"]] = Seen(**said)
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines):
                break
            raise BadReward(f"{path}:{number} is no line of a run's rewards: {error!r}; take it out") from error
    return Series(tuple(steps[step] for step in sorted(steps)), dict(sorted(held_out.items())))
