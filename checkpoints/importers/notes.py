"""What an import notes on messages: on answers in ``response_metadata``, on all others in ``additional_kwargs``."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from .record import CALL_IN_TEXT_KEY

_CALL = re.compile(r'<tool_call>|"name"\s*:\s*"[^"]+"\s*,\s*"(?:arguments|parameters)"\s*:')


def note(message: BaseMessage, noted: Mapping[str, Any]) -> BaseMessage:
    """``message`` with ``noted`` besides what it has noted already; itself if there is nothing."""
    if not noted:
        return message
    field = "response_metadata" if isinstance(message, AIMessage) else "additional_kwargs"
    return message.model_copy(update={field: {**getattr(message, field), **noted}})


def note_spelled_calls(messages: Iterable[BaseMessage]) -> tuple[BaseMessage, ...]:
    """``messages``, those answers noted that make no call and spell one: nobody executed it, and it stays text.

    >>> [said] = note_spelled_calls([AIMessage('Wait. {"name": "look", "arguments": {"id": 1}}')])
    >>> said.response_metadata
    {'call_in_text': True}
    """
    return tuple(note(message, {CALL_IN_TEXT_KEY: True} if _spells(message) else {}) for message in messages)


def _spells(message: BaseMessage) -> bool:
    if not isinstance(message, AIMessage) or message.tool_calls or message.invalid_tool_calls:
        return False
    return _CALL.search(message.text) is not None
