"""Python's way of writing a type, as JSON Schema: ``List[int]``, ``Optional[str]``, ``Dict[str, float], optional``."""

from typing import Any

PLAIN = {
    "str": "string",
    "string": "string",
    "int": "integer",
    "integer": "integer",
    "float": "number",
    "number": "number",
    "bool": "boolean",
    "boolean": "boolean",
    "none": "null",
    "nonetype": "null",
    "dict": "object",
    "object": "object",
    "mapping": "object",
    "list": "array",
    "array": "array",
    "sequence": "array",
    "tuple": "array",
    "set": "array",
}
DEEPEST = 20


def schema_of(written: str) -> dict[str, Any]:
    """The schema of a type; no restriction where nothing fits, such as ``Any``.

    >>> schema_of("List[Union[int, str]], optional")
    {'type': 'array', 'items': {'anyOf': [{'type': 'integer'}, {'type': 'string'}]}}
    >>> schema_of("Tuple[int, int]")
    {'type': 'array', 'prefixItems': [{'type': 'integer'}, {'type': 'integer'}], 'minItems': 2, 'maxItems': 2}
    >>> schema_of("Callable[[float], float]")
    {}
    """
    return _schema(split_apart(written, ",")[0], 0)


def _schema(written: str, depth: int) -> dict[str, Any]:
    written = written.strip()
    if depth > DEEPEST:
        return {}
    choices = split_apart(written, "|")
    if len(choices) > 1:
        return _any_of(choices, depth)
    name, opened, inner = written.partition("[")
    name = name.strip().rpartition(".")[2].lower()
    parts = split_apart(inner.rstrip().removesuffix("]"), ",") if opened else []
    if name == "union":
        return _any_of(parts, depth)
    if name == "optional" and parts:
        return _schema(parts[0], depth + 1)
    if name not in PLAIN:
        return {}
    schema: dict[str, Any] = {"type": PLAIN[name]}
    if name == "tuple" and parts and parts[-1].strip() != "...":
        schema["prefixItems"] = [_schema(part, depth + 1) for part in parts]
        schema |= {"minItems": len(parts), "maxItems": len(parts)}
    elif schema["type"] == "array" and parts and (items := _schema(parts[0], depth + 1)):
        schema["items"] = items
    elif schema["type"] == "object" and len(parts) == 2 and (values := _schema(parts[1], depth + 1)):
        schema["additionalProperties"] = values
    return schema


def _any_of(choices: list[str], depth: int) -> dict[str, Any]:
    schemas = [_schema(choice, depth + 1) for choice in choices]
    return {"anyOf": schemas} if all(schemas) else {}


def split_apart(written: str, mark: str) -> list[str]:
    """``written`` cut at every ``mark`` that stands in no brackets.

    >>> split_apart("Dict[str, int], optional", ",")
    ['Dict[str, int]', ' optional']
    """
    parts = [""]
    depth = 0
    for letter in written:
        depth += (letter in "[(") - (letter in "])")
        if letter == mark and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts
