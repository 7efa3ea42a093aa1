"""Arguments that the model does not give: the state, the store, LangGraph's runtime.

They are declared as for LangGraph's own ``ToolNode`` (``InjectedState``, ``InjectedStore``, ``ToolRuntime``), which
puts them in. For that LangGraph has no public way: what is borrowed of its inside is named here and nowhere else.
"""

from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from typing import Any

from langchain_core.messages import ToolCall
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.runtime import Runtime

from ..errors import MissingLibrary

Inject = Callable[[ToolCall, RunnableConfig, Runtime[Any]], ToolCall]

_READ = "__pregel_read"
"""Where LangGraph puts the function that reads the state; a node that was sent a call gets no state."""
_STATE = ("messages", "versions", "context")


def make_inject(tool: BaseTool) -> Inject | None:
    """A function that completes the calls of ``tool``; None if it asks for nothing.

    A tool that takes the whole state gets ``messages``, ``versions`` and ``context``; other fields of an agent's state
    are asked for by name, ``InjectedState("field")``.
    """
    if not tool._injected_args_keys:
        return None
    from langgraph.prebuilt import ToolNode, ToolRuntime

    node: Any = ToolNode([tool])
    if not (hasattr(node, "_injected_args") and hasattr(node, "_inject_tool_args")):
        raise _changed(f"the arguments {sorted(tool._injected_args_keys)} of {tool.name!r} cannot be put in: ToolNode")
    asked = node._injected_args[tool.name].state.values()
    fields = {*_STATE, *(field for field in asked if field is not None)}

    def inject(call: ToolCall, config: RunnableConfig, runtime: Runtime[Any]) -> ToolCall:
        surroundings = ToolRuntime(
            state=_read_state(config, fields, in_graph=runtime.execution_info is not None),
            context=runtime.context,
            config=config,
            stream_writer=runtime.stream_writer,
            tool_call_id=call["id"],
            store=runtime.store,
            tools=[tool],
            execution_info=runtime.execution_info,
            server_info=runtime.server_info,
        )
        return node._inject_tool_args(call, surroundings, tool)

    return inject


def _read_state(config: RunnableConfig, fields: set[str], *, in_graph: bool) -> dict[str, Any]:
    read = config.get("configurable", {}).get(_READ)
    state: dict[str, Any] = {}
    if read is None:
        if in_graph:
            raise _changed("the state cannot be read: the config of a node")
        return state
    for field in sorted(fields):
        with suppress(KeyError):  # this graph's state has no such field
            state |= read([field], False)
    return state


def _changed(what: str) -> MissingLibrary:
    return MissingLibrary(
        f"{what} is not what it was in LangGraph 1.2.22 (installed: {version('langgraph')}); install that version"
    )
