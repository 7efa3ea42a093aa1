"""Calls as other people record them: arguments as an object, as JSON, as a Python literal, or as text nobody can read.

What cannot be read is kept as it was spelled, with the reason: a broken call and its repair are worth learning from.
"""

import ast
import json
import re
import warnings
from dataclasses import dataclass, field
from typing import Any

from .record import BadRow

NAMES = ("name", "tool_name", "function", "api_name")
ARGUMENTS = ("arguments", "parameters", "args", "input")
FAILED_STATES = {"error", "failed", "failure"}
_QUOTED = re.compile(r"""["']arguments["']\s*:\s*'(.*)'\s*\}\s*$""", re.DOTALL)
_NAMED = re.compile(r"""["']name["']\s*:\s*["']([^"']+)["']""")


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as it was recorded."""

    name: str | None
    args: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    """The recorded one: it finds the result, and is replaced then."""
    error: str = ""
    """Why ``raw`` is no call; empty if it is one."""
    raw: str = ""


def read_call(name: Any, arguments: Any, id_: Any = None) -> Asked:
    """The call of tool ``name`` with ``arguments``, an object or a text that spells one.

    >>> read_call("look", '{"id": 1}').args
    {'id': 1}
    >>> read_call("look", '{"id": ').error
    'the arguments are no JSON'

    Raises:
        BadRow: it names no tool.
    """
    if not isinstance(name, str) or not name:
        raise BadRow(f"a call names no tool: {name!r:.100}")
    id_ = id_ if isinstance(id_, str) and id_ else None
    given = arguments
    for _ in range(2):  # some spell the JSON of their JSON
        if isinstance(given, str) and given.strip():
            try:
                given = json.loads(given)
            except (ValueError, RecursionError):
                return Asked(name, id=id_, error="the arguments are no JSON", raw=str(arguments))
    if given is None or (isinstance(given, str) and not given.strip()):
        given = {}
    if not isinstance(given, dict):
        raw = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return Asked(name, id=id_, error="the arguments are no object", raw=raw)
    return Asked(name, given, id_)


def read_spoken_call(text: str) -> Asked:
    """The call that a model spelled as ``{"name": …, "arguments": …}``.

    In JSON, as a Python literal, or with the JSON of the arguments in single quotes, as Glaive does.

    >>> read_spoken_call('''{"name": "look", "arguments": '{"place": "Ann\\'s"}'}''').args
    {'place': "Ann's"}
    >>> read_spoken_call("{'arguments': {'new': True}, 'name': 'look'}").args
    {'new': True}
    """
    quoted, named = _QUOTED.search(text), _NAMED.search(text)
    try:
        said = json.loads(text)
    except (ValueError, RecursionError):
        if quoted and named and named.start() < quoted.start():
            call = read_call(named.group(1), quoted.group(1).replace("\\'", "'"))
            return call if not call.error else Asked(call.name, error=call.error, raw=text)
        said = read_literal(text)
    if not isinstance(said, dict):
        return Asked(named.group(1) if named else None, error="the call is no JSON object", raw=text)
    name = next((said[key] for key in NAMES if isinstance(said.get(key), str) and said[key]), None)
    if name is None:
        return Asked(None, error="the call names no tool", raw=text)
    return read_call(name, next((said[key] for key in ARGUMENTS if key in said), None), said.get("id"))


def read_literal(text: str) -> Any:
    """What ``text`` spells in JSON, or else in Python's own way of writing the same; None if in neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a backslash that Python would not write so
            literal = ast.literal_eval(text.strip())
        return json.loads(json.dumps(literal, allow_nan=False))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return None


def looks_failed(text: str) -> bool:
    """Does a result tell of an error, in a format that has no place to say so?

    >>> [looks_failed(text) for text in ("Error: no such user", '{"error": "no such user"}', '{"error": null}')]
    [True, True, False]
    """
    begin = text.lstrip()
    if begin.startswith(("Error", "error:", "ERROR", "Traceback (most recent call last)")):
        return True
    if not begin.startswith("{"):
        return False
    try:
        told = json.loads(begin)
    except (ValueError, RecursionError):
        return False
    return (
        bool(told.get("error"))
        or (isinstance(told.get("status"), str) and told["status"].lower() in FAILED_STATES)
        or told.get("success") is False
        or told.get("isError") is True
    )
