"""Imports of Glaive: a chat in one text, and functions in the system prompt."""

import json
from typing import Any

import pytest
from conversations import Turn, as_turns, conversations, damaged, read_one, survives, walk
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from threadmill.checkpoints.importers import glaive
from threadmill.checkpoints.importers.record import BadRow

LOOK = {"name": "look", "description": "Look it up", "parameters": {"type": "object", "properties": {}}}
BOOK = {"name": "book", "description": "Book it", "parameters": {"type": "object", "properties": {}}}
HELPFUL = "You are a helpful assistant"
ACCESS = f"SYSTEM: {HELPFUL} with access to the following functions. Use them if required -\n"
ROW: dict[str, Any] = {
    "system": f"{ACCESS}{json.dumps(LOOK, indent=4)}\n\n{json.dumps(BOOK, indent=4)}\n",
    "chat": """USER: Where is Ann's order?
It is USER: 7.


ASSISTANT: Let me see. <functioncall> {"name": "look", "arguments": '{"of": "Ann's", "note": "a\\nb"}'} <|endoftext|>


FUNCTION RESPONSE: {"error": "no such order"}


ASSISTANT: <functioncall> {"name": "book", "arguments": {"id": 7}} <|endoftext|>


FUNCTION RESPONSE: {"state": "sent"}


ASSISTANT: It was sent. <|endoftext|>
""",
}
TOOLS = tuple({"type": "function", "function": tool} for tool in (LOOK, BOOK))


def test_one_text_becomes_messages_and_functions_become_tools() -> None:
    record = read_one(glaive, ROW)
    assert as_turns(record.messages) == [
        {"role": "system", "text": f"{HELPFUL}."},
        {"role": "human", "text": "Where is Ann's order?\nIt is USER: 7."},
        {
            "role": "ai",
            "text": "Let me see.",
            "calls": [("look", {"of": "Ann's", "note": "a\nb"})],
            "reasoning": "",
        },
        {"role": "tool", "text": '{"error": "no such order"}', "call": 0, "failed": True},
        {"role": "ai", "text": "", "calls": [("book", {"id": 7})], "reasoning": ""},
        {"role": "tool", "text": '{"state": "sent"}', "call": 1, "failed": False},
        {"role": "ai", "text": "It was sent.", "calls": [], "reasoning": ""},
    ]
    assert record.tools == TOOLS


def test_the_first_version_in_one_text_is_the_same() -> None:
    sample = {"sample": f"{ROW['system']}\n{ROW['chat']}"}
    assert glaive.fits(sample)
    assert as_turns(read_one(glaive, sample).messages) == as_turns(read_one(glaive, ROW).messages)
    assert read_one(glaive, sample).tools == TOOLS


def test_a_prompt_without_functions_stays_as_it_is() -> None:
    row = {"system": f"SYSTEM: {HELPFUL}, with no access to external functions.", "chat": "USER: Hi\n\n\nASSISTANT: Hi"}
    record = read_one(glaive, row)
    assert [m.content for m in record.messages] == [f"{HELPFUL}, with no access to external functions.", "Hi", "Hi"]
    assert record.tools == ()


def test_a_call_that_cannot_be_read_is_kept_as_it_was_spelled() -> None:
    spoken = """{"name": "look", "arguments": '{"id": }'}"""
    chat = f"USER: Hi\nASSISTANT: <functioncall> {spoken} <|endoftext|>\nFUNCTION RESPONSE: No."
    answer, result = read_one(glaive, {"chat": chat}).messages[1:]
    assert isinstance(answer, AIMessage)
    (call,) = answer.invalid_tool_calls
    assert (call["name"], call["args"], result.additional_kwargs["kind"]) == ("look", spoken, "invalid")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"chat": None}, "the chat is no text: None"),
        ({"chat": ""}, "nothing is said in it"),
        ({"chat": "Hi\nUSER: Hi"}, "nobody is named in front of 'Hi'"),
        ({"chat": "FUNCTION RESPONSE: {}"}, "message 0 is a result without a call"),
        ({"chat": "USER: Hi", "system": 'Use:\n{"name": broken'}, "the tools cannot be read"),
        ({"chat": "USER: Hi", "system": 3}, "message 0 holds what is no text: 3"),
        (
            {"chat": 'USER: Hi\nASSISTANT: <functioncall> {"name": "look"}\nUSER: Well?'},
            "message 2 comes before the result of the call of 'look'",
        ),
    ],
)
def test_odd_rows_say_what_is_odd(row: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRow) as raised:
        read_one(glaive, row)
    assert str(raised.value).startswith(reason)


def write(turns: list[Turn], *, quoted: bool) -> dict[str, Any]:
    def ai(turn: Turn, _: list[str]) -> str:
        calls = ""
        for name, args in turn["calls"]:
            spelled = json.dumps(args, ensure_ascii=False)
            calls += f' <functioncall> {{"name": "{name}", "arguments": '
            calls += f"'{spelled}'}} <|endoftext|>" if quoted else f"{spelled}}} <|endoftext|>"
        return f"ASSISTANT: {turn['text']}{calls}"

    by_role = {
        "system": lambda turn, _: turn["text"],
        "human": lambda turn, _: f"USER: {turn['text']}",
        "ai": ai,
        "tool": lambda turn, _: f"FUNCTION RESPONSE: {turn['text']}",
    }
    said = walk(turns, by_role, str)
    prompt = f"SYSTEM: {said.pop(0)} -\n{json.dumps(LOOK)}" if turns[0]["role"] == "system" else ""
    return {"system": prompt, "chat": "\n\n\n".join(said)}


@settings(max_examples=40)
@given(conversations(parallel=1, reasoning=False), st.booleans())
def test_what_is_written_comes_back(turns: list[Turn], quoted: bool) -> None:
    row = write(turns, quoted=quoted)
    assert glaive.fits(row)
    told = [{**turn, "text": f"{turn['text']} -"} if turn["role"] == "system" else turn for turn in turns]
    assert as_turns(read_one(glaive, row).messages) == told


@settings(max_examples=40)
@given(damaged([ROW]), st.integers(0, 400), st.text(max_size=3))
def test_damaged_rows_are_read_or_set_aside(row: dict[str, Any], at: int, noise: str) -> None:
    for key, value in row.items():
        if isinstance(value, str):
            survives(glaive, {**row, key: value[:at] + noise + value[at + len(noise) :]})
    survives(glaive, row)
