"""The tool node: runs one call and is the only writer of ``ToolMessage``s.

A failing tool is an observation, never a crash of the run. What tools return is data that anybody may
have written: it goes into ``ToolMessage``s and nowhere else.
"""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException
from langgraph.errors import GraphBubbleUp
from langgraph.runtime import Runtime

from .calls import Call, Kind
from .time_limit import OutOfTime, within

RECORD = "__threadmill_record"
"""The key in ``config["configurable"]`` of a function that gives a call's recorded answer when a thread is replayed."""


def make_tool(tools: Sequence[BaseTool], timeout_s: float | None = 30) -> Callable[..., dict[str, Any]]:
    """Build a node that turns one call into one ``ToolMessage``.

    The tool finds ``idempotency_key`` in ``config["configurable"]``: the same when a call is run again after
    a crash, another for every other call. A tool still at work after ``timeout_s`` seconds is left
    behind, not stopped: its thread ends when it ends. None waits for ever, without a thread.
    """
    tools_by_name = {tool.name: tool for tool in tools}

    def tool(call: Call, config: RunnableConfig, runtime: Runtime[Any]) -> dict[str, Any]:
        begun = perf_counter()
        recorded = config.get("configurable", {}).get(RECORD)
        if recorded is not None and call["kind"] == "result":
            return {"messages": [recorded(call)]}
        if call["kind"] == "result":
            answer, kind = _run(tools_by_name[call["call"]["name"]], call, _keyed(config, runtime), timeout_s)
        else:
            answer, kind = _message(call, call["text"], error=call["kind"] != "responded"), call["kind"]
        notes = {**answer.additional_kwargs, "duration_s": round(perf_counter() - begun, 6), "kind": kind}
        notes |= {key: decided for key, decided in call.items() if key in ("by", "at")}
        return {"messages": [answer.model_copy(update={"id": call["id"], "additional_kwargs": notes})]}

    return tool


def _run(tool: BaseTool, call: Call, config: RunnableConfig, timeout_s: float | None) -> tuple[ToolMessage, Kind]:
    try:
        if timeout_s is None:
            result = tool.invoke({**call["call"], "type": "tool_call"}, config)
        else:
            result = within(timeout_s, lambda: tool.invoke({**call["call"], "type": "tool_call"}, config))
    except GraphBubbleUp:  # an interrupt of the tool's own
        raise
    except OutOfTime:
        return _message(call, f"{tool.name} gave no result within {timeout_s:g} s", error=True), "timeout"
    except ToolException as refusal:
        return _message(call, str(refusal), error=True), "failed"
    except Exception as error:
        return _message(call, f"{type(error).__name__}: {error}", error=True), "failed"
    if not isinstance(result, ToolMessage):
        return _message(
            call, f"{tool.name} returned a {type(result).__name__}, which is no result", error=True
        ), "failed"
    return result, "failed" if result.status == "error" else "result"


def _message(call: Call, text: str, *, error: bool) -> ToolMessage:
    return ToolMessage(
        content=text,
        tool_call_id=call["call"]["id"] or "",
        name=call["call"]["name"],
        status="error" if error else "success",
    )


def _keyed(config: RunnableConfig, runtime: Runtime[Any]) -> RunnableConfig:
    info = runtime.execution_info
    if info is None:
        return config
    configurable = config.get("configurable", {})
    # A copied thread has the tasks of its original, but its calls are calls of its own.
    key = str(uuid5(NAMESPACE_OID, f"{configurable.get('thread_id')}:{info.task_id}"))
    return {**config, "configurable": {**configurable, "idempotency_key": key}}
