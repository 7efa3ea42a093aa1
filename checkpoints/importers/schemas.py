"""Tool schemas as everybody writes them, told as OpenAI and JSON Schema do: ``{"type": "function", "function": …}``.

``$defs`` and ``$ref`` stay as they are; the types of the Berkeley leaderboard (``dict``, ``float``) become those of
JSON Schema.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from .record import BadRow

TYPES = {
    "dict": "object",
    "float": "number",
    "double": "number",
    "int": "integer",
    "long": "integer",
    "bool": "boolean",
    "str": "string",
    "char": "string",
    "list": "array",
    "tuple": "array",
    "any": None,
}
"""Names of other languages for types of JSON Schema; None for no restriction."""
PARAMETERS = ("parameters", "input_schema", "inputSchema", "parametersJsonSchema")
"""What OpenAI, Anthropic, MCP and Google call the schema of the arguments."""
DEEPEST = 60


def read_tools(tools: Any) -> tuple[dict[str, Any], ...]:
    """The schemas in ``tools``, a list of them in any of the usual wrappings; none for None.

    >>> read_tools([{"name": "add", "parameters": {"type": "dict", "properties": {"x": {"type": "float"}}}}])
    ({'type': 'function', 'function': {'name': 'add', 'description': '', \
'parameters': {'type': 'object', 'properties': {'x': {'type': 'number'}}}}},)

    Raises:
        BadRow: one has no name, or is not what a schema can be.
    """
    if tools is None:
        return ()
    if not isinstance(tools, list):
        raise BadRow("the tools are no list")
    return tuple(_tool(tool, place) for place, tool in enumerate(tools))


def tools_beside(file: Path) -> tuple[dict[str, Any], ...]:
    """The tools in ``tools.json`` in the folder of ``file``, for formats whose rows don't hold them; none without one.

    It holds a list of them, or such a list under ``agent_tools``.

    Raises:
        BadRow: it holds something else.
    """
    beside = file.with_name("tools.json")
    if beside == file or not beside.is_file():
        return ()
    return _read_file(beside, beside.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read_file(beside: Path, changed_at: int) -> tuple[dict[str, Any], ...]:
    """Read once for all rows of a file; ``changed_at`` tells another content."""
    try:
        held = json.loads(beside.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadRow(f"{beside.name} beside it cannot be read: {error}") from error
    return read_tools(held.get("agent_tools") if isinstance(held, Mapping) else held)


def _tool(tool: Any, place: int) -> dict[str, Any]:
    inner = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str) or not inner["name"]:
        raise BadRow(f"tool {place} has no name")
    parameters = next((inner[key] for key in PARAMETERS if inner.get(key)), None)
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        raise BadRow(f"the parameters of tool {inner['name']!r} are no object")
    function = {"name": inner["name"], "description": str(inner.get("description") or "")}
    function["parameters"] = normalise_schema({"type": "object", **parameters})
    if isinstance(inner.get("strict"), bool):
        function["strict"] = inner["strict"]
    return {"type": "function", "function": function}


def normalise_schema(schema: Any, depth: int = 0) -> Any:
    """``schema`` with the types of JSON Schema, as deep as it goes.

    >>> normalise_schema({"type": "tuple", "items": {"type": "any"}})
    {'type': 'array', 'items': {}}

    Raises:
        BadRow: it is nested too deeply.
    """
    if depth > DEEPEST:
        raise BadRow(f"a tool's schema is nested more than {DEEPEST} deep")
    if not isinstance(schema, Mapping):
        return schema
    told: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "type":
            value = _type(value)
            if value is None:
                continue
        elif key in ("properties", "$defs", "definitions", "patternProperties") and isinstance(value, Mapping):
            value = {name: normalise_schema(inner, depth + 1) for name, inner in value.items()}
        elif key in ("items", "additionalProperties", "not", "contains", "if", "then", "else"):
            value = normalise_schema(value, depth + 1)
        elif key in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
            value = [normalise_schema(inner, depth + 1) for inner in value]
        told[key] = value
    return told


def _type(given: Any) -> Any:
    if isinstance(given, list):
        return [_type(one) if isinstance(one, str) else one for one in given]
    return TYPES.get(given.lower(), given.lower()) if isinstance(given, str) else given
