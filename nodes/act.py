"""The act node: what happens to the calls that think proposed.

It decides and never runs anything: every call goes to the tool node with what is to be done about it.
A person is asked once, for all calls together, because LangGraph keeps one question per task; the
node runs again from its start when the answer comes, so nothing before the question has an effect.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, cast

from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool
from langgraph.config import get_config
from langgraph.types import Command, Send, interrupt

from ..errors import NoSuchPage
from .answers import answer_type, apply_answer, ask_about, asking_part, edited_message, question_ids, sign
from .approval import Approval, Asked, Forbidden, Judge, make_judge
from .calls import Call, args_schema, expected, make_check, sort_calls
from .limits import Limits, keep_within, run_of
from .loops import stop_loops
from .pages import MORE, page_of
from .repair import put_right
from .traits import as_tools, traits_of

Ask = Callable[[str, dict[str, Any]], str | Asked | None]
"""From a tool's name and arguments: why a person must decide about the call (``Asked`` says who), or None."""


def present() -> str:
    """The present time, ISO 8601 in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def make_act(
    tools: Sequence[BaseTool | Callable[..., Any]],
    ask: Ask | None = None,
    clock: Callable[[], str] = present,
    *,
    approval: Approval | None = None,
    limits: Limits | None = None,
    dry_run: bool = False,
) -> Callable[..., Command[Literal["tool"]]]:
    """Build a node that checks the proposed calls, asks a person where it must, and fans out.

    Without ``limits`` a bad call goes back to the model and that is all; with them calls are put right where it is
    plain what was meant, and a run that leads nowhere is stopped. ``ask`` and the predicates of ``approval`` must be
    pure functions: they are consulted again when the thread is resumed; both may ask. In a ``dry_run`` no tool that
    acts is run, and nobody is asked about it. An answer that does not say when it was given, as those that come
    straight through LangGraph, gets the time of ``clock``.

    Raises:
        BadTool: something in ``tools`` is none, or several have one name.
        BadApproval: a rule of ``approval`` that makes no sense for these tools.
    """
    known = as_tools(tools)
    schemas = {tool.name: args_schema(tool) for tool in known}
    checks = {name: make_check(schema) for name, schema in schemas.items()}
    acting = frozenset(tool.name for tool in known if traits_of(tool).acts)
    judge = _judge_of(ask, None if approval is None else make_judge(approval, known, schemas))
    turns_pages = MORE in schemas

    def act(state: Mapping[str, Any]) -> Command[Literal["tool"]]:
        proposed = message = state["messages"][-1]
        calls = sort_calls(message, checks)
        if limits is not None:
            message, calls = _within(limits, state, calls)
        if turns_pages:
            calls = [_turn_page(state, call) for call in calls]
        ids = question_ids(calls, state["messages"][:-1])
        questions: list[dict[str, Any]] = []
        if judge is not None or dry_run:
            found = judge(state, calls) if judge else [None] * len(calls)
            calls, questions = _decide(calls, found, ids, acting if dry_run else frozenset())
        update = {} if message is proposed else {"messages": [message]}
        if not questions:
            return _fan_out(calls, update)
        asker = asking_part(get_config(), state["messages"])
        questions = [{**question, **asker} for question in questions]

        def forbids(question_id: str, args: Any) -> str:
            call = calls[ids.index(question_id)]
            edited = cast(Call, {**call, "call": {**call["call"], "args": args}})
            (found,) = judge(state, [edited]) if judge else [None]
            return _refusal(call["call"]["name"], found) if isinstance(found, Forbidden) else ""

        given = interrupt({"questions": questions}, response_schema=answer_type(questions, schemas, forbids))
        answers = {answer["id"]: sign(answer, clock) for answer in given["answers"]}
        asked = {question["id"] for question in questions}
        return _answered(message, calls, [answers[one] if one in asked else None for one in ids], update)

    def _within(bounds: Limits, state: Mapping[str, Any], calls: list[Call]) -> tuple[AIMessage, list[Call]]:
        message: AIMessage = state["messages"][-1]
        if bounds.repair and any(call["kind"] == "invalid" for call in calls):
            mended = put_right(message, calls, schemas, checks)
            if mended is not message:
                message, calls = mended, sort_calls(mended, checks)
        calls = [
            {**call, "text": f"{call['text']}{expected(schemas[call['call']['name']], call['call']['args'])}"}
            if call["kind"] == "invalid" and call["call"]["name"] in schemas
            else call
            for call in calls
        ]
        run = run_of(state["messages"])
        return message, keep_within(bounds, run, stop_loops(run, calls, bounds.repeats, acting))

    return act


def _judge_of(ask: Ask | None, judge: Judge | None) -> Judge | None:
    """``judge``, and before it ``ask``, which knows nothing but the call."""
    if ask is None:
        return judge

    def both(state: Mapping[str, Any], calls: Sequence[Call]) -> list[Asked | Forbidden | None]:
        reasons = [
            ask(call["call"]["name"], call["call"]["args"]) if call["kind"] == "result" else None for call in calls
        ]
        asked = [Asked(reason) if isinstance(reason, str) and reason else reason or None for reason in reasons]
        if judge is None:
            return list(asked)
        return [_stricter(*pair) for pair in zip(asked, judge(state, calls), strict=True)]

    return both


def _stricter(asked: Asked | str | None, judged: Asked | Forbidden | None) -> Asked | Forbidden | None:
    if not isinstance(asked, Asked) or isinstance(judged, Forbidden):
        return judged
    return asked._replace(why=f"{asked.why}; {judged.why}") if judged else asked


def _decide(
    calls: Sequence[Call], found: Sequence[Asked | Forbidden | None], ids: Sequence[str], rehearsed: frozenset[str]
) -> tuple[list[Call], list[dict[str, Any]]]:
    """``calls`` without those that are forbidden or only ``rehearsed``, and the questions about the others."""
    decided: list[Call] = []
    questions = []
    for call, one, question_id in zip(calls, found, ids, strict=True):
        name, args = call["call"]["name"], call["call"]["args"]
        if call["kind"] != "result":
            decided.append(call)
        elif isinstance(one, Forbidden):
            decided.append({**call, "kind": "forbidden", "text": _refusal(name, one)})
        elif name in rehearsed:
            asking = f", after asking {one.who}: {one.why}" if one else ""
            given = ", ".join(f"{key}={value!r}" for key, value in args.items())
            text = f"dry run: {name}({given}) would have been called{asking}"
            decided.append({**call, "kind": "dry_run", "text": text})
        else:
            decided.append(call)
            questions += [ask_about(call, question_id, *one)] if one else []
    return decided, questions


def _refusal(name: str, forbidden: Forbidden) -> str:
    return f"{name} may not be called so: {forbidden.why}"


def _turn_page(state: Mapping[str, Any], call: Call) -> Call:
    if call["kind"] != "result" or call["call"]["name"] != MORE:
        return call
    args = call["call"]["args"]
    try:
        text = page_of(state["messages"], args["handle"], args.get("page", 2))
    except NoSuchPage as error:
        return {**call, "kind": "invalid", "text": str(error)}
    return {**call, "kind": "page", "text": text}


def _answered(
    message: AIMessage,
    calls: Sequence[Call],
    given: Sequence[Mapping[str, Any] | None],
    update: Mapping[str, Any],
) -> Command[Literal["tool"]]:
    """``calls`` on their way, after those that were asked about were ``given`` an answer."""
    decided = [apply_answer(call, one) if one else call for call, one in zip(calls, given, strict=True)]
    edits = [
        one
        for before, after, one in zip(calls, decided, given, strict=True)
        if one and before["call"]["args"] != after["call"]["args"]
    ]
    if not edits:
        return _fan_out(decided, update)
    edited = edited_message(message, decided, edits[0])
    return _fan_out(decided, {"messages": [edited]})


def _fan_out(calls: Sequence[Call], update: Mapping[str, Any]) -> Command[Literal["tool"]]:
    return Command(goto=[Send("tool", call) for call in calls], update=dict(update) or None)
