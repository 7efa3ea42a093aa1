"""A suite: tasks with a world, an agent that plays them, people who answer it, and a check of how they end.

Whoever plays tasks (rollouts, GRPO, evaluation, forks) knows a suite by this protocol alone.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from langchain_core.messages import AnyMessage
from langgraph.graph import StateGraph

from ..errors import UnknownSuite
from ..graphs.loading import load_module
from ..nodes.models.slot import Slot

BUILT_IN = {
    "helpdesk": "threadmill.training.worlds.helpdesk.suite:make_suite",
    "injection": "threadmill.training.worlds.injection.suite:make_suite",
    "reasoning": "threadmill.training.worlds.reasoning.suite:make_suite",
}
"""Name to ``module:function``; the function is called without arguments."""
FORMS = (
    "file.py:make_suite, tasks.jsonl, tasks.jsonl:AGENT, bfcl:FOLDER, bfcl:FOLDER:CATEGORY, functionchat:FILE, "
    "replay:URL#CONDITIONS"
)
"""Suites that are not built in."""
_JSONL = re.compile(r"(?P<file>.+\.jsonl)(:(?P<agent>.+))?")


class SuiteTask(Protocol):
    """What everybody may know of a task; the rest is between the suite and itself."""

    @property
    def id(self) -> str:
        """Equal ids are equal tasks."""
        ...

    @property
    def tier(self) -> str:
        """How difficult it is, by name."""
        ...

    @property
    def text(self) -> str:
        """The first user turn."""
        ...

    @property
    def split(self) -> str:
        """``train`` or ``heldout``."""
        ...

    @property
    def seed(self) -> int:
        """Of its world."""
        ...


@dataclass(frozen=True, slots=True)
class Judged:
    """How an episode ended: ``met`` of ``conditions``."""

    met: int
    conditions: int
    expected: str | None = None
    """The one right answer, where there is one."""

    @property
    def reward(self) -> float:
        """Partial credit k/n, between 0 and 1."""
        return self.met / self.conditions

    @property
    def success(self) -> bool:
        """Whether every condition was met."""
        return self.met == self.conditions


class Suite(Protocol):
    """Tasks of one agent; its methods are called from many threads at once.

    Two more may be there: ``memories(task)``, the LangGraph store of an episode, else each has an empty one of its own;
    and ``looks_inside``: true if ``judge`` wants what was said inside of the agent's nodes too, before its messages.
    """

    @property
    def name(self) -> str:
        """In commands, labels and thread ids."""
        ...

    @property
    def slots(self) -> tuple[str, ...]:
        """Of the agent: ``<agent>.<node>``."""
        ...

    def build(self, slots: Mapping[str, Slot]) -> StateGraph[Any]:
        """The agent, uncompiled; ``slots`` has one for each name."""
        ...

    def tasks(self, split: str, per_tier: int, seed: int) -> Sequence[Any]:
        """``per_tier`` ``SuiteTask``s of each tier; equal arguments give equal tasks, splits share none."""
        ...

    def start(self, task: Any, place: Path) -> dict[str, Any]:
        """Make the world of ``task``, a file or a folder at ``place``, anew; ``configurable`` of the run in it."""
        ...

    def review(self, task: Any, question: dict[str, Any]) -> dict[str, Any]:
        """The answer to one question of an interrupt, as ``answer_thread`` takes it."""
        ...

    def reply(self, task: Any, text: str) -> str | None:
        """What the user says, once, after the answer ``text``; None if nothing."""
        ...

    def judge(self, task: Any, place: Path, messages: Sequence[AnyMessage]) -> Judged:
        """How the episode stands: its world at ``place``, and its ``messages``."""
        ...

    def close(self, place: Path) -> None:
        """Take the world at ``place`` away; nothing happens if there is none."""
        ...

    def needed(self, task: Any) -> tuple[tuple[str, dict[str, Any]], ...] | None:
        """The calls of the shortest solution, name and arguments; None if nobody knows it."""
        ...


def open_suite(name: str) -> Suite:
    """The suite of this name; what forms there are is in ``FORMS``.

    Raises:
        UnknownSuite: there is none.
        BadSuite: its file holds something that is no task.
    """
    if name.startswith("bfcl:"):
        from .worlds.calling.bfcl import make_bfcl

        return make_bfcl(name.removeprefix("bfcl:"))
    if name.startswith("functionchat:"):
        from .worlds.calling.dialog import make_functionchat

        return make_functionchat(name.removeprefix("functionchat:"))
    if name.startswith("replay:"):
        from .replay_suite import make_replay

        return make_replay(name.removeprefix("replay:"))
    if in_file := _JSONL.fullmatch(name):
        from .jsonl_suite import open_jsonl

        return open_jsonl(Path(in_file["file"]), in_file["agent"])
    place = BUILT_IN.get(name, name)
    source, colon, function = place.rpartition(":")
    if not colon:
        raise UnknownSuite(f"no suite {name!r}; built in: {', '.join(BUILT_IN)}; your own: {FORMS}")
    try:
        return getattr(load_module(source), function)()
    except (ImportError, AttributeError, OSError) as error:
        raise UnknownSuite(
            f"the suite {name!r} cannot be opened: {error}; its file must define {function}(), which takes nothing"
        ) from error


def last_words(messages: Sequence[AnyMessage]) -> str:
    """The text that the agent ended with; empty if it did not have the last word."""
    last = messages[-1] if messages else None
    if last is None or last.type != "ai" or last.tool_calls or last.invalid_tool_calls:
        return ""
    return last.text
