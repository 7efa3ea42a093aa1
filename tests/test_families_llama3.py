"""Llama 3: bare JSON calls are found in text, survive broken neighbours, and are rendered as published."""

import json
from typing import Any

from family_tokenizers import small_tokenizer, trl_template
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, InvalidToolCall, SystemMessage, ToolMessage
from threadmill.nodes.models.families.family import Said, read_calls
from threadmill.nodes.models.families.llama3 import LLAMA3, read

SPECIAL = (
    "<|begin_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|python_tag|>",
)
ASK = "<|start_header_id|>assistant<|end_header_id|>\n\n"
LOOK = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look up an order.",
        "parameters": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
    },
}


def calls_of(said: Said) -> list[tuple[str, dict[str, Any]]]:
    return [(call["name"], call["args"]) for call in read_calls(said, str)[0]]


def broken_of(said: Said) -> list[str | None]:
    return [call["args"] for call in read_calls(said, str)[1]]


def test_a_bare_object_is_a_call() -> None:
    said = read(ASK, '{"name": "look", "parameters": {"id": "O1"}}')
    assert (said.content, calls_of(said)) == ("", [("look", {"id": "O1"})])


def test_a_call_behind_the_python_tag_or_with_a_type_or_with_arguments() -> None:
    for text in (
        '<|python_tag|>{"name": "look", "parameters": {"id": 1}}',
        '{"type": "function", "name": "look", "parameters": {"id": 1}}',
        '{"parameters": {"id": 1}, "name": "look"}',
        '{ "name" : "look",\n "arguments" : {"id": 1}\n}',
    ):
        said = read(ASK, text)
        assert (said.content, calls_of(said)) == ("", [("look", {"id": 1})])


def test_several_calls_with_text_and_thinking_around() -> None:
    said = read(
        ASK,
        '<think>\nTwo orders.\n</think>\n\nI look.\n{"name": "look", "parameters": {"id": 1}}; '
        '{"name": "look", "parameters": {"id": 2}}\n{"name": "end", "parameters": {}}\nDone.',
    )
    assert said.reasoning == "Two orders."
    assert said.content == "I look.\n\nDone."
    assert calls_of(said) == [("look", {"id": 1}), ("look", {"id": 2}), ("end", {})]


def test_nested_and_unicode_arguments() -> None:
    args = {"fälle": [{"name": "look", "parameters": {"x": 1}}], "text": 'a "b" {c} ]\\ 日本 🧵\n'}
    for ascii_only in (True, False):
        said = read(ASK, json.dumps({"name": "look", "parameters": args}, ensure_ascii=ascii_only))
        assert calls_of(said) == [("look", args)]


def test_one_broken_call_among_good_ones() -> None:
    first, last = '{"name": "a", "parameters": {"x": 1}}', '{"name": "b", "parameters": {"x": 2}}'
    for broken in (
        '{"name": "look", "parameters": {"id": }}',
        '{"name": "look", "parameters": {"id": 1}',
        '{"name": "look", "parameters": {"id": {"x": 1}}',
        '{"name": "look", "parameters": {"id": "O1}}',
        '{"name": "look", "parameters" {"id": 1}}',
        '{"name": "look", "parameters": [1]}',
        '{"name": 5, "parameters": {}}',
    ):
        for between in ("; ", "\n", ", ", ""):
            if between != "\n" and broken.endswith('"O1}}'):
                continue  # nothing ends the string
            said = read(ASK, first + between + broken + between + last)
            assert calls_of(said) == [("a", {"x": 1}), ("b", {"x": 2})], (broken, between)
            assert broken_of(said) == [broken]
            assert said.content == ""


def test_a_call_that_is_cut_off_and_program_code_are_broken_calls() -> None:
    said = read(ASK, 'I look. {"name": "look", "parameters": {"id": "O')
    assert (said.content, broken_of(said)) == ("I look.", ['{"name": "look", "parameters": {"id": "O'])
    said = read(ASK, '<|python_tag|>brave_search.call(query="{}")')
    assert (said.content, broken_of(said)) == ("", ['brave_search.call(query="{}")'])


def test_json_that_is_no_call_stays_text() -> None:
    for text in (
        '{"name": "Bob", "age": 3}',
        '{"name": "Bob"}',
        '{"tools": [{"name": "look", "parameters": {}}]}',
        '{"name": "Bob", "calls": [{"name": "look", "parameters": {}}]}',
        "Use {curly} {braces}, {} and {'name': 'look', 'parameters': {}}.",
        '{"parameters": {"a": 1}}',
    ):
        said = read(ASK, text)
        assert (said.content, said.calls) == (text, ())


def told(said: Said) -> tuple[str, str, list[str]]:
    """What a reader of the stream has been told: text, thinking, and each call that has a name and no error."""
    calls = [f"{place}:{call.name}:{call.args}" for place, call in enumerate(said.calls) if call.name and not call.error]
    return said.content, said.reasoning, calls


PIECES = st.sampled_from(
    ['{"name": "f", "parameters": {"a": 1}}', '{"name": "f", "parameters": {"a": [}}', '{"name": "Bob", "age": 3}']
    + ["; ", "\n", "text ", "{", "}", '"', '{"name": ', '"parameters": ', ", ", "\\", "<|python_tag|>", "[1, ", "nul"]
)


@given(st.lists(PIECES, max_size=12).map("".join), st.booleans())
def test_a_growing_answer_is_told_piece_by_piece(text: str, thinking: bool) -> None:
    from threadmill.nodes.models.streaming import settled

    opening = ASK + "<think>" if thinking else ASK
    text = "Hm.</think>" + text if thinking else text
    before: tuple[str, str, list[str]] = ("", "", [])
    for end in range(len(text) + 1):
        part = settled(text[:end], LLAMA3.markers) if end < len(text) else text
        now = told(read(opening, part))
        assert now[0].startswith(before[0])
        assert now[1].startswith(before[1])
        errors = {place for place, call in enumerate(read(opening, part).calls) if call.error}
        for call in before[2]:
            assert int(call.split(":")[0]) in errors or any(later.startswith(call) for later in now[2])
        before = now
