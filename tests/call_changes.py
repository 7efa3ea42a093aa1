"""Right answers to tasks of the Berkeley leaderboard, and changes of them that a checker must, or must not, mind."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

from threadmill.training.worlds.calling.ast_match import Expected, right_args
from threadmill.training.worlds.calling.suite import Task

Calls = list[tuple[str, dict[str, Any]]]
UNHEARD_OF = {str: "nobody said this", int: 987_654_321, float: 98_765.4321}


class Change(NamedTuple):
    kind: str
    right: bool
    calls: Calls


def expected_of(task: Task) -> tuple[Expected, ...]:
    return task.check.args[0]  # type: ignore[attr-defined]


def changes(task: Task) -> Iterator[Change]:
    """Each kind of change at every place of the answer where it can be made."""
    due = expected_of(task)
    right: Calls = [(one.name, right_args(one)) for one in due]
    yield Change("as published", True, right)
    if not due:
        name = task.conversation.tools[0]["function"]["name"]
        yield Change("a call where none is due", False, [(name, {})])
        return
    yield Change("other order", True, right[::-1])
    for place, one in enumerate(due):
        for kind, is_right, args in changed_args(one):
            yield Change(kind, is_right, [*right[:place], (one.name, args), *right[place + 1 :]])
        yield Change(
            "renamed function", False, [*right[:place], (one.name + "_x", right[place][1]), *right[place + 1 :]]
        )
        yield Change("dropped call", False, [*right[:place], *right[place + 1 :]])
        yield Change("doubled call", False, [*right, right[place]])


def changed_args(due: Expected) -> Iterator[tuple[str, bool, dict[str, Any]]]:
    args, known = right_args(due), due.schema["properties"]
    required = due.schema.get("required", ())
    yield "unknown parameter", False, {**args, "nobody_knows_this": 1}
    for name in args:
        without = {key: value for key, value in args.items() if key != name}
        if name in required:
            yield "missing required", False, without
        else:
            yield "left out", "" in due.args[name], without
        yield from (
            (kind, is_right, {**args, name: value})
            for kind, is_right, value in changed_value(args[name], due.args[name], known[name])
        )
    for name, allowed in due.args.items():
        for value in allowed if name in known else ():
            if value != "":
                yield "another allowed value", True, {**args, name: first_of(value)}


def changed_value(value: Any, allowed: Sequence[Any], schema: dict[str, Any]) -> Iterator[tuple[str, bool, Any]]:
    if isinstance(value, bool):
        if (not value) not in allowed:
            yield "wrong value", False, not value
        yield "wrong type", False, str(value)
    elif isinstance(value, str):
        yield "wrong value", False, UNHEARD_OF[str]
        yield "wrong type", False, 7
        yield "other writing", True, f" {value.upper()}.".replace('"', "'")
    elif isinstance(value, int | float):
        yield "wrong value", False, UNHEARD_OF[type(value)]
        yield "wrong type", False, str(value)
        if isinstance(value, int) and schema["type"] == "integer":
            yield "float for integer", False, float(value)
        if float(value).is_integer() and schema["type"] == "number":
            yield "integer for float", True, int(value)
    elif isinstance(value, list):
        yield "longer list", False, [*value, value[0] if value else 1]
        yield "wrong type", False, {"list": value}
        if value and value[::-1] not in allowed and value[::-1] != value:
            yield "other order in a list", False, value[::-1]
    elif isinstance(value, dict):
        yield "unknown key", False, {**value, "nobody_knows_this": 1}
        yield "wrong type", False, [value]
        for key in value:
            yield "missing key", False, {name: held for name, held in value.items() if name != key}
        yield "other order of keys", True, dict(reversed(value.items()))


def first_of(value: Any) -> Any:
    """A value as a call would have it: objects in an answer list the values of each key."""
    if isinstance(value, dict):
        return {key: first_of(allowed[0]) for key, allowed in value.items() if allowed[0] != ""}
    return [first_of(one) for one in value] if isinstance(value, list) else deepcopy(value)
