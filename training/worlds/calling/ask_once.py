"""An agent of one model call: it gets tools and a conversation of its own in every thread, and answers once.

Nothing is executed: the tools are schemas. What was said before the question is given, never sampled, and nobody
trains it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph

from ....graphs.state import AgentState
from ....nodes.models.slot import Slot
from ....nodes.observe import make_observe
from ....nodes.think import make_think
from .schemas import Tool

AGENT = "calling"
SLOT = f"{AGENT}.think"
ASKED = "asked"
"""In ``configurable``: which of the conversations a thread is about."""
NOT_RUN_KEY = "not_run"
"""In ``response_metadata`` of an answer with which a thread ends even if it calls tools: nobody runs them."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What the agent answers: the first message of a user, by which the thread begins, is not in it."""

    tools: tuple[Tool, ...]
    later: tuple[AnyMessage, ...] = ()
    """What was said after that message; answers among it are marked as canned."""


class AskState(AgentState, total=False):
    """What a thread remembers."""

    tools: list[Tool]


def build_ask_once(slot: Slot, conversations: Mapping[str, Conversation]) -> StateGraph[AskState]:
    """The agent's graph, uncompiled; a thread says in ``configurable`` which of ``conversations`` it has."""
    graph = StateGraph(AskState)
    graph.add_node("observe", make_observe([slot]), metadata={"agent": AGENT})
    graph.add_node("recall", make_recall(conversations))
    graph.add_node("think", make_answer(slot))

    graph.add_edge(START, "observe")
    graph.add_edge("observe", "recall")
    graph.add_edge("recall", "think")
    graph.add_edge("think", END)
    return graph


def make_recall(conversations: Mapping[str, Conversation]) -> Callable[..., dict[str, Any]]:
    """Build a node that puts what was said, and the tools, into a thread that has neither yet."""

    def recall(state: AskState, config: RunnableConfig) -> dict[str, Any]:
        if "tools" in state:
            return {}
        about = config.get("configurable", {})
        conversation = conversations[about[ASKED]]
        later = (
            message.model_copy(update={"id": f"{about['thread_id']}:{place}"})
            for place, message in enumerate(conversation.later, 1)
        )
        return {"tools": [*conversation.tools], "messages": [*later]}

    return recall


def make_answer(slot: Slot) -> Callable[..., dict[str, Any]]:
    """Build a think node whose tools are those of the thread, and whose calls nobody runs."""

    def answer(state: AskState, config: RunnableConfig) -> dict[str, Any]:
        tools: Any = state.get("tools", [])  # as schemas, which models take as well
        (said,) = make_think(slot, tools)(state, config)["messages"]
        ended = {**said.response_metadata, NOT_RUN_KEY: True}
        return {"messages": [said.model_copy(update={"response_metadata": ended})]}

    return answer
