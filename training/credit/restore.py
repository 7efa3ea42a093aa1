"""Bring a fresh world to where a thread had it: run its recorded tool calls again, and compare every result.

What people decided is in the record already: their edits are the calls' arguments, and refused calls did nothing. A
result that differs means that the world depends on something that is not in the thread (a clock, chance, other
people), so nothing that happens in it afterwards would say anything about the thread.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from langchain_core.messages import AIMessage, BaseMessage, ToolCall, ToolMessage
from langgraph.errors import GraphBubbleUp
from langgraph.pregel import Pregel
from langgraph.runtime import Runtime

from ...errors import CannotTravel
from ...graphs.recorded import OUR_NODES
from ...graphs.run import Agent
from ...graphs.travel import module_of
from ...nodes.calls import NOT_RUN
from ...nodes.tool_output import told_by_tool

TOOL = "threadmill.nodes.tool"
HAND_OVER = "threadmill.nodes.hand_over"
_RUNTIME = "__pregel_runtime"
"""Where LangGraph's ``get_store`` looks in ``configurable``."""
ToolNode = Callable[..., dict[str, Any]]


def check_restorable(graph: Agent, pure: Sequence[str] = ()) -> None:
    """Nothing, unless a node of ``graph`` may have changed the world by other means than recorded tool calls.

    Nodes that are not Threadmill's and change nothing are named in ``pure``.

    Raises:
        CannotTravel
    """
    apart = [
        name
        for name, spec in graph.builder.nodes.items()
        if module_of(graph, name) == HAND_OVER or (name not in pure and isinstance(spec.runnable, Pregel))
    ]
    if apart:
        raise CannotTravel(
            f"node {', '.join(map(repr, apart))} holds conversations of its own, and what tools did there is not in "
            "the thread's messages, so its worlds cannot be restored; assign the outcome"
        )
    strange = [
        name for name in graph.builder.nodes if name not in pure and not module_of(graph, name).startswith(OUR_NODES)
    ]
    if strange:
        raise CannotTravel(
            f"node {', '.join(map(repr, strange))} is not one of Threadmill's, and what it did to the world is not in "
            f"the thread; if it does nothing to it, say so with pure={strange}, else assign the outcome"
        )
    deltas = [
        name
        for name, channel in graph.channels.items()
        if name != "messages" and type(channel).__name__ == "DeltaChannel"
    ]
    if deltas:
        raise CannotTravel(
            f"channel {deltas[0]!r} is stored as deltas, which only 'messages' may be in a forked thread"
        )


def restore_world(
    graph: Agent, thread: str, history: Sequence[BaseMessage], configurable: Mapping[str, Any], *, salt: str = ""
) -> int:
    """Run the calls of ``history`` again, in the order of their results, in the fresh world of ``configurable``.

    What they remember is in the store of ``graph``, which is part of the world.

    ``salt`` makes the idempotency keys those of one restored world. How many calls were run.

    Raises:
        CannotTravel: a result differs, or a call cannot be run again; ``thread`` names the thread in the message.
    """
    runtime = Runtime(store=graph.store)
    known = {**configurable, _RUNTIME: runtime}
    nodes: list[Any] = [spec.runnable for name, spec in graph.builder.nodes.items() if module_of(graph, name) == TOOL]
    proposed: dict[str, ToolCall] = {}
    done = 0
    for message in history:
        if isinstance(message, AIMessage):
            proposed |= {call["id"] or f"{message.id}:{at}": call for at, call in enumerate(message.tool_calls)}
        elif isinstance(message, ToolMessage) and message.additional_kwargs.get("kind") not in NOT_RUN:
            call = proposed.get(message.tool_call_id)
            if call is None:
                raise CannotTravel(
                    f"thread {thread!r} cannot be restored: message {message.id!r} answers a call that nobody proposed"
                )
            key = str(uuid5(NAMESPACE_OID, f"{thread}:{salt}:{message.id}"))
            _compare(thread, call, message, _run(nodes, thread, call, {**known, "idempotency_key": key}, runtime))
            done += 1
    return done


def _run(
    nodes: Sequence[ToolNode], thread: str, call: ToolCall, configurable: Mapping[str, Any], runtime: Runtime[Any]
) -> ToolMessage:
    asked = {"id": "restored", "call": {**call, "type": "tool_call"}, "kind": "result", "text": ""}
    for node in nodes:
        try:
            return node(asked, {"configurable": dict(configurable)}, runtime)["messages"][0]
        except KeyError:  # another node has this tool
            continue
        except GraphBubbleUp as question:
            raise CannotTravel(
                f"thread {thread!r} cannot be restored: the tool {call['name']!r} itself asks a person"
            ) from question
    raise CannotTravel(f"thread {thread!r} cannot be restored: the agent has no tool {call['name']!r} now")


def _compare(thread: str, call: ToolCall, recorded: ToolMessage, again: ToolMessage) -> None:
    kinds = [message.additional_kwargs.get("kind") for message in (recorded, again)]
    if "timeout" in kinds:
        raise CannotTravel(
            f"thread {thread!r} cannot be restored: {call['name']} ran out of time, and nobody knows what it had done"
        )
    if told_by_tool(recorded) != told_by_tool(again) or (kinds[0] is not None and kinds[0] != kinds[1]):
        raise CannotTravel(
            f"thread {thread!r} cannot be restored: {call['name']}({call['args']}) gave {_short(recorded.content)} "
            f"then and gives {_short(again.content)} now; forks say nothing about its steps, so assign the outcome"
        )


def _short(content: Any) -> str:
    text = repr(content)
    return text if len(text) <= 120 else f"{text[:119]}…"
