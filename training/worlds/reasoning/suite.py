"""reasoning-gym as a suite: one question an episode, a calculator, and reasoning-gym's own score as the reward."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from langchain_core.messages import AnyMessage
from langgraph.graph import StateGraph

from ....graphs.react import build_react
from ....nodes.models.slot import Slot
from ...suites import Judged, last_words
from .answer import final_answer
from .calculator import calculator
from .prompt import AGENT, MAX_CALLS, SLOT, SYSTEM
from .tasks import TIERS, Task, Tiers, make_tasks

FINEST = 1000
"""Rewards are told apart to a thousandth."""


@dataclass(frozen=True)
class ReasoningSuite:
    """The tasks of ``make_tasks``; nobody is asked anything, and there is no world that could change."""

    tiers: Tiers = field(default_factory=lambda: TIERS)
    """Any data sets of reasoning-gym with any parameters; the names of the tiers are free."""
    system: str = SYSTEM
    name: str = AGENT
    slots: tuple[str, ...] = (SLOT,)

    def build(self, slots: Mapping[str, Slot]) -> StateGraph[Any]:
        """The ReAct loop with a calculator."""
        return build_react(slots[SLOT], [calculator], system=self.system, name=self.name, max_calls=MAX_CALLS)

    def tasks(self, split: str, per_tier: int, seed: int) -> list[Task]:
        """As ``make_tasks``."""
        return make_tasks(split, per_tier, seed, self.tiers)

    def start(self, task: Task, place: Path) -> dict[str, Any]:
        """Nothing: the question is all there is."""
        return {}

    def review(self, task: Task, question: dict[str, Any]) -> dict[str, Any]:
        """Agreement; the agent asks nobody, an agent around it might."""
        return {"id": question["id"], "by": f"reviewer:{self.name}", "type": "approve"}

    def reply(self, task: Task, text: str) -> str | None:
        """None: whoever asks back gets no answer."""
        return None

    def judge(self, task: Task, place: Path, messages: Sequence[AnyMessage]) -> Judged:
        """reasoning-gym's score of the final answer, as a fraction; what it takes for right is ``expected``."""
        score = Fraction(task.score(final_answer(last_words(messages)))).limit_denominator(FINEST)
        return Judged(score.numerator, score.denominator, str(task.item["answer"]))

    def close(self, place: Path) -> None:
        """Nothing to take away."""

    def needed(self, task: Task) -> None:
        """None: there are many ways to put a calculation."""
        return None


def make_suite() -> ReasoningSuite:
    """The suite ``reasoning`` of the commands."""
    return ReasoningSuite()
