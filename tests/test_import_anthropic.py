"""Imports of Anthropic's Messages API: requests, and requests with their responses."""

from typing import Any

import pytest
from conversations import Turn, as_turns, conversations, damaged, read_one, survives, walk
from hypothesis import given, settings
from langchain_core.messages import AIMessage
from threadmill.checkpoints.importers import anthropic
from threadmill.checkpoints.importers.record import BadRow

ROW: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "system": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
    "tools": [
        {"name": "look", "description": "Look it up", "input_schema": {"type": "object", "properties": {}}},
        {"type": "web_search_20250305", "name": "web_search", "max_uses": 5},
    ],
    "messages": [
        {"role": "user", "content": "Where are orders 7 and 8?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Look twice.", "signature": "EqQB"},
                {"type": "redacted_thinking", "data": "Emw"},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "t1", "name": "look", "input": {"id": 7}},
                {"type": "tool_use", "id": "t2", "name": "look", "input": {"id": 8}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t2", "is_error": True, "content": "no such order"},
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "Sent."}]},
                {"type": "text", "text": "And?"},
            ],
        },
        {"role": "assistant", "content": "Sent; there is no 8."},
    ],
}
LOGGED: dict[str, Any] = {
    "request": {**ROW, "messages": [*ROW["messages"], {"role": "user", "content": "Thanks"}]},
    "response": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": "You are welcome."}],
        "stop_reason": "end_turn",
    },
}


def test_blocks_become_messages_with_calls_results_and_thinking() -> None:
    record = read_one(anthropic, ROW)
    assert as_turns(record.messages) == [
        {"role": "system", "text": "Be brief.\nBe kind."},
        {"role": "human", "text": "Where are orders 7 and 8?"},
        {
            "role": "ai",
            "text": "Let me see.",
            "calls": [("look", {"id": 7}), ("look", {"id": 8})],
            "reasoning": "Look twice.",
        },
        {"role": "tool", "text": "no such order", "call": 1, "failed": True},
        {"role": "tool", "text": "Sent.", "call": 0, "failed": False},
        {"role": "human", "text": "And?"},
        {"role": "ai", "text": "Sent; there is no 8.", "calls": [], "reasoning": ""},
    ]
    assert record.model == "claude-sonnet-4-5"
    # what Anthropic's servers run is no tool of the agent
    assert record.tools == (
        {
            "type": "function",
            "function": {
                "name": "look",
                "description": "Look it up",
                "parameters": {"type": "object", "properties": {}},
            },
        },
    )


def test_only_the_response_of_a_logged_request_is_trained() -> None:
    record = read_one(anthropic, LOGGED)
    answers = [message for message in record.messages if isinstance(message, AIMessage)]
    assert [(m.content, bool(m.response_metadata.get("canned"))) for m in answers] == [
        ("Let me see.", True),
        ("Sent; there is no 8.", True),
        ("You are welcome.", False),
    ]
    assert (record.model, record.metadata) == ("claude-sonnet-4-5-20250929", {"stop_reason": "end_turn"})
    assert record.thread.startswith("anthropic-msg_1-")
    cut = read_one(anthropic, {**LOGGED, "response": {**LOGGED["response"], "stop_reason": "max_tokens"}})
    assert cut.messages[-1].response_metadata == {"canned": True}
    beside = {**LOGGED["request"], **LOGGED["response"]}
    assert as_turns(read_one(anthropic, beside).messages) == as_turns(record.messages)


def test_an_answer_in_two_messages_is_one() -> None:
    row = {"system": "s", "messages": [{"role": "assistant", "content": text} for text in ("Half", " done.")]}
    assert as_turns(read_one(anthropic, row).messages)[1:] == [
        {"role": "ai", "text": "Half done.", "calls": [], "reasoning": ""}
    ]


def test_a_result_without_a_flag_is_no_failure_whatever_it_says() -> None:
    use = {"type": "tool_use", "id": "t", "name": "look", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "Error rates fell."}
    row = {"messages": [{"role": "assistant", "content": [use]}, {"role": "user", "content": [result]}]}
    assert as_turns(read_one(anthropic, row).messages)[1]["failed"] is False


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([{"type": "image", "source": {}}], "message 0 holds a block of type 'image', which is no text"),
        ([{"type": "tool_result", "tool_use_id": "t"}], "message 0 is a result without a call"),
        ({"text": "Hi"}, "message 0 holds what is no text: {'text': 'Hi'}"),
        (
            [{"type": "text", "text": "So:"}, {"type": "tool_result", "tool_use_id": "t"}],
            "message 0 has a result behind a text; results come first",
        ),
    ],
)
def test_odd_rows_say_what_is_odd(content: Any, reason: str) -> None:
    with pytest.raises(BadRow) as raised:
        read_one(anthropic, {"messages": [{"role": "user", "content": content}]})
    assert str(raised.value) == reason


def write(turns: list[Turn]) -> dict[str, Any]:
    def ai(turn: Turn, ids: list[str]) -> dict[str, Any]:
        content = [{"type": "thinking", "thinking": turn["reasoning"]}] if turn["reasoning"] else []
        content += [{"type": "text", "text": turn["text"]}] if turn["text"] else []
        calls = zip(turn["calls"], ids, strict=True)
        content += [{"type": "tool_use", "id": own, "name": name, "input": args} for (name, args), own in calls]
        return {"role": "assistant", "content": content}

    def tool(turn: Turn, ids: list[str]) -> dict[str, Any]:
        block = {"type": "tool_result", "tool_use_id": ids[0], "content": turn["text"], "is_error": turn["failed"]}
        return {"role": "user", "content": [block]}

    by_role = {
        "system": lambda turn, _: {"role": "system", "content": turn["text"]},
        "human": lambda turn, _: {"role": "user", "content": turn["text"]},
        "ai": ai,
        "tool": tool,
    }
    said = walk(turns, by_role, lambda number: f"toolu_{number}")
    apart = [message for message in said if message["role"] == "system"]
    return {
        "messages": [message for message in said if message["role"] != "system"],
        "max_tokens": 100,
        "model": "claude-sonnet-4-5",
        **({"system": apart[0]["content"]} if apart else {}),
    }


@settings(max_examples=40)
@given(conversations())
def test_what_is_written_comes_back(turns: list[Turn]) -> None:
    row = write(turns)
    assert anthropic.fits(row)
    assert as_turns(read_one(anthropic, row).messages) == turns


@settings(max_examples=60)
@given(damaged([ROW, LOGGED]))
def test_damaged_rows_are_read_or_set_aside(row: dict[str, Any]) -> None:
    survives(anthropic, row)
