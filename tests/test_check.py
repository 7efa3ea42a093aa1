"""The quick look at a call's arguments never says yes where the JSON Schema says no."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from threadmill.nodes.calls import make_check

values = st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-2, 2) | st.sampled_from(["", "a"]) | st.just([1])
abouts = st.sampled_from(
    [
        *({"type": kind, "title": "X"} for kind in ("string", "integer", "number", "boolean", "null", "array")),
        {"type": ["string", "null"]},
        {"type": "integer", "minimum": 1},
        {"enum": ["a"]},
        {},
        True,
        False,
    ]
)
schemas = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["object", "array"]),
        "properties": st.dictionaries(st.sampled_from("abc"), abouts),
        "required": st.lists(st.sampled_from("abc"), unique=True),
        "additionalProperties": st.booleans(),
        "minProperties": st.just(2),
        "description": st.just("x"),
    },
)


@given(schemas, st.dictionaries(st.sampled_from("abcd"), values) | values)
def test_arguments_pass_exactly_if_they_fit_the_schema(schema: dict[str, Any], args: Any):
    assert (make_check(schema)(args) == "") == Draft202012Validator(schema).is_valid(args)


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        ({"order": "A1", "amount": 3}, ""),
        ({"order": "A1"}, "'amount' is a required property"),
        ({"order": "A1", "amount": True}, "amount: True is not of type 'integer'"),
        ({"order": "A1", "amount": 3, "by": "me"}, "Additional properties are not allowed ('by' was unexpected)"),
    ],
)
def test_a_plain_schema(args: dict[str, Any], complaint: str):
    properties = {"order": {"type": "string"}, "amount": {"type": "integer"}}
    check = make_check(
        {"type": "object", "properties": properties, "required": ["order", "amount"], "additionalProperties": False}
    )
    assert check(args) == complaint
