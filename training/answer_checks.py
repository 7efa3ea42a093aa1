"""Checks of a finished episode that can be written as JSON: what its answer says, and which tools it called. Pure.

``{"contains": "Oslo"}``, ``{"not_contains": …}``, ``{"equals": …}`` and ``{"matches": regular expression}`` look at the
final answer, letter by letter, and are not met without one; ``{"json_schema": …}`` reads it as JSON; ``{"asks": true}``
wants it to end with a question. ``{"called": tool, "args": {…}}`` wants a call with at least these arguments,
``{"not_called": tool}`` (with ``args`` too) none, ``{"max_calls": 3}`` no more than so many. A call counts as the model
proposed it, allowed or not.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import regex
from jsonschema import Draft202012Validator, SchemaError
from langchain_core.messages import AIMessage, AnyMessage

from ..errors import BadSuite
from ..nodes.models.trace import EDIT_KEY
from .suites import last_words

SEARCH_S = 1.0
"""A regular expression may take so long; some would search one answer for years, and let nothing else run."""
Check = Callable[[Sequence[AnyMessage]], bool]
"""From the messages of an episode: is the condition met?"""


def make_check(said: Any) -> Check:
    """The check that ``said`` describes.

    >>> make_check({"contains": "Oslo"})([AIMessage("It is in Oslo.")])
    True

    Raises:
        ValueError: it describes none; the words say what is wrong.
    """
    if not isinstance(said, dict):
        raise ValueError(f'{said!r} is no check; write an object such as {{"contains": "Oslo"}}')
    names = [name for name in said if name in _CHECKS]
    if len(names) != 1:
        raise ValueError(f"a check names one of {', '.join(_CHECKS)}, and {json.dumps(said)} names {len(names)}")
    (name,) = names
    kind, make = _CHECKS[name]
    extra = said.keys() - {name} - ({"args"} if name in ("called", "not_called") else set())
    if extra:
        raise ValueError(f"the check {name!r} has no {', '.join(map(repr, sorted(extra)))}")
    if type(said[name]) is not kind:
        raise ValueError(f"{name!r} takes {_KINDS[kind]}, not {json.dumps(said[name])}")
    if not isinstance(said.get("args", {}), dict):
        raise ValueError(f"'args' is an object of arguments, not {json.dumps(said['args'])}")
    return make(said[name], said.get("args", {})) if name in ("called", "not_called") else make(said[name])


def proposed_calls(messages: Sequence[AnyMessage]) -> list[Mapping[str, Any]]:
    """The calls that the model proposed, in order; of those that a person changed, what stood there before."""
    calls: list[Mapping[str, Any]] = []
    for message in messages:
        if isinstance(message, AIMessage):
            edit = message.response_metadata.get(EDIT_KEY)
            calls += edit["proposal"]["tool_calls"] if edit else message.tool_calls
    return calls


def _contains(text: str) -> Check:
    return lambda messages: text in last_words(messages)


def _not_contains(text: str) -> Check:
    return lambda messages: bool(last_words(messages)) and text not in last_words(messages)


def _equals(text: str) -> Check:
    return lambda messages: last_words(messages).strip() == text.strip()


def _matches(pattern: str) -> Check:
    try:
        found = regex.compile(pattern)
    except regex.error as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error

    def matches(messages: Sequence[AnyMessage]) -> bool:
        try:
            return found.search(last_words(messages), timeout=SEARCH_S) is not None
        except TimeoutError as error:
            raise BadSuite(
                f"{pattern!r} took more than {SEARCH_S:g} s for one answer; write it without repeats of repeats"
            ) from error

    return matches


def _asks(wanted: bool) -> Check:
    return lambda messages: bool(last := last_words(messages).rstrip()) and last.endswith(("?", "？")) == wanted


def _json_schema(schema: dict[str, Any]) -> Check:
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise ValueError(f"{json.dumps(schema)} is no JSON Schema: {error.message}") from error
    validator = Draft202012Validator(schema)

    def fits(messages: Sequence[AnyMessage]) -> bool:
        try:
            return validator.is_valid(json.loads(last_words(messages)))
        except (ValueError, RecursionError):  # no JSON, or brackets without end
            return False

    return fits


def _called(tool: str, args: Mapping[str, Any]) -> Check:
    return lambda messages: any(_is(call, tool, args) for call in proposed_calls(messages))


def _not_called(tool: str, args: Mapping[str, Any]) -> Check:
    return lambda messages: not any(_is(call, tool, args) for call in proposed_calls(messages))


def _max_calls(most: int) -> Check:
    if most < 0:
        raise ValueError(f"'max_calls' is {most}; write 0 or more")

    def few(messages: Sequence[AnyMessage]) -> bool:
        broken = sum(len(one.invalid_tool_calls) for one in messages if isinstance(one, AIMessage))
        return len(proposed_calls(messages)) + broken <= most

    return few


def _is(call: Mapping[str, Any], tool: str, args: Mapping[str, Any]) -> bool:
    return call["name"] == tool and all(
        name in call["args"] and call["args"][name] == value for name, value in args.items()
    )


_KINDS = {str: "a text", bool: "true or false", int: "a whole number", dict: "an object"}
_CHECKS: dict[str, tuple[type, Callable[..., Check]]] = {
    "contains": (str, _contains),
    "not_contains": (str, _not_contains),
    "equals": (str, _equals),
    "matches": (str, _matches),
    "json_schema": (dict, _json_schema),
    "asks": (bool, _asks),
    "called": (str, _called),
    "not_called": (str, _not_called),
    "max_calls": (int, _max_calls),
}
