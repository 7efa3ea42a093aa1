"""Make the messages of plain LangGraph agents say what ours say: who edited or refused a call, why a result failed.

LangChain's human-in-the-loop middleware leaves the call that a person replaced in the ``AIMessage``, so that
a naive export trains on it. Here the decision goes into the messages, as our own act node writes it.
Pure: messages in, messages out.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolCall, ToolMessage

from .pauses import Pause, answers_of
from .stored_messages import changed

EDIT_KEY = "edit"
TRACE_KEY = "trace"
"""As in ``nodes.models.trace``, which nothing in this folder imports; a test compares them."""


def apply_decisions(messages: Sequence[AnyMessage], pauses: Sequence[Pause]) -> list[AnyMessage]:
    """``messages`` of a branch, with what people decided at the ``pauses`` on it written into them.

    A call that a person edited stands in its ``AIMessage`` as edited, under the same ids, the model's own
    proposal beside it, and its result loses the middleware's note that the message shows another call.
    A result that a person gave says so: its ``kind`` is ``rejected`` or ``responded``. What has all this
    already, as the threads of our own agents do, stays as it is.

    An edit takes the traces from all messages: the tokens that later calls saw hold the call that was not made.

    >>> proposed = AIMessage("", id="a", tool_calls=[{"name": "pay", "args": {"amount": 900}, "id": "c1"}])
    >>> asked = {"type": "tool_approval", "tool_call_id": "c1", "name": "pay", "args": {"amount": 900}}
    >>> edit = {"type": "edit", "edited_action": {"name": "pay", "args": {"amount": 20}}}
    >>> [edited] = apply_decisions([proposed], [Pause(asked, edit, proposed)])
    >>> edited.tool_calls[0]["args"], edited.response_metadata["edit"]["proposal"]["tool_calls"][0]["args"]
    ({'amount': 20}, {'amount': 900})
    """
    proposals: dict[str | None, AIMessage] = {}
    answers: dict[str | None, dict[str, dict[str, Any]]] = {}
    for pause in pauses:
        if pause.message is not None:
            proposals.setdefault(pause.message.id, pause.message)
            given = {answer["id"]: answer for answer in answers_of(pause) if answer.get("id")}
            answers.setdefault(pause.message.id, {}).update(given)
    told: list[AnyMessage] = []
    current: Mapping[str, dict[str, Any]] = {}
    for message in messages:
        if isinstance(message, AIMessage):
            current = {} if EDIT_KEY in message.response_metadata else answers.get(message.id, {})
            told.append(_edited(message, proposals[message.id], current) if current else message)
        elif isinstance(message, ToolMessage) and message.tool_call_id in current:
            told.append(_decided(message, current[message.tool_call_id]))
        else:
            told.append(message)
    edited = any(isinstance(new, AIMessage) and new is not old for new, old in zip(told, messages, strict=True))
    return [_without_trace(message) for message in told] if edited else told


def note_kinds(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """``messages`` in which every tool result says of which ``kind`` it is, by the words of LangGraph's ``ToolNode``.

    >>> refused = "Error: pai is not a valid tool, try one of [pay]."
    >>> [result] = note_kinds([ToolMessage(refused, tool_call_id="c1", status="error")])
    >>> result.additional_kwargs
    {'kind': 'unknown_tool'}
    """
    return [
        _noted(message, kind=_kind(message))
        if isinstance(message, ToolMessage) and "kind" not in message.additional_kwargs
        else message
        for message in messages
    ]


def _edited(message: AIMessage, proposed: AIMessage, answers: Mapping[str, Mapping[str, Any]]) -> AIMessage:
    edits = {id_: answer for id_, answer in answers.items() if answer["type"] == "edit"}
    calls = [_edited_call(call, edits.get(call["id"] or "")) for call in message.tool_calls]
    if calls == proposed.tool_calls:
        return message
    first = next(iter(edits.values()))
    proposal = {
        "content": proposed.content,
        "tool_calls": proposed.tool_calls,
        "invalid_tool_calls": proposed.invalid_tool_calls,
    }
    content = message.content
    if isinstance(content, list):  # some models repeat their calls there
        content = [block for block in content if _call_id(block) not in edits]
    raw = {key: value for key, value in message.additional_kwargs.items() if key != "tool_calls"}
    edit = {"by": first["by"], "at": first["at"], "proposal": proposal}
    noted = {**message.response_metadata, EDIT_KEY: edit}
    return message.model_copy(
        update={"content": content, "tool_calls": calls, "additional_kwargs": raw, "response_metadata": noted}
    )


def _edited_call(call: ToolCall, edit: Mapping[str, Any] | None) -> ToolCall:
    if edit is None:
        return call
    return ToolCall(name=edit.get("tool", call["name"]), args=dict(edit["args"]), id=call["id"], type="tool_call")


def _call_id(block: Any) -> Any:
    return block.get("call_id") or block.get("id") if isinstance(block, Mapping) else None


def _decided(result: ToolMessage, answer: Mapping[str, Any]) -> ToolMessage:
    if answer["type"] == "edit":
        return _without_notice(result, answer["args"])
    if answer["type"] == "approve" or "kind" in result.additional_kwargs:
        return result
    kind = "rejected" if answer["type"] == "reject" else "responded"
    return _noted(result, kind=kind, by=answer["by"], at=answer["at"])


def _without_notice(result: ToolMessage, args: Mapping[str, Any]) -> ToolMessage:
    """``result`` without the note that the middleware puts before it; the agent's author may have chosen its words."""
    executed = f" Executed instead: {result.name} with arguments {json.dumps(args, default=str)}."
    content = result.content
    if isinstance(content, str):
        before, found, after = content.partition(executed)
        rest: Any = after.removeprefix("\n\nTool response:").removeprefix("\n")
    else:
        first = content[0] if content else ""
        before, found, _ = str(first.get("text", "") if isinstance(first, dict) else first).partition(executed)
        rest = content[1:]
    if not found:
        return result
    return _noted(result.model_copy(update={"content": rest}), notice=before + found)


def _kind(result: ToolMessage) -> str:
    if result.status != "error":
        return "result"
    if result.text.startswith("Error: ") and " is not a valid tool, try one of [" in result.text:
        return "unknown_tool"
    invalid = result.text.startswith(("Error invoking tool ", "Error: ToolInvocationError("))
    return "invalid" if invalid else "failed"


def _noted(result: ToolMessage, **notes: Any) -> ToolMessage:
    return changed(result, additional_kwargs={**result.additional_kwargs, **notes})


def _without_trace(message: AnyMessage) -> AnyMessage:
    if TRACE_KEY not in message.response_metadata:
        return message
    kept = {key: value for key, value in message.response_metadata.items() if key != TRACE_KEY}
    return message.model_copy(update={"response_metadata": kept})
