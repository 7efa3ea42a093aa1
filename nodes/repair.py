"""Calls that are put right where it is plain what was meant: text that is nearly JSON, values of nearly the right type.

Nothing is invented and nothing is lost. A repaired text has every letter and digit of what was written, in the same
order; an answer that was cut off is not repaired at all. Whatever was put right fits the tool's schema, else the call
goes back to the model as it is. What the model had proposed stays beside it, in ``response_metadata["repaired"]``.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage, BaseMessage, InvalidToolCall, ToolCall

from .calls import Call, Check, resolved
from .models.trace import TRACE_KEY
from .storable import unstorable
from .tool_choice import CHOICE_KEY

REPAIRED_KEY = "repaired"
"""Key in ``AIMessage.response_metadata``: the ``proposal`` as the model made it, and ``how`` it was put right."""

_FENCE = re.compile(r"\s*```\w*\s*\n?(?P<text>.*?)\n?\s*```\s*", re.DOTALL)
_PROBE = "\ue000"  # a character that nobody uses
_CUT_OFF = {"length", "max_tokens", "MAX_TOKENS"}
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")


def put_right(
    message: AIMessage, calls: Sequence[Call], schemas: Mapping[str, Mapping[str, Any]], checks: Mapping[str, Check]
) -> AIMessage:
    """``message`` with those of its ``calls`` put right that can be; the same object if none can.

    Calls that could be read again stand behind the others, in their order.
    """
    how: list[dict[str, Any]] = []
    good: list[ToolCall] = []
    for proposed, call in zip(message.tool_calls, calls, strict=False):
        name, args = proposed["name"], proposed["args"]
        fitting = coerced(args, schemas[name]) if call["kind"] == "invalid" else None
        if fitting is not None:
            how.append({"id": call["call"]["id"], "how": "coerced", "changes": list(changes(args, fitting))})
        good.append(proposed if fitting is None else {**proposed, "args": fitting})
    broken: list[InvalidToolCall] = []
    for proposed in message.invalid_tool_calls:
        read = None if _was_cut_off(message) else _read(proposed, schemas, checks)
        if read is None or not _may_call(message, read[0]):
            broken.append(proposed)
            continue
        name, args = read
        place = len(good)
        good.append(ToolCall(name=name, args=args, id=proposed.get("id") or f"{message.id}:{place}", type="tool_call"))
        how.append({"id": good[-1]["id"], "how": "read", "text": proposed.get("args")})
    if not how:
        return message
    proposal = {"tool_calls": message.tool_calls, "invalid_tool_calls": message.invalid_tool_calls}
    return message.model_copy(
        update={
            "tool_calls": good,
            "invalid_tool_calls": broken,
            "additional_kwargs": {key: kept for key, kept in message.additional_kwargs.items() if key != "tool_calls"},
            "response_metadata": {**message.response_metadata, REPAIRED_KEY: {"proposal": proposal, "how": how}},
        }
    )


def repaired_calls(message: BaseMessage) -> set[str]:
    """Ids of the calls of ``message`` that were put right.

    >>> repaired_calls(AIMessage("", response_metadata={"repaired": {"how": [{"id": "c1", "how": "read"}]}}))
    {'c1'}
    """
    return {one["id"] for one in message.response_metadata.get(REPAIRED_KEY, {}).get("how", ())}


def _was_cut_off(message: AIMessage) -> bool:
    said = message.response_metadata
    reasons = [said.get(key) for key in ("finish_reason", "stop_reason", "done_reason")]
    return any(reason in _CUT_OFF for reason in [*reasons, said.get(TRACE_KEY, {}).get("finish")])


def _may_call(message: AIMessage, name: str) -> bool:
    return message.response_metadata.get(CHOICE_KEY, "any") in ("any", name)


def _read(
    proposed: InvalidToolCall, schemas: Mapping[str, Mapping[str, Any]], checks: Mapping[str, Check]
) -> tuple[str, dict[str, Any]] | None:
    """The tool and the arguments that an unreadable call names, if they fit its schema.

    What could be read all along is invalid for another reason.
    """
    read = None if _is_json(proposed.get("args")) else read_object(proposed.get("args") or "")
    if read is None or unstorable(read):
        return None
    for name, args in _as_call(proposed.get("name"), read):
        if name in schemas and isinstance(args, dict):
            fitting = args if not checks[name](args) else coerced(args, schemas[name])
            if fitting is not None:
                return name, fitting
    return None


def _is_json(text: str | None) -> bool:
    try:
        json.loads(text or "")
    except (ValueError, RecursionError):
        return False
    return True


def _as_call(name: str | None, read: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """What ``read`` may mean: the arguments, or the whole call as families write it."""
    if name:
        yield name, read
    inner = next((read[key] for key in ("arguments", "parameters", "args") if key in read), None)
    if isinstance(read.get("name"), str) and name in (None, "", read["name"]):
        yield read["name"], inner


def read_object(text: str) -> dict[str, Any] | None:
    """The JSON object that ``text`` was meant to be, by punctuation alone; None if that is not plain.

    >>> read_object("{'order': 'A1', 'paid': True,}")
    {'order': 'A1', 'paid': True}
    >>> read_object('{"order": "A1')  # the end is missing, and nobody knows how much of it
    """
    from json_repair import repair_json

    fenced = _FENCE.fullmatch(text)
    text = (fenced["text"] if fenced else text).strip()
    if not text or text[-1] not in "\"'}])" or text[0] != "{":
        return None
    for tried in (text, text[:-1] if text[-1] in "}]" else ""):  # perhaps it has a bracket too many
        try:
            read = json.loads(json.dumps(repair_json(tried, return_objects=True, strict=True)))  # joins surrogates
            json.dumps(read, ensure_ascii=False).encode()
            probed = repair_json(tried + _PROBE, return_objects=True)
        except (ValueError, RecursionError):
            continue
        ends_within_value = _PROBE in json.dumps(probed, ensure_ascii=False)
        if isinstance(read, dict) and not ends_within_value and _letters("".join(_said(read))) == _letters(_told(text)):
            return read
    return None


_NONE = re.compile(r"\bNone\b")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|([bfnrt])|(.))", re.DOTALL)
_ENDING_IN_NOUGHT = re.compile(r"(?<=\d)(\.\d*?)0+(?!\d)")


def _letters(text: str) -> str:
    """The letters and digits of ``text``."""
    return "".join(re.findall(r"[^\W_]+", _ENDING_IN_NOUGHT.sub(r"\1", text.casefold())))


def _told(text: str) -> str:
    """``text`` with escapes as what they stand for, and Python's name of nothing as JSON's."""
    plain = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else found[3] or " ", text)
    return _NONE.sub("null", plain)


def _said(value: Any) -> Iterator[str]:
    """Every key and value in ``value``, in order."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield f"{key} "
            yield from _said(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _said(inner)
    else:
        yield _NONE.sub("null", value) if isinstance(value, str) else json.dumps(value)
        yield " "


def changes(before: Any, after: Any, place: str = "") -> Iterator[dict[str, Any]]:
    """What became another value: where, from what, to what; ``is`` is missing where it was left out."""
    if isinstance(before, dict) and isinstance(after, dict) and not before.keys().isdisjoint(after.keys()):
        for key in before:
            inner = f"{place}.{key}" if place else key
            if key not in after:
                yield {"at": inner, "was": before[key]}
            else:
                yield from changes(before[key], after[key], inner)
        for key in after.keys() - before.keys():
            yield {"at": f"{place}.{key}" if place else key, "is": after[key]}
    elif json.dumps(before, default=str) != json.dumps(after, default=str):
        yield {"at": place, "was": before, "is": after}


def coerced(args: Any, schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """``args`` with values of the types that ``schema`` asks for, where each can be one thing only; None if not.

    >>> schema = {"properties": {"order_id": {"type": "string"}, "amount": {"type": "integer"}}}
    >>> coerced({"orderId": 7, "amount": "5"}, {**schema, "additionalProperties": False})
    {'order_id': '7', 'amount': 5}
    """
    found = _Coercion(schema).fit(args, schema)
    return found[0] if found and isinstance(found[0], dict) else None


class _Coercion:
    """One schema with its references."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self.validator = Draft202012Validator(root)
        self.root = root

    def fits(self, value: Any, schema: Any) -> bool:
        return self.validator.evolve(schema=schema).is_valid(value)

    def fit(self, value: Any, schema: Any, depth: int = 0) -> list[Any]:
        """``[value]`` as ``schema`` wants it; empty if it cannot be had, or may be several things."""
        if self.fits(value, schema):
            return [value]
        if not isinstance(schema, Mapping) or depth > 20:
            return []
        found: list[Any] = []
        for one in self.candidates(value, resolved(self.root, schema), depth):
            if self.fits(one, schema) and not any(_same(one, other) for other in found):
                found.append(one)
        return found if len(found) == 1 else []

    def candidates(self, value: Any, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
        """What ``value`` may have been meant to be."""
        for key in ("anyOf", "oneOf", "allOf"):
            for option in schema.get(key, ()):
                yield from self.fit(value, option, depth + 1)
        if "enum" in schema or "const" in schema:
            options = schema.get("enum", [schema.get("const")])
            yield from (one for one in options if _spelled(one) == _spelled(value))
            return
        kinds = schema.get("type", "object" if "properties" in schema else None)
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            match kind:
                case "integer" | "number" if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
                    number = json.loads(value)
                    if not unstorable(number):
                        yield int(number) if kind == "integer" and float(number).is_integer() else number
                case "boolean" if isinstance(value, str) and value.strip().casefold() in ("true", "false"):
                    yield value.strip().casefold() == "true"
                case "string" if isinstance(value, int | float) and not isinstance(value, bool):
                    yield json.dumps(value)
                case "array":
                    yield from self.arrays(value, schema, depth)
                case "object":
                    yield from self.objects(value, schema, depth)

    def arrays(self, value: Any, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
        items = schema.get("items", {})
        listed = _parsed(value, list)
        if listed is not None:
            found = [self.fit(item, items, depth + 1) for item in listed]
            if all(found):
                yield [item for (item,) in found]
        elif value is not None:
            yield from ([item] for item in self.fit(value, items, depth + 1))

    def objects(self, value: Any, schema: Mapping[str, Any], depth: int) -> Iterator[Any]:
        known = schema.get("properties", {})
        given = _parsed(value, dict)
        if given is None:
            return
        others = schema.get("additionalProperties", True)
        fitting: dict[str, Any] = {}
        for key, inner in _renamed(given, known, others is False).items():
            found = self.fit(inner, known.get(key, others), depth + 1)
            if found:
                fitting[key] = found[0]
            elif inner is not None or key not in known or key in schema.get("required", ()):
                return  # an optional null says the same as nothing
        yield fitting


def _renamed(given: Mapping[str, Any], known: Mapping[str, Any], closed: bool) -> Mapping[str, Any]:
    """``given`` with keys as ``known`` spells them, where only case and separators differ."""
    if not closed:
        return given
    meant: dict[str, str] = {}
    for key in given:
        alike = [name for name in known if _spelled(name) == _spelled(key)]
        free = [name for name in alike if name not in given]
        meant[key] = free[0] if key not in known and len(alike) == 1 and len(free) == 1 else key
    if len({*meant.values()}) < len(meant):
        return given  # two keys mean the same
    return {meant[key]: inner for key, inner in given.items()}


def _parsed(value: Any, kind: type) -> Any:
    """``value`` itself, or what it is as JSON text, if that is a ``kind``."""
    if isinstance(value, str) and value.strip()[:1] in ("{", "["):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, kind) else None


def _spelled(value: Any) -> str:
    """The same for values that differ in case and separators only, or in being written as text."""
    return re.sub(r"[\s_-]", "", str(value).casefold())


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True, default=str) == json.dumps(other, sort_keys=True, default=str)
