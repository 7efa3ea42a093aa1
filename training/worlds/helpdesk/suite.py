"""The helpdesk as a suite: a database for each episode, a customer who answers once, and a reviewer of refunds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langchain_core.messages import AnyMessage
from langgraph.graph import StateGraph

from ....nodes.models.slot import Slot
from ...suites import Judged, last_words
from .agent import build_helpdesk
from .check import check
from .database import make_world, read_end_state, write_world
from .prompt import AGENT, SLOT
from .tasks import Call, Task, make_tasks

Reviewer = Literal["approve", "scripted"]


@dataclass(frozen=True)
class HelpdeskSuite:
    """The tasks of ``make_tasks``, judged by ``check``; a world is an SQLite file."""

    reviewer: Reviewer = "approve"
    """``approve`` always agrees, ``scripted`` knows the task: it edits a wrong amount and rejects a wrong refund."""
    name: str = AGENT
    slots: tuple[str, ...] = (SLOT,)

    def build(self, slots: Mapping[str, Slot]) -> StateGraph[Any]:
        """The helpdesk agent."""
        return build_helpdesk(slots[SLOT])

    def tasks(self, split: str, per_tier: int, seed: int) -> list[Task]:
        """As ``make_tasks``."""
        return make_tasks(split, per_tier, seed)

    def start(self, task: Task, place: Path) -> dict[str, Any]:
        """Write the task's database."""
        place.parent.mkdir(parents=True, exist_ok=True)
        write_world(make_world(task.split, task.seed), place)
        return {"world": str(place)}

    def review(self, task: Task, question: dict[str, Any]) -> dict[str, Any]:
        """What the reviewer says about a refund."""
        answer = {"id": question["id"], "by": f"reviewer:{self.reviewer}"}
        args = question["args"]
        due = task.refunds.get(args["order_id"])
        if self.reviewer == "approve" or due == args["amount"]:
            return {**answer, "type": "approve"}
        if due is None:
            return {**answer, "type": "reject", "text": "this order must not be refunded"}
        return {**answer, "type": "edit", "args": {**args, "amount": due}}

    def reply(self, task: Task, text: str) -> str | None:
        """What the task's customer left out, when asked something."""
        return task.reply if "?" in text else None

    def judge(self, task: Task, place: Path, messages: Sequence[AnyMessage]) -> Judged:
        """The end-state check; there is no single right answer, words that it must hold count as conditions."""
        outcome = check(task, read_end_state(place), last_words(messages))
        return Judged(outcome.met, outcome.conditions)

    def close(self, place: Path) -> None:
        """Remove the database."""
        place.unlink(missing_ok=True)

    def needed(self, task: Task) -> tuple[Call, ...]:
        """The calls of the scripted expert."""
        return task.needed


def make_suite() -> HelpdeskSuite:
    """The helpdesk as evaluations play it: the reviewer always agrees."""
    return HelpdeskSuite()
