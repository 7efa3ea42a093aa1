"""A JSON Schema becomes a grammar of texts that fit it; what it cannot hold is noted."""

import json
from typing import Any

import pytest
from constrained_world import obj
from threadmill.nodes.models.schema_grammar import schema_grammar
from threadmill.nodes.models.schema_objects import KEYWORDS, XML
from threadmill.nodes.models.schema_values import Impossible


def fits(ebnf: str, text: str) -> bool:
    """Whether ``text`` is one of the grammar's."""
    import xgrammar

    texts = [bytes([byte]) for byte in range(256)]
    info = xgrammar.TokenizerInfo([*texts, b""], xgrammar.VocabType.RAW, vocab_size=257, stop_token_ids=[256])
    matcher = xgrammar.GrammarMatcher(xgrammar.GrammarCompiler(info).compile_grammar(ebnf))
    return matcher.accept_string(text) and matcher.is_completed()


HELD: list[tuple[Any, str, str]] = [
    # schema, texts that fit, texts that do not; | stands between them
    ({"type": "string"}, r'""|"a\"\u00e9"|"\ud83d\ude00"|"é"', '"a|"\t"|a|"\\ud83d"|"\\x"'),
    ({"type": "string", "minLength": 2, "maxLength": 3}, '"ab"|"äöü"', '"a"|"abcd"'),
    ({"type": "string", "minLength": 1}, r'"a"|"\n"|"abc"', '""'),
    ({"type": "string", "pattern": "^[a-c]+$", "maxLength": 2}, '"a"|"cb"', '""|"abc"|"d"'),
    ({"type": "string", "pattern": "b{2}"}, '"bb"|"abbc"', '"b"|""'),
    ({"type": "string", "pattern": '^"x"$'}, r'"\"x\""', '"x"'),
    ({"type": "string", "format": "date"}, '"2024-02-29"|"1999-12-31"', '"2023-02-29"|"2024-13-01"|"today"'),
    ({"type": "integer", "minimum": -3, "exclusiveMaximum": 12}, "-3|0|11", "-4|12|1.0|007"),
    ({"type": "integer", "minimum": 1.5}, "2|10", "1"),
    ({"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 20}, "0|7|14", "1|21"),
    ({"type": "number", "exclusiveMinimum": 0, "maximum": 1.5}, "0.1|1|1.5|1.50", "0|0.0|1.51|2"),
    ({"type": "number"}, "-1.5e-3|0|12", "1e999|01|.5"),
    ({"type": ["string", "null"]}, 'null|"a"', "1"),
    ({"minimum": 3}, "3|4.5", '2|"a"'),
    ({"type": "integer", "enum": [1, "a", 2.5]}, "1", '"a"|2.5'),
    ({"const": {"a/b": "ü"}}, '{"a/b": "ü"}', "{}"),
    ({"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2}, "[true]|[true, false]", "[]"),
    ({"type": "array", "prefixItems": [{"type": "null"}], "minItems": 2}, '[null,1]|[null, "a"]', "[null]|[1,1]"),
    ({"type": "array", "prefixItems": [{"type": "null"}], "items": False}, "[]|[null]", "[null,null]"),
    (obj(["b"], a={"type": "null"}, b={"const": 1}), '{"b": 1}|{"a":null,"b":1}', '{}|{"a":null}|{"b":1,"c":2}'),
    ({"type": "object"}, '{}|{"x": [1, {"y": null}]}', "[]"),
    ({"type": "object", "properties": {}}, "{}", '{"x": 1}'),
    ({"type": "object", "required": ["x"]}, '{"x": 1}', "{}"),
    (
        {"properties": {"a": {"type": "null"}}, "additionalProperties": {"type": "integer"}},
        '{"a":null,"b":1}|{"ab": 2}|{"b": 1}',
        '{"a": 1}|{"b": null}|{"b":1,"a":null}',
    ),
    ({"type": "object", "patternProperties": {"^x": {"type": "null"}}}, '{}|{"xy": null}', '{"y": null}'),
    ({"type": "object", "propertyNames": {"maxLength": 1}}, '{"x": 1}', '{"xy": 1}'),
    (
        {**obj(a={"type": "null"}, b={"type": "null"}, c={"type": "null"}), "minProperties": 1, "maxProperties": 2},
        '{"b":null}|{"a":null,"c":null}',
        '{}|{"a":null,"b":null,"c":null}',
    ),
    ({"anyOf": [{"type": "null"}, {"const": 1}]}, "null|1", "2"),
    ({"oneOf": [{"type": "null"}, {"type": "string"}]}, 'null|""', "2"),
    ({"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}]}, '{"a": 1}', "{}"),
    ({"allOf": [{"type": "integer"}, {"minimum": 3}, {"maximum": 4}]}, "3|4", '2|5|"a"|3.5'),
    ({"$defs": {"A/B": {"const": 1}}, "$ref": "#/$defs/A~1B"}, "1", "2"),
    ({"$defs": {"A": {"type": "integer"}}, "$ref": "#/$defs/A", "minimum": 3}, "3", "2"),
    (
        {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]},
        '{"next": null}|{"next":{"next":null}}',
        '{}|{"next": 1}',
    ),
]


@pytest.mark.parametrize(("schema", "good", "bad"), HELD, ids=[json.dumps(schema)[:60] for schema, *_ in HELD])
def test_a_schema_lets_through_what_fits_it(schema: Any, good: str, bad: str):
    made = schema_grammar(schema)
    assert made.notes == ()
    assert [text for text in good.split("|") if not fits(made.ebnf, text)] == []
    assert [text for text in bad.split("|") if fits(made.ebnf, text)] == []
    assert fits(made.ebnf, made.least)


NOTED: list[tuple[Any, str]] = [
    ({"type": "number", "multipleOf": 0.5}, "x: multipleOf"),
    ({"type": "integer", "multipleOf": 7}, "x: multipleOf"),
    ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, "x: uniqueItems"),
    ({"type": "array", "contains": {"const": 1}}, "x: contains"),
    ({"type": "array", "items": {"type": "string", "not": {"const": ""}}}, "x[]: not"),
    ({"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}}, "x: if"),
    ({"type": "object", "dependentRequired": {"a": ["b"]}}, "x: dependentRequired"),
    ({"type": "object", "minProperties": 3}, "x: minProperties"),
    ({"type": "string", "pattern": "^(?!a)"}, "x: pattern (assert not)"),
    ({"type": "string", "pattern": r"^\bfoo$"}, "x: pattern (at)"),
    ({"type": "string", "pattern": "^a*b$", "maxLength": 3}, "x: maxLength beside pattern"),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "x: oneOf with options that may hold at once"),
    ({"$ref": "https://example.org/schema"}, "x: $ref 'https://example.org/schema'"),
]


def test_a_mask_lets_through_no_token_that_is_refused():
    """A count of characters once held for the text as it grew, but not for the mask."""
    import xgrammar

    texts = [*'"abn\\', "ab", "abab", 'a"', "\\n"]
    info = xgrammar.TokenizerInfo([*texts, ""], xgrammar.VocabType.RAW, stop_token_ids=[len(texts)])
    grammar = schema_grammar({"type": "string", "minLength": 2, "maxLength": 3}).ebnf
    compiled = xgrammar.GrammarCompiler(info).compile_grammar(grammar)
    let: dict[str, list[str]] = {}
    for begun in ('"', '"a', '"ab', '"aba'):
        bits = xgrammar.allocate_token_bitmask(1, info.vocab_size)
        matcher = xgrammar.GrammarMatcher(compiled)
        assert matcher.accept_string(begun)
        matcher.fill_next_token_bitmask(bits)
        let[begun] = [text for place, text in enumerate(texts) if int(bits[0][0]) >> place & 1]
    assert let == {
        '"': ["a", "b", "n", "ab"],
        '"a': ["a", "b", "n", "ab", 'a"'],
        '"ab': ['"', "a", "b", "n", "\\", 'a"', "\\n"],
        '"aba': ['"'],
    }


@pytest.mark.parametrize(("schema", "note"), NOTED, ids=[note for _, note in NOTED])
def test_what_cannot_be_held_is_noted_with_its_place(schema: Any, note: str):
    made = schema_grammar(obj(["x"], x=schema))
    assert made.notes == (note,)
    assert fits(made.ebnf, made.least)


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": []},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "string", "minLength": 2, "maxLength": 1},
        {"type": "array", "items": False, "minItems": 1},
        obj(["a"], a=False),
        {"$ref": "#/$defs/nowhere"},
        {"$defs": {"A": obj(["a"], a={"$ref": "#/$defs/A"})}, "$ref": "#/$defs/A"},
        {"type": "strnig"},
        {"anyOf": 3},
    ],
    ids=json.dumps,
)
def test_a_schema_that_nothing_fits_is_refused(schema: Any):
    with pytest.raises(Impossible):
        schema_grammar(schema)


def test_a_property_that_nothing_fits_is_left_out():
    made = schema_grammar(obj(["b"], a=False, b={"type": "null"}))
    assert fits(made.ebnf, '{"b":null}')
    assert not fits(made.ebnf, '{"a":1,"b":null}')


def test_a_banned_word_is_in_no_text():
    schema = obj(a={"type": "string"}, b={"type": "string", "minLength": 2}, c={"type": "object"})
    ebnf = schema_grammar(schema, banned=("<|end|>", "<|eat|>")).ebnf
    for text in ('{"a":"<|e"}', '{"a":"<<|en<|ea|>"}', '{"b":"ab<|en"}', '{"c":{"<|":"|>"}}', '{"a":"\\u003c|end|>"}'):
        assert fits(ebnf, text), text
    for text in ('{"a":"<|end|>"}', '{"a":"<<|eat|>"}', '{"b":"<|end|>"}', '{"b":"ab<|end|>"}', '{"c":{"<|end|>":1}}'):
        assert not fits(ebnf, text), text


SPOKEN = obj(["city"], city={"type": "string"}, days={"type": "integer"}, loud={"type": "boolean"})


def test_arguments_as_lines_between_tags():
    made = schema_grammar(SPOKEN, frame=XML, banned=("</parameter>",))
    city, days = "<parameter=city>\nRome\n</parameter>\n", "<parameter=days>\n3\n</parameter>\n"
    loud = "<parameter=loud>\nTrue\n</parameter>\n"
    assert all(fits(made.ebnf, text) for text in (city, city + days, city + loud, city + days + loud))
    assert not any(fits(made.ebnf, text) for text in ("", days, days + city, city.replace("Rome", "</parameter>")))
    assert made.least == "<parameter=city>\n\n</parameter>\n"


def test_arguments_as_in_python():
    made = schema_grammar(SPOKEN, frame=KEYWORDS)
    for text in ("city='Rome'", 'city="Rome", days=3', "city='it\\'s', loud=True", "city='', loud=true"):
        assert fits(made.ebnf, text), text
    for text in ("", "days=3", "city=Rome", "city='it's'", "city='',", "city='', days='3'"):
        assert not fits(made.ebnf, text), text
