"""Values that any database of threads can hold and read back: plain data, and what is made of other values.

A thread is read strictly: one object of a class that is not on the allow-list and the thread cannot be opened. So what
a tool hands back besides its text is made plain before it is stored.
"""

from base64 import b64encode
from datetime import date, datetime
from typing import Any

from langchain_core.documents import Document
from pydantic_core import to_jsonable_python

MAX_DEPTH = 100
_LEAVES = (str, bytes, bool, float, datetime, date, type(None))


def plain(value: Any) -> Any:
    """``value`` itself if it is plain data (LangChain's ``Document`` counts), else the closest plain data.

    Dataclasses, pydantic models, sets and the like become lists and dicts, bytes among them base64, other objects their
    ``str``; integers of more than 64 bits become their digits.

    >>> plain({"rows": [1, 2**70]}), plain({3})
    ({'rows': [1, '1180591620717411303424']}, [3])
    """
    if is_plain(value):
        return value
    try:
        jsonable = to_jsonable_python(value, serialize_unknown=True, bytes_mode="base64", fallback=_spelled)
        return _short_integers(jsonable)
    except Exception as error:  # it holds itself, or cannot even be shown
        return f"a {type(value).__name__} that cannot be stored: {type(error).__name__}"


def is_plain(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Whether ``value`` consists of nothing but plain data, nested at most ``depth`` deep."""
    kind = type(value)
    if kind in _LEAVES:
        return True
    if kind is int:
        return -(2**63) <= value < 2**64
    if depth == 0:
        return False
    if kind in (list, tuple):
        return all(is_plain(one, depth - 1) for one in value)
    if kind is dict:
        return all(type(key) is str and is_plain(one, depth - 1) for key, one in value.items())
    return kind is Document and all(is_plain(one, depth - 1) for one in vars(value).values())


def _spelled(value: Any) -> Any:
    return b64encode(value).decode() if isinstance(value, (bytearray, memoryview)) else str(value)


def _short_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short_integers(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_short_integers(one) for one in value]
    return value if is_plain(value) else str(value)
