"""Texts, numbers and arrays of a JSON Schema as grammar parts."""

from math import ceil, floor
from typing import TYPE_CHECKING

from .grammar_numbers import decimals, integers, multiples
from .grammar_parts import Part, choice, literal, optional, repeat, sequence
from .grammar_patterns import FORMATS, CannotWrite, pattern
from .schema_merge import Schema
from .schema_texts import JSON, Form, Quotes

if TYPE_CHECKING:
    from .schema_grammar import Writer

SPACE = Part("space", "")


class Impossible(Exception):
    """No value fits."""


def text_part(writer: "Writer", schema: Schema, path: str, form: Form) -> Part:
    """A text, in any of the ways in which the form writes texts."""
    if not is_limited(schema):
        return choice([quotes.text() for quotes in form.quotes])
    return choice([quotes.around(_characters(writer, schema, path, quotes)) for quotes in form.quotes])


def is_limited(schema: Schema) -> bool:
    """Whether not every text fits."""
    return bool(schema.keys() & {"minLength", "maxLength", "pattern"}) or schema.get("format") in FORMATS


def _characters(writer: "Writer", schema: Schema, path: str, quotes: Quotes) -> Part:
    """What stands between the quotes."""
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    most = None if most is None else int(most)
    if most is not None and least > most:
        raise Impossible("minLength is more than maxLength")
    expression, named = schema.get("pattern"), FORMATS.get(schema.get("format", ""))
    if expression is not None and named is not None:
        writer.note(path, "format beside pattern")
    if expression is None and named is not None:
        expression = f"^({named})$"
    if expression is None:
        return _counted(writer, least, most, quotes)
    try:
        found = pattern(expression, lambda ranges: quotes.one_of(ranges, writer.letters), least, most)
    except (CannotWrite, ValueError) as reason:
        writer.note(path, f"pattern ({reason})")
        return _counted(writer, least, most, quotes)
    if found.shortest < least:
        writer.note(path, "minLength beside pattern")
    if most is not None and found.longest > most:
        writer.note(path, "maxLength beside pattern")
    writer.hints.update(least + quotes.mark for least in found.leasts)
    return found.part


def _counted(writer: "Writer", least: int, most: int | None, quotes: Quotes) -> Part:
    """Any characters, as many as that. xgrammar counts an escape as its letters, which are more.

    The rule that is counted begins with the first character: behind a repetition, masks would not know of the count.
    """
    first = quotes.counted(least, writer.letters) if least else literal("")
    if most == least:
        return first
    text = sequence(first, Part(quotes.inner, ""))
    return text if most is None else writer.rule(text, f"[max_chars={most}]")


def number_part(writer: "Writer", schema: Schema, kind: str, path: str) -> Part:
    """A number, whole if ``kind`` is ``integer``."""
    step = schema.get("multipleOf")
    if kind == "number" and (step is None or not float(step).is_integer()):
        if step is not None:
            writer.note(path, "multipleOf")
        part = _any_number(schema)
    else:
        lows = [ceil(schema["minimum"])] if "minimum" in schema else []
        lows += [floor(schema["exclusiveMinimum"]) + 1] if "exclusiveMinimum" in schema else []
        highs = [floor(schema["maximum"])] if "maximum" in schema else []
        highs += [ceil(schema["exclusiveMaximum"]) - 1] if "exclusiveMaximum" in schema else []
        low, high = max(lows, default=None), min(highs, default=None)
        part = integers(low, high)
        if part is not None and step is not None and (1 / step) % 1:
            whole = multiples(low, high, int(step)) if float(step).is_integer() else None
            if whole is None:
                writer.note(path, "multipleOf")
            part = whole or part
    if part is None:
        raise Impossible("no number fits")
    return part


def _any_number(schema: Schema) -> Part | None:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is high is above is below is None:
        return Part("number", "0")
    open_low = above is not None and (low is None or above >= low)
    open_high = below is not None and (high is None or below <= high)
    return decimals(above if open_low else low, below if open_high else high, open_low=open_low, open_high=open_high)


def array_part(writer: "Writer", schema: Schema, path: str, depth: int) -> Part:
    """An array in JSON."""
    least, most = int(schema.get("minItems", 0)), schema.get("maxItems")
    most = None if most is None else int(most)
    if schema.get("uniqueItems") and (most is None or most > 1):
        writer.note(path, "uniqueItems")
    first = [writer.value(item, f"{path}[]", depth + 1, JSON) for item in schema.get("prefixItems", ())][:most]
    items = None
    if most is None or most > len(first):
        try:
            items = writer.value(schema.get("items", not first or least > len(first)), f"{path}[]", depth + 1, JSON)
        except Impossible:
            items = None
    room = None if most is None else most - len(first)
    if (items is None and least > len(first)) or (room is not None and least > len(first) + room):
        raise Impossible("an array cannot have that many items")
    comma = sequence(literal(","), SPACE)
    tail = literal("")
    if items is not None and first:
        tail = repeat(sequence(comma, items), max(0, least - len(first)), room)
    elif items is not None:
        more = repeat(sequence(comma, items), max(0, least - 1), None if room is None else room - 1)
        tail = sequence(items, more) if least else optional(sequence(items, more))
    for index in range(len(first) - 1, -1, -1):
        step = sequence(*([comma] if index else []), first[index], tail)
        tail = writer.rule(step if index < least else optional(step))
    if items is None and not first:
        return literal("[]")
    return sequence(literal("["), SPACE, tail, SPACE, literal("]"))
