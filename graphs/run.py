"""Running a thread: a new user turn, an answer to its questions, or going on after a crash.

Every run says in its checkpoints' metadata who ran: agent and graph digest. What a run was given in
``configurable`` (a world, a seed) is read back from there, so whoever resumes need not know it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from json import dumps
from typing import Any, Literal
from uuid import uuid4

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import START
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, Interrupt, StateSnapshot
from pydantic import ValidationError

from ..errors import BadAnswer, BadConfig, NotPaused, StillPaused, StoreFull, UnknownThread
from ..nodes.answers import check_answers

Agent = CompiledStateGraph[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a thread stands after a run."""

    thread: str
    status: Literal["done", "paused", "failed"]
    """``failed``: an exception or a crash stopped the run; ``continue_thread`` takes it up again."""
    answer: str | None
    """The last message's text, if the agent had the last word."""
    questions: tuple[dict[str, Any], ...]
    versions: dict[str, str]


def run_thread(
    graph: Agent,
    thread: str,
    text: str | HumanMessage,
    *,
    metadata: Mapping[str, Any] | None = None,
    configurable: Mapping[str, Any] | None = None,
) -> Outcome:
    """Give a new or finished thread the next user turn and run it until it ends or asks.

    ``text`` may be a message with files, as ``attach`` makes it. What the model raises passes through; the thread
    keeps every finished step and can be continued.

    Raises:
        StillPaused: the thread waits for an answer, or stopped where a new turn would push aside what it has done.
        ThreadBusy: another process, or another Python thread, drives the thread.
        StoreFull: the disk is full.
    """
    with driving(graph, thread):
        before = graph.get_state(_named(thread))
        return _go(graph, thread, *_new_turn(graph, thread, before, text, metadata, configurable))


def answer_thread(graph: Agent, thread: str, answers: Sequence[Mapping[str, Any]]) -> Outcome:
    """Answer all open questions of a paused thread and run it on.

    Each answer: the question's ``id`` and a ``type`` out of its choices; ``args`` to edit, ``text`` to reject
    or respond; ``by`` and ``at`` (ISO 8601; the present time if missing).

    Raises:
        UnknownThread, NotPaused, ThreadBusy, StoreFull
        BadAnswer: an answer does not fit; the thread stays paused.
    """
    with driving(graph, thread):
        before = _known(thread, graph.get_state(_named(thread)))
        return _go(graph, thread, *_answered(graph, thread, before, answers))


def continue_thread(graph: Agent, thread: str) -> Outcome:
    """Take up a thread that a crash or an exception stopped; finished calls are not run again.

    A thread that is done or paused is left as it is.

    Raises:
        UnknownThread, ThreadBusy, StoreFull
    """
    with driving(graph, thread):
        before = _known(thread, graph.get_state(_named(thread)))
        if before.interrupts or not before.tasks:
            return _outcome(thread, before.values, before.interrupts)
        return _go(graph, thread, None, _config(graph, thread, before))


async def arun_thread(
    graph: Agent,
    thread: str,
    text: str | HumanMessage,
    *,
    metadata: Mapping[str, Any] | None = None,
    configurable: Mapping[str, Any] | None = None,
) -> Outcome:
    """``run_thread`` for async agents."""
    with driving(graph, thread):
        before = await graph.aget_state(_named(thread))
        return await _ago(graph, thread, *_new_turn(graph, thread, before, text, metadata, configurable))


async def aanswer_thread(graph: Agent, thread: str, answers: Sequence[Mapping[str, Any]]) -> Outcome:
    """``answer_thread`` for async agents."""
    with driving(graph, thread):
        before = _known(thread, await graph.aget_state(_named(thread)))
        return await _ago(graph, thread, *_answered(graph, thread, before, answers))


async def acontinue_thread(graph: Agent, thread: str) -> Outcome:
    """``continue_thread`` for async agents."""
    with driving(graph, thread):
        before = _known(thread, await graph.aget_state(_named(thread)))
        if before.interrupts or not before.tasks:
            return _outcome(thread, before.values, before.interrupts)
        return await _ago(graph, thread, None, _config(graph, thread, before))


def read_outcome(graph: Agent, thread: str) -> Outcome:
    """Where ``thread`` stands now.

    Raises:
        UnknownThread
    """
    state = _known(thread, graph.get_state(_named(thread)))
    return _outcome(thread, state.values, state.interrupts, failed=bool(state.tasks))


def graph_digest(graph: Agent) -> str:
    """Twelve hexadecimal digits that change with nodes, edges, tools and settings of ``graph``, policies among them.

    A graph that is one of its nodes counts, too.
    """
    builder = graph.builder
    noted = {name: {**(node.metadata or {}), **_inside(node)} for name, node in builder.nodes.items()}
    nodes = sorted((name, sorted(notes.items())) for name, notes in noted.items())
    routes = sorted((source, sorted(routes)) for source, routes in builder.branches.items())
    told = dumps([nodes, sorted(builder.edges), routes], default=lambda value: type(value).__name__)
    return sha256(told.encode()).hexdigest()[:12]


def driving(graph: Agent, thread: str) -> AbstractContextManager[None]:
    """The lease on ``thread`` of the graph's saver; savers that are not a Store's know no leases.

    Raises:
        ThreadBusy: on entering, if somebody else drives the thread.
        BadConfig: the graph is not compiled, or has no saver.
    """
    if not getattr(graph, "checkpointer", None):
        what = "has no saver" if hasattr(graph, "checkpointer") else "is not compiled"
        raise BadConfig(f"the graph {what}; give graph.compile(checkpointer=store.saver), or InMemorySaver() to try it")
    leases = getattr(graph.checkpointer, "leases", None)
    return nullcontext() if leases is None else leases.hold(thread)


def _inside(node: Any) -> dict[str, str]:
    return {"graph": graph_digest(node.runnable)} if isinstance(node.runnable, CompiledStateGraph) else {}


def _new_turn(
    graph: Agent,
    thread: str,
    before: StateSnapshot,
    text: str | HumanMessage,
    metadata: Mapping[str, Any] | None,
    configurable: Mapping[str, Any] | None,
) -> tuple[Any, RunnableConfig]:
    if before.interrupts:
        raise StillPaused(_waiting(thread, _questions(before.interrupts)))
    if _calls_are_open(before) or any(
        task.result is not None or task.state or task.name in _NOT_PUSHED_ASIDE for task in before.tasks
    ):
        raise StillPaused(f"thread {thread!r} stopped half-way; continue it first ({_how_to_continue(thread)})")
    said = text if isinstance(text, HumanMessage) else HumanMessage(text)
    message = said.model_copy(update={"id": said.id or str(uuid4())})
    return {"messages": [message]}, _config(graph, thread, before, metadata, configurable)


def _answered(
    graph: Agent, thread: str, before: StateSnapshot, answers: Sequence[Mapping[str, Any]]
) -> tuple[Any, RunnableConfig]:
    asked = before.interrupts
    if not asked and before.tasks:
        how = _how_to_continue(thread)
        raise NotPaused(f"thread {thread!r} asks nothing: its run stopped half-way; continue it ({how})")
    if not asked:
        raise NotPaused(f"thread {thread!r} asks nothing; give it a new turn with `threadmill run`")
    now = datetime.now(UTC).isoformat(timespec="seconds")
    signed = [{"by": "human", "at": now, **answer} for answer in answers]
    if len(asked) == 1:
        check_answers(_questions(asked), answers, asked[0].response_schema)
        return Command(resume={"answers": _as_shown(signed, asked[0])}), _config(graph, thread, before)
    parts = _parts(asked, signed)
    for one in asked:
        check_answers(_questions([one]), parts[one.id], one.response_schema)
    resume = {one.id: {"answers": _as_shown(parts[one.id], one)} for one in asked}
    return Command(resume=resume), _config(graph, thread, before)


def _as_shown(answers: Sequence[Mapping[str, Any]], asked: Interrupt) -> list[Mapping[str, Any]]:
    """``answers``, the approvals among them with the arguments that were shown: those are approved, and no others."""
    shown = {question["id"]: question["args"] for question in _questions([asked])}
    return [
        {"args": shown[answer["id"]], **answer} if answer.get("type") == "approve" else answer for answer in answers
    ]


def _parts(asked: Sequence[Interrupt], answers: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """To each of several tasks that ask, such as steps at work at the same time, the answers to its own questions.

    Two conversations may have a call of the same id: those are answered in the order in which they stand.
    """
    parts: dict[str, list[Mapping[str, Any]]] = {one.id: [] for one in asked}
    left = list(answers)
    for one in sorted(asked, key=_place):
        for question in _questions([one]):
            found = next((answer for answer in left if answer.get("id") == question["id"]), None)
            if found is not None:
                parts[one.id].append(found)
                left.remove(found)
    if left:
        parts[asked[0].id] += left  # refused there by name
    return parts


def _go(graph: Agent, thread: str, given: Any, config: RunnableConfig) -> Outcome:
    with _errors_named(thread):
        values = graph.invoke(given, config, durability="sync")
    return _outcome(thread, values, values.get("__interrupt__", ()))


async def _ago(graph: Agent, thread: str, given: Any, config: RunnableConfig) -> Outcome:
    with _errors_named(thread):
        values = await graph.ainvoke(given, config, durability="sync")
    return _outcome(thread, values, values.get("__interrupt__", ()))


@contextmanager
def _errors_named(thread: str) -> Iterator[None]:
    """A full disk, and an answer that the node itself refuses, by their own names."""
    try:
        yield
    except ValidationError as error:
        wrong = error.errors()[0].get("ctx", {}).get("error")
        raise wrong if isinstance(wrong, BadAnswer) else error from None
    except Exception as error:
        if "database or disk is full" not in str(error):
            raise
        raise StoreFull(
            f"no room for thread {thread!r}: {error}; what was finished is kept; make room, then continue it"
        ) from error


def _known(thread: str, state: StateSnapshot) -> StateSnapshot:
    if state.created_at is None:
        raise UnknownThread(f"thread {thread!r} has no checkpoints; try `threadmill threads list`")
    return state


def _outcome(
    thread: str, values: Mapping[str, Any], interrupts: Sequence[Interrupt], *, failed: bool = False
) -> Outcome:
    messages = values.get("messages", [])
    last = messages[-1] if messages else None
    spoke = isinstance(last, AIMessage) and not (last.tool_calls or last.invalid_tool_calls)
    return Outcome(
        thread=thread,
        status="paused" if interrupts else "failed" if failed else "done",
        answer=last.text if last is not None and spoke else None,
        questions=_questions(interrupts),
        versions=dict(values.get("versions", {})),
    )


def _questions(interrupts: Sequence[Interrupt]) -> tuple[dict[str, Any], ...]:
    ours = [one for one in interrupts if isinstance(one.value, Mapping) and "questions" in one.value]
    return tuple(question for asked in sorted(ours, key=_place) for question in asked.value["questions"])


def _place(asked: Interrupt) -> str:
    """The same order however the tasks ended that ask."""
    return asked.id


def _waiting(thread: str, questions: Sequence[Mapping[str, Any]]) -> str:
    asked = "; ".join(
        f"{q['tool']}({', '.join(f'{name}={value!r}' for name, value in q['args'].items())}): {q['why']} "
        f"[{q['id']}: {', '.join(q['choices'])}]"
        for q in questions
    )
    return f"thread {thread!r} waits for an answer: {asked}; try `threadmill threads approve {thread}`"


def _how_to_continue(thread: str) -> str:
    return f"`threadmill threads continue {thread}`, or continue_thread"


def _calls_are_open(before: StateSnapshot) -> bool:
    """Did the run stop between a message with calls and their results, in whichever node answers them?"""
    last = (before.values.get("messages") or [None])[-1] if before.tasks else None
    return isinstance(last, AIMessage) and bool(last.tool_calls)


def _named(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread}}


_NOT_PUSHED_ASIDE = {START, "act", "tool"}
"""Steps that a new turn must not take the place of, even unfinished: an accepted turn, proposed calls, a subgraph.

Nor that of any finished step that a crash kept from being saved as a checkpoint. LangGraph drops the writes of pending
tasks when it gets new input, and its ``next`` leaves finished tasks out: ``tasks`` has them all.
"""

_OF_ONE_STEP = {
    *("source", "step", "run_id", "as_node", "editor", "agent", "graph"),
    *("fork_of", "replay", "replay_of"),
}
"""Metadata that says how one checkpoint came about, so it is not handed on to the next run."""


def _config(
    graph: Agent,
    thread: str,
    before: StateSnapshot,
    metadata: Mapping[str, Any] | None = None,
    configurable: Mapping[str, Any] | None = None,
) -> RunnableConfig:
    remembered = {
        key: value
        for key, value in (before.metadata or {}).items()
        if isinstance(value, (str, int, float)) and key not in _OF_ONE_STEP
    }
    agent = {"agent": _agent_name(graph), "graph": graph_digest(graph)}
    return {
        "configurable": {**remembered, **(metadata or {}), **(configurable or {}), "thread_id": thread},
        "metadata": {**agent, **(metadata or {})},
    }


def _agent_name(graph: Agent) -> str:
    notes = (node.metadata or {} for node in graph.builder.nodes.values())
    return next((note["agent"] for note in notes if "agent" in note), graph.name)
