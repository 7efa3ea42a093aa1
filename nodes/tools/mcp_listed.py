"""What an MCP server says about its tools: a digest of it, what changed, and how it is shown to a model.

All of it is written by the server. It is checked against what was there when the tools were bound, because a server
that was looked at once may say something else tomorrow.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any
from urllib.parse import unquote

from ..hidden_text import show_hidden

Listed = Mapping[str, Mapping[str, Any]]
"""Tool name to description, arguments and hints."""
MAX_UNFOLDED = 10_000
"""Parts of a schema when its references are followed: a short one can double with each of them."""
PARTS = {"description": "description", "inputSchema": "arguments", "outputSchema": "results", "annotations": "hints"}


def listed(tools: Iterable[Any]) -> Listed:
    """What counts of the tools that a server lists, plain enough to compare."""
    return {
        tool.name: {part: said.get(part) for part in PARTS}
        for tool in tools
        for said in [tool.model_dump(by_alias=True, mode="json", exclude_none=True)]
    }


def digest_of(tools: Listed) -> str:
    """The same for the same tools, in whatever order they are listed.

    >>> digest_of({"a": {"description": "A"}, "b": {}}) == digest_of({"b": {}, "a": {"description": "A"}})
    True
    """
    return "sha256:" + sha256(json.dumps(tools, sort_keys=True).encode()).hexdigest()


def changed(before: Listed, after: Listed) -> dict[str, str]:
    """What is different about each tool that was there before and is not the same.

    >>> changed({"pay": {"description": "Pay."}, "look": {}}, {"pay": {"description": "Pay twice."}, "new": {}})
    {'pay': 'its description changed', 'look': 'it is gone'}
    """
    found = {}
    for name, old in before.items():
        if (new := after.get(name)) is None:
            found[name] = "it is gone"
        elif parts := [word for part, word in PARTS.items() if old.get(part) != new.get(part)]:
            found[name] = f"its {' and '.join(parts)} changed"
    return found


def name_for_model(name: str) -> str:
    """``name`` as providers of models take it: letters, digits, ``_`` and ``-``, at most 64.

    >>> name_for_model("files.read/text")
    'files_read_text'
    """
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:64]


def schema_fault(schema: Any) -> str:
    """Why arguments cannot be checked by ``schema``, or nothing; one that points elsewhere would make us fetch it.

    >>> schema_fault({"type": "object", "properties": {"a": {"$ref": "http://10.0.0.1/a"}}})
    'its arguments refer to http://10.0.0.1/a, which is not in the schema'
    """
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"its arguments have no valid JSON Schema: {error.message[:200]}"
    if _unfolded(schema, schema, {}) > MAX_UNFOLDED:
        return f"its arguments unfold to more than {MAX_UNFOLDED:,} parts"
    checker = Draft202012Validator(schema)
    for target in _references(schema):
        if (found := _at(schema, target)) is None:
            return f"its arguments refer to {target[:200]}, which is not in the schema"
        try:
            for value in (None, "", 0, [], {}):  # whichever of them goes on to the reference
                list(checker.evolve(schema=found).iter_errors(value))
        except RecursionError:
            return f"its arguments refer to {target[:200]} without end"
        except Exception as error:
            return f"its arguments cannot be checked: {type(error).__name__}: {str(error)[:200]}"
    return ""


def _at(schema: Any, target: str) -> Any:
    """What ``target`` refers to, ``#`` or ``#/path``; None if that is not in ``schema``."""
    if target != "#" and not target.startswith("#/"):
        return None
    for part in unquote(target).split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        try:
            schema = schema[int(name)] if isinstance(schema, list) else schema[name]
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return schema


def _unfolded(part: Any, root: Any, known: dict[str, int]) -> int:
    """How many parts there are once every reference is replaced by what it refers to, as for the model it is."""
    inner = part if isinstance(part, list) else part.values() if isinstance(part, dict) else ()
    size = 1 + sum(_unfolded(one, root, known) for one in inner)
    target = part.get("$ref") if isinstance(part, dict) else None
    if isinstance(target, str):
        if target not in known:
            known[target] = 0  # inside of itself it is not unfolded again
            known[target] = _unfolded(_at(root, target), root, known)
        size += known[target]
    return size


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, list):
        for one in schema:
            yield from _references(one)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key in ("$ref", "$dynamicRef") and isinstance(value, str):
                yield value
            yield from _references(value)


def schema_for_model(schema: Any) -> Any:
    """``schema`` with the hidden characters of its descriptions made visible, its patterns as a part of them.

    The server checks patterns itself; we would try a stranger's expression, which can take for ever.
    """
    if isinstance(schema, list):
        return [schema_for_model(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    left_out = {"pattern", "patternProperties"}
    left_out |= {"additionalProperties", "unevaluatedProperties"} if "patternProperties" in schema else set()
    made = {key: _part_for_model(key, value) for key, value in schema.items() if key not in left_out}
    if isinstance(pattern := schema.get("pattern"), str):
        made["description"] = f"{made.get('description', '')} It matches {show_hidden(pattern)}".strip()
    return made


def _part_for_model(key: str, value: Any) -> Any:
    if key in ("description", "title") and isinstance(value, str):
        return show_hidden(value)
    if key in ("properties", "$defs", "definitions", "dependentSchemas") and isinstance(value, dict):
        return {name: schema_for_model(one) for name, one in value.items()}
    return schema_for_model(value)
