"""How far a JSON text goes: whole, still being written, or wrong, and where its members stand."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadmill.nodes.models.families.json_text import scan_json

ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "end", "state"),
    [
        ('{"a": [1, 2]} and more', 13, "whole"),
        ("  {}", 4, "whole"),
        ('"text"', 6, "whole"),
        ("", 0, "begun"),
        ('{"a', 3, "begun"),
        ('{"a": "}', 8, "begun"),
        ('{"a": "\\u00', 11, "begun"),
        ('{"a": tru', 9, "begun"),
        ('{"a": -', 7, "begun"),
        ('{"a": [1, ', 10, "begun"),
        ("look", 0, "wrong"),
        ('{"a": nope}', 6, "wrong"),
        ('{"a" 1}', 5, "wrong"),
        ('{"a": 1,}', 8, "wrong"),
        ('{"a": [1}', 8, "wrong"),
        ('{"a": "\n"}', 5, "wrong"),
        ("[" * 100_000 + "}", 100_000, "wrong"),
    ],
)
def test_it_ends_where_it_is_whole_or_where_it_goes_wrong(text: str, end: int, state: str) -> None:
    found = scan_json(text)
    assert (found.end, found.state) == (end, state)


def test_the_members_of_the_outermost_object_are_found_even_twice() -> None:
    text = '{"a": {"x": 1}, "b": "y", "a": [2'
    assert [(member.key, text[member.low : member.high], member.whole) for member in scan_json(text).members] == [
        ("a", '{"x": 1}', True),
        ("b", '"y"', True),
        ("a", "[2", False),
    ]


@given(st.dictionaries(st.text(), ANY, max_size=4), st.booleans(), st.sampled_from((None, 1)), st.data())
def test_any_object_is_whole_and_any_beginning_of_it_begun(
    value: dict[str, Any], ascii_only: bool, indent: int | None, data: st.DataObject
) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    found = scan_json(text)
    assert (found.end, found.state) == (len(text), "whole")
    assert [(m.key, text[m.low : m.high]) for m in found.members] == [
        (key, json.dumps(inner, ensure_ascii=ascii_only, indent=indent).replace("\n", "\n " if indent else "\n"))
        for key, inner in value.items()
    ]
    assert scan_json(text[: data.draw(st.integers(0, len(text) - 1))]).state == "begun"


@given(st.dictionaries(st.text(), ANY, max_size=3), st.data())
def test_what_is_whole_is_what_json_can_read(value: dict[str, Any], data: st.DataObject) -> None:
    text = json.dumps(value)
    at = data.draw(st.integers(0, len(text) - 1))
    text = text[:at] + data.draw(st.sampled_from('{}[],:"1a\n\\ u')) + text[at + 1 :]
    try:
        json.loads(text)
        readable = True
    except ValueError:
        readable = False
    found = scan_json(text)
    assert (found.state == "whole" and not text[found.end :].strip(" \t\r\n")) == readable
