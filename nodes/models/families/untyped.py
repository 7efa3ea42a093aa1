"""Values that were written without their types get the one that the tool's JSON Schema wants."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator

Types = Mapping[str, Mapping[str, Any]]
"""By the tool's name: the JSON Schema of its parameters."""

_PYTHON = {"True": True, "False": False, "None": None}


def types_of(tools: Sequence[dict[str, Any]]) -> Types:
    """The schemas of tools in OpenAI's form."""
    return {tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in tools}


def is_text(types: Types, tool: str, key: str) -> bool:
    """Whether the value can only be text."""
    schema = _schema(types, tool, key)
    return isinstance(schema, Mapping) and schema.get("type") == "string"


def json_of(text: str, types: Types, tool: str, key: str) -> str:
    """The value that ``text`` stands for, as JSON: what the schema takes, and where both fit, no text.

    >>> types = {"look": {"properties": {"street": {"type": "string"}, "number": {"type": "integer"}}}}
    >>> json_of("12", types, "look", "street"), json_of("12", types, "look", "number")
    ('"12"', '12')
    """
    value = _value(text)
    schema = _schema(types, tool, key)
    if value != text and schema is not None and not _takes(schema, value, types[tool]):
        text_fits = is_text(types, tool, key) or _takes(schema, text, types[tool])
        value = text if text_fits else value
    return json.dumps(value, ensure_ascii=False)


def _value(text: str) -> Any:
    """What stands there if it is JSON, or Python's True, False or None, but no string; else the text itself."""
    if text in _PYTHON:
        return _PYTHON[text]
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, str) else value


def _schema(types: Types, tool: str, key: str) -> Any:
    properties = types.get(tool, {}).get("properties")
    return properties.get(key) if isinstance(properties, Mapping) else None


def _takes(schema: Any, value: Any, root: Mapping[str, Any]) -> bool:
    shared = {name: root[name] for name in ("$defs", "definitions") if name in root}
    whole = {**shared, **schema} if isinstance(schema, Mapping) else schema
    try:
        return Draft202012Validator(whole).is_valid(value)
    except Exception:  # a schema that cannot be applied: whoever validates the call will say so
        return True
