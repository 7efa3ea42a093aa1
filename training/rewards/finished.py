"""One finished episode, as rewards see it: what was said, what the world says of it, what was asked for.

A reward is a pure function of this record and of nothing else: no clock, no network, no world.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ...checkpoints.inner import Conversation
from ...nodes.bound_tools import tools_at
from ...nodes.models.trace import read_trace
from ..suites import Judged, SuiteTask, last_words

Status = Literal["done", "paused", "failed", "truncated"]
"""``failed``: an exception stopped it; ``truncated``: it ran out of tokens or turns."""

Needed = tuple[tuple[str, Mapping[str, Any]], ...]
Due = Literal["act", "ask", "refuse"]
"""What is right to do: act on what is known, ask the user for what is missing, or refuse."""


@dataclass(frozen=True, slots=True)
class Finished:
    """One episode. What nobody knows is None; the rewards that need it refuse such an episode by name."""

    thread: str
    messages: tuple[BaseMessage, ...] = ()
    task: str = ""
    tier: str = ""
    text: str = ""
    """What the task asks for."""
    answer: str = ""
    """What the agent ended with; empty if it did not have the last word."""
    status: Status = "done"
    met: int | None = None
    """Conditions of the end state that came true, out of ``conditions``."""
    conditions: int | None = None
    expected: str | None = None
    """The one right answer, where there is one."""
    needed: Needed | None = None
    """The calls of the shortest solution."""
    tools: tuple[Mapping[str, Any], ...] = ()
    """What the policy could call, as OpenAI writes tools."""
    exit_code: int | None = None
    """Of the last program that a tool ran."""
    sampled_tokens: int = 0
    approved: frozenset[str] = frozenset()
    """Ids of the calls that a person allowed, after the agent had asked."""
    due: Due | None = None
    inner: tuple[Conversation, ...] = ()
    """What was said inside of its nodes: by agents, in steps, in trials."""
    slots: Mapping[str, str] = field(default_factory=dict)
    """Message of a model to the slot that answered, where that is known."""

    @property
    def conversations(self) -> tuple[tuple[BaseMessage, ...], ...]:
        """The thread's own messages, then those that were said only inside: every message once."""
        known = {message.id for message in self.messages} - {None}
        talks = [self.messages]
        for one in self.inner:
            talks.append(tuple(message for message in one.messages if message.id not in known))
            known |= {message.id for message in one.messages} - {None}
        return tuple(talks)


Reward = Callable[[Finished], float]
GroupReward = Callable[[Sequence[Finished]], list[float]]
"""From the episodes of one task to a number for each, in their order."""


class Reasoned(float):
    """A reward with the reason that its giver gave; otherwise an ordinary number."""

    why: str

    def __new__(cls, value: float, why: str) -> "Reasoned":
        """``value``, because of ``why``."""
        made = super().__new__(cls, value)
        made.why = why
        return made


def make_finished(
    thread: str,
    messages: Sequence[BaseMessage],
    *,
    task: SuiteTask | None = None,
    judged: Judged | None = None,
    needed: Needed | None = None,
    status: Status = "done",
    approved: Iterable[str] = (),
    inner: Sequence[Conversation] = (),
    slots: Mapping[str, str] | None = None,
) -> Finished:
    """The record of an episode that was just played; answer, tools, exit code and tokens are read off its messages.

    A crash may leave no ``messages`` and no judgement (None). ``approved`` are ids of calls that a person allowed.
    Tasks whose suite knows what is right to do say so with an attribute ``due``.
    """
    said = [*messages, *(message for one in inner for message in one.messages)]
    return Finished(
        thread=thread,
        messages=tuple(messages),
        task=task.id if task else "",
        tier=task.tier if task else "",
        text=task.text if task else _first_words(messages),
        answer=last_words(messages),  # pyright: ignore[reportArgumentType]
        status=status,
        met=judged.met if judged else None,
        conditions=judged.conditions if judged else None,
        expected=judged.expected if judged else None,
        needed=needed,
        tools=tuple(tools_at(messages)),
        exit_code=exit_code_of(said),
        sampled_tokens=sampled_tokens_of(said),
        approved=frozenset(approved),
        due=getattr(task, "due", None),
        inner=tuple(inner),
        slots=slots or {},
    )


def exit_code_of(messages: Sequence[BaseMessage]) -> int | None:
    """That of the last program: ``exit_code`` or ``returncode`` in the artifact or the notes of a tool's message.

    >>> exit_code_of([ToolMessage("ok", tool_call_id="1", artifact={"exit_code": 0})])
    0
    """
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            continue
        for notes in (message.artifact, message.additional_kwargs):
            for key in ("exit_code", "returncode"):
                if isinstance(notes, Mapping) and isinstance(notes.get(key), int):
                    return notes[key]
    return None


def sampled_tokens_of(messages: Sequence[BaseMessage]) -> int:
    """How many tokens the policy sampled, by the traces; for models that record none, by their ``usage_metadata``.

    A message that is there twice counts once.
    """
    total = 0
    for message in {message.id or number: message for number, message in enumerate(messages)}.values():
        trace = read_trace(message)
        if trace is not None:
            total += len(trace.sampled_ids)
        elif isinstance(message, AIMessage) and message.usage_metadata:
            total += message.usage_metadata["output_tokens"]
    return total


def _first_words(messages: Sequence[BaseMessage]) -> str:
    return next((message.text for message in messages if message.type == "human"), "")
