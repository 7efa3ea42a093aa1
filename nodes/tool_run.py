"""Running one call of one tool: in time, in its place among others, again where that is allowed; never a crash."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial, wraps
from time import sleep
from typing import Any, NamedTuple

from langchain_core.messages import ToolCall, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, Tool, ToolException
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime
from pydantic import ValidationError

from .calls import Kind
from .injected import Inject, make_inject
from .places import NoPlace, Places, places_of
from .returned import NothingRan, readable
from .time_limit import Cancelled, OutOfTime, awaited, within, within_unblocked
from .traits import Traits, as_tool, traits_of

FIRST_PAUSE_S = 0.1
"""Before a call is tried again the first time; the next pause is twice as long, and so on."""


class Exited(Exception):
    """A coroutine called ``sys.exit``, which would end the event loop and all that run on it."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A tool with everything that its calls need."""

    tool: BaseTool
    traits: Traits
    timeout_s: float | None
    tries: int
    places: Places | None
    inject: Inject | None
    awaits: bool
    """Whether it has a coroutine to await."""
    only_awaits: bool
    """Whether it has nothing else."""


class Observed(NamedTuple):
    """What came of a call."""

    message: ToolMessage
    kind: Kind
    attempts: int
    ours: bool
    """Whether the text is ours, and not the tool's."""


def ready(tool: BaseTool | Callable[..., Any], timeout_s: float | None) -> Ready:
    """``tool`` with everything that its calls need; ``timeout_s`` where it declares no time limit of its own."""
    tool = as_tool(tool)
    traits = traits_of(tool)
    function, coroutine = getattr(tool, "func", None), getattr(tool, "coroutine", None)
    runs = function or coroutine or tool
    with_artifact = tool.response_format == "content_and_artifact"
    if isinstance(tool, StructuredTool | Tool):
        update = {"func": function and _readably(function, with_artifact)}
        tool = tool.model_copy(update={**update, "coroutine": coroutine and _not_exiting(coroutine, with_artifact)})
    return Ready(
        tool=tool,
        traits=traits,
        timeout_s=timeout_s if traits.timeout_s is None else traits.timeout_s,
        tries=1 + max(0, traits.retries) if traits.idempotent else 1,
        places=None if traits.at_once is None else places_of(runs, traits.at_once),
        inject=make_inject(tool),
        awaits=coroutine is not None or (function is None and type(tool)._arun is not BaseTool._arun),
        only_awaits=coroutine is not None and function is None,
    )


class Run(NamedTuple):
    """The request to run a call."""

    one: Ready
    call: ToolCall
    config: RunnableConfig
    runtime: Runtime[Any]

    def run(self) -> Observed:
        """What came of it."""
        return observe_run(*self)

    async def arun(self) -> Observed:
        """What came of it."""
        return await observe_run_unblocked(*self)


def observe_run(one: Ready, call: ToolCall, config: RunnableConfig, runtime: Runtime[Any]) -> Observed:
    """Run ``call``; its result, or what went wrong.

    Raises:
        GraphBubbleUp: an interrupt of the tool's own.
        KeyboardInterrupt
    """
    attempt = 1
    while True:
        try:
            return _result(one, call, _run(one, _given(one, call, config, runtime), config), attempt)
        except BaseException as error:
            if attempt >= one.tries or not _may_pass(error):
                return _failure(one, call, error, attempt)
        sleep(FIRST_PAUSE_S * 2 ** (attempt - 1))
        attempt += 1


async def observe_run_unblocked(one: Ready, call: ToolCall, config: RunnableConfig, runtime: Runtime[Any]) -> Observed:
    """``observe_run``, while the event loop goes on: a coroutine runs on it, anything else in a thread."""
    attempt = 1
    while True:
        try:
            return _result(one, call, await _run_unblocked(one, _given(one, call, config, runtime), config), attempt)
        except asyncio.CancelledError:  # of the run: what a tool raises comes as Cancelled
            raise
        except BaseException as error:
            if attempt >= one.tries or not _may_pass(error):
                return _failure(one, call, error, attempt)
        await asyncio.sleep(FIRST_PAUSE_S * 2 ** (attempt - 1))
        attempt += 1


def _run(one: Ready, given: ToolCall, config: RunnableConfig) -> Any:
    work: Callable[[], Any] = partial(one.tool.invoke, given, config)
    if one.only_awaits:
        work = partial(_run_coroutine, one.timeout_s, partial(one.tool.ainvoke, given, config))
    if one.places is not None:
        one.places.take(one.timeout_s)
        work = partial(_placed, one.places, work)
    # A coroutine needs a thread of its own: there may be a loop in this one.
    return work() if one.timeout_s is None and not one.only_awaits else within(one.timeout_s, work)


async def _run_unblocked(one: Ready, given: ToolCall, config: RunnableConfig) -> Any:
    if one.places is not None:
        await one.places.take_unblocked(one.timeout_s)
    if one.awaits:
        ended = one.places.give_back if one.places is not None else None
        return await awaited(one.timeout_s, partial(one.tool.ainvoke, given, config), ended)
    work = partial(one.tool.invoke, given, config)
    return await within_unblocked(one.timeout_s, work if one.places is None else partial(_placed, one.places, work))


def _run_coroutine(timeout_s: float | None, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return asyncio.run(awaited(timeout_s, work))


def _placed(places: Places, work: Callable[[], Any]) -> Any:
    try:
        return work()
    finally:
        places.give_back()


def _given(one: Ready, call: ToolCall, config: RunnableConfig, runtime: Runtime[Any]) -> ToolCall:
    given = ToolCall(name=call["name"], args=call["args"], id=call["id"] or "", type="tool_call")
    return given if one.inject is None else one.inject(given, config, runtime)


def _may_pass(error: BaseException) -> bool:
    """Is it an error that may be gone the next time? A refusal is none, nor are arguments that do not fit."""
    lasting = (GraphBubbleUp, ToolException, ValidationError, NotImplementedError, NoPlace, NothingRan)
    return isinstance(error, Exception) and not isinstance(error, lasting)


def _result(one: Ready, call: ToolCall, result: Any, attempts: int) -> Observed:
    if not isinstance(result, ToolMessage):
        text = f"{one.tool.name} returned a {type(result).__name__}, which is no result: a tool gives back data"
        return Observed(said(call, text), "failed", attempts, ours=True)
    return Observed(result, "failed" if result.status == "error" else "result", attempts, ours=False)


def _failure(one: Ready, call: ToolCall, error: BaseException, attempts: int) -> Observed:
    name = one.tool.name
    match error:
        case GraphBubbleUp() | KeyboardInterrupt():
            raise error
        case OutOfTime():
            text = f"{name} gave no result within {one.timeout_s:g} s"
            if one.traits.acts and not one.traits.idempotent:
                text += "; it may have been done all the same: look before you call it again"
            return Observed(said(call, text), "timeout", attempts, ours=True)
        case NoPlace():
            text = f"{name} was not run: all its places ({one.traits.at_once}) stayed taken for {one.timeout_s:g} s"
            return Observed(said(call, text), "timeout", attempts, ours=True)
        case NothingRan():
            text = f"{name} returned {error}: a tool gives back data"
            return Observed(said(call, text), "failed", attempts, ours=True)
        case Cancelled() | asyncio.CancelledError():
            return Observed(said(call, f"{name} was cancelled"), "failed", attempts, ours=True)
        case ToolException():
            text = _text(error)
        case Exited():
            text = f"SystemExit: {_text(error)}"
        case _ if not isinstance(error, Exception | SystemExit | GeneratorExit):
            raise error  # the end of the process, or of whoever runs this, and no failure of the tool
        case _:
            text = f"{type(error).__name__}: {_text(error)}"
    return Observed(said(call, text), "failed", attempts, ours=False)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as another:
        return f"(no text: {type(another).__name__})"


def said(call: ToolCall, text: str, *, error: bool = True) -> ToolMessage:
    """The answer ``text`` to ``call``."""
    status = "error" if error else "success"
    return ToolMessage(content=text, tool_call_id=call["id"] or "", name=call["name"], status=status)


def _readably(function: Callable[..., Any], with_artifact: bool) -> Callable[..., Any]:
    @wraps(function)
    def readably(*args: Any, **kwargs: Any) -> Any:
        return readable(function(*args, **kwargs), with_artifact=with_artifact)

    return readably


def _not_exiting(
    coroutine: Callable[..., Coroutine[Any, Any, Any]], with_artifact: bool
) -> Callable[..., Coroutine[Any, Any, Any]]:
    @wraps(coroutine)
    async def not_exiting(*args: Any, **kwargs: Any) -> Any:
        try:
            return readable(await coroutine(*args, **kwargs), with_artifact=with_artifact)
        except SystemExit as stop:
            raise Exited(_text(stop)) from stop

    return not_exiting
