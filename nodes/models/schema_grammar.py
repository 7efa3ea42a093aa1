"""From a JSON Schema to a grammar of JSON texts that fit it.

xgrammar has a converter of its own, which passes over what it cannot hold; see docs/decisions. Here every keyword
is held, or a note says which is not. What is let through may be less than the schema allows: properties come in
their declared order, undeclared ones only where the schema asks for them, and numbers have an end.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator

from .grammar_numbers import decimals, integers, multiples, number
from .grammar_parts import (
    ANY,
    ENDLESS,
    Part,
    Ranges,
    choice,
    contains,
    literal,
    one_of,
    optional,
    repeat,
    sequence,
    without,
)
from .grammar_patterns import FORMATS, CannotWrite, pattern
from .schema_merge import ANNOTATIONS, Clash, Schema, are_apart, finite, merge, types_of

_UNHELD = (
    "not if dependentRequired dependentSchemas dependencies contains unevaluatedProperties unevaluatedItems "
    "$dynamicRef $recursiveRef"
).split()
_ESCAPES = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r", 34: '"', 92: "\\"}
_PLAIN = without(ANY, [(0, 31), (34, 34), (92, 92)])
_DEEPEST, _MOST_RULES = 60, 20_000
_FORMS = ("object", "array", "string", "number", "boolean", "null")

_PLAIN_CLASS = r'[^"\\\x00-\x1f\ud800-\udfff]'
_BASICS = (
    r'space ::= ("" | " " | "\n" [ \t]{0,24})',
    r'colon ::= ":" ("" | " ")',
    r'hex ::= [0-9a-fA-F]',
    r'escape ::= "\\" (["\\/bfnrt] | "u" ([0-9a-cefA-CEF] hex hex hex | [dD] ([0-7] hex hex'
    r' | [89abAB] hex hex "\\u" [dD] [c-fC-F] hex hex)))',
    f'inner ::= ({_PLAIN_CLASS}* escape)* {_PLAIN_CLASS}*',
    f'rest ::= (({_PLAIN_CLASS}* escape)* {_PLAIN_CLASS}* "\\"") (= [ \\n\\t]* [,}}\\]:<])',
    r'text ::= "\"" rest',
    f"number ::= {number().rule}",
    'any ::= number | text | "true" | "false" | "null" | array | object',
    'array ::= "[" space (any ("," space any)* space)? "]"',
    'object ::= "{" space (text colon any ("," space text colon any)* space)? "}"',
)
_TEXT, _CHARACTER = Part("text", '""'), Part(f"({_PLAIN_CLASS} | escape)", "a")
_ANY_FORM = {form: Part(form, least) for form, least in (("object", "{}"), ("array", "[]"), ("number", "0"))}
_SPACE, _COLON = Part("space", ""), Part("colon", ":")


class Impossible(Exception):
    """No value fits."""


@dataclass(frozen=True, slots=True)
class SchemaGrammar:
    """What ``schema_grammar`` gives."""

    ebnf: str
    least: str
    """A shortest JSON text that fits, or nearly the shortest."""
    hints: tuple[str, ...]
    """Pieces of short texts: the values within, the names of required properties with quotes and colon, and
    the inside of texts that have a pattern, with the last quote."""
    notes: tuple[str, ...]
    """What is not held, such as ``date: format``."""


ANY_OBJECT = SchemaGrammar("\n".join(["root ::= object", *_BASICS]), "{}", (), ())


def schema_grammar(schema: Schema | bool) -> SchemaGrammar:
    """The grammar of JSON texts that fit ``schema``.

    Raises:
        Impossible: nothing fits, or the schema cannot be read.

    >>> schema_grammar({"type": "object", "properties": {"n": {"type": "integer", "minimum": 7}}, "required": ["n"]}).least
    '{"n":7}'
    """
    writer = _Writer(schema)
    try:
        root = writer.value(schema, "")
    except (Clash, CannotWrite, RecursionError, TypeError, ValueError, AttributeError, KeyError) as error:
        raise Impossible(f"the schema cannot be read: {error!r}") from error
    if ENDLESS in root.least:
        raise Impossible("a value would have to contain itself without end")
    rules = [f"root ::= {root.rule}", *(f"{name} ::= {rule}" for name, rule in writer.rules.items()), *_BASICS]
    hints = sorted((hint for hint in writer.hints if ENDLESS not in hint), key=lambda hint: (len(hint), hint))
    return SchemaGrammar("\n".join(rules), root.least, tuple(hints), tuple(dict.fromkeys(writer.notes)))


class _Writer:
    """Writes the rules of one schema."""

    def __init__(self, root: Schema | bool) -> None:
        self.root = root
        self.rules: dict[str, str] = {}
        self.notes: list[str] = []
        self.hints: set[str] = set()
        self.refs: dict[str, Part] = {}

    def note(self, path: str, what: str) -> None:
        self.notes.append(f"{path}: {what}" if path else what)

    def rule(self, part: Part) -> Part:
        """The same as a rule of its own."""
        if len(self.rules) > _MOST_RULES:
            raise CannotWrite("too many rules")
        name = f"r{len(self.rules)}"
        self.rules[name] = part.rule
        return Part(name, part.least)

    def value(self, schema: Any, path: str, depth: int = 0) -> Part:
        """Any value that fits ``schema``."""
        if depth > _DEEPEST:
            raise CannotWrite("nested too deep")
        if schema is False:
            raise Impossible("false")
        schema = {} if schema is True else schema
        ref = schema.get("$ref")
        if ref is not None and not schema.keys() - ANNOTATIONS - {"$ref"}:
            return self.reference(ref, path, depth)
        part = self.rule(self.flat(self.flattened(schema, path), path, depth))
        self.hints.add(part.least)
        return part

    def reference(self, ref: str, path: str, depth: int) -> Part:
        """What a reference points to, written once."""
        if ref not in self.refs:
            name = f"ref{len(self.refs)}"
            self.refs[ref] = Part(name, ENDLESS)
            target = self.target(ref, path)
            if isinstance(target, Mapping) and target.get("$ref") == ref:
                raise Impossible(f"{ref} refers to itself")
            try:
                part = self.value(target, path, depth + 1)
            except Impossible:
                del self.refs[ref]
                raise
            self.rules[name] = part.rule
            self.refs[ref] = Part(name, part.least)
        return self.refs[ref]

    def target(self, ref: str, path: str) -> Any:
        """The schema that ``ref`` names; any value if it is not in this schema."""
        found: Any = self.root
        if ref != "#" and not ref.startswith("#/"):
            self.note(path, f"$ref {ref!r}")
            return True
        for step in ref[2:].split("/") if ref != "#" else ():
            step = unquote(step).replace("~1", "/").replace("~0", "~")
            if isinstance(found, Mapping) and step in found:
                found = found[step]
            elif isinstance(found, Sequence) and step.isdigit() and int(step) < len(found):
                found = found[int(step)]
            else:
                raise Impossible(f"{ref} is not in the schema")
        return found

    def flattened(self, schema: Schema, path: str) -> Schema:
        """``schema`` without a reference or ``allOf`` at its top."""
        for _ in range(_DEEPEST):
            parts = [*schema.get("allOf", ())]
            if "$ref" in schema:
                parts.append(self.target(schema["$ref"], path))
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

    def flat(self, schema: Schema, path: str, depth: int) -> Part:
        """A value of a schema without references at its top."""
        values = finite(schema)
        if values is not None:
            return self.listed(schema, values)
        for keyword in _UNHELD:
            if keyword in schema:
                self.note(path, keyword)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                return self.union(schema, keyword, path, depth)
        types = types_of(schema) or list(_FORMS)
        if types == list(_FORMS):
            return Part("any", "0")
        return self.first_possible([lambda kind=kind: self.typed(schema, kind, path, depth) for kind in types], "type")

    def listed(self, schema: Schema, values: list[Any]) -> Part:
        """The values of an enum that fit the rest of the schema."""
        whole = {**schema, **({"$defs": self.root.get("$defs", {})} if isinstance(self.root, Mapping) else {})}
        check = Draft202012Validator(whole)
        fitting = [json.dumps(v, ensure_ascii=False, allow_nan=False) for v in values if check.is_valid(v)]
        fitting = [text for text in fitting if text.isascii() or text.encode("utf-8", "ignore").decode() == text]
        if not fitting:
            raise Impossible("no value of the enum fits")
        self.hints.update(fitting)
        return choice([literal(text) for text in dict.fromkeys(fitting)])

    def union(self, schema: Schema, keyword: str, path: str, depth: int) -> Part:
        """One of several schemas, together with what stands beside them."""
        rest = {key: value for key, value in schema.items() if key not in (keyword, *ANNOTATIONS)}
        options = []
        for option in schema[keyword]:
            try:
                options.append(self.flattened(merge(rest, self.flattened({"allOf": [option]}, path)), path) if rest
                               else self.flattened(option, path) if isinstance(option, Mapping) else option)
            except Clash as clash:
                self.note(path, str(clash))
                options.append(option)
        if keyword == "oneOf":
            known = [option for option in options if isinstance(option, Mapping)]
            if not all(are_apart(one, other) for i, one in enumerate(known) for other in known[:i]):
                self.note(path, "oneOf with options that may hold at once")
        originals = options if rest else schema[keyword]
        return self.first_possible([lambda o=o: self.value(o, path, depth + 1) for o in originals], keyword)

    def first_possible(self, makers: Sequence[Any], what: str) -> Part:
        """A choice among those that are possible."""
        found = []
        for make in makers:
            try:
                found.append(make())
            except Impossible:
                continue
        if not found:
            raise Impossible(f"no option of {what} fits")
        return choice(found)

    def typed(self, schema: Schema, kind: str, path: str, depth: int) -> Part:
        match kind:
            case "object":
                return self.object(schema, path, depth)
            case "array":
                return self.array(schema, path, depth)
            case "string":
                return self.string(schema, path)
            case "integer" | "number":
                return self.numeric(schema, kind, path)
            case "boolean":
                return choice([literal("true"), literal("false")])
            case "null":
                return literal("null")
            case _:
                raise Impossible(f"there is no type {kind!r}")

    def numeric(self, schema: Schema, kind: str, path: str) -> Part:
        low, high = schema.get("minimum"), schema.get("maximum")
        above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
        step = schema.get("multipleOf")
        if kind == "number" and step is not None and float(step).is_integer():
            kind = "integer"
        if kind == "number":
            if step is not None:
                self.note(path, "multipleOf")
            if low is high is above is below is None:
                return _ANY_FORM["number"]
            open_low = above is not None and (low is None or above >= low)
            open_high = below is not None and (high is None or below <= high)
            part = decimals(above if open_low else low, below if open_high else high,
                            open_low=open_low, open_high=open_high)
        else:
            lows = [ceil(low)] if low is not None else []
            lows += [floor(above) + 1] if above is not None else []
            highs = [floor(high)] if high is not None else []
            highs += [ceil(below) - 1] if below is not None else []
            least, most = max(lows, default=None), min(highs, default=None)
            part = integers(least, most)
            if step is not None and (1 / step) % 1:
                found = multiples(least, most, int(step)) if float(step).is_integer() else None
                if found is None:
                    self.note(path, "multipleOf")
                part = found or part
        if part is None:
            raise Impossible("no number fits")
        return part

    def string(self, schema: Schema, path: str) -> Part:
        return sequence(literal('"'), self.characters(schema, path), literal('"')) if (
            schema.keys() & {"minLength", "maxLength", "pattern"} or schema.get("format") in FORMATS
        ) else _TEXT

    def characters(self, schema: Schema, path: str) -> Part:
        """What stands between the quotes."""
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
        most = None if most is None else int(most)
        if most is not None and least > most:
            raise Impossible("minLength is more than maxLength")
        expression, named = schema.get("pattern"), FORMATS.get(schema.get("format", ""))
        if expression is not None and named is not None:
            self.note(path, "format beside pattern")
        if expression is None and named is not None:
            expression = f"^({named})$"
        if expression is None:
            return self.counted(least, most)
        try:
            part, low, high, leasts = pattern(expression, one_in_quotes, least, most)
        except CannotWrite as reason:
            self.note(path, f"pattern ({reason})")
            return self.counted(least, most)
        if low < least:
            self.note(path, "minLength beside pattern")
        if most is not None and high > most:
            self.note(path, "maxLength beside pattern")
        self.hints.update(f'{least}"' for least in leasts)
        return part

    def counted(self, least: int, most: int | None) -> Part:
        """Any characters, as many as that. xgrammar counts an escape as its letters, which are more."""
        first = _CHARACTER if least == 1 else repeat(one_of(_PLAIN), least, least)
        if most == least:
            return first
        if most is None:
            return sequence(first, Part("inner", ""))
        name = f"r{len(self.rules)}[max_chars={most - least}]"
        self.rules[name] = "inner"
        return sequence(first, Part(name.partition("[")[0], ""))

    def array(self, schema: Schema, path: str, depth: int) -> Part:
        least, most = int(schema.get("minItems", 0)), schema.get("maxItems")
        if schema.get("uniqueItems") and (most is None or most > 1):
            self.note(path, "uniqueItems")
        first = [self.value(item, f"{path}[]", depth + 1) for item in schema.get("prefixItems", ())]
        if most is not None:
            first = first[: int(most)]
        more = schema.get("items", not first or least > len(first))
        items = None
        if most is None or most > len(first):
            try:
                items = self.value(more, f"{path}[]", depth + 1)
            except Impossible:
                items = None
        room = None if most is None else int(most) - len(first)
        if (items is None and least > len(first)) or (room is not None and least > len(first) + room):
            raise Impossible("an array cannot have that many items")
        comma = sequence(literal(","), _SPACE)
        tail = literal("")
        if items is not None:
            again = sequence(comma, items)
            if first:
                tail = repeat(again, max(0, least - len(first)), room)
            else:
                tail = sequence(items, repeat(again, max(0, least - 1), None if room is None else room - 1))
                tail = tail if least else optional(tail)
        for index in range(len(first) - 1, -1, -1):
            step = sequence(*([comma] if index else []), first[index], tail)
            tail = self.rule(step if index < least else optional(step))
        return sequence(literal("["), _SPACE, tail, _SPACE, literal("]")) if tail.rule != '""' else literal("[]")

    def object(self, schema: Schema, path: str, depth: int) -> Part:
        properties, required = schema.get("properties", {}), list(schema.get("required", ()))
        patterns, extra = schema.get("patternProperties", {}), schema.get("additionalProperties")
        if extra is None:
            extra = "properties" not in schema and not patterns and not required
        declared: list[tuple[Part, bool]] = []
        for name in [*properties, *(name for name in required if name not in properties)]:
            about = properties.get(name, True if schema.get("additionalProperties") is None else extra)
            where = f"{path}.{name}" if path else name
            about = self.with_patterns(name, about, patterns, where)
            try:
                value = self.value(about, where, depth + 1)
            except Impossible:
                if name in required:
                    raise
                continue
            key = f"{json.dumps(name, ensure_ascii=False)}"
            if name in required:
                self.hints.add(f"{key}:")
            declared.append((sequence(literal(key), _COLON, value), name in required))
        others = self.others(schema, extra, patterns, list(properties), path, depth)
        least, most = int(schema.get("minProperties", 0)), schema.get("maxProperties")
        if others is not None and least > sum(needed for _, needed in declared) + 1:
            self.note(path, "minProperties")  # the same name may come twice
        body = _Members(self, declared, others, least, None if most is None else int(most)).write()
        if body.rule == '""':
            return literal("{}")
        return sequence(literal("{"), _SPACE, body, _SPACE, literal("}"))

    def with_patterns(self, name: str, about: Any, patterns: Schema, path: str) -> Any:
        """The schema of a declared property, with those of the patterns that its name fits."""
        fitting = [schema for expression, schema in patterns.items() if _found(expression, name)]
        return {"allOf": [about, *fitting]} if fitting else about

    def others(
        self, schema: Schema, extra: Any, patterns: Schema, declared: Sequence[str], path: str, depth: int
    ) -> Part | None:
        """One property that is not declared; None if there must be none."""
        names = schema.get("propertyNames")
        about, key_schema = extra, names
        if patterns:
            if len(patterns) > 1 or names is not None:
                self.note(path, "several patternProperties" if names is None else "propertyNames")
            expression, about = next(iter(patterns.items()))
            key_schema = {"pattern": expression}
        if about is False or (key_schema is not None and any(_fits_name(name, key_schema) for name in declared)):
            return None
        try:
            value = self.value(about, f"{path}.*" if path else "*", depth + 1)
            if key_schema is not None:
                key = self.value(merge({"type": "string"}, key_schema), path, depth + 1)
            else:
                key = self.rule(_other_name(declared)) if declared else _TEXT
        except Impossible:
            return None
        return self.rule(sequence(key, _COLON, value))


class _Members:
    """The members of an object: declared ones in their order, then others."""

    def __init__(
        self, writer: _Writer, declared: list[tuple[Part, bool]], others: Part | None, least: int, most: int | None
    ) -> None:
        self.writer, self.declared, self.others, self.least, self.most = writer, declared, others, least, most
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
            keep = part is None or part.rule == '""'
            self.known[index, taken] = part if keep else self.writer.rule(part)
        return self.known[index, taken]

    def at(self, index: int, taken: int) -> Part | None:
        member, needed = self.declared[index]
        options = []
        if self.most is None or taken < self.most:
            following = self.tail(index + 1, taken + 1)
            if following is not None:
                options.append(sequence(*self.comma(taken), member, following))
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
        again = sequence(literal(","), _SPACE, self.others)
        if taken:
            return repeat(again, missing, room)
        tail = sequence(self.others, repeat(again, max(0, missing - 1), None if room is None else room - 1))
        return tail if missing else optional(tail)

    def comma(self, taken: int) -> list[Part]:
        return [literal(","), _SPACE] if taken else []


def one_in_quotes(ranges: Ranges) -> Part:
    """One character out of ``ranges``, as it is written in a JSON string."""
    plain = without(ranges, [(0, 31), (34, 34), (92, 92)])
    options = [one_of(plain)] if plain else []
    for code in [code for code in (*range(32), 34, 92) if contains(ranges, code)]:
        options.append(literal("\\" + _ESCAPES.get(code, f"u{code:04x}")))
    return choice(options)


def _other_name(names: Sequence[str]) -> Part:
    """A property's name in quotes, without escapes, that is none of ``names``."""
    return sequence(literal('"'), _not_one_of([*names], ""))


def _not_one_of(names: list[str], begun: str) -> Part:
    """How a name that began like some of ``names`` goes on, and its quote, without becoming one of them."""
    going = sorted({name[len(begun)] for name in names if name.startswith(begun) and len(name) > len(begun)})
    options = [] if begun in names else [literal('"')]
    free = without(_PLAIN, [(ord(c), ord(c)) for c in going])
    options.append(sequence(one_of(free), repeat(one_of(_PLAIN), 0), literal('"')))
    for character in going:
        if contains(_PLAIN, ord(character)):
            options.append(sequence(literal(character), _not_one_of(names, begun + character)))
    return choice(options)


def _found(expression: str, name: str) -> bool:
    return Draft202012Validator({"pattern": expression}).is_valid(name)


def _fits_name(name: str, schema: Any) -> bool:
    return Draft202012Validator(schema).is_valid(name)

