"""How many tokens a prompt has: as the slot's model counts, by what servers reported, or at most."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.messages.utils import count_tokens_approximately

from .bound_tools import system_at, tools_at
from .context import seen, start_of, system_of

FRAME = 32
"""More tokens than any chat template writes around a message."""
IMAGE = 3000
"""More tokens than the usual models make of an image."""

_ADDED = re.compile(
    r"(?:\A|\n\n)[^\n]*\n\[data ([0-9a-f]{12}) from (?:memory|a summary): .*?\[end of data \1\]", re.DOTALL
)
"""What ``system_of`` put behind a system prompt when it was noted."""


def window_of(model: Any) -> int | None:
    """How many tokens prompt and answer may have together; None if ``model`` does not tell."""
    context = getattr(model, "context", None)
    if isinstance(context, int):
        return context
    profile: Mapping[str, Any] = getattr(getattr(model, "inner", model), "profile", None) or {}
    return profile.get("max_input_tokens")


def system_before(messages: Sequence[BaseMessage], context: Mapping[str, Any]) -> str:
    """The system prompt in front of the next call, as far as earlier answers noted it."""
    own = messages[0].text if messages and isinstance(messages[0], SystemMessage) else system_at(messages)
    return system_of(_ADDED.sub("", own), context)


def count_prompt(model: Any, messages: Sequence[BaseMessage], context: Mapping[str, Any]) -> int:
    """Tokens of the prompt that ``messages`` make under ``context``, system prompt and tools included.

    Exact for a model that has its tokenizer here. Else a guess by characters, scaled by what the last answer cost.
    """
    tools = tools_at(messages)
    prompt = _prompt(messages, context)
    counted = _counted(model, prompt, tools)
    return round(_scale(messages) * _guess(prompt, tools)) if counted is None else counted


def surely_at_most(messages: Sequence[BaseMessage], context: Mapping[str, Any], version: str) -> int:
    """More tokens than the prompt can have, without counting them: a token has one byte at least.

    What the last answer of ``version`` cost is known, if it was given under the same context.
    """
    known, since = 0, seen(messages, context)
    begins = {key: context[key] for key in ("start", "pinned") if context.get(key)}
    for place in range(len(messages) - 1, -1, -1):
        answer = messages[place]
        if not isinstance(answer, AIMessage):
            continue
        if answer.usage_metadata and answer.response_metadata.get("version") == version and start_of(answer) == begins:
            known, since = answer.usage_metadata["total_tokens"], messages[place + 1 :]
        break
    if known:
        besides = len((context.get("memory", "") + context.get("summary", "")).encode())
    else:
        besides = len(system_before(messages, context).encode()) + 2 * len(json.dumps(tools_at(messages))) + FRAME
    return known + besides + sum(_at_most(message) for message in since)


def _prompt(messages: Sequence[BaseMessage], context: Mapping[str, Any]) -> list[BaseMessage]:
    system = system_before(messages, context)
    told = list(seen(messages, context))
    if told and told[0] is messages[0] and isinstance(told[0], SystemMessage):
        del told[0]
    return [SystemMessage(system), *told] if system else told


def _counted(model: Any, prompt: Sequence[BaseMessage], tools: Sequence[Any]) -> int | None:
    count = getattr(model, "count_tokens", None)
    return None if count is None else count(prompt, tools)


def _guess(prompt: Sequence[BaseMessage], tools: Sequence[Any]) -> int:
    return count_tokens_approximately(prompt, tools=list(tools) or None)


def _scale(messages: Sequence[BaseMessage]) -> float:
    """Real tokens for each guessed one, by the last answer that tells what it cost."""
    for place in range(len(messages) - 1, 0, -1):
        answer = messages[place]
        if isinstance(answer, AIMessage) and answer.usage_metadata:
            known = [*messages[: place + 1]]
            guessed = _guess(_prompt(known, start_of(answer)), tools_at(known))
            return answer.usage_metadata["total_tokens"] / max(guessed, 1)
    return 1.0


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
    return IMAGE if block.get("type") in ("image", "image_url") else len(repr(block))
