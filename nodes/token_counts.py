"""How many tokens a prompt has: as the slot's model counts, by what servers reported, or at most."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.messages.utils import count_tokens_approximately

from .bound_tools import SYSTEM_KEY, system_at, tools_at
from .context import seen, start_of, system_of

FRAME = 32
"""More tokens than any chat template writes around a message."""
IMAGE = 3000
"""More tokens than the usual models make of an image, or of a page."""
USUAL_IMAGE = 1000
PAGE_LETTERS = 70_000
"""Of base64, for a page of a PDF or as much sound: nobody here can count what a model makes of them."""

_FILES = frozenset({"file", "audio", "video", "input_file", "input_audio", "document", "media"})
"""Types of blocks, LangChain's own and those of providers."""

_ADDED = re.compile(
    r"(?:\A|\n\n)[^\n]*\n\[data ([0-9a-f]{12}) from (?:memory|a summary): .*?\[end of data \1\]", re.DOTALL
)
"""What ``system_of`` put behind a system prompt when it was noted."""


@dataclass(frozen=True, slots=True)
class Besides:
    """What a model gets besides the messages of the thread."""

    system: str
    """Without what is remembered and what was summarised."""
    tools: Sequence[Mapping[str, Any]]
    """Their schemas."""


def noted_besides(messages: Sequence[BaseMessage]) -> Besides:
    """What the last answer had, as far as answers noted it."""
    return Besides(_ADDED.sub("", system_at(messages)), tools_at(messages))


def window_of(model: Any) -> int | None:
    """How many tokens prompt and answer may have together; None if ``model`` does not tell."""
    context = getattr(model, "context", None)
    if isinstance(context, int):
        return context
    if (inner := getattr(model, "inner", None)) is not None:
        return window_of(inner)
    profile: Mapping[str, Any] = getattr(model, "profile", None) or {}
    return profile.get("max_input_tokens")


def count_prompt(model: Any, messages: Sequence[BaseMessage], context: Mapping[str, Any], besides: Besides) -> int:
    """Tokens of the prompt that ``messages`` make under ``context``, system prompt and tools included.

    Exact for a model that has its tokenizer here. Else a guess by characters, scaled by what the last answer cost.
    """
    prompt = _prompt(_system_before(messages, context, besides), messages, context)
    counted = _counted(model, prompt, besides.tools)
    return round(_scale(messages) * _guess(prompt, besides.tools)) if counted is None else counted


def surely_at_most(messages: Sequence[BaseMessage], context: Mapping[str, Any], version: str, besides: Besides) -> int:
    """More tokens than the prompt can have, without counting them: a token has one byte at least.

    What the last answer of ``version`` cost is known, if it was given under the same context with the same besides.
    """
    known, since = 0, seen(messages, context)
    begins = {key: context[key] for key in ("start", "pinned") if context.get(key)}
    for place in range(len(messages) - 1, -1, -1):
        answer = messages[place]
        if not isinstance(answer, AIMessage):
            continue
        same = answer.response_metadata.get("version") == version and start_of(answer) == begins
        if same and (cost := _cost(answer)) and _is_noted(besides, messages):
            known, since = cost, messages[place + 1 :]
        break
    if known:
        size = len((context.get("memory", "") + context.get("summary", "")).encode())
    else:
        system = _system_before(messages, context, besides)
        size = len(system.encode()) + 2 * len(json.dumps(besides.tools)) + FRAME
    return known + size + sum(_at_most(message) for message in since)


def _is_noted(besides: Besides, messages: Sequence[BaseMessage]) -> bool:
    """Had the last answer the same?"""
    noted = noted_besides(messages)
    return noted.tools == besides.tools and (_begins_with_system(messages) or noted.system == besides.system)


def _begins_with_system(messages: Sequence[BaseMessage]) -> bool:
    return bool(messages) and isinstance(messages[0], SystemMessage)


def _system_before(messages: Sequence[BaseMessage], context: Mapping[str, Any], besides: Besides) -> str:
    return system_of(messages[0].text if _begins_with_system(messages) else besides.system, context)


def _cost(answer: BaseMessage) -> int:
    """What prompt and answer cost together; 0 if nobody told."""
    usage = answer.usage_metadata if isinstance(answer, AIMessage) else None
    return usage["total_tokens"] if usage else 0


def _prompt(system: str, messages: Sequence[BaseMessage], context: Mapping[str, Any]) -> list[BaseMessage]:
    told = list(seen(messages, context))
    if told and told[0] is messages[0] and isinstance(told[0], SystemMessage):
        del told[0]
    return [SystemMessage(system), *told] if system else told


def _counted(model: Any, prompt: Sequence[BaseMessage], tools: Sequence[Any]) -> int | None:
    count = getattr(model, "count_tokens", None)
    return None if count is None else count(prompt, tools)


def _guess(prompt: Sequence[BaseMessage], tools: Sequence[Any]) -> int:
    """By characters, and files by their size."""
    pages = sum(_pages(block) for message in prompt for block in _files(message))
    text = [_without_files(message) for message in prompt]
    return IMAGE * pages + count_tokens_approximately(text, tools=list(tools) or None, tokens_per_image=USUAL_IMAGE)


def _scale(messages: Sequence[BaseMessage]) -> float:
    """Real tokens for each guessed one, by the last answer that tells what it cost."""
    for place in range(len(messages) - 1, 0, -1):
        if cost := _cost(messages[place]):
            known = messages[: place + 1]
            noted = (m.response_metadata[SYSTEM_KEY] for m in reversed(known) if SYSTEM_KEY in m.response_metadata)
            own = known[0].text if _begins_with_system(known) else ""
            prompt = _prompt(next(noted, "") or own, known, start_of(messages[place]))
            return cost / max(_guess(prompt, tools_at(known)), 1)
    return 1.0


def _is_file(block: Any) -> bool:
    return isinstance(block, dict) and block.get("type") in _FILES


def _pages(block: Any) -> int:
    return 1 + _longest(block) // PAGE_LETTERS


def _longest(block: Any) -> int:
    """The letters of the longest text in ``block``."""
    if isinstance(block, Mapping):
        return max(map(_longest, block.values()), default=0)
    return len(block) if isinstance(block, str) else 0


def _without_files(message: BaseMessage) -> BaseMessage:
    if not (files := _files(message)):
        return message
    return message.model_copy(update={"content": [block for block in message.content if block not in files]})


def _files(message: BaseMessage) -> list[Any]:
    return [] if isinstance(message.content, str) else [block for block in message.content if _is_file(block)]


def _at_most(message: BaseMessage) -> int:
    blocks = [message.content] if isinstance(message.content, str) else message.content
    size = FRAME + sum(_block_at_most(block) for block in blocks) + len(message.name or "")
    size += len(str(message.additional_kwargs.get("reasoning_content", "")).encode())
    if isinstance(message, AIMessage):
        calls = [*message.tool_calls, *message.invalid_tool_calls]
        size += sum(FRAME + 2 * len(json.dumps(call, default=str)) for call in calls)
    return size


def _block_at_most(block: Any) -> int:
    if isinstance(block, str):
        return len(block.encode())
    if block.get("type") == "text":
        return len(str(block.get("text", "")).encode())
    if _is_file(block):
        return IMAGE * _pages(block)
    return IMAGE if block.get("type") in ("image", "image_url") else len(repr(block))
