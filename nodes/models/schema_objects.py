"""Objects of a JSON Schema as grammar parts: declared properties in their order, then others.

The members may be those of a JSON object, or the arguments of a call in another form.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from .grammar_parts import Part, choice, literal, one_of, optional, repeat, sequence
from .schema_merge import Schema, merge
from .schema_texts import DOUBLE, JSON, LINES, PYTHON, Form, other_name
from .schema_values import SPACE, Impossible

if TYPE_CHECKING:
    from .schema_grammar import Writer


@dataclass(frozen=True, slots=True)
class Frame:
    """How members are written."""

    values: Form
    key: Callable[[str], str]
    """From a property's name: what stands in front of its value. Empty if the name cannot be written."""
    other_key: Callable[[Sequence[str]], Part | None]
    """From the declared names: what stands in front of the value of another one, if it can be told from them."""
    behind: Part
    between: Part


_LETTERS = one_of(((48, 57), (65, 90), (95, 95), (97, 122)))
_PARAMETER = sequence(literal("<parameter="), repeat(_LETTERS, 1, 32), literal(">\n"))
_KEYWORD = sequence(repeat(_LETTERS, 1, 32), literal("="))
OBJECT = Frame(
    JSON,
    lambda name: json.dumps(name, ensure_ascii=False),
    lambda names: other_name(names) if names else DOUBLE.text(),
    literal(""),
    sequence(literal(","), SPACE),
)
"""``"city": "Rome", "id": 1``; the colon is put behind every key."""
XML = Frame(
    LINES,
    lambda name: "" if set(name) & set("<>\n") else f"<parameter={name}>\n",
    lambda names: None if names else _PARAMETER,
    literal("\n</parameter>\n"),
    literal(""),
)
"""Each value on lines of its own, between ``<parameter=city>`` and ``</parameter>``."""
KEYWORDS = Frame(
    PYTHON,
    lambda name: "" if not name or set(name) & set(" \t\n=,()'\"") else f"{name}=",
    lambda names: None if names else _KEYWORD,
    literal(""),
    sequence(literal(","), optional(literal(" "))),
)
"""``city='Rome', id=1``."""


def members_part(writer: "Writer", schema: Schema, path: str, depth: int, frame: Frame = OBJECT) -> Part:
    """The members of an object, without what stands around them."""
    properties, required = schema.get("properties", {}), list(schema.get("required", ()))
    patterns, extra = schema.get("patternProperties", {}), schema.get("additionalProperties")
    if extra is None:
        extra = "properties" not in schema and not patterns and not required
    declared: list[tuple[Part, bool]] = []
    for name in [*properties, *(name for name in required if name not in properties)]:
        about = properties.get(name, True if schema.get("additionalProperties") is None else extra)
        where = f"{path}.{name}" if path else name
        fitting = [other for expression, other in patterns.items() if _holds({"pattern": expression}, name)]
        key = frame.key(name)
        try:
            if not key:
                raise Impossible(f"the name {name!r} cannot be written")
            value = writer.value({"allOf": [about, *fitting]} if fitting else about, where, depth + 1, frame.values)
        except Impossible:
            if name in required:
                raise
            continue
        if name in required:
            writer.hints.add(f"{key}:" if frame is OBJECT else key)
        member = _member(frame, literal(key), value)
        writer.begun.add(member.least)
        declared.append((member, name in required))
    others = _others(writer, schema, extra, list(properties), path, depth, frame)
    least, most = int(schema.get("minProperties", 0)), schema.get("maxProperties")
    if others is not None and least > sum(needed for _, needed in declared) + 1:
        writer.note(path, "minProperties")  # the same name may come twice
    return _Members(writer, frame.between, declared, others, least, None if most is None else int(most)).write()


def object_part(writer: "Writer", schema: Schema, path: str, depth: int) -> Part:
    """An object in JSON."""
    members = members_part(writer, schema, path, depth)
    if members.rule == '""':
        return literal("{}")
    return sequence(literal("{"), SPACE, members, SPACE, literal("}"))


def _member(frame: Frame, key: Part, value: Part) -> Part:
    return sequence(key, Part("colon", ":"), value) if frame is OBJECT else sequence(key, value, frame.behind)


def _others(
    writer: "Writer", schema: Schema, extra: Any, declared: Sequence[str], path: str, depth: int, frame: Frame
) -> Part | None:
    """One property that is not declared; None if there must be none."""
    patterns, names = schema.get("patternProperties", {}), schema.get("propertyNames")
    if patterns and (len(patterns) > 1 or names is not None):
        writer.note(path, "propertyNames" if names is not None else "several patternProperties")
    for expression, about in list(patterns.items())[:1]:
        extra, names = about, {"pattern": expression}
    if extra is False or (names is not None and any(_holds(names, name) for name in declared)):
        return None
    try:
        key = frame.other_key(declared)
        if names is not None:
            key = writer.value(merge({"type": "string"}, names), path, depth + 1, JSON) if frame is OBJECT else None
        value = writer.value(extra, f"{path}.*" if path else "*", depth + 1, frame.values)
    except Impossible:
        return None
    return None if key is None else writer.rule(_member(frame, key, value))


def _holds(schema: Any, name: str) -> bool:
    return Draft202012Validator(schema).is_valid(name)


class _Members:
    """Members in a row: declared ones in their order, then others."""

    def __init__(
        self,
        writer: "Writer",
        between: Part,
        declared: list[tuple[Part, bool]],
        others: Part | None,
        least: int,
        most: int | None,
    ) -> None:
        self.writer, self.between, self.declared, self.others = writer, between, declared, others
        self.least, self.most = least, most
        self.known: dict[tuple[int, int], Part | None] = {}

    def write(self) -> Part:
        body = self.tail(0, 0)
        if body is None:
            raise Impossible("the number of properties cannot be kept")
        return body

    def tail(self, index: int, taken: int) -> Part | None:
        """All that may follow when ``taken`` members are written and ``index`` have been decided on."""
        if self.most is None:
            taken = min(taken, max(self.least, 1))  # more need not be told apart
        if (index, taken) not in self.known:
            part = self.end(taken) if index == len(self.declared) else self.at(index, taken)
            if part is not None and part.rule != '""':
                part = self.writer.rule(part)
            self.known[index, taken] = part
        return self.known[index, taken]

    def at(self, index: int, taken: int) -> Part | None:
        member, needed = self.declared[index]
        options = []
        if self.most is None or taken < self.most:
            following = self.tail(index + 1, taken + 1)
            if following is not None:
                options.append(sequence(*([self.between] if taken else []), member, following))
        if not needed:
            following = self.tail(index + 1, taken)
            if following is not None:
                options.append(following)
        return choice(options) if options else None

    def end(self, taken: int) -> Part | None:
        room = None if self.most is None else self.most - taken
        missing = max(0, self.least - taken)
        if self.others is None or room == 0:
            return None if missing else literal("")
        again = sequence(self.between, self.others)
        if taken:
            return repeat(again, missing, room)
        tail = sequence(self.others, repeat(again, max(0, missing - 1), None if room is None else room - 1))
        return tail if missing else optional(tail)
