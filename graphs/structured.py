"""The structured agent: a ReAct loop whose last answer is JSON that fits a schema.

Models that can be held to a schema are (local models sample under it, endpoints get a response format); whatever came
out is checked, and what does not fit goes back with the error. The value stands in the state as ``structured``.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import BaseTool
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel, ValidationError

from ..nodes.act import Ask, make_act
from ..nodes.approval import Approval
from ..nodes.limits import Limits
from ..nodes.models.slot import Slot
from ..nodes.models.structured import json_schema_of
from ..nodes.observe import make_observe
from ..nodes.pages import with_more
from ..nodes.taint import PEOPLE_KEY
from ..nodes.think import make_think
from ..nodes.tool import make_tool
from ..nodes.traits import as_tool
from .question import Question
from .react import may_think, wants_call
from .settings import settings_digest
from .state import AgentState

SENT_BACK_KEY = "sent_back"
"""Key in ``HumanMessage.additional_kwargs``: True where it is the check that speaks."""


class StructuredState(AgentState, total=False):
    """What a thread remembers, with the value of the last answer."""

    structured: Any
    """As plain data, which every saver can keep; None if no answer of the run fitted."""


def build_structured(
    slot: Slot,
    schema: dict[str, Any] | type,
    tools: Sequence[BaseTool | Callable[..., Any]] = (),
    *,
    answer: Slot | None = None,
    ask: Ask | None = None,
    system: str = "",
    name: str = "agent",
    max_calls: int = 12,
    timeout_s: float | None = 30,
    tries: int = 3,
    approval: Approval | None = Approval(),  # noqa: B008 - frozen
    limits: Limits | None = None,
    dry_run: bool = False,
    mark: bool = True,
    max_chars: int | None = None,
) -> StateGraph[StructuredState]:
    """The agent's graph, uncompiled. ``schema`` is a JSON Schema, a pydantic class or a ``TypedDict``.

    ``slot`` runs the loop. An answer of its that does not fit is asked for again, of ``answer`` (by default the same
    slot), until ``tries`` answers did not fit. ``approval``, ``limits``, ``dry_run``, ``mark`` and ``max_chars`` are as
    in ``build_react``.

    Raises:
        ValueError: no valid JSON Schema can be made of ``schema``.
    """
    wanted, answering = json_schema_of(schema), answer or slot
    demand = f"Your final answer is JSON alone, without a word besides. It fits this schema: {json.dumps(wanted)}"
    system = f"{system}\n\n{demand}" if system else demand
    slots = [slot] if answer is None else [slot, answer]
    own = with_more([as_tool(one) for one in tools], max_chars)
    decide = {"approval": approval, "limits": limits, "dry_run": dry_run}
    graph = StateGraph(StructuredState)
    settings = settings_digest(own, {
        "system": system, "tries": tries, "answer": answer, "max_calls": max_calls, "timeout_s": timeout_s, "ask": ask,
        "mark": mark, "max_chars": max_chars, **decide,
    })  # fmt: skip
    graph.add_node("observe", make_observe(slots), metadata={"agent": name, "settings": settings})
    graph.add_node("think", make_think(slot, own, system, response_schema=None if own else wanted))
    graph.add_node("act", make_act(own, ask, **decide))
    graph.add_node("tool", make_tool(own, timeout_s, mark=mark, max_chars=max_chars), input_schema=StructuredState)
    graph.add_node("check", make_fits_check(schema, tries))
    graph.add_node("answer", make_think(answering, own, system, tool_choice="none", response_schema=wanted))

    graph.add_edge(START, "observe")
    graph.add_conditional_edges("observe", Question(may_think(max_calls)), {True: "think", False: "check"})
    graph.add_conditional_edges("think", Question(wants_call), {True: "act", False: "check"})
    graph.add_edge("tool", "observe")
    graph.add_conditional_edges("check", Question(was_sent_back), {True: "answer", False: END})
    graph.add_conditional_edges("answer", Question(wants_call), {True: "act", False: "check"})
    return graph


def make_fits_check(schema: dict[str, Any] | type, tries: int) -> Callable[..., dict[str, Any]]:
    """Build a node that keeps the value of an answer that fits ``schema``, and sends others back."""
    complaint_about = _make_complaint(schema)

    def check(state: Mapping[str, Any]) -> dict[str, Any]:
        messages = state["messages"]
        last = messages[-1]
        if not isinstance(last, AIMessage):  # the run was ended before it answered
            return {"structured": None}
        if not (complaint := complaint_about(last.text)):
            return {"structured": json.loads(last.text)}
        if _times_sent_back(messages) + 1 >= tries:
            return {"structured": None}
        text = f"{complaint}. Answer with JSON of the schema alone."
        about = {SENT_BACK_KEY: True, PEOPLE_KEY: ""}  # it quotes the answer, which may hold what tools returned
        return {"structured": None, "messages": [HumanMessage(text, additional_kwargs=about)]}

    return check


def was_sent_back(state: Mapping[str, Any]) -> bool:
    """Does the last message ask for the answer again?"""
    return SENT_BACK_KEY in state["messages"][-1].additional_kwargs


def _times_sent_back(messages: Sequence[BaseMessage]) -> int:
    """How often that was in this run."""
    times = 0
    for message in reversed(messages):
        if isinstance(message, HumanMessage):
            if SENT_BACK_KEY not in message.additional_kwargs:
                break
            times += 1
    return times


def _make_complaint(schema: dict[str, Any] | type) -> Callable[[str], str]:
    validator = Draft202012Validator(json_schema_of(schema))
    model = schema if isinstance(schema, type) and issubclass(schema, BaseModel) else None

    def complaint(text: str) -> str:
        """What is wrong with ``text``; empty if it fits."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            return f"The answer is not JSON: {error}"
        findings = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]
        if not findings and model is not None:
            try:
                model.model_validate(value)
            except ValidationError as error:  # what no JSON Schema can say
                findings = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        return f"The answer does not fit the schema: {'; '.join(findings[:3])}" if findings else ""

    return complaint
