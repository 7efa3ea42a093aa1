"""Two JSON Schemas that both hold, as one; and whether two can hold at once."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

ANNOTATIONS = frozenset(
    "title description default examples deprecated readOnly writeOnly $comment $schema $id $defs definitions $anchor "
    "contentMediaType contentEncoding contentSchema nullable discriminator example strict".split()
)
_HIGHEST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains")
_LOWEST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains")
_TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")
_HINTS = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "propertyNames", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
_UNIONS_AT_MOST = 64


class Clash(Exception):
    """The two cannot be written as one; says which keyword."""


def merge(one: Schema | bool, other: Schema | bool) -> dict[str, Any]:
    """A schema that holds where both hold.

    Raises:
        Clash: they share a keyword that cannot be joined.
    """
    if isinstance(one, bool) or isinstance(other, bool):
        if one is False or other is False:
            return {"enum": []}
        return dict(other if one is True else one) if not (one is True and other is True) else {}  # type: ignore[arg-type]
    joined = {key: value for key, value in one.items() if key not in ANNOTATIONS}
    _close_objects(joined, one, other)
    for key, value in other.items():
        if key in ANNOTATIONS:
            continue
        if key not in joined or joined[key] == value:
            joined.setdefault(key, value)
        else:
            joined[key] = _join(key, joined[key], value)
    return joined


def _close_objects(joined: dict[str, Any], one: Schema, other: Schema) -> None:
    """A property that one of them does not allow is not allowed."""
    for closed, opened in ((one, other), (other, one)):
        if closed.get("additionalProperties", True) is False and not closed.get("patternProperties"):
            foreign = opened.get("properties", {}).keys() - closed.get("properties", {}).keys()
            joined["properties"] = {**joined.get("properties", {}), **dict.fromkeys(foreign, False)}


def _join(key: str, one: Any, other: Any) -> Any:
    """What holds for ``key`` where both hold."""
    if key in _HIGHEST:
        return max(one, other)
    if key in _LOWEST:
        return min(one, other)
    match key:
        case "type":
            return [kind for kind in _TYPES if _takes(one, kind) and _takes(other, kind)]
        case "enum":
            return [value for value in one if value_in(value, other)]
        case "required":
            return list(dict.fromkeys([*one, *other]))
        case "properties":
            return {name: _both(name, one, other) for name in [*one, *(name for name in other if name not in one)]}
        case "items" | "additionalProperties" | "propertyNames":
            return _all(one, other)
        case "allOf":
            return [*one, *other]
        case "anyOf" if len(one) * len(other) <= _UNIONS_AT_MOST:
            return [_all(left, right) for left in one for right in other]
        case "uniqueItems":
            return True
        case _:
            raise Clash(key)


def _both(name: str, one: Schema, other: Schema) -> Any:
    if name not in one or name not in other:
        return one.get(name, other.get(name))
    return _all(one[name], other[name])


def _all(one: Any, other: Any) -> Any:
    if one is False or other is False:
        return False
    return one if other is True else other if one is True else {"allOf": [one, other]}


def _takes(types: str | Sequence[str], kind: str) -> bool:
    named = [types] if isinstance(types, str) else types
    return kind in named or (kind == "integer" and "number" in named)


def types_of(schema: Schema) -> list[str]:
    """The JSON types that ``schema`` names, or those that its keywords speak of; empty if any will do."""
    named = schema.get("type")
    if named is not None:
        return [named] if isinstance(named, str) else list(named)
    return [kind for kind, keys in _HINTS.items() if any(key in schema for key in keys)]


def value_in(value: Any, values: Sequence[Any]) -> bool:
    """Whether a JSON value is among others; 1.0 is 1, but true is not."""
    return _plain(value) in map(_plain, values)


def _plain(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value, sort_keys=True)


def finite(schema: Schema) -> list[Any] | None:
    """The values of an enum or a const; None if there is neither."""
    if "const" in schema:
        return [schema["const"]]
    return list(schema["enum"]) if "enum" in schema else None


def are_apart(one: Schema, other: Schema) -> bool:
    """Whether surely nothing that is written for one of them fits the other.

    Objects are written with declared properties only, unless more are allowed in so many words.
    """
    values, others = finite(one), finite(other)
    if values is not None and others is not None:
        return not any(value_in(value, others) for value in values)
    types = {_json_type(v) for v in values} if values is not None else set(types_of(one))
    kinds = {_json_type(v) for v in others} if others is not None else set(types_of(other))
    if types and kinds and not any(_takes([*types], kind) for kind in kinds) and not _meet(types, kinds):
        return True
    if not (types == kinds == {"object"}) or values is not None or others is not None:
        return False
    return _objects_apart(one, other)


def _meet(types: set[str], kinds: set[str]) -> bool:
    return any(_takes([*kinds], kind) for kind in types)


def _objects_apart(one: Schema, other: Schema) -> bool:
    shared = set(one.get("required", ())) & set(other.get("required", ()))
    mine, theirs = one.get("properties", {}), other.get("properties", {})
    for name in shared & mine.keys() & theirs.keys():
        left, right = mine[name], theirs[name]
        if isinstance(left, Mapping) and isinstance(right, Mapping) and are_apart(left, right):
            return True
    return all(
        _is_closed(schema) and set(against.get("required", ())) - schema.get("properties", {}).keys()
        for schema, against in ((one, other), (other, one))
    )


def _is_closed(schema: Schema) -> bool:
    return schema.get("additionalProperties", False) is False and "properties" in schema


def _json_type(value: Any) -> str:
    match value:
        case bool():
            return "boolean"
        case None:
            return "null"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case Mapping():
            return "object"
        case _:
            return "array"
