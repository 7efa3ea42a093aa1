"""Imports of xLAM: a question, tools with Python's types, and the calls that answer it."""

import json
from typing import Any

import pytest
from conversations import ARGS, NAMES, as_turns, damaged, read_one, survives
from hypothesis import given, settings
from hypothesis import strategies as st
from threadmill.checkpoints.importers import xlam
from threadmill.checkpoints.importers.python_types import schema_of
from threadmill.checkpoints.importers.record import BadRow

LOOK = {
    "name": "look",
    "description": "Look it up",
    "parameters": {
        "ids": {"description": "Which ones.", "type": "List[int]"},
        "by": {"description": "Who asks.", "type": "str, optional", "default": ""},
        "deep": {"description": "How deep.", "type": "int", "default": 3},
        "type": {"description": "Of what kind.", "type": "str"},
    },
}
ROW: dict[str, Any] = {
    "id": 17,
    "query": "Where are orders 7 and 8?",
    "tools": json.dumps([LOOK]),
    "answers": '[{"name": "look", "arguments": {"ids": [7]}}, {"name": "look", "arguments": "{\\"ids\\": [8]}"}]',
}


def test_a_question_becomes_a_thread_that_ends_with_its_calls() -> None:
    record = read_one(xlam, ROW)
    assert as_turns(record.messages) == [
        {"role": "human", "text": "Where are orders 7 and 8?"},
        {"role": "ai", "text": "", "calls": [("look", {"ids": [7]}), ("look", {"ids": [8]})], "reasoning": ""},
    ]
    assert record.thread.startswith("xlam-17-")
    assert record.task is None


def test_parameters_become_a_schema() -> None:
    (tool,) = read_one(xlam, ROW).tools
    assert tool["function"]["parameters"] == {
        "type": "object",
        "properties": {
            "ids": {"type": "array", "items": {"type": "integer"}, "description": "Which ones."},
            "by": {"type": "string", "description": "Who asks.", "default": ""},
            "deep": {"type": "integer", "description": "How deep.", "default": 3},
            "type": {"type": "string", "description": "Of what kind."},
        },
        "required": ["ids", "type"],
    }


def test_lists_and_schemas_are_read_as_they_are() -> None:
    schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
    row = {"query": "?", "tools": [{"name": "look", "parameters": schema}], "answers": [{"name": "look"}]}
    record = read_one(xlam, row)
    assert record.tools[0]["function"]["parameters"] == schema
    assert as_turns(record.messages)[1]["calls"] == [("look", {})]


@pytest.mark.parametrize(
    ("written", "schema"),
    [
        ("str", {"type": "string"}),
        ("List[List[float]]", {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}),
        (
            "Dict[str, List[int]]",
            {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}}},
        ),
        ("Optional[bool]", {"type": "boolean"}),
        ("typing.Union[int, None], optional", {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ("int | str", {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ("Tuple[int, ...]", {"type": "array", "items": {"type": "integer"}}),
        ("Set", {"type": "array"}),
        ("Any", {}),
        ("List[Any]", {"type": "array"}),
        ("Callable[[float], float]", {}),
        ("Union[int, Any]", {}),
        ("[" * 50, {}),
        ("List[" * 50, None),
        ("", {}),
    ],
)
def test_types_of_python_become_types_of_json_schema(written: str, schema: dict[str, Any] | None) -> None:
    assert schema is None or schema_of(written) == schema
    schema_of(written)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"answers": "[]"}, "there are no answers, and nobody tells what the model said instead"),
        ({"answers": "[{"}, "answers are no list: '[{'"),
        ({"answers": [3]}, "an answer is no object with name and arguments"),
        ({"answers": [{}]}, "a call names no tool: None"),
        ({"tools": None}, "tools are no list: None"),
        ({"tools": [{"name": "look", "parameters": []}, {}]}, "tool 1 has no name"),
        ({"id": [1]}, "id is neither a whole number nor text: [1]"),
        ({"query": 3}, "message 0 holds what is no text: 3"),
    ],
)
def test_odd_rows_say_what_is_odd(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRow) as raised:
        read_one(xlam, {**ROW, **row})
    assert str(raised.value) == reason


@settings(max_examples=40)
@given(st.text(min_size=1, max_size=9), st.lists(st.tuples(NAMES, ARGS), min_size=1, max_size=3), st.booleans())
def test_what_is_written_comes_back(query: str, calls: list[tuple[str, Any]], as_text: bool) -> None:
    answers = [{"name": name, "arguments": args} for name, args in calls]
    row = {"query": query, "tools": "[]", "answers": json.dumps(answers) if as_text else answers}
    assert xlam.fits(row)
    assert as_turns(read_one(xlam, row).messages) == [
        {"role": "human", "text": query},
        {"role": "ai", "text": "", "calls": calls, "reasoning": ""},
    ]


@settings(max_examples=60)
@given(damaged([ROW, {**ROW, "tools": [LOOK], "answers": json.loads(ROW["answers"])}]))
def test_damaged_rows_are_read_or_set_aside(row: dict[str, Any]) -> None:
    survives(xlam, row)
