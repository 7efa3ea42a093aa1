"""The act node: what happens to the calls that think proposed.

It decides and never runs anything: every call goes to the tool node with what is to be done about it.
A person is asked once, for all calls together, because LangGraph keeps one question per task; the
node runs again from its start when the answer comes, so nothing before the question has an effect.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool
from langgraph.types import Command, Send, interrupt

from .answers import answer_type, apply_answer, ask_about, edited_message, sign
from .calls import Call, args_schema, make_check, sort_calls


class Asked(NamedTuple):
    """Why somebody must decide about a call, and who."""

    why: str
    who: str = "human"


Ask = Callable[[str, dict[str, Any]], str | Asked | None]
"""From a tool's name and arguments: why a person must decide about the call (``Asked`` says who), or None."""


def present() -> str:
    """The present time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def make_act(
    tools: Sequence[BaseTool], ask: Ask | None = None, clock: Callable[[], str] = present
) -> Callable[..., Command[Literal["tool"]]]:
    """Build a node that checks the proposed calls, asks a person where ``ask`` says so, and fans out.

    ``ask`` must be a pure function: it is consulted again when the thread is resumed. An answer that does not say
    when it was given, as those that come straight through LangGraph, gets the time of ``clock``.
    """
    schemas = {tool.name: args_schema(tool) for tool in tools}
    checks = {name: make_check(schema) for name, schema in schemas.items()}

    def act(state: Mapping[str, Any]) -> Command[Literal["tool"]]:
        message = state["messages"][-1]
        calls = sort_calls(message, checks)
        questions = _questions(calls, ask) if ask else []
        if not questions:
            return _fan_out(calls)
        given = interrupt({"questions": questions}, response_schema=answer_type(questions, schemas))
        answers = [sign(answer, clock) for answer in given["answers"]]
        return _answered(message, calls, {answer["id"]: answer for answer in answers})

    return act


def _questions(calls: Sequence[Call], ask: Ask) -> list[dict[str, Any]]:
    runnable = [call for call in calls if call["kind"] == "result"]
    reasons = [(call, ask(call["call"]["name"], call["call"]["args"])) for call in runnable]
    return [ask_about(call, *_asked(reason)) for call, reason in reasons if reason]


def _asked(reason: str | Asked) -> Asked:
    return Asked(reason) if isinstance(reason, str) else reason


def _answered(
    message: AIMessage, calls: Sequence[Call], answers: Mapping[str | None, Mapping[str, Any]]
) -> Command[Literal["tool"]]:
    decided = [
        apply_answer(call, answers[call["call"]["id"]]) if call["call"]["id"] in answers else call for call in calls
    ]
    edits = [
        after for before, after in zip(calls, decided, strict=True) if before["call"]["args"] != after["call"]["args"]
    ]
    if not edits:
        return _fan_out(decided)
    edited = edited_message(message, decided, answers[edits[0]["call"]["id"]])
    return _fan_out(decided, {"messages": [edited]})


def _fan_out(calls: Sequence[Call], update: dict[str, Any] | None = None) -> Command[Literal["tool"]]:
    return Command(goto=[Send("tool", call) for call in calls], update=update)
