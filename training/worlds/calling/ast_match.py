"""Whether calls are the right ones, by the rules of the Berkeley Function Calling Leaderboard (AST matching).

Written from their published description: Patil et al. 2025, "The Berkeley Function Calling Leaderboard (BFCL)", and
gorilla.cs.berkeley.edu/blogs/8_berkeley_function_calling_leaderboard.html. An answer lists the values that each
parameter may have; ``""`` among them says that it may be left out. Where an answer contradicts the schema of its own
function, the answer counts: a value of the type that the answer has is right.

A call is right if its function is the one expected, no required parameter is missing, none is given that the schema
or the answer does not know, and every value is allowed: strings without regard to case, spaces, quotes and
``,./-_*^``; a whole number where a float is due, but no float where an integer is; lists in order, tuples as lists;
of an object all keys in any order, each with values of its own, whose types nobody checks. Calls made together may
come in any order.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import ToolCall

Allowed = Mapping[str, Sequence[Any]]
"""Parameter, or key of an object, to its allowed values; ``""`` among them: it may be left out."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One call that is due."""

    name: str
    args: Allowed
    schema: Mapping[str, Any]
    """Of the arguments, with the types of JSON Schema."""


def count_right(calls: Sequence[ToolCall], expected: Sequence[Expected]) -> int:
    """How many of ``calls`` are right, each for an expected call of its own; paired so that it is as many as can be."""
    if len(calls) == len(expected) == 1:
        return int(not complaint(calls[0], expected[0]))
    if not calls or not expected:
        return 0
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    fits = csr_array([[not complaint(call, due) for due in expected] for call in calls])
    return int((maximum_bipartite_matching(fits) >= 0).sum())


def complaint(call: ToolCall, due: Expected) -> str:
    """The first thing that is wrong with ``call``; empty if it is the call that is due."""
    if call["name"] != due.name:
        return f"{call['name']} was called instead of {due.name}"
    known = due.schema.get("properties", {})
    given = call["args"]
    for name in due.schema.get("required", ()):
        if name not in given:
            return f"the required {name} is missing"
    for name, value in given.items():
        if name not in known or name not in due.args:
            return f"{name} is not expected"
        if not _is_allowed(value, due.args[name], known[name]):
            return f"{name} is {value!r}; right would be {' or '.join(map(repr, due.args[name]))}"
    for name, allowed in due.args.items():
        if name not in given and "" not in allowed:
            return f"{name} is missing"
    return ""


def right_args(due: Expected) -> dict[str, Any]:
    """Arguments that are right: each parameter has its first allowed value, or is left out where that comes first.

    >>> right_args(Expected("add", {"x": [1, 2], "unit": ["", "m"]}, {"properties": {"x": {}, "unit": {}}}))
    {'x': 1}
    """
    known = due.schema.get("properties", {})
    return _firsts({name: allowed for name, allowed in due.args.items() if name in known}, due.schema)


def standard(text: str) -> str:
    """``text`` as it is compared.

    >>> standard("St. John's, 2023-06-20")
    'stjohn"s20230620'
    """
    return _DROPPED.sub("", text).lower().replace("'", '"')


_DROPPED = re.compile(r"[ ,./\-_*^]")


def _is_allowed(value: Any, allowed: Sequence[Any], schema: Mapping[str, Any]) -> bool:
    return any(_is_same(value, right, schema) for right in allowed)


def _is_same(value: Any, right: Any, schema: Mapping[str, Any]) -> bool:
    if right == "":
        return value == "" and schema.get("type", "string") == "string"
    if isinstance(right, str):
        return isinstance(value, str) and standard(value) == standard(right)
    if isinstance(right, bool) or isinstance(value, bool):
        return value is right
    if isinstance(right, int | float):
        widened = isinstance(value, float) and isinstance(right, int) and schema.get("type") == "integer"
        return isinstance(value, int | float) and value == right and not widened
    if isinstance(right, list):
        items = schema.get("items", {})
        return (
            isinstance(value, list | tuple)
            and len(value) == len(right)
            and all(_is_same(one, other, items) for one, other in zip(value, right, strict=True))
        )
    if isinstance(right, dict):
        return isinstance(value, dict) and _is_same_object(value, right)
    return value is right


def _is_same_object(value: Mapping[str, Any], right: Allowed) -> bool:
    return value.keys() <= right.keys() and all(
        _is_allowed(value[key], allowed, {}) if key in value else "" in allowed for key, allowed in right.items()
    )


def _firsts(args: Allowed, schema: Mapping[str, Any]) -> dict[str, Any]:
    known, required = schema.get("properties", {}), schema.get("required", ())
    firsts: dict[str, Any] = {}
    for name, allowed in args.items():
        values = [value for value in allowed if value != "" or name not in required]
        if values and values[0] != "":
            firsts[name] = _plain(values[0], known.get(name, {}))
    return firsts


def _plain(value: Any, schema: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return _firsts(value, schema)
    return [_plain(one, schema.get("items", {})) for one in value] if isinstance(value, list) else value
