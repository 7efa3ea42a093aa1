"""One branch of a thread, step by step: what each checkpoint added, what was asked there, and who answered.

Works for the threads of any LangGraph agent: messages stored whole or as deltas, questions of our act node or of
LangChain's middleware, in the graph itself or in its subgraphs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage
from langgraph.checkpoint.base import CheckpointTuple

from ..errors import UnknownThread
from .bulk_rows import Place
from .foreign import apply_decisions, note_kinds
from .messages import merge_messages
from .pauses import Pause, answers_of, edits_in_state, pauses_at, questions_of
from .prune import CHANNEL, messages_at
from .reading import latest_checkpoint, latest_metadata, list_namespaces, read_messages, time_of
from .rows import place_of
from .store import Store

OURS = ("graph", "format")
"""Metadata that only our own runs and imports write."""
IMPORTED = "format"
"""Metadata that only our imports write."""


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
    outer, inner = _read(store, thread)
    if end not in outer:
        raise UnknownThread(f"thread {thread!r} has no checkpoint {end!r} in {store.name}")
    path: list[CheckpointTuple] = []
    at: CheckpointTuple | None = outer[end]
    while at is not None:
        path.append(at)
        at = outer.get(_parent(at))
    path.reverse()
    return _steps(path, inner, {one.checkpoint["id"]: after for one, after in pairwise(path)})


def read_all_steps(store: Store, thread: str) -> list[Step]:
    """The steps of all branches, parents before children; a question comes with the answer of the branch that took it.

    Raises:
        UnknownThread
    """
    latest_checkpoint(store, thread)
    outer, inner = _read(store, thread)
    children: dict[str, list[CheckpointTuple]] = {}
    for id_ in sorted(outer):
        above = _parent(outer[id_])
        children.setdefault(above if above in outer else "", []).append(outer[id_])
    order: list[CheckpointTuple] = []
    waiting = children.get("", [])[::-1]
    while waiting:
        order.append(waiting.pop())
        waiting += children.get(order[-1].checkpoint["id"], [])[::-1]
    first = {above: min(below, key=lambda one: not _goes_on(one)) for above, below in children.items()}
    return _steps(order, inner, first)


def branch_messages(store: Store, thread: str, leaf: str) -> list[AnyMessage]:
    """The messages at ``leaf``; those of agents that are not ours with people's decisions written into them.

    Raises:
        UnknownThread
    """
    messages = read_messages(store, thread, leaf)
    if not latest_metadata(store, thread).keys().isdisjoint(OURS):
        return messages
    pauses = [pause for step in read_steps(store, thread, leaf) for pause in step.pauses]
    found = store.reader.get_tuple(place_of(thread, leaf))
    edited = found.checkpoint["channel_values"].get("hitl_edited_tool_calls") if found else None
    if edited:
        pauses += edits_in_state(edited, messages)
    return note_kinds(apply_decisions(messages, pauses))


def with_decisions(
    store: Store,
    path: Sequence[Place],
    messages: Sequence[AnyMessage],
    asked: Iterable[Place],
    edited: Mapping[str, Mapping[str, Any]] | None,
) -> list[AnyMessage]:
    """``messages`` of an agent that is not ours, with what people decided written into them.

    ``path`` leads from their leaf to the root, ``asked`` are the checkpoints of the thread where questions were asked,
    and ``edited`` is what LangChain's middleware keeps of people's edits.
    """
    pauses = _pauses_on(store, path, asked)
    if edited:
        pauses += edits_in_state(edited, messages)
    return note_kinds(apply_decisions(messages, pauses))


def find_message(store: Store, thread: str, start: str) -> str:
    """The id of the message of ``thread``, on any branch or in a subgraph, that is or begins with ``start``.

    Raises:
        UnknownThread: no such thread, no such message, or several.
    """
    known = {str(message.id) for step in read_all_steps(store, thread) for message in step.added}
    inside = (read_messages(store, thread, namespace=namespace) for namespace in list_namespaces(store, thread))
    known |= {str(message.id) for messages in inside for message in messages}
    fitting = [start] if start in known else [id_ for id_ in known if id_.startswith(start)]
    if len(fitting) != 1 or not start:
        raise UnknownThread(
            f"thread {thread!r} has {len(fitting) if start else 'no'} messages {start!r} in {store.name}; "
            f"see the ids in `threadmill threads show {thread} --json`"
        )
    return fitting[0]


def questions_and_answers(pause: Pause) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    """Every question of ``pause`` with its answer, or None where there is none."""
    questions, answers = questions_of(pause), answers_of(pause)
    ids = [question.get("id") for question in questions]
    if len(questions) == len(answers) and (not all(ids) or len({*ids}) < len(ids)):
        return [*zip(questions, answers, strict=True)]
    by_id = {answer.get("id"): answer for answer in answers}
    return [(question, by_id.get(question.get("id"))) for question in questions]


def _read(store: Store, thread: str) -> tuple[dict[str, CheckpointTuple], dict[str, list[CheckpointTuple]]]:
    """The thread's own checkpoints by id, and those of its subgraphs by the checkpoint that they ran at."""
    outer: dict[str, CheckpointTuple] = {}
    inner: dict[str, list[CheckpointTuple]] = {}
    for one in store.reader.list({"configurable": {"thread_id": thread}}):
        if str(one.config.get("configurable", {}).get("checkpoint_ns", "")) == "":
            outer[one.checkpoint["id"]] = one
        else:
            inner.setdefault(one.metadata.get("parents", {}).get("", ""), []).append(one)
    return outer, inner


def _parent(one: CheckpointTuple) -> str:
    return str(one.parent_config.get("configurable", {}).get("checkpoint_id", "")) if one.parent_config else ""


def _goes_on(one: CheckpointTuple) -> bool:
    """Whether the checkpoint came by running the steps that its parent had before it: new input or an edit did not."""
    return one.metadata.get("source") == "loop"


def _steps(
    order: Sequence[CheckpointTuple],
    inner: Mapping[str, Sequence[CheckpointTuple]],
    following: Mapping[str, CheckpointTuple],
) -> list[Step]:
    steps: list[Step] = []
    known = {one.checkpoint["id"]: one for one in order}
    said: dict[str, list[AnyMessage]] = {}
    for one in order:
        id_, above = one.checkpoint["id"], _parent(one)
        before = said.get(above, [])
        now = said[id_] = _messages(one, known.get(above), before)
        pauses = _pauses(one, inner.get(id_, ()), now, following.get(id_))
        steps.append(_step(one, before, now, pauses))
    return steps


def _step(one: CheckpointTuple, before: Sequence[AnyMessage], now: Sequence[AnyMessage], pauses: list[Pause]) -> Step:
    known: dict[str | None, AnyMessage] = {}
    added: list[AnyMessage] = []
    changed: list[AnyMessage] = []
    if now is not before:  # most steps say nothing, and threads are long
        known = {message.id: message for message in before}
        for message in now:
            old = known.pop(message.id, None)
            if old is None:
                added.append(message)
            elif old is not message and old != message:
                changed.append(message)
    checkpoint = one.checkpoint["id"]
    return Step(
        checkpoint=checkpoint,
        created_at=time_of(checkpoint) or str(one.checkpoint.get("ts", "")),
        source=str(one.metadata.get("source", "")),
        metadata=dict(one.metadata),
        added=tuple(added),
        changed=tuple(changed),
        removed=tuple(str(id_) for id_ in known),
        pauses=tuple(pauses),
    )


def _messages(one: CheckpointTuple, above: CheckpointTuple | None, before: list[AnyMessage]) -> list[AnyMessage]:
    values = one.checkpoint["channel_values"]
    for channel in (CHANNEL, "__root__"):
        whole = getattr(values.get(channel), "value", values.get(channel))
        if isinstance(whole, (list, tuple)):
            return _only_messages(merge_messages(list(whole), []))
    written = [value for _, channel, value in (above.pending_writes or [] if above else []) if channel == CHANNEL]
    return _only_messages(merge_messages(before, written)) if written else before


def _only_messages(found: Sequence[Any]) -> list[AnyMessage]:
    return [message for message in found if isinstance(message, BaseMessage)]  # type: ignore[misc]


def _pauses(
    one: CheckpointTuple,
    inner: Sequence[CheckpointTuple],
    messages: Sequence[AnyMessage],
    after: CheckpointTuple | None,
) -> list[Pause]:
    """What was asked at a checkpoint; what a subgraph asks lies there too, but is answered inside."""
    until = time_of(after.checkpoint["id"]) if after else ""
    found = {pause.id: pause for pause in pauses_at(one.pending_writes or (), _last(messages), until)}
    for below in inner:
        said = below.checkpoint["channel_values"].get(CHANNEL)
        spoken = _last(_only_messages(getattr(said, "value", said) or []))
        found |= {pause.id: pause for pause in pauses_at(below.pending_writes or (), spoken, until)}
    if after is not None and not _goes_on(after):  # the answer, if there is one, was given on another branch
        return [replace(pause, answer=None, at="") for pause in found.values()]
    return list(found.values())


def _pauses_on(store: Store, path: Sequence[Place], asked: Iterable[Place]) -> list[Pause]:
    """The pauses of a branch, read only where something was asked; as ``read_steps`` finds them."""
    outer = {place for place in asked if not place.namespace}
    inner: dict[str, list[CheckpointTuple]] = {}
    for place in sorted({place for place in asked if place.namespace}, reverse=True, key=lambda one: one.checkpoint):
        if below := _tuple_at(store, place):
            inner.setdefault(below.metadata.get("parents", {}).get("", ""), []).append(below)
    pauses: list[Pause] = []
    for number in range(len(path) - 1, -1, -1):
        place = path[number]
        if place not in outer and place.checkpoint not in inner:
            continue
        if one := _tuple_at(store, place):
            after = _tuple_at(store, path[number - 1]) if number else None
            messages = _only_messages(messages_at(store.reader, one))
            pauses += _pauses(one, inner.get(place.checkpoint, ()), messages, after)
    return pauses


def _tuple_at(store: Store, place: Place) -> CheckpointTuple | None:
    return store.reader.get_tuple(place_of(place.thread, place.checkpoint, place.namespace))


def _last(messages: Sequence[AnyMessage]) -> AIMessage | None:
    return next((message for message in reversed(messages) if isinstance(message, AIMessage)), None)
