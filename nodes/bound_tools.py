"""What a model was given besides the messages, noted on its answers: a thread holds nothing else that says so.

The first answer carries the schemas of the tools and the system prompt, a later one only what is no longer the
same. If the answer with the note was trimmed from the state, the next one notes it again.
"""

import json
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

TOOLS_KEY = "tools"
"""Key in ``AIMessage.response_metadata``: the tools that the model had from here on, as ``tool_schemas`` gives them."""

SYSTEM_KEY = "system"
"""Key in ``AIMessage.response_metadata``: the system prompt before the messages, where they begin with none."""


def tool_schemas(tools: Sequence[Any]) -> list[dict[str, Any]]:
    """``tools`` as OpenAI writes them: LangChain's tools, functions, pydantic classes, or dicts of any provider.

    A dict that is no function, such as a provider's own search, stays as it is. Integers that no database holds become
    floating point numbers.

    >>> tool_schemas([{"name": "look", "input_schema": {"type": "object"}}])
    [{'type': 'function', 'function': {'name': 'look', 'parameters': {'type': 'object'}}}]
    """
    return json.loads(json.dumps([_schema(tool) for tool in tools], default=str), parse_int=_storable)


def note_tools(message: AIMessage, schemas: Sequence[dict[str, Any]], earlier: Sequence[BaseMessage]) -> AIMessage:
    """``message``, with a note of ``schemas`` if ``earlier`` messages say something else; it may come back itself."""
    return _noted(message, TOOLS_KEY, list(schemas), tools_at(earlier))


def note_system(message: AIMessage, system: str, earlier: Sequence[BaseMessage]) -> AIMessage:
    """``message``, with a note of the ``system`` prompt if ``earlier`` messages say something else."""
    return _noted(message, SYSTEM_KEY, system, _newest(earlier, SYSTEM_KEY) or "")


def tools_at(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The tools that the model had when it gave the last answer among ``messages``; none if nobody noted any.

    >>> first = AIMessage("", response_metadata={"tools": [{"type": "function", "function": {"name": "look"}}]})
    >>> [tool["function"]["name"] for tool in tools_at([first, AIMessage("Done.")])]
    ['look']
    """
    return _newest(messages, TOOLS_KEY) or []


def system_at(messages: Sequence[BaseMessage]) -> str:
    """The system prompt that the last answer among ``messages`` had and they don't begin with; empty if there is none.

    >>> system_at([AIMessage("Hi.", response_metadata={"system": "Be brief."})])
    'Be brief.'
    """
    if messages and isinstance(messages[0], SystemMessage):
        return ""
    return _newest(messages, SYSTEM_KEY) or ""


def _schema(tool: Any) -> Any:
    try:
        return convert_to_openai_tool(tool)
    except ValueError:
        if isinstance(tool, dict):
            return tool
        raise


def _storable(digits: str) -> int | float:
    number = int(digits)
    return number if -(2**63) <= number < 2**64 else float(number)


def _noted(message: AIMessage, key: str, value: Any, known: Any) -> AIMessage:
    metadata = {name: kept for name, kept in message.response_metadata.items() if name != key}
    if value != known:
        metadata[key] = deepcopy(value)
    elif len(metadata) == len(message.response_metadata):
        return message
    return message.model_copy(update={"response_metadata": metadata})


def _newest(messages: Sequence[BaseMessage], key: str) -> Any:
    return next((m.response_metadata[key] for m in reversed(messages) if key in m.response_metadata), None)
