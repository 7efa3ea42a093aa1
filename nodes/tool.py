"""The tool node: runs one call and is the only writer of ``ToolMessage``s.

A failing tool is an observation, never a crash of the run. What tools return is data that anybody may
have written: it goes into ``ToolMessage``s and nowhere else.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from time import perf_counter
from types import MappingProxyType
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime, get_runtime

from ..errors import BadConfig
from .calls import ANSWERED, Call
from .progress import Reporter
from .step import Request, Step
from .tool_output import written
from .tool_run import Observed, Ready, Run, ready, said
from .traits import is_time_limit

RECORD = "__threadmill_record"
"""The key in ``config["configurable"]`` of a function that gives a call's recorded answer when a thread is replayed."""

_ANSWERED = ("responded", "page", "dry_run")
"""The kinds of calls that somebody else than the tool has answered well."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def make_tool(
    tools: Sequence[BaseTool | Callable[..., Any]],
    timeout_s: float | None = 30,
    *,
    mark: bool = False,
    max_chars: int | None = None,
) -> Callable[..., dict[str, Any]]:
    """Build a node that turns one call into one ``ToolMessage``; what each tool declares of itself goes before.

    The tool finds ``idempotency_key`` in ``config["configurable"]``: the same when a call is run again after
    a crash or tried again, another for every other call. A tool still at work after ``timeout_s`` seconds is left
    behind, not stopped: its thread ends when it ends; a coroutine is cancelled. None waits for ever, without a thread.
    The model sees at most ``max_chars`` characters of an output at first. With ``mark`` the output of tools that are
    not trusted is marked as data.

    Raises:
        BadConfig: a limit is none.
    """
    if max_chars is not None and not (isinstance(max_chars, int) and max_chars >= 1):
        raise BadConfig(f"max_chars is {max_chars!r}; give a whole number from 1 on, or None for all")
    if timeout_s is not None and not is_time_limit(timeout_s):
        raise BadConfig(f"timeout_s is {timeout_s!r}; give seconds above 0, or None to wait for ever")
    tools_by_name = {one.tool.name: one for one in (ready(tool, timeout_s) for tool in tools)}

    def tool(
        call: Call, config: RunnableConfig, runtime: Runtime[Any] | None = None
    ) -> Generator[Request, Any, dict[str, Any]]:
        begun = perf_counter()
        if (known := _known(call, config, begun)) is not None:
            return known
        runtime = runtime or get_runtime()
        one, config = tools_by_name[call["call"]["name"]], _keyed(config, runtime)
        with Reporter(call["call"], runtime.stream_writer) as reporter:
            observed = yield Run(one, call["call"], config, runtime)
            return told(call, one, observed, config, begun, reporter)

    def told(
        call: Call, one: Ready, observed: Observed, config: RunnableConfig, begun: float, reporter: Reporter
    ) -> dict[str, Any]:
        untrusted = mark and not one.traits.trusted and not observed.ours
        key = config.get("configurable", {}).get("idempotency_key") or call["id"]
        limit = max_chars if one.traits.max_chars is None else one.traits.max_chars
        fields = written(observed.message, call["id"], limit, key if untrusted else None)
        if observed.attempts > 1:
            fields["additional_kwargs"] = {**fields["additional_kwargs"], "attempts": observed.attempts}
        answer = _answer(call, observed.message, observed.kind, begun, fields)
        reporter.tell("finished", kind=observed.kind, duration_s=answer.additional_kwargs["duration_s"])
        return {"messages": [answer]}

    return Step(tool)


def _known(call: Call, config: RunnableConfig, begun: float) -> dict[str, Any] | None:
    """The answer to a call that is not to be run: what act decided, or what was recorded."""
    if call["kind"] != "result":
        text = said(call["call"], call["text"], error=call["kind"] not in ANSWERED)
        return {"messages": [_answer(call, text, call["kind"], begun)]}
    recorded = config.get("configurable", {}).get(RECORD)
    return None if recorded is None else {"messages": [recorded(call)]}


def _answer(
    call: Call, message: ToolMessage, kind: str, begun: float, fields: Mapping[str, Any] = _NOTHING
) -> ToolMessage:
    """``message`` with ``fields`` as the answer to ``call`` and to no other, with what is to be noted about it."""
    proposed = call["call"]
    notes = {**fields.get("additional_kwargs", message.additional_kwargs)}
    notes["duration_s"] = round(perf_counter() - begun, 6)
    notes["kind"] = kind
    notes |= {key: decided for key, decided in call.items() if key in ("by", "at")}
    update = {"id": call["id"], "tool_call_id": proposed["id"] or "", "name": proposed["name"]}
    return message.model_copy(update={**fields, **update, "additional_kwargs": notes})


def _keyed(config: RunnableConfig, runtime: Runtime[Any]) -> RunnableConfig:
    info = runtime.execution_info
    if info is None:
        return config
    configurable = config.get("configurable", {})
    # A copied thread has the tasks of its original, but its calls are calls of its own.
    key = str(uuid5(NAMESPACE_OID, f"{configurable.get('thread_id')}:{info.task_id}"))
    return {**config, "configurable": {**configurable, "idempotency_key": key}}
