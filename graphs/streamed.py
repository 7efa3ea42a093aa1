"""Running a thread while it tells what happens: each token, what tools report, each message that is stored.

The same as ``run_thread``, ``answer_thread`` and ``continue_thread``, for those who show a run to somebody. It goes on
as the events are taken; who leaves early closes the iterator, and the thread can be continued.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from threading import Event as Flag
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl

from .run import Agent, Outcome, _answered, _config, _errors_named, _known, _named, _new_turn, _outcome, driving


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of what a model is saying; a model that cannot stream says all in one piece."""

    text: str
    message: str
    """The id of the message; its pieces joined are the text that is stored."""
    inside: str
    """The agent inside of this one that speaks; empty if it is this one."""
    is_reasoning: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A message as the thread holds it from now on; one that was changed comes again, with its id."""

    message: AnyMessage
    node: str
    inside: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a node said while it worked: of a tool, that it ``started``, its ``progress``, and that it ``finished``."""

    event: Any
    inside: str


Event = Token | Stored | Told | Outcome


def stream_thread(
    graph: Agent,
    thread: str,
    text: str | HumanMessage,
    *,
    metadata: Mapping[str, Any] | None = None,
    configurable: Mapping[str, Any] | None = None,
    stop: Flag | None = None,
) -> Generator[Event]:
    """``run_thread`` event by event, with the outcome as the last.

    When ``stop`` is set, the run ends before the next token or step, ``failed``: it can be continued.
    """
    with driving(graph, thread):
        before = graph.get_state(_named(thread))
        given, config = _new_turn(graph, thread, before, text, metadata, configurable)
        yield from _go(graph, thread, given, config, before.values, stop)


def stream_answers(
    graph: Agent, thread: str, answers: Sequence[Mapping[str, Any]], *, stop: Flag | None = None
) -> Generator[Event]:
    """``answer_thread`` event by event, with the outcome as the last."""
    with driving(graph, thread):
        before = _known(thread, graph.get_state(_named(thread)))
        given, config = _answered(graph, thread, before, answers)
        yield from _go(graph, thread, given, config, before.values, stop)


def stream_on(graph: Agent, thread: str, *, stop: Flag | None = None) -> Generator[Event]:
    """``continue_thread`` event by event, with the outcome as the last."""
    with driving(graph, thread):
        before = _known(thread, graph.get_state(_named(thread)))
        if before.interrupts or not before.tasks:
            yield _outcome(thread, before.values, before.interrupts)
            return
        yield from _go(graph, thread, None, _config(graph, thread, before), before.values, stop)


class _Stopped(BaseException):
    """Ends a model call; no ``Exception``, or the next model would be asked instead."""


class _StopAtToken(BaseCallbackHandler):
    raise_error = True

    def __init__(self, stop: Flag) -> None:
        self.stop = stop

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        if self.stop.is_set():
            raise _Stopped


def _go(
    graph: Agent, thread: str, given: Any, config: RunnableConfig, before: Mapping[str, Any], stop: Flag | None
) -> Generator[Event]:
    known = {message.id for message in before.get("messages", ())}
    control = RunControl()
    if stop is not None:
        config = {**config, "callbacks": [_StopAtToken(stop)]}
    parts: Any = graph.stream(
        given,
        config,
        stream_mode=["messages", "updates", "custom"],
        version="v2",
        durability="sync",
        subgraphs=True,
        control=control,
    )
    try:
        with _errors_named(thread), closing(parts):
            for part in parts:
                yield from _events(part, known)
                if stop is not None and stop.is_set():
                    control.request_drain()
    except (_Stopped, GraphDrained):
        pass
    after = graph.get_state(_named(thread))
    yield _outcome(thread, after.values, after.interrupts, failed=bool(after.tasks))


def _events(part: Mapping[str, Any], known: set[str | None]) -> Generator[Event]:
    inside = part["ns"][-1].partition(":")[0] if part["ns"] else ""
    if part["type"] == "custom":
        yield Told(part["data"], inside)
    elif part["type"] == "messages":
        message, _ = part["data"]
        if isinstance(message, AIMessage) and message.id not in known:
            yield from _tokens(message, inside)
    else:
        for node, update in part["data"].items():
            for message in _messages(update):
                yield Stored(message, node, inside)


def _tokens(message: AIMessage, inside: str) -> Generator[Token]:
    for block in message.content_blocks:
        if block["type"] == "reasoning" and (thought := block.get("reasoning")):
            yield Token(thought, message.id or "", inside, is_reasoning=True)
    if text := message.text:
        yield Token(text, message.id or "", inside)


def _messages(update: Any) -> list[Any]:
    """The messages in what a node returned, in whatever form LangGraph allows."""
    if isinstance(update, list | tuple):
        return [message for one in update for message in _messages(one)]
    found = update.get("messages", ()) if isinstance(update, Mapping) else ()
    several = found if isinstance(found, list | tuple) else [found]
    return [one for one in several if isinstance(one, BaseMessage) and not isinstance(one, RemoveMessage)]
