"""What ``threadmill improve`` is told, and the names of its stages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import BadConfig

STAGES = ("label", "export", "baseline", "train", "evaluate", "gate", "promote", "report")
"""In their order. ``baseline`` evaluates the live version: the gate wants that, and it shows how long one takes."""
METHODS = ("sft", "dpo", "grpo")
"""In the order in which they are trained, whatever the order in which they are named."""
NEEDS = {"baseline": "evaluate", "gate": "evaluate", "promote": "gate"}
"""A stage, and the one without which it has nothing to work on."""
_TIME = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True)
class ImproveConfig:
    """One call of ``improve``."""

    agent: str
    out: Path
    budget_s: float = 600.0
    """Of all stages together; it is kept roughly."""
    slot: str | None = None
    """The slot to improve; None is the agent's only one."""
    suite: str | None = None
    """The tasks that decide: a name, FILE.jsonl or file.py:make_suite; None is that of a built-in agent."""
    rewards: Path | None = None
    """A TOML file with a table ``[rewards]`` for threads that nobody has labelled."""
    methods: tuple[str, ...] = METHODS
    skip: frozenset[str] = frozenset()
    recipes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Method to settings of its config by their flags: ``{"sft": {"learning_rate": 1e-4, "lora_rank": 16}}``."""
    seed: int = 0
    workers: int = 32
    """Episodes played at a time."""

    def __post_init__(self) -> None:
        for name, known, told in (("stage", STAGES, self.skip), ("method", METHODS, self.methods)):
            if strange := [one for one in told if one not in known]:
                raise BadConfig(f"there is no {name} {strange[0]!r}; there are {', '.join(known)}")
        if not self.methods:
            raise BadConfig(f"no method is left to train with; name some of {', '.join(METHODS)}")
        if self.budget_s <= 0:
            raise BadConfig(f"a budget of {self.budget_s:g} s leaves no time; give one such as 10m")

    @property
    def left_out(self) -> dict[str, str]:
        """Stages that are not run, each with why: told so, or the one before it is not run."""
        found = {stage: "skipped, as asked" for stage in STAGES if stage in self.skip}
        for stage, needed in NEEDS.items():
            if needed in found:
                found.setdefault(stage, f"nothing to do without {needed}")
        return found

    def what_counts(self) -> dict[str, Any]:
        """What decides which round this is, JSON-safe: an unfinished one goes on if all of this is the same."""
        return {
            "agent": self.agent,
            "slot": self.slot,
            "suite": self.suite,
            "methods": [method for method in METHODS if method in self.methods],
            "recipes": {method: dict(settings) for method, settings in sorted(self.recipes.items())},
            "seed": self.seed,
        }


def read_time(text: str) -> float:
    """Seconds: ``10m``, ``1h30m``, ``90s``; a number alone is minutes.

    >>> read_time("10m"), read_time("1h30m"), read_time("90s"), read_time("2.5")
    (600.0, 5400.0, 90.0, 150.0)

    Raises:
        BadConfig: it is no time, or none is left in it.
    """
    try:
        seconds = 60 * float(text)
    except ValueError:
        parts = _TIME.fullmatch(text.strip())
        hours, minutes, rest = (float(part or 0) for part in parts.groups()) if parts else (0.0, 0.0, 0.0)
        seconds = 3600 * hours + 60 * minutes + rest
    if not 0 < seconds < float("inf"):
        raise BadConfig(f"{text!r} is no time to spend; write 10m, 1h30m or 90s")
    return seconds


def spoken_time(seconds: float) -> str:
    """Seconds as people say them.

    >>> spoken_time(45.2), spoken_time(113.9), spoken_time(600), spoken_time(5400)
    ('45 s', '1 min 54 s', '10 min', '1 h 30 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    parts = {"h": hours, "min": left, "s": rest if minutes < 10 else 0}
    return " ".join(f"{count} {unit}" for unit, count in parts.items() if count) or "0 s"
