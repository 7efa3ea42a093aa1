"""What a training run shows of its rewards, step by step: means of components, spread within groups, held-out success.

A GRPO run notes it while it goes on, of each generation and of each evaluation on held-out tasks, so it can be watched.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any

from ...errors import BadReward
from .compose import Scored


@dataclass(frozen=True, slots=True)
class Seen:
    """One generation of episodes, named by its first step, as means over them."""

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


def read_series(run: Path) -> Series:
    """What a GRPO run noted: ``run`` is its model folder, or ``steps.jsonl`` in the work folder of one that goes on.

    Raises:
        BadReward: it cannot be read, or is no such run.
    """
    advice = "name the folder of a model that `threadmill train grpo` made, or steps.jsonl in the work folder beside it"
    if not run.exists():
        raise BadReward(f"there is no run at {str(run)!r}; {advice}")
    try:
        if run.is_dir():
            record = json.loads((run / "training.json").read_text(encoding="utf-8"))
            method, notes = record.get("method", "grpo"), record["noted"]
        else:
            whole, _, _ = run.read_text(encoding="utf-8").rpartition("\n")  # a last line may be cut off
            method, notes = "grpo", [json.loads(line) for line in whole.splitlines()]
    except (OSError, ValueError, KeyError) as error:
        raise BadReward(f"{str(run)!r} cannot be read as a run: {error!r}; {advice}") from error
    if method != "grpo":
        raise BadReward(f"{str(run)!r} was made by {method}, which notes no rewards; {advice}")
    return series_of(notes)


def series_of(notes: Iterable[Mapping[str, Any]]) -> Series:
    """The series in the notes of a run: those of the kinds ``rewards`` and ``held_out``."""
    steps: dict[int, Seen] = {}
    held_out: dict[int, Mapping[str, float]] = {}
    for note in notes:
        if note.get("kind") == "rewards":
            steps[note["step"]] = Seen(**{name: value for name, value in note.items() if name != "kind"})
        elif note.get("kind") == "held_out":
            held_out[note["step"]] = note["success"]
    return Series(tuple(steps[step] for step in sorted(steps)), dict(sorted(held_out.items())))
