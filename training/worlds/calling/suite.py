"""A benchmark of single answers as a suite: no world, nobody to ask, and a check of the one answer.

Everything is held out: who trains on a benchmark can't be measured by it any more.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.graph import StateGraph

from ....checkpoints.importers.record import CANNED_KEY
from ....errors import UnknownSuite
from ....nodes.models.slot import Slot
from ...suites import Judged
from .ask_once import ASKED, SLOT, Conversation, build_ask_once


@dataclass(frozen=True)
class Task:
    """One answer that is asked for."""

    id: str
    tier: str
    """The category."""
    text: str
    conversation: Conversation = field(repr=False, compare=False)
    check: Callable[[AIMessage], Judged] = field(repr=False, compare=False)
    needed: tuple[tuple[str, dict[str, Any]], ...] = field(default=(), compare=False)
    """The calls that are due, one way to write them."""
    due: Literal["act", "ask", "refuse"] = "act"
    split: str = "heldout"
    seed: int = 0


@dataclass(frozen=True)
class AnswerSuite:
    """The tasks of a benchmark, which the agent ``calling`` answers."""

    name: str
    everything: tuple[Task, ...] = field(repr=False)
    digest: str = ""
    """Changes with the files that hold the tasks, and with the checks."""
    slots: tuple[str, ...] = (SLOT,)

    def build(self, slots: Mapping[str, Slot]) -> StateGraph[Any]:
        """The agent of one model call."""
        return build_ask_once(slots[SLOT], {task.id: task.conversation for task in self.everything})

    def tasks(self, split: str, per_tier: int, seed: int) -> list[Task]:
        """``per_tier`` tasks of each category, or all if there are fewer; more of them begin with the same.

        Raises:
            UnknownSuite: ``split`` is not ``heldout``.
        """
        if split != "heldout":
            raise UnknownSuite(f"{self.name} has no split {split!r}: it is a benchmark, all of it is heldout")
        tiers = dict.fromkeys(task.tier for task in self.everything)
        chosen = []
        for tier in tiers:
            tasks = [task for task in self.everything if task.tier == tier]
            random.Random(f"{seed}/{tier}").shuffle(tasks)
            chosen += tasks[:per_tier]
        return chosen

    def start(self, task: Task, place: Path) -> dict[str, Any]:
        """Which conversation the thread is about; there is no world."""
        return {ASKED: task.id}

    def review(self, task: Task, question: dict[str, Any]) -> dict[str, Any]:
        """Agreement; the agent asks nobody, an agent around it might."""
        return {"id": question["id"], "by": f"reviewer:{self.name}", "type": "approve"}

    def reply(self, task: Task, text: str) -> str | None:
        """None: there is one answer."""
        return None

    def judge(self, task: Task, place: Path, messages: Sequence[AnyMessage]) -> Judged:
        """What the task's check says of the answer; nothing is met without one."""
        last = messages[-1] if messages else None
        if not isinstance(last, AIMessage) or last.response_metadata.get(CANNED_KEY):
            return Judged(0, 1)
        return task.check(last)

    def close(self, place: Path) -> None:
        """Nothing to take away."""

    def needed(self, task: Task) -> tuple[tuple[str, dict[str, Any]], ...]:
        """The calls that are due."""
        return task.needed
