"""The ReAct agent: observe → think → act → tool → observe …, until think proposes no call."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from itertools import takewhile
from json import dumps
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph

from ..nodes.act import Ask, make_act
from ..nodes.calls import args_schema
from ..nodes.models.slot import Slot
from ..nodes.observe import make_observe
from ..nodes.think import make_think
from ..nodes.tool import make_tool
from .question import Question
from .state import AgentState


def build_react(
    slot: Slot,
    tools: Sequence[BaseTool],
    *,
    ask: Ask | None = None,
    system: str = "",
    name: str = "agent",
    max_calls: int = 12,
    timeout_s: float | None = 30,
) -> StateGraph[AgentState]:
    """The agent's graph, uncompiled: the caller chooses the saver.

    ``ask(tool, args)`` says why a person must decide about a call (or ``Asked``: why, and who), or None. A run
    (one user turn) ends after ``max_calls`` model calls even if the model would go on.
    """
    about = {"agent": name, "settings": _digest(tools, system, max_calls)}
    graph = StateGraph(AgentState)
    graph.add_node("observe", make_observe([slot]), metadata=about)
    graph.add_node("think", make_think(slot, tools, system))
    graph.add_node("act", make_act(tools, ask))
    graph.add_node("tool", make_tool(tools, timeout_s), input_schema=AgentState)

    graph.add_edge(START, "observe")
    graph.add_conditional_edges("observe", Question(may_think(max_calls)), {True: "think", False: END})
    graph.add_conditional_edges("think", Question(wants_call), {True: "act", False: END})
    graph.add_edge("tool", "observe")
    return graph


def wants_call(state: Mapping[str, Any]) -> bool:
    """Does the last message propose a call, readable or not?"""
    message = state["messages"][-1]
    return isinstance(message, AIMessage) and bool(message.tool_calls or message.invalid_tool_calls)


def may_think(max_calls: int) -> Callable[[Mapping[str, Any]], bool]:
    """A predicate: has this run made fewer than ``max_calls`` model calls so far?"""

    def may_think_again(state: Mapping[str, Any]) -> bool:
        run = takewhile(lambda message: not isinstance(message, HumanMessage), reversed(state["messages"]))
        return sum(isinstance(message, AIMessage) for message in run) < max_calls

    return may_think_again


def _digest(tools: Sequence[BaseTool], system: str, max_calls: int) -> str:
    described: list[Any] = [[tool.name, tool.description, args_schema(tool)] for tool in tools]
    return sha256(dumps([described, system, max_calls], sort_keys=True).encode()).hexdigest()[:12]
