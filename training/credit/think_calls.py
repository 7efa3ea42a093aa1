"""The model calls of a finished thread: what had happened before each, and the checkpoint to fork it from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage

from ...checkpoints.branch import Step, read_steps
from ...checkpoints.store import Store


@dataclass(frozen=True, slots=True)
class ThinkCall:
    """One message of a model on the newest branch of a thread."""

    message: str
    checkpoint: str | None
    """Where the model was about to be asked; None if the thread does not hold it (imported, pruned, forked)."""
    history: tuple[AnyMessage, ...]
    """Everything that had been said by then, also what was taken out of the context since."""
    rounds: int
    """How often people had been asked, or had replied, by then."""


@dataclass(frozen=True, slots=True)
class Episode:
    """The newest branch of a thread, call by call."""

    thread: str
    calls: tuple[ThinkCall, ...]
    messages: tuple[AnyMessage, ...]
    """All that was said in it."""
    leaf: str
    """Its last checkpoint."""


def read_episode(store: Store, thread: str) -> Episode:
    """The model calls of ``thread`` in order; calls of one superstep have the same checkpoint.

    Raises:
        UnknownThread
    """
    return _episode(thread, read_steps(store, thread))


def state_key(task: str, history: Sequence[BaseMessage]) -> str:
    """Equal for states in which the same was said in the same task, by whatever thread: ids and traces do not count."""
    said = [
        [message.type, message.content, [[call["name"], call["args"]] for call in getattr(message, "tool_calls", ())]]
        for message in history
    ]
    return blake2b(json.dumps([task, said], sort_keys=True, default=str).encode(), digest_size=12).hexdigest()


def _episode(thread: str, steps: Sequence[Step]) -> Episode:
    calls: list[ThinkCall] = []
    said: dict[str, AnyMessage] = {}
    asked = 0
    above: str | None = None
    for step in steps:
        history = tuple(said.values())
        replies = sum(isinstance(message, HumanMessage) for message in history)
        calls += [
            ThinkCall(str(message.id), above, history, asked + max(0, replies - 1))
            for message in step.added
            if isinstance(message, AIMessage)
        ]
        said |= {str(message.id): message for message in (*step.changed, *step.added)}
        asked += bool(step.pauses)
        above = step.checkpoint
    return Episode(thread, tuple(calls), tuple(said.values()), steps[-1].checkpoint)
