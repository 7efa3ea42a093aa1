"""What a function gives back, before LangChain makes a message of it: data as JSON, and an error where nothing ran.

LangChain writes what JSON does not know as Python would (``[Order(id=1)]``), and takes every record of the type
"file" or "text" for content to be shown to the model.
"""

import json
from collections.abc import Mapping
from dataclasses import is_dataclass
from inspect import isasyncgen, iscoroutine, isgenerator
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage
from langchain_core.messages.tool import ToolOutputMixin
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

_CONTENT = frozenset(
    "text image_url url base64 data source file file_id content json output search_result document".split()
)
"""A content block has one of these fields besides its type."""


class NothingRan(Exception):
    """A function gave back a coroutine or a generator, of which not a line has run."""


def readable(result: Any, *, with_artifact: bool = False) -> Any:
    """Data as JSON; text, messages, content blocks and what has no form but its ``str`` as they are.

    >>> from datetime import date
    >>> readable({"due": date(2026, 1, 2), "tags": {"new"}})
    '{"due": "2026-01-02", "tags": ["new"]}'

    Raises:
        NothingRan
    """
    if isinstance(result, str):
        return result
    if iscoroutine(result) or isgenerator(result) or isasyncgen(result):
        if iscoroutine(result):
            result.close()
        raise NothingRan(f"a {type(result).__name__}, of which nothing has run")
    if with_artifact:
        return (readable(result[0]), result[1]) if isinstance(result, tuple) and len(result) == 2 else result
    if isinstance(result, BaseMessage | ToolOutputMixin | Document | type) or not _is_data(result):
        return result
    try:
        return json.dumps(result, ensure_ascii=False, default=_jsonable)
    except (TypeError, ValueError, RecursionError):  # keys that are no text, or it holds itself
        return result


def _is_data(result: Any) -> bool:
    if isinstance(result, list | tuple):
        if any(isinstance(one, ToolOutputMixin) for one in result):
            return False
        return all(isinstance(one, str) for one in result) or not all(_is_content(one) for one in result)
    return isinstance(result, Mapping | set | frozenset | BaseModel) or is_dataclass(result)


def _is_content(block: Any) -> bool:
    return isinstance(block, str) or (isinstance(block, dict) and "type" in block and not _CONTENT.isdisjoint(block))


def _jsonable(value: Any) -> Any:
    return to_jsonable_python(value, serialize_unknown=True, bytes_mode="base64", fallback=str)
