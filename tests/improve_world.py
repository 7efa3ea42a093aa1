"""A suite whose agent says a few tokens: on training tasks their sum decides, on held-out ones who spoke them."""

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import AnyMessage
from langgraph.graph import StateGraph
from threadmill.graphs.react import build_react
from threadmill.nodes.models.slot import Slot
from threadmill.training.suites import Judged, last_words

FIRST = "echo.think@0001"
DIES, STOPS = Path("dies"), Path("stops")
"""While the one is there, the process dies when it is asked for held-out tasks; while the other is, somebody presses
Ctrl-C when the second version has played the first of them."""


@dataclass(frozen=True)
class Say:
    """A task: say something."""

    id: str
    tier: str
    text: str
    split: str
    seed: int


@dataclass
class Echoes:
    """Two tiers of tasks; on held-out ones succeeds whoever is in ``succeeds``."""

    better: bool
    crashes: bool = False
    """Every version but the first on held-out tasks, and the judge of training tasks."""
    name: str = "echo"
    slots: tuple[str, ...] = ("echo.think",)

    def build(self, slots: Mapping[str, Slot]) -> StateGraph[Any]:
        return build_react(slots["echo.think"], [], name="echo")

    def tasks(self, split: str, per_tier: int, seed: int) -> list[Say]:
        if split == "heldout" and DIES.exists():
            DIES.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return [
            Say(f"{split}-{seed}-{tier}-{at:04d}", tier, f"Say {split} {seed} {tier} {at}.", split, at)
            for tier in ("easy", "hard")
            for at in range(per_tier)
        ]

    def start(self, task: Say, place: Path) -> dict[str, Any]:
        return {}

    def review(self, task: Say, question: dict[str, Any]) -> dict[str, Any]:
        raise AssertionError("nothing is asked")

    def reply(self, task: Say, text: str) -> str | None:
        return None

    def judge(self, task: Say, place: Path, messages: Sequence[AnyMessage]) -> Judged:
        if task.split == "train":
            if self.crashes:
                raise ValueError("it cannot count")
            return Judged(sum(map(ord, last_words(messages))) % 2, 1)
        is_first = not messages or messages[-1].response_metadata["version"] == FIRST
        if not is_first and self.crashes:
            raise ValueError("it only stammers")
        if not is_first and STOPS.exists():
            STOPS.unlink()
            raise KeyboardInterrupt
        return Judged(int(self.better and not is_first), 1)

    def close(self, place: Path) -> None:
        pass

    def needed(self, task: Say) -> None:
        return None


def make_even() -> Echoes:
    """Nobody succeeds on held-out tasks: no candidate is better."""
    return Echoes(better=False)


def make_better() -> Echoes:
    """Every version but the first succeeds."""
    return Echoes(better=True)


def make_crashing() -> Echoes:
    """Every version but the first crashes."""
    return Echoes(better=False, crashes=True)
