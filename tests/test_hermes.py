"""Calls in the Hermes form: read as written, and a broken one spoils only itself."""

import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import InvalidToolCall, ToolCall
from threadmill.nodes.models.families.family import fresh_id, read_calls
from threadmill.nodes.models.families.hermes import HERMES

LOOK = '<tool_call>{"name": "look", "arguments": {"id": 1}}</tool_call>'
STOP = '<tool_call>\n{"name": "stop", "arguments": {}}\n</tool_call>'


@dataclass(frozen=True)
class Parsed:
    content: str
    tool_calls: list[ToolCall]
    invalid_tool_calls: list[InvalidToolCall]


def parse(text: str) -> Parsed:
    said = HERMES.read("", text)
    return Parsed(said.content, *read_calls(said, fresh_id))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ("", "", []),
        ("Hello.\n", "Hello.", []),
        (LOOK, "", [("look", {"id": 1})]),
        (LOOK + STOP, "", [("look", {"id": 1}), ("stop", {})]),
        (f"One moment. {LOOK}", "One moment.", [("look", {"id": 1})]),
        (f"Before {LOOK} after", "Before  after", [("look", {"id": 1})]),
        ('<tool_call>{"name": "stop"}</tool_call>', "", [("stop", {})]),
        ("</tool_call> alone", "</tool_call> alone", []),
    ],
)
def test_calls_and_the_text_around_them(text: str, content: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    parsed = parse(text)
    assert parsed.content == content
    assert [(call["name"], call["args"]) for call in parsed.tool_calls] == calls
    assert parsed.invalid_tool_calls == []


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        ('{"name": "look", "argu', "not JSON: Unterminated string"),
        ("", "not JSON: Expecting value"),
        ("[" * 100_000, "not JSON: maximum recursion depth"),
        ('{"name": "look", "arguments": {"x": NaN}}', "not JSON: Out of range float"),
        ('{"name": "look", "arguments": {"x": "\\ud800"}}', "not JSON: 'utf-8' codec can't encode"),
        ('["look"]', "a call must be a JSON object"),
        ('{"arguments": {}}', "the call has no name"),
        ('{"name": 3, "arguments": {}}', "the call has no name"),
        ('{"name": "", "arguments": {}}', "the call has no name"),
        ('{"name": "look", "arguments": [1]}', "the arguments must be a JSON object"),
        ('{"name": "look", "arguments": "id"}', "the arguments must be a JSON object"),
        ('{"name": "look", "arguments": null}', "the arguments must be a JSON object"),
    ],
)
def test_a_broken_call_is_kept_as_written_and_spoils_only_itself(raw: str, error: str) -> None:
    parsed = parse(f"{LOOK}<tool_call>{raw}</tool_call>{STOP}")
    assert [call["name"] for call in parsed.tool_calls] == ["look", "stop"]
    (broken,) = parsed.invalid_tool_calls
    assert broken["args"] == raw
    assert str(broken["error"]).startswith(error)
    assert parsed.content == ""


def test_an_unclosed_call_ends_where_the_next_one_opens() -> None:
    parsed = parse(f'So <tool_call>{{"name": "look"}}{STOP}')
    assert [call["name"] for call in parsed.tool_calls] == ["stop"]
    assert [(call["args"], call["error"]) for call in parsed.invalid_tool_calls] == [
        ('{"name": "look"}', "the call is not closed with </tool_call>")
    ]
    assert parsed.content == "So"


def test_an_unclosed_call_at_the_end_is_broken() -> None:
    parsed = parse('<tool_call>{"name": "look"}')
    assert (parsed.content, parsed.tool_calls) == ("", [])
    assert [call["args"] for call in parsed.invalid_tool_calls] == ['{"name": "look"}']


@pytest.mark.parametrize("tag", ["<tool_call>", "</tool_call>", "a </tool_call><tool_call> b"])
def test_tags_inside_an_argument_belong_to_it(tag: str) -> None:
    call = json.dumps({"name": "say", "arguments": {"text": tag}})
    parsed = parse(f"<tool_call>{call}</tool_call>")
    assert [call["args"] for call in parsed.tool_calls] == [{"text": tag}]
    assert (parsed.content, parsed.invalid_tool_calls) == ("", [])


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(), json_values, max_size=4), st.booleans())
def test_any_json_object_is_read_back(arguments: dict[str, Any], ascii_only: bool) -> None:
    call = json.dumps({"name": "f", "arguments": arguments}, ensure_ascii=ascii_only)
    parsed = parse(f"<tool_call>{call}</tool_call>")
    assert [call["args"] for call in parsed.tool_calls] == [arguments]


def test_every_call_has_an_id_of_its_own() -> None:
    parsed = parse(LOOK * 3 + "<tool_call>x</tool_call>")
    assert len({call["id"] for call in [*parsed.tool_calls, *parsed.invalid_tool_calls]}) == 4
