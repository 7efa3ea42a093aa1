"""Which proposed calls can run: the tool is known and the arguments fit its JSON Schema."""

import json
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, NotRequired, TypedDict, get_args

from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage, ToolCall
from langchain_core.tools import BaseTool
from pydantic import TypeAdapter

Check = Callable[[Any], str]
"""From arguments: what is wrong with them, or nothing."""

Kind = Literal[
    # A tool was run.
    "result",
    "failed",
    "timeout",
    # It made no sense.
    "invalid",
    "unknown_tool",
    "looping",
    "duplicate",
    # It may not be run: by a rule, by the limits, by a person.
    "forbidden",
    "over_budget",
    "stopped",
    "rejected",
    # Somebody else has answered: a person, or act itself.
    "responded",
    "page",
    "dry_run",
]
"""What became of a call."""

RAN = frozenset({"result", "failed", "timeout"})
"""Kinds of calls that a tool was run for."""

NOT_RUN = frozenset(get_args(Kind)) - RAN
"""Kinds of calls that no tool was run for."""

ANSWERED = frozenset({"responded", "page", "dry_run"})
"""Kinds of calls that no tool was run for, and that are no error all the same."""


class Call(TypedDict):
    """One proposed call on its way to the tool node."""

    id: str
    """Of the message that will answer it: the proposal's id and the call's place in it."""
    call: ToolCall
    kind: Kind
    """``result``: run it. Otherwise ``text`` is the answer."""
    text: str
    by: NotRequired[str]
    """Who decided, where a person did."""
    at: NotRequired[str]
    """When, ISO 8601."""


def args_schema(tool: BaseTool) -> dict[str, Any]:
    """The JSON Schema of the arguments that a model may give: not the injected ones, such as the config.

    Tools made from Python functions drop arguments they do not know, so here those are not allowed.
    """
    schema = tool.tool_call_schema
    if isinstance(schema, dict):
        return schema
    return {"additionalProperties": False, **TypeAdapter(schema).json_schema()}


def schema_complaint(schema: Mapping[str, Any], args: Any) -> str:
    """What is wrong with ``args``, at most three findings; empty if they fit."""
    return make_check(schema)(args)


def make_check(schema: Mapping[str, Any]) -> Check:
    """``schema_complaint`` for many ``args``: the schema is read once."""
    validator = Draft202012Validator(schema)
    fits_plainly = _plain_check(schema)

    def complaint(args: Any) -> str:
        if fits_plainly(args):
            return ""
        findings = []
        for error in sorted(validator.iter_errors(args), key=lambda e: list(map(str, e.path))):
            place = ".".join(map(str, error.path))
            findings.append(f"{place}: {error.message}" if place else error.message)
        return "; ".join(findings[:3])

    return complaint


_LONGEST = 1000


def expected(schema: Mapping[str, Any], args: Any) -> str:
    """The parts of ``schema`` that ``args`` do not fit, to be put behind a complaint; empty if nothing can be shown.

    >>> schema = {"properties": {"amount": {"type": "integer", "title": "Amount"}}, "required": ["amount"]}
    >>> expected(schema, {"amount": "five"})
    '; expected amount: {"type": "integer"}'
    """
    known: Mapping[str, Any] = schema.get("properties", {})
    given = args if isinstance(args, dict) else {}
    wrong = [str(error.path[0]) for error in Draft202012Validator(schema).iter_errors(args) if error.path]
    missing = [name for name in schema.get("required", ()) if name not in given]
    parts = [
        f"{name}: {json.dumps(_shown(resolved(schema, known[name])), ensure_ascii=False)}"
        for name in dict.fromkeys([*wrong, *missing])
        if name in known
    ]
    if known and any(name not in known for name in given):
        parts.append(f"no other arguments than {', '.join(known)}")
    return f"; expected {', '.join(parts)}"[:_LONGEST] if parts else ""


def resolved(root: Mapping[str, Any], schema: Any) -> Any:
    """``schema``, or what it refers to within ``root``."""
    ref = schema.get("$ref") if isinstance(schema, Mapping) else None
    if not isinstance(ref, str) or not ref.startswith("#/"):
        return schema
    found: Any = root
    for part in ref[2:].split("/"):
        found = found.get(part.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
    return {**found, **{key: about for key, about in schema.items() if key != "$ref"}}


def _shown(schema: Any) -> Any:
    return {key: about for key, about in schema.items() if key != "title"} if isinstance(schema, Mapping) else schema


_PLAIN_TYPES = {"string": str, "integer": int, "number": float, "boolean": bool}
_PLAIN_KEYS = {"$schema", "type", "title", "description", "properties", "required", "additionalProperties"}


def _plain_check(schema: Mapping[str, Any]) -> Callable[[Any], bool]:
    """A quick look that is right whenever it says yes; most schemas are a list of names and types."""
    if schema.get("type") != "object" or not schema.keys() <= _PLAIN_KEYS:
        return lambda args: False
    types = {
        name: _PLAIN_TYPES[about["type"]]
        for name, about in schema.get("properties", {}).items()
        if isinstance(about, Mapping)
        and about.keys() <= {"type", "title", "description", "default"}
        and str(about.get("type")) in _PLAIN_TYPES
    }
    required = frozenset(schema.get("required", ()))

    def fits_plainly(args: Any) -> bool:
        return (
            isinstance(args, dict)
            and args.keys() >= required
            and all(name in types and type(value) is types[name] for name, value in args.items())
        )

    return fits_plainly


def sort_calls(message: AIMessage, checks: Mapping[str, Check]) -> list[Call]:
    """Every proposed call of ``message`` with what is to be done: run it, or say why it cannot run.

    In the order of the proposal, the calls that could not even be parsed last.
    """
    calls: list[Call] = []
    for call in message.tool_calls:
        kind, text = _judge(call, checks)
        calls.append(
            {
                "id": _answer_id(message, calls),
                "call": _named(call, message, calls),
                "kind": kind,
                "text": text,
            }
        )
    for broken in message.invalid_tool_calls:
        call = ToolCall(name=broken.get("name") or "", args={}, id=broken.get("id"))
        text = f"the call could not be read: {broken.get('error') or broken.get('args')}"
        calls.append(
            {
                "id": _answer_id(message, calls),
                "call": _named(call, message, calls),
                "kind": "invalid",
                "text": text,
            }
        )
    return calls


def _judge(call: ToolCall, checks: Mapping[str, Check]) -> tuple[Kind, str]:
    if call["name"] not in checks:
        return "unknown_tool", _no_such_tool(call["name"], list(checks))
    complaint = checks[call["name"]](call["args"])
    if complaint:
        return "invalid", f"invalid arguments for {call['name']}: {complaint}"
    return "result", ""


def _no_such_tool(name: str, known: Sequence[str]) -> str:
    alike = get_close_matches(name.casefold(), dict.fromkeys(one.casefold() for one in known))
    if near := [one for folded in alike for one in known if one.casefold() == folded]:
        return f"there is no tool {name!r}; did you mean {' or '.join(near)}?"
    return f"there is no tool {name!r}; there are {', '.join(known) or 'none'}"


def _answer_id(message: AIMessage, before: Sequence[Call]) -> str:
    return f"{message.id}:{len(before)}"


def _named(call: ToolCall, message: AIMessage, before: Sequence[Call]) -> ToolCall:
    """``call`` with an id: some models give none."""
    return ToolCall(
        name=call["name"], args=call["args"], id=call["id"] or _answer_id(message, before), type="tool_call"
    )
