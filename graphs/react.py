"""The ReAct agent: observe → think → act → tool → observe …, until think proposes no call."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph

from ..nodes.act import Ask, make_act
from ..nodes.approval import Approval
from ..nodes.first_turn import asked_first
from ..nodes.limits import Limits, begins_run, is_over
from ..nodes.models.slot import Slot
from ..nodes.observe import make_observe
from ..nodes.pages import with_more
from ..nodes.think import make_think
from ..nodes.tool import make_tool
from ..nodes.traits import as_tools
from .question import Question
from .settings import settings_digest
from .state import AgentState

if TYPE_CHECKING:
    from ..nodes.budget import Budget
    from ..nodes.memory import Memory


def build_react(
    slot: Slot,
    tools: Sequence[BaseTool | Callable[..., Any]],
    *,
    ask: Ask | None = None,
    system: str = "",
    name: str = "agent",
    max_calls: int = 12,
    timeout_s: float | None = 30,
    approval: Approval | None = None,
    limits: Limits | None = None,
    budget: "Budget | None" = None,
    memory: "Memory | None" = None,
    fallbacks: Sequence[Slot] = (),
    retries: int = 0,
    tool_choice: str | None = None,
    first: Literal["plan", "reflect"] | None = None,
    response_schema: Mapping[str, Any] | None = None,
    mark: bool = False,
    max_chars: int | None = None,
    dry_run: bool = False,
    others: Sequence[Slot] = (),
) -> StateGraph[AgentState]:
    """The agent's graph, uncompiled: the caller chooses the saver.

    ``ask(tool, args)`` says why a person must decide about a call (or ``Asked``: why, and who), or None. A run
    (one user turn) ends after ``max_calls`` model calls even if the model would go on. All else is switched off unless
    it is given: ``budget`` and ``memory`` are those of ``make_observe``; ``fallbacks``, ``retries``, ``tool_choice``,
    ``first`` and ``response_schema`` of ``make_think``; ``approval``, ``limits`` and ``dry_run`` of ``make_act``;
    ``mark`` and ``max_chars`` (with which the model gets the tool ``more``) of ``make_tool``.
    ``others`` are slots of agents inside of this one: a run stays on their versions, too.

    Raises:
        BadTool: something in ``tools`` is none, or several have one name.
        BadApproval: a rule of ``approval`` makes no sense for these tools.
        BadConfig: a slot or a limit is none.
        UnknownTool: ``tool_choice`` names none of ``tools``.
    """
    own = with_more(as_tools(tools), max_chars)
    look = {"budget": budget, "memory": memory}
    given = {"system": asked_first(system, first), "tools": own}
    speak = {
        "fallbacks": fallbacks,
        "retries": retries,
        "tool_choice": tool_choice,
        "first": first,
        "response_schema": response_schema,
    }
    decide = {"approval": approval, "limits": limits, "dry_run": dry_run}
    show = {"mark": mark, "max_chars": max_chars}
    bounds = {"system": system, "ask": ask, "max_calls": max_calls, "timeout_s": timeout_s}
    about = {"agent": name, "settings": settings_digest(own, bounds | look | speak | decide | show)}
    graph = StateGraph(AgentState)
    graph.add_node("observe", make_observe([slot, *fallbacks, *others], **look, **given), metadata=about)
    graph.add_node("think", make_think(slot, own, system, **speak))
    graph.add_node("act", make_act(own, ask, **decide))
    graph.add_node("tool", make_tool(own, timeout_s, **show), input_schema=AgentState)

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
    """A predicate: has this run made fewer than ``max_calls`` model calls so far, and was not stopped by its limits?"""

    def may_think_again(state: Mapping[str, Any]) -> bool:
        calls, messages = 0, state["messages"]
        for message in reversed(messages):
            if isinstance(message, HumanMessage) and begins_run(message):
                break
            calls += isinstance(message, AIMessage)
        return calls < max_calls and not is_over(messages)

    return may_think_again
