"""What becomes of a tool's output: as much of it as is kept, the page that the model sees, marked as data."""

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import ToolMessage

from .marking import mark_content, unmark
from .pages import FULL_KEY, first_page, handle_of
from .plain_data import plain

MAX_KEPT = 4_000_000
"""Of a longer text so many characters are kept."""

_OURS = {FULL_KEY, "kind", "duration_s", "attempts", "by", "at"}
"""Notes that a tool cannot make itself, in a message of its own."""


def written(message: ToolMessage, message_id: str, max_chars: int | None, key: str | None) -> dict[str, Any]:
    """The fields of ``message`` as they are to be stored under ``message_id``.

    The model sees at most ``max_chars`` characters of its text at first, the thread keeps all. With ``key`` its text is
    marked as data. Images and other blocks stay as they are; nothing is left that a database could not read back.
    """
    content: Any = message.content
    if isinstance(content, list) and all(isinstance(block, str) for block in content):
        content = json.dumps(content, ensure_ascii=False)  # a list like any other: as blocks they would run together
    if isinstance(content, str):
        shown, full = _shown(_kept(content), message_id, max_chars, key)
    else:
        shown, full = _shown_blocks([_kept_block(block) for block in content], message_id, max_chars, key)
    fields: dict[str, Any] = {"content": shown}
    notes = {key: one for key, one in _plain_dict(message.additional_kwargs).items() if key not in _OURS}
    fields["additional_kwargs"] = notes if full is None else {**notes, FULL_KEY: full}
    if message.artifact is not None:
        fields["artifact"] = plain(message.artifact)
    if message.response_metadata:
        fields["response_metadata"] = _plain_dict(message.response_metadata)
    return fields


def _plain_dict(notes: dict[str, Any]) -> dict[str, Any]:
    made = plain(notes) if notes else notes
    return made if isinstance(made, dict) else {}


def told_by_tool(message: ToolMessage) -> Any:
    """What the tool said, whole, without our marks and notes: the same for every run that says the same."""
    full = message.additional_kwargs.get(FULL_KEY)
    if full is not None and isinstance(message.content, str):
        return full
    if full is not None:
        return [full, *(one for one in message.content if _text_of(one) is None)]
    if isinstance(message.content, str):
        return unmark(message.content)
    return [one if (text := _text_of(one)) is None else unmark(text) for one in message.content]


def text_by_tool(message: ToolMessage) -> str:
    """The text of what the tool said: of several blocks each on its own, and as they read one behind the other."""
    told = told_by_tool(message)
    if isinstance(told, str):
        return told
    texts = [text for text in map(_text_of, told) if text]
    return "\n".join([*texts, "".join(texts)] if len(texts) > 1 else texts)


def _shown(text: str, message_id: str, max_chars: int | None, key: str | None) -> tuple[str, str | None]:
    """The text that the model sees, and all of it where that is more."""
    if max_chars is None or len(text) <= max_chars:
        return (text if key is None else mark_content(text, key)), None
    page, _ = first_page(text, max_chars, handle_of(message_id), key)
    return page, text


def _shown_blocks(
    blocks: Sequence[Any], message_id: str, max_chars: int | None, key: str | None
) -> tuple[Any, str | None]:
    text = "\n".join(filter(None, map(_text_of, blocks)))
    if max_chars is None or len(text) <= max_chars:
        return (list(blocks) if key is None else mark_content(blocks, key)), None
    page, _ = first_page(text, max_chars, handle_of(message_id), key)
    others = [block for block in blocks if _text_of(block) is None]
    return [{"type": "text", "text": page}, *others], text


def _text_of(block: Any) -> str | None:
    if isinstance(block, str):
        return block
    return str(block.get("text", "")) if block.get("type") == "text" else None


def _kept_block(block: Any) -> Any:
    block = plain(block)
    if isinstance(block, str):
        return _kept(block)
    text = _text_of(block)
    return block if text is None else {**block, "text": _kept(text)}


def _kept(text: str) -> str:
    """``text`` without halves of characters, which no database holds, and not endless."""
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    if len(text) <= MAX_KEPT:
        return text
    return f"{text[:MAX_KEPT]}\n[cut here: the output had {len(text)} characters, {MAX_KEPT} are kept]"
