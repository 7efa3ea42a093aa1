"""Tools that stand in a text: a JSON list, JSON objects one behind another, or a Python literal."""

import json
from typing import Any

from .calls import read_literal
from .record import BadRow
from .schemas import read_tools

_DECODER = json.JSONDecoder()


def tools_in(written: Any) -> tuple[dict[str, Any], ...]:
    """The tools in ``written``: what ``read_tools`` takes, or a text that spells it; none for an empty text.

    >>> [tool["function"]["name"] for tool in tools_in('{"name": "add"} {"name": "subtract"}')]
    ['add', 'subtract']

    Raises:
        BadRow: the text spells no tools.
    """
    if not isinstance(written, str):
        return read_tools([written] if isinstance(written, dict) else written)
    told = written.strip()
    if not told:
        return ()
    found = read_literal(told)
    if found is None:
        found = _one_by_one(told)
    return read_tools([found] if isinstance(found, dict) else found)


def _one_by_one(text: str) -> list[Any]:
    found: list[Any] = []
    at = 0
    while at < len(text):
        try:
            one, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise BadRow(f"the tools cannot be read: {error}") from error
        found.append(one)
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
    return found
