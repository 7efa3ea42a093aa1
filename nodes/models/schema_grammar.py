"""From a JSON Schema to a grammar of texts that fit it.

xgrammar has a converter of its own, which passes over what it cannot hold; see docs/decisions. Here every keyword
is held, or a note says which is not. What is let through may be less than the schema allows: properties come in
their declared order, undeclared ones only where the schema asks for them, and numbers have an end.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator

from .grammar_parts import ENDLESS, Part, Ranges, choice, literal
from .grammar_patterns import CannotWrite
from .schema_merge import ANNOTATIONS, Clash, Schema, are_apart, finite, merge, types_of
from .schema_objects import Frame, members_part, object_part
from .schema_texts import JSON, LINES, Form, basics, first_letters
from .schema_values import Impossible, array_part, is_limited, number_part, text_part

_UNHELD = (
    "not if dependentRequired dependentSchemas dependencies contains unevaluatedProperties unevaluatedItems "
    "$dynamicRef $recursiveRef"
).split()
_ALL_TYPES = ["object", "array", "string", "number", "boolean", "null"]
_DEEPEST, _MOST_RULES = 60, 20_000


@dataclass(frozen=True, slots=True)
class SchemaGrammar:
    """Texts that fit a schema."""

    ebnf: str
    least: str
    """The shortest of them, or nearly."""
    hints: tuple[str, ...]
    """Pieces of short texts, the shortest first: the values within, what stands in front of required ones, and
    the inside of texts that have a pattern, with the last quote."""
    begun: tuple[str, ...]
    """Shortest texts of members, required or not: what may have to be written once it is begun."""
    notes: tuple[str, ...]
    """What is not held, such as ``date: multipleOf``."""


def schema_grammar(schema: Schema | bool, *, frame: Frame | None = None, banned: Sequence[str] = ()) -> SchemaGrammar:
    """The grammar of JSON texts that fit ``schema``, or of the members of an object in another frame.

    No text in it holds one of ``banned``, unless an enum or a pattern asks for it.

    Raises:
        Impossible: nothing fits, or the schema cannot be read.

    >>> schema_grammar({"type": "array", "items": {"type": "integer", "minimum": 7}, "minItems": 2}).least
    '[7,7]'
    """
    writer = Writer(schema, first_letters(banned))
    try:
        root = writer.value(schema, "", 0, JSON) if frame is None else writer.members(schema, frame)
    except (Clash, CannotWrite, RecursionError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise Impossible(f"the schema cannot be read: {error!r}") from error
    if ENDLESS in root.least:
        raise Impossible("a value would have to contain itself without end")
    rules = [f"root ::= {root.rule}", *(f"{name} ::= {rule}" for name, rule in writer.rules.items()), *basics(banned)]
    hints = sorted((hint for hint in writer.hints if hint and ENDLESS not in hint), key=lambda hint: (len(hint), hint))
    begun = tuple(sorted(text for text in writer.begun if ENDLESS not in text))
    return SchemaGrammar("\n".join(rules), root.least, tuple(hints), begun, tuple(dict.fromkeys(writer.notes)))


class Writer:
    """Writes the rules of one schema."""

    def __init__(self, root: Schema | bool, letters: Ranges) -> None:
        self.root = root
        self.letters = letters
        """With which banned words begin."""
        self.rules: dict[str, str] = {}
        self.notes: list[str] = []
        self.hints: set[str] = set()
        self.begun: set[str] = set()
        """Shortest texts of members, with their names."""
        self._refs: dict[tuple[str, str], Part] = {}

    def note(self, path: str, what: str) -> None:
        """Say that ``what`` is not held at ``path``."""
        self.notes.append(f"{path}: {what}" if path else what)

    def rule(self, part: Part, attributes: str = "") -> Part:
        """The same as a rule of its own."""
        if len(self.rules) > _MOST_RULES:
            raise CannotWrite("too many rules")
        name = f"r{len(self.rules)}"
        self.rules[name + attributes] = part.rule
        return Part(name, part.least)

    def members(self, schema: Schema | bool, frame: Frame) -> Part:
        """The members of an object in ``frame``."""
        whole = self._flattened({"allOf": [schema]}, "")
        if "anyOf" in whole:
            rest = {key: value for key, value in whole.items() if key not in ("anyOf", *ANNOTATIONS)}
            options = [{"allOf": [rest, option]} for option in whole["anyOf"]]
            return _first_possible([lambda option=option: self.members(option, frame) for option in options])
        if types_of(whole) not in ([], ["object"]) or any(key in whole for key in ("oneOf", "enum", "const")):
            raise Impossible("the arguments are no plain object")
        self._warn(whole, "")
        part = self.rule(members_part(self, whole, "", 0, frame))
        self.hints.add(part.least)
        return part

    def value(self, schema: Any, path: str, depth: int, form: Form) -> Part:
        """Any value that fits ``schema``."""
        if depth > _DEEPEST:
            raise CannotWrite("nested too deep")
        if schema is False:
            raise Impossible(f"nothing fits {path}" if path else "nothing fits it")
        schema = {} if schema is True else schema
        ref = schema.get("$ref")
        if ref is not None and not schema.keys() - ANNOTATIONS - {"$ref"}:
            return self._reference(ref, path, depth, form)
        part = self.rule(self._flat(self._flattened(schema, path), path, depth, form))
        self.hints.add(part.least)
        return part

    def _reference(self, ref: str, path: str, depth: int, form: Form) -> Part:
        """What a reference points to, written once."""
        key = ref, form.name
        if key not in self._refs:
            name = f"ref{len(self._refs)}"
            self._refs[key] = Part(name, ENDLESS)
            target = self._target(ref, path)
            if isinstance(target, Mapping) and target.get("$ref") == ref:
                raise Impossible(f"{ref} refers to itself")
            try:
                part = self.value(target, path, depth + 1, form)
            except Impossible:
                del self._refs[key]
                raise
            self.rules[name] = part.rule
            self._refs[key] = Part(name, part.least)
        return self._refs[key]

    def _target(self, ref: str, path: str) -> Any:
        """The schema that ``ref`` names; any value if it is not in this schema."""
        found: Any = self.root
        if ref != "#" and not ref.startswith("#/"):
            self.note(path, f"$ref {ref!r}")
            return True
        for step in ref[2:].split("/") if ref != "#" else ():
            step = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and step in found:
                found = found[step]
            elif isinstance(found, list) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            else:
                raise Impossible(f"{ref} is not in the schema")
        return found

    def _flattened(self, schema: Schema, path: str) -> Schema:
        """``schema`` without a reference or ``allOf`` at its top."""
        for _ in range(_DEEPEST):
            parts = [*schema.get("allOf", ())]
            if "$ref" in schema:
                parts.append(self._target(schema["$ref"], path))
            if not parts:
                return schema
            joined: Any = {key: value for key, value in schema.items() if key not in ("allOf", "$ref")}
            for part in parts:
                try:
                    joined = merge(joined, part)
                except Clash as clash:
                    self.note(path, str(clash))
            schema = joined
        raise CannotWrite("allOf without end")

    def _flat(self, schema: Schema, path: str, depth: int, form: Form) -> Part:
        """A value of a schema without references at its top."""
        values = finite(schema)
        if values is not None:
            return self._listed(schema, values, form)
        self._warn(schema, path)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self._union(schema, keyword, path, depth, form)
        types = types_of(schema) or _ALL_TYPES
        if types == _ALL_TYPES and form is JSON:
            return Part("any", "0")
        if form is LINES and "string" in types and not is_limited(schema):
            return text_part(self, schema, path, form)  # what is no JSON of another type is read as a text
        return _first_possible([lambda kind=kind: self._typed(schema, kind, path, depth, form) for kind in types])

    def _warn(self, schema: Schema, path: str) -> None:
        for keyword in _UNHELD:
            if keyword in schema:
                self.note(path, keyword)

    def _listed(self, schema: Schema, values: list[Any], form: Form) -> Part:
        """The values of an enum that fit the rest of the schema."""
        shared = {} if isinstance(self.root, bool) else self.root
        shared = {key: shared[key] for key in ("$defs", "definitions") if key in shared}
        check = Draft202012Validator({**shared, **schema})
        texts = [text for value in values if check.is_valid(value) for text in form.spell(value)]
        if not texts:
            raise Impossible("no value of the enum fits")
        self.hints.update(texts)
        return choice([literal(text) for text in dict.fromkeys(texts)])

    def _union(self, schema: Schema, keyword: str, path: str, depth: int, form: Form) -> Part:
        """One of several schemas, together with what stands beside them."""
        rest = {key: value for key, value in schema.items() if key not in (keyword, *ANNOTATIONS)}
        options = [{"allOf": [rest, option]} if rest else option for option in schema[keyword]]
        if keyword == "oneOf":
            flat = [self._flattened({"allOf": [option]}, path) for option in options]
            if not all(are_apart(one, other) for place, one in enumerate(flat) for other in flat[:place]):
                self.note(path, "oneOf with options that may hold at once")
        return _first_possible([lambda option=option: self.value(option, path, depth + 1, form) for option in options])

    def _typed(self, schema: Schema, kind: str, path: str, depth: int, form: Form) -> Part:
        match kind:
            case "object":
                return object_part(self, schema, path, depth)
            case "array":
                return array_part(self, schema, path, depth)
            case "string":
                return text_part(self, schema, path, form)
            case "integer" | "number":
                return number_part(self, schema, kind, path)
            case "boolean":
                return choice([literal(text) for value in (True, False) for text in form.spell(value)])
            case "null":
                return choice([literal(text) for text in form.spell(None)])
            case _:
                raise Impossible(f"there is no type {kind!r}")


def _first_possible(makers: Sequence[Callable[[], Part]]) -> Part:
    """A choice among the parts that are possible."""
    if len(makers) == 1:
        return makers[0]()
    found = []
    for make in makers:
        try:
            found.append(make())
        except Impossible:
            continue
    if not found:
        raise Impossible("none of the options fits")
    return choice(found)
