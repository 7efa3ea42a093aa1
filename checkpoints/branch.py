"""One branch of a thread, step by step: what each checkpoint added, what was asked there, and who answered.

Works for the threads of any LangGraph agent: messages stored whole or as deltas, questions of our act node or of
LangChain's middleware, in the graph itself or in its subgraphs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langgraph.checkpoint.base import CheckpointTuple

from ..errors import UnknownThread
from .foreign import apply_decisions, note_kinds
from .messages import merge_messages
from .pauses import Pause, answers_of, edits_in_state, pauses_at, questions_of
from .prune import CHANNEL
from .reading import latest_checkpoint, latest_metadata, read_messages, time_of
from .store import Store

OURS = ("graph", "format")
"""Metadata that only our own runs and imports write."""


@dataclass(frozen=True, slots=True)
class Step:
    """One checkpoint of a branch."""

    checkpoint: str
    created_at: str
    source: str
    metadata: Mapping[str, Any]
    added: tuple[AnyMessage, ...]
    """Messages that were not there at the step before, in order."""
    changed: tuple[AnyMessage, ...]
    """Messages that were there, but said something else."""
    removed: tuple[str, ...]
    """Ids of messages that are there no longer."""
    pauses: tuple[Pause, ...]
    """What was asked at this checkpoint, answered or not."""


def read_steps(store: Store, thread: str, leaf: str | None = None) -> list[Step]:
    """The steps from the root to ``leaf`` (default: the newest checkpoint).

    Raises:
        UnknownThread: no such thread, or no such checkpoint of it.
    """
    end = leaf or latest_checkpoint(store, thread)
    found = list(store.reader.list({"configurable": {"thread_id": thread}}))
    outer = {one.checkpoint["id"]: one for one in found if _namespace(one) == ""}
    inner = [one for one in found if _namespace(one) != ""]
    if end not in outer:
        raise UnknownThread(f"thread {thread!r} has no checkpoint {end!r} in {store.name}")
    path: list[CheckpointTuple] = []
    at: CheckpointTuple | None = outer[end]
    while at is not None:
        path.append(at)
        above = at.parent_config.get("configurable", {}).get("checkpoint_id") if at.parent_config else None
        at = outer.get(above) if above else None
    path.reverse()
    steps: list[Step] = []
    before: list[AnyMessage] = []
    for place, one in enumerate(path):
        now = _messages(one, path[place - 1] if place else None, before)
        until = time_of(path[place + 1].checkpoint["id"]) if place + 1 < len(path) else ""
        steps.append(_step(one, before, now, _pauses(one, inner, now, until)))
        before = now
    return steps


def branch_messages(store: Store, thread: str, leaf: str) -> list[AnyMessage]:
    """The messages at ``leaf``; those of agents that are not ours with people's decisions written into them.

    Raises:
        UnknownThread
    """
    messages = read_messages(store, thread, leaf)
    if not latest_metadata(store, thread).keys().isdisjoint(OURS):
        return messages
    pauses = [pause for step in read_steps(store, thread, leaf) for pause in step.pauses]
    place: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": "", "checkpoint_id": leaf}}
    found = store.reader.get_tuple(place)
    edited = found.checkpoint["channel_values"].get("hitl_edited_tool_calls") if found else None
    if edited:
        pauses += edits_in_state(edited, messages)
    return note_kinds(apply_decisions(messages, pauses))


def questions_and_answers(pause: Pause) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Every question of ``pause`` with its answer, or None where there is none."""
    questions, answers = questions_of(pause), answers_of(pause)
    by_id = {answer.get("id"): answer for answer in answers}
    if len(questions) == len(answers) == 1:
        return [(questions[0], answers[0])]
    return [(question, by_id.get(question.get("id"))) for question in questions]


def _step(one: CheckpointTuple, before: Sequence[AnyMessage], now: Sequence[AnyMessage], pauses: list[Pause]) -> Step:
    known = {message.id: message for message in before}
    here = {message.id for message in now}
    checkpoint = one.checkpoint["id"]
    return Step(
        checkpoint=checkpoint,
        created_at=time_of(checkpoint) or str(one.checkpoint.get("ts", "")),
        source=str(one.metadata.get("source", "")),
        metadata=dict(one.metadata),
        added=tuple(message for message in now if message.id not in known),
        changed=tuple(message for message in now if message.id in known and message != known[message.id]),
        removed=tuple(str(message.id) for message in before if message.id not in here),
        pauses=tuple(pauses),
    )


def _messages(one: CheckpointTuple, above: CheckpointTuple | None, before: Sequence[AnyMessage]) -> list[AnyMessage]:
    values = one.checkpoint["channel_values"]
    for channel in (CHANNEL, "__root__"):
        whole = getattr(values.get(channel), "value", values.get(channel))
        if isinstance(whole, (list, tuple)):
            return _only_messages(merge_messages(list(whole), []))
    written = [value for _, channel, value in (above.pending_writes or [] if above else []) if channel == CHANNEL]
    return _only_messages(merge_messages(before, written))


def _only_messages(found: Sequence[Any]) -> list[AnyMessage]:
    return [message for message in found if isinstance(message, BaseMessage)]  # type: ignore[misc]


def _pauses(
    one: CheckpointTuple, inner: Sequence[CheckpointTuple], messages: Sequence[AnyMessage], until: str
) -> list[Pause]:
    """What was asked at a checkpoint; what a subgraph asks lies there too, but is answered inside."""
    found = {pause.id: pause for pause in pauses_at(one.pending_writes or (), _last(messages), until)}
    for below in inner:
        if below.metadata.get("parents", {}).get("") == one.checkpoint["id"]:
            said = below.checkpoint["channel_values"].get(CHANNEL)
            spoken = _last(_only_messages(getattr(said, "value", said) or []))
            found |= {pause.id: pause for pause in pauses_at(below.pending_writes or (), spoken, until)}
    return list(found.values())


def _last(messages: Sequence[AnyMessage]) -> AIMessage | None:
    return next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)


def _namespace(one: CheckpointTuple) -> str:
    return str(one.config.get("configurable", {}).get("checkpoint_ns", ""))
