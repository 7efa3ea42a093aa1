"""Rows of messages as the tokens that a chat template would make of them, trained where the model answers.

Only for messages as OpenAI writes them. It shows what our own rendering would train; another trainer may mask
otherwise.
"""

from collections.abc import Mapping
from typing import Any

from langchain_core.messages import BaseMessage, convert_to_messages

from ...errors import CannotRender
from ...nodes.models.rendered import render_rows
from ...nodes.models.template import ChatTemplate
from .sequences import Tokens


def render_chat(row: Mapping[str, Any], template: ChatTemplate) -> list[Tokens]:
    """One sequence, or several where the template rewrites what was said; none if the row has no such messages.

    Raises:
        CannotRender: these are no messages of that form, or the template refuses them.
        NoToolTemplate: there are tools, and the template has no place for them.
    """
    messages = _messages(row)
    rows = render_rows(template, messages, _tools(row)) if messages else []
    return [Tokens("", rendered.ids, tuple(bool(on) for on in rendered.mask())) for rendered in rows]


def try_chat(row: Mapping[str, Any], template: ChatTemplate) -> None:
    """Let the template write the row's messages once, and raise what ``render_chat`` would."""
    if messages := _messages(row):
        template.text(messages, _tools(row), ask=False)


def _messages(row: Mapping[str, Any]) -> list[BaseMessage]:
    messages = row.get("messages")
    if not isinstance(messages, list) or not all(isinstance(m, Mapping) and "role" in m for m in messages):
        return []
    if any(_is_anthropic(message.get("content")) for message in messages):
        return []
    try:
        return convert_to_messages([dict(message) for message in messages])
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise CannotRender(f"these are no messages as OpenAI writes them: {error!r}") from error


def _is_anthropic(content: Any) -> bool:
    """Does a message hold calls or their results as blocks of its content?"""
    blocks = content if isinstance(content, list) else []
    return any(isinstance(block, Mapping) and block.get("type") in ("tool_use", "tool_result") for block in blocks)


def _tools(row: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    tools = row.get("tools")
    return tools if isinstance(tools, list) and tools else None
