"""What a thread stopped for and what people answered, in our words, whoever's agent asked.

LangChain's human-in-the-loop middleware asks about all calls of a message at once,
``{"action_requests": …, "review_configs": …}``, or about each on its own, ``{"type": "tool_approval", …}``.
Pure: takes the values as the database holds them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.checkpoint.base import PendingWrite

CHOICES = ("approve", "edit", "reject", "respond")
NULL_TASK = "00000000-0000-0000-0000-000000000000"
"""LangGraph's name for no task."""


@dataclass(frozen=True, slots=True)
class Pause:
    """One question that a thread stopped for, and its answer."""

    question: Any
    """The value of the interrupt, as stored."""
    answer: Any = None
    """What the thread was resumed with; None if nobody answered."""
    message: AIMessage | None = None
    """The last ``AIMessage`` when the question was asked: the one with the calls in question."""
    at: str = ""
    """When it was answered, ISO 8601."""
    schema: Mapping[str, Any] | None = None
    """The JSON Schema of the answer, if the interrupt has one."""
    id: str = ""
    """Of the interrupt. What a subgraph asks lies in its namespace and, under the same id, in its parents'."""


def pauses_at(writes: Sequence[PendingWrite], message: AIMessage | None = None, at: str = "") -> list[Pause]:
    """The pauses of one checkpoint, from all its writes; ``message`` is the last ``AIMessage`` there.

    A question counts as answered when its task has gone on. Of several questions that one task asked,
    LangGraph keeps the last, and its answer only beside the tasks, where an answer for no named question goes.
    """
    bare = [value for task, channel, value in writes if channel == "__resume__" and task == NULL_TASK]
    asking = {task: value for task, channel, value in writes if channel == "__interrupt__"}
    pauses = []
    for asked_by, interrupts in asking.items():
        own = [(channel, value) for task, channel, value in writes if task == asked_by]
        gone_on = any(channel not in ("__interrupt__", "__resume__", "__error__") for channel, _ in own)
        given = bare if bare and len(asking) == 1 else [v[-1] for channel, v in own if channel == "__resume__"]
        answer = given[-1] if given and gone_on else None
        for asked in interrupts:
            schema = asked.response_schema if isinstance(asked.response_schema, Mapping) else None
            pauses.append(Pause(asked.value, answer, message, at if gone_on else "", schema, asked.id))
    return pauses


def questions_of(pause: Pause) -> list[dict[str, Any]]:
    """The questions in our form: ``id`` (of the call, empty if unknown), ``tool``, ``args``, ``why``, ``choices``.

    ``who`` is asked; agents that are not ours do not say whom. A question that is not about calls has only ``why``:
    what was asked, as it is.

    >>> request = {"name": "pay", "args": {"amount": 9}, "description": "Money."}
    >>> review = {"action_name": "pay", "allowed_decisions": ["approve", "reject"]}
    >>> [question] = questions_of(Pause({"action_requests": [request], "review_configs": [review]}))
    >>> question["id"], question["tool"], question["why"], question["who"], question["choices"]
    ('', 'pay', 'Money.', 'human', ['approve', 'reject'])
    >>> questions_of(Pause("Which order?"))
    [{'why': 'Which order?'}]
    """
    asked = pause.question
    if _is_ours(asked):
        return [dict(question) for question in asked["questions"]]
    if _is_single(asked):
        return [_question(asked["tool_call_id"], asked, _choices_in(pause.schema))]
    if not _is_batch(asked):
        return [{"why": asked}]
    ids = _ids_of(asked["action_requests"], pause.message)
    choices = [review["allowed_decisions"] for review in asked["review_configs"]]
    return [_question(*parts) for parts in zip(ids, asked["action_requests"], choices, strict=True)]


def answers_of(pause: Pause) -> list[dict[str, Any]]:
    """The answers in our form: ``id``, ``type``, ``by``, ``at``, and ``args`` or ``text`` where there are any.

    An edit that calls another tool also has ``tool``. Empty if nobody answered, or if the decisions do not
    fit the question: the middleware fails on them, and nothing comes of them.

    >>> edit = {"type": "edit", "edited_action": {"name": "pay", "args": {"amount": 2}}}
    >>> answers_of(Pause({"type": "tool_approval", "tool_call_id": "c1", "name": "pay", "args": {}}, edit, at="noon"))
    [{'id': 'c1', 'type': 'edit', 'by': 'human', 'at': 'noon', 'args': {'amount': 2}}]
    """
    asked, given = pause.question, pause.answer
    if given is None:
        return []
    if _is_ours(asked):
        return [{"by": "human", "at": pause.at, **_own(answer)} for answer in _listed(given, "answers")]
    if not _is_single(asked) and not _is_batch(asked):
        text = given if isinstance(given, str) else json.dumps(given, default=str)
        return [{"type": "respond", "by": "human", "at": pause.at, "text": text}]
    questions = questions_of(pause)
    decisions = [given] if _is_single(asked) else _listed(given, "decisions")
    if len(decisions) != len(questions) or not all(map(_is_decision, decisions)):
        return []
    return [_answer(*pair, pause.at) for pair in zip(questions, decisions, strict=True)]


def edits_in_state(edited: Mapping[str, Mapping[str, Any]], messages: Sequence[AnyMessage]) -> list[Pause]:
    """The edits that the middleware keeps in its channel ``hitl_edited_tool_calls``, as pauses.

    With ``durability="exit"`` LangGraph stores no answers, and this is all that is left of them. The channel
    outlives its turn: an edit belongs to the last message whose call of that id has a result.
    """
    found = {}
    waiting: dict[str, AIMessage] = {}
    for message in messages:
        if isinstance(message, AIMessage):
            waiting |= {call["id"] or "": message for call in message.tool_calls}
        elif isinstance(message, ToolMessage) and message.tool_call_id in waiting:
            found[message.tool_call_id] = waiting.pop(message.tool_call_id)
    return [
        Pause(
            {"type": "tool_approval", "tool_call_id": call["id"], "name": call["name"], "args": call["args"]},
            {"type": "edit", "edited_action": edited[call["id"] or ""]},
            message,
        )
        for id_, message in found.items()
        for call in message.tool_calls
        if call["id"] == id_ and id_ in edited
    ]


def _own(answer: Mapping[str, Any]) -> dict[str, Any]:
    """``answer`` without what it repeats: an approval holds the arguments of its question."""
    repeats = {"args"} if answer.get("type") == "approve" else set()
    return {key: value for key, value in answer.items() if key not in repeats}


def _is_ours(asked: Any) -> bool:
    return isinstance(asked, Mapping) and isinstance(asked.get("questions"), Sequence)


def _is_single(asked: Any) -> bool:
    return isinstance(asked, Mapping) and asked.get("type") == "tool_approval"


def _is_batch(asked: Any) -> bool:
    if not isinstance(asked, Mapping) or not {"action_requests", "review_configs"} <= asked.keys():
        return False
    return len(asked["action_requests"]) == len(asked["review_configs"])


def _listed(given: Any, key: str) -> Sequence[Any]:
    return given.get(key, ()) if isinstance(given, Mapping) else ()


def _is_decision(given: Any) -> bool:
    return isinstance(given, Mapping) and given.get("type") in CHOICES


def _ids_of(requests: Sequence[Mapping[str, Any]], message: AIMessage | None) -> list[str]:
    """The ids of the calls in question: requests are in the order of the calls, but not every call is asked about."""
    calls = iter(message.tool_calls if message else [])
    ids = []
    for request in requests:
        same = (call["id"] for call in calls if (call["name"], call["args"]) == (request["name"], request["args"]))
        ids.append(next(same, None) or "")
    return ids


def _question(id_: str, asked: Mapping[str, Any], choices: Sequence[str]) -> dict[str, Any]:
    why = asked.get("description", "")
    about = {"id": id_, "tool": asked["name"], "args": asked["args"], "why": why}
    return {**about, "who": "human", "choices": list(choices)}


def _choices_in(schema: Mapping[str, Any] | None) -> Sequence[str]:
    """The decisions that the schema of an answer allows: it has one form for each, or is the form of the only one."""
    if schema is None:
        return CHOICES
    if "discriminator" in schema:
        return list(schema["discriminator"]["mapping"])
    only = schema.get("properties", {}).get("type", {}).get("const")
    return [only] if only else CHOICES


def _answer(question: Mapping[str, Any], decision: Mapping[str, Any], at: str) -> dict[str, Any]:
    answer = {"id": question["id"], "type": decision["type"], "by": "human", "at": at}
    if decision["type"] == "edit":
        action = decision["edited_action"]
        answer["args"] = action["args"]
        if action["name"] != question["tool"]:
            answer["tool"] = action["name"]
    elif decision.get("message"):
        answer["text"] = decision["message"]
    return answer
