"""What selection knows of a branch: small, JSON-safe, without its tokens and without anything that was said in it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from itertools import takewhile
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage

from ...errors import BadSelection
from ..branches import Branch
from ..worlds.helpdesk.tasks import tier_of
from .behaviour import BEHAVIOURS, acts_at, behaviour_of, behaviours_in, went_well
from .conversation import turns_of
from .fingerprints import Fingerprint, fingerprint


@dataclass(frozen=True, slots=True)
class Facts:
    """One branch."""

    thread: str
    checkpoint: str
    agent: str | None
    task: str | None
    tier: str | None
    """As the thread's metadata say, or a helpdesk task's name."""
    success: bool | None
    reward: float | None
    source: str
    """Who says so."""
    behaviours: tuple[str, ...]
    """All that it shows, the one that counts first."""
    tools: tuple[str, ...]
    """Names of the tools that it called, sorted; no unknown ones."""
    turns: int
    """Answers of the agent."""
    calls: int
    """Calls that gave a result."""
    acts: int
    """How many of them do more than read, by the names of their tools; a success with none changed nothing."""
    errors: int
    """Calls that failed, took too long, or could not be run as proposed."""
    asked: Fingerprint
    """Of what people said; if nobody said anything, of all that stands before the first answer."""
    opening: str
    """The hash of what was said first; empty if that has no words."""
    split_key: str
    """Branches with an equal one are on one side of a split."""

    @property
    def behaviour(self) -> str:
        """The one that counts."""
        return self.behaviours[0]

    def to_row(self) -> dict[str, Any]:
        """What a row tells of its branch, JSON-safe."""
        told = ("agent", "tier", "success", "reward", "behaviours", "tools", "turns", "calls", "acts", "errors")
        said = self.to_dict()
        return {"behaviour": self.behaviour, **{name: said[name] for name in told}}

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-safe; ``from_dict`` reads it back."""
        said = {field.name: getattr(self, field.name) for field in fields(self)} | {"asked": asdict(self.asked)}
        return {name: [*value] if isinstance(value, tuple) else value for name, value in said.items()}

    @classmethod
    def from_dict(cls, said: Mapping[str, Any]) -> "Facts":
        """What ``to_dict`` gave.

        Raises:
            BadSelection: it is something else.
        """
        read: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in said.items()}
        try:
            return cls(**{**read, "asked": Fingerprint(**read.get("asked", {}))})
        except TypeError as error:
            raise BadSelection(f"these are no facts: {error}; make them with facts_of") from error


def facts_of(branch: Branch, *, suites: bool = True) -> Facts:
    """The facts of ``branch``; ``asked`` is empty unless it is to be compared with ``suites``."""
    turns = turns_of(branch.messages)
    calls = [call for turn in turns for call in turn.calls]
    behaviours = behaviours_in(turns, went_well(branch.outcome.success, branch.outcome.reward))
    counted = behaviour_of(behaviours)
    asked = _asked(branch)
    opening = fingerprint(asked[:1]).texts
    tier = branch.metadata.get("tier", tier_of(branch.task or ""))
    return Facts(
        thread=branch.thread,
        checkpoint=branch.checkpoint,
        agent=branch.agent,
        task=branch.task,
        tier=None if tier is None else str(tier),
        success=branch.outcome.success,
        reward=branch.outcome.reward,
        source=branch.outcome.source,
        behaviours=(counted, *(name for name in BEHAVIOURS if name in behaviours and name != counted)),
        tools=tuple(sorted({call.tool for call in calls if call.known and call.ending != "not run"})),
        turns=len(turns),
        calls=sum(call.ending == "done" for call in calls),
        acts=sum(acts_at(turn) for turn in turns),
        errors=sum(call.ending == "error" for call in calls),
        asked=fingerprint(asked if suites else ()),
        opening=opening,
        split_key=split_key(branch.thread, branch.task, opening),
    )


def split_key(thread: str, task: str | None, opening: str) -> str:
    """The task, else the opening, else the thread.

    >>> split_key("t1", "simple-3", "Kq1a"), split_key("t1", None, "Kq1a"), split_key("t1", None, "")
    ('task simple-3', 'opening Kq1a', 'thread t1')
    """
    if task is not None:
        return f"task {task}"
    return f"opening {opening}" if opening else f"thread {thread}"


def _asked(branch: Branch) -> list[str]:
    said = [str(message.text) for message in branch.messages if isinstance(message, HumanMessage)]
    if not said:
        before = takewhile(lambda message: not isinstance(message, AIMessage), branch.messages)
        said = ["\n".join(str(message.text) for message in before)]
    return said
