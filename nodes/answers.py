"""Questions about proposed calls, what may be answered, and what the answers make of the calls."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from pydantic import AfterValidator, WithJsonSchema

from ..errors import BadAnswer
from .calls import Call, schema_complaint
from .models.trace import EDIT_KEY
from .repair import REPAIRED_KEY

CHOICES = ("approve", "edit", "reject", "respond")
"""Run the call · run it with other arguments · don't run it and say why · answer in the tool's place."""


def ask_about(
    call: Call, question_id: str, why: str, who: str = "human", choices: Sequence[str] = ()
) -> dict[str, Any]:
    """The question to ``who`` whether ``call`` may run, for the payload of the interrupt; ``choices`` empty: all."""
    proposed = call["call"]
    return {
        "id": question_id,
        "tool": proposed["name"],
        "args": proposed["args"],
        "why": why,
        "who": who,
        "choices": list(choices or CHOICES),
    }


def asking_part(config: Mapping[str, Any], messages: Sequence[BaseMessage]) -> dict[str, str]:
    """Which part of the agent asks, for the payload of the interrupt: a step or another agent, and what it is to do.

    Empty if the thread's own conversation asks. Several steps may ask at the same time, with calls that look alike.
    """
    path = str(config.get("configurable", {}).get("checkpoint_ns", "")).split("|")[:-1]
    if not path:
        return {}
    task = next((message.text for message in reversed(messages) if isinstance(message, HumanMessage)), "")
    return {"inside": "/".join(part.partition(":")[0] for part in path), "task": task}


def question_ids(calls: Sequence[Call], earlier: Sequence[BaseMessage]) -> list[str]:
    """The id of the question about each of ``calls``: the call's own, or its place if the model gave that id before.

    So no answer, given twice or late, is one to the question about another call.
    """
    own = [call["call"]["id"] for call in calls]
    taken = {call["id"] for call in calls}
    taken |= {call["id"] for message in earlier if isinstance(message, AIMessage) for call in message.tool_calls}
    return [
        call["id"] if one is None or one in taken or own.count(one) > 1 else one
        for call, one in zip(calls, own, strict=True)
    ]


def answer_type(
    questions: Sequence[Mapping[str, Any]], schemas: Mapping[str, Any], forbids: Callable[[str, Any], str]
) -> Any:
    """The type of the answer to ``questions``, for LangGraph's ``interrupt``.

    Its JSON Schema travels with the interrupt to whoever answers, and an answer that does not fit, from
    whatever client, is refused before anything is stored: the thread can be answered again. ``forbids`` says of a
    question's id and the arguments of an edit why nobody may call the tool so, if that is the case.
    """
    schema = _answer_schema(questions, schemas)

    def fits(given: dict[str, Any]) -> dict[str, Any]:
        check_answers(questions, given.get("answers", ()), schema)
        for answer in given["answers"]:
            if answer["type"] == "edit" and (why := forbids(answer["id"], answer["args"])):
                raise BadAnswer(f"the edit of {answer['id']!r} may not be: {why}")
        return given

    return Annotated[dict[str, list[dict[str, Any]]], AfterValidator(fits), WithJsonSchema(schema)]


def _answer_schema(questions: Sequence[Mapping[str, Any]], schemas: Mapping[str, Any]) -> dict[str, Any]:
    kinds = [
        {
            "type": "object",
            "title": question["tool"],
            "properties": {
                "id": {"const": question["id"]},
                "type": {"enum": list(question["choices"])},
                "args": schemas[question["tool"]],
                "text": {"type": "string"},
                "by": {"type": "string"},
                "at": {"type": "string"},
            },
            "required": ["id", "type"],
        }
        for question in questions
    ]
    answers = {"type": "array", "items": {"anyOf": kinds}, "minItems": len(kinds), "maxItems": len(kinds)}
    return {"type": "object", "properties": {"answers": answers}, "required": ["answers"]}


def check_answers(questions: Sequence[Mapping[str, Any]], answers: Sequence[Mapping[str, Any]], schema: Any) -> None:
    """Make sure that every question has exactly one answer that fits it.

    ``schema`` is the interrupt's ``response_schema``; without it the arguments of an edit are not looked at.

    Raises:
        BadAnswer: with the value seen and what was possible.
    """
    asked = {question["id"]: question for question in questions}
    given = [answer.get("id") for answer in answers]
    for call_id in given:
        if call_id not in asked:
            raise BadAnswer(f"no question has the id {call_id!r}; open are {_list(asked)}")
        if given.count(call_id) > 1:
            raise BadAnswer(f"question {call_id!r} got {given.count(call_id)} answers; give one")
    if missing := [call_id for call_id in asked if call_id not in given]:
        raise BadAnswer(f"no answer to {_list(missing)}; all questions are answered together")
    for answer in answers:
        _check(answer, asked[answer["id"]], schema)


def _check(answer: Mapping[str, Any], question: Mapping[str, Any], schema: Any) -> None:
    kind = answer.get("type")
    if kind not in question["choices"]:
        raise BadAnswer(f"{kind!r} is not a choice for {question['id']!r}; choose {_list(question['choices'])}")
    if kind == "approve" and answer.get("args", question["args"]) != question["args"]:
        raise BadAnswer(
            f"the approval of {question['id']!r} is of other arguments than {question['tool']} would be called with, "
            f"{question['args']}; look at the question again, or answer with an edit"
        )
    if kind == "respond" and not answer.get("text"):
        raise BadAnswer(f"the response to {question['id']!r} has no text; give what the tool should have said")
    if kind == "edit":
        if not isinstance(answer.get("args"), Mapping):
            raise BadAnswer(f"the edit of {question['id']!r} has no args; give all arguments of {question['tool']}")
        if schema and (complaint := schema_complaint(_schema_of(question["id"], schema), answer["args"])):
            raise BadAnswer(f"invalid arguments for {question['tool']}: {complaint}")


def _schema_of(question_id: str, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    kinds = schema["properties"]["answers"]["items"]["anyOf"]
    return next(kind["properties"]["args"] for kind in kinds if kind["properties"]["id"]["const"] == question_id)


def sign(answer: Mapping[str, Any], clock: Callable[[], str]) -> dict[str, Any]:
    """``answer`` with who gave it and when, where it does not say so itself."""
    return {**answer, "by": answer.get("by") or "human", "at": answer.get("at") or clock()}


def apply_answer(call: Call, answer: Mapping[str, Any]) -> Call:
    """What is to be done with ``call`` after a person answered; ``answer`` is signed."""
    by, at = answer["by"], answer["at"]
    match answer["type"]:
        case "edit":
            return {**call, "call": {**call["call"], "args": dict(answer["args"])}}
        case "reject":
            reason = answer.get("text")
            text = f"a person refused this call: {reason}" if reason else "a person refused this call"
            return {**call, "kind": "rejected", "text": text, "by": by, "at": at}
        case "respond":
            return {**call, "kind": "responded", "text": answer["text"], "by": by, "at": at}
        case "approve":
            return call
        case other:
            raise BadAnswer(f"{other!r} is no answer; choose {_list(CHOICES)}")


def edited_message(message: AIMessage, calls: Sequence[Call], answer: Mapping[str, Any]) -> AIMessage:
    """``message`` with ``calls``, in the order of the proposal, in its place; the proposal stays beside them.

    The id and the trace stay: what was sampled is still what was sampled. ``answer`` is signed.
    """
    made = {"tool_calls": message.tool_calls, "invalid_tool_calls": message.invalid_tool_calls}
    repaired = message.response_metadata.get(REPAIRED_KEY, {})
    proposal = {"content": message.content, **repaired.get("proposal", made)}
    edit = {"by": answer["by"], "at": answer["at"], "proposal": proposal}
    raw = {key: value for key, value in message.additional_kwargs.items() if key != "tool_calls"}
    return message.model_copy(
        update={
            "tool_calls": [call["call"] for call in calls[: len(message.tool_calls)]],
            "additional_kwargs": raw,
            "response_metadata": {**message.response_metadata, EDIT_KEY: edit},
        }
    )


def _list(names: Any) -> str:
    return ", ".join(map(repr, names))
