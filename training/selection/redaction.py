"""A branch without personal data and secrets: its messages, its tokens, and what was noted about it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ...errors import BadRedaction
from ...nodes.bound_tools import TOOLS_KEY
from ...nodes.models.trace import EDIT_KEY
from ...nodes.repair import REPAIRED_KEY
from ..branches import Branch
from ..trajectory import Trajectory
from .redactor import Redactor

__all__ = ["Redactor", "redact_branch"]


def redact_branch(branch: Branch, redactor: Redactor) -> tuple[Branch, Counter[str]]:
    """``branch`` redacted, and how many finds of each kind there were.

    With a tokenizer, for data sets of tokens, those in the trajectories are counted; without one, for data sets of
    messages, those in the messages, and the trajectories are left out. The two differ: a template shows a message
    twice, or not at all, it shows the tools, and several trajectories of a branch begin alike.

    Messages lose their traces and whatever else a provider noted except plain values, the tools and a human's edit.

    Raises:
        BadRedaction: the tokens were not written by the redactor's tokenizer.
    """
    counts: Counter[str] = Counter()
    trajectories: list[Trajectory] = []
    if redactor.reads_tokens:
        if branch.tokens == "recorded":
            _check_tokenizer(branch, redactor)
        for trajectory in branch.trajectories:
            redacted, found = redactor.trajectory(trajectory)
            trajectories.append(redacted)
            counts.update(found)
    in_messages: Counter[str] = Counter()
    messages = tuple(_message(message, redactor, in_messages) for message in branch.messages)
    redacted = replace(
        branch,
        messages=messages,
        trajectories=tuple(trajectories),
        tools=tuple(_value(list(branch.tools), redactor, Counter())),
        labels=tuple(replace(label, value=_value(label.value, redactor, Counter())) for label in branch.labels),
        metadata=_value(dict(branch.metadata), redactor, Counter()),
    )
    return redacted, counts if redactor.reads_tokens else in_messages


def _message(message: BaseMessage, redactor: Redactor, counts: Counter[str]) -> BaseMessage:
    """``message`` redacted; what was found is added to ``counts``."""
    update: dict[str, Any] = {
        "content": _value(message.content, redactor, counts),
        "additional_kwargs": _value(message.additional_kwargs, redactor, counts),
        "response_metadata": _value(_kept(message.response_metadata), redactor, counts),
        "name": _value(message.name, redactor, counts),
    }
    if isinstance(message, AIMessage):
        update["tool_calls"] = [_call(call, redactor, counts) for call in message.tool_calls]
        update["invalid_tool_calls"] = [_call(call, redactor, counts) for call in message.invalid_tool_calls]
        if hasattr(message, "tool_call_chunks"):
            update["tool_call_chunks"] = []
    if isinstance(message, ToolMessage):
        update["artifact"] = None
    return message.model_copy(update=update)


def _kept(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in metadata.items()
        if key in (EDIT_KEY, REPAIRED_KEY, TOOLS_KEY) or value is None or isinstance(value, str | int | float | bool)
    }


def _call(call: Any, redactor: Redactor, counts: Counter[str]) -> Any:
    """Its name and id stay: results are found by them."""
    return {key: held if key in ("id", "name") else _value(held, redactor, counts) for key, held in call.items()}


def _value(value: Any, redactor: Redactor, counts: Counter[str]) -> Any:
    redacted, found = redactor.value(value)
    counts.update(found)
    return redacted


def _check_tokenizer(branch: Branch, redactor: Redactor) -> None:
    """With another model's tokenizer the tokens are other words, and nothing would be found in them."""
    said = _said(branch.messages)
    spoken = [
        (said[span.message], span.tokens)
        for trajectory in branch.trajectories
        for span in trajectory.spans
        if span.origin == "sampled" and span.message in said
    ]
    if spoken and not any(redactor.wrote(tokens, text) for text, tokens in spoken):
        raise BadRedaction(
            f"thread {branch.thread!r}: its recorded tokens do not write its messages, such as {spoken[0][0]!r}; give "
            "--tokenizer the model that recorded them, or they cannot be redacted"
        )


def _said(messages: Sequence[BaseMessage]) -> dict[str | None, str]:
    """A word of each answer that its tokens must hold, where there is one."""
    said = {}
    for message in messages:
        if isinstance(message, AIMessage) and EDIT_KEY not in message.response_metadata:
            words = [*message.text.split(), *(call["name"] for call in message.tool_calls)]
            if words:
                said[message.id] = max(words, key=len)
    return said
