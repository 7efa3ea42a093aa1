"""Imports of Gemini's contents: rows for tuning, completions with scores, and logged responses."""

from typing import Any

import pytest
from conversations import Turn, as_turns, conversations, damaged, read_all, read_one, survives, walk
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from threadmill.checkpoints.importers import gemini
from threadmill.checkpoints.importers.record import BadRow

LOOK = {
    "name": "look",
    "description": "Look it up",
    "parameters": {
        "type": "OBJECT",
        "properties": {"ids": {"type": "ARRAY", "items": {"type": "INTEGER"}, "maxItems": "3"}},
        "required": ["ids"],
    },
}
ROW: dict[str, Any] = {
    "systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "Where are"}, {"text": "orders 7 and 8?"}]},
        {
            "role": "model",
            "parts": [
                {"text": "Look twice.", "thought": True},
                {"text": "Let me see."},
                {"functionCall": {"name": "look", "args": {"ids": [7]}}, "thoughtSignature": "Cg"},
                {"functionCall": {"name": "book"}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "book", "response": {"error": "not today"}}},
                {"functionResponse": {"name": "look", "response": {"state": "sent", "days": 2}}},
            ],
        },
        {"role": "model", "parts": [{"text": "Sent, "}, {"text": "not booked."}]},
    ],
    "tools": [{"functionDeclarations": [LOOK]}, {"googleSearch": {}}],
}
COMPLETIONS: dict[str, Any] = {
    "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
    "completions": [
        {"score": 1, "completion": {"role": "model", "parts": [{"text": "Hello!"}]}},
        {"score": 0.0, "completion": {"role": "model", "parts": [{"text": "What?"}]}},
    ],
}
LOGGED: dict[str, Any] = {
    "request": {
        "contents": [*ROW["contents"], {"parts": [{"text": "Thanks"}]}],
        "system_instruction": {"parts": [{"text": "Be brief."}]},
        "tools": [{"function_declarations": [LOOK]}],
    },
    "response": {
        "responseId": "r1",
        "modelVersion": "gemini-2.5-flash",
        "candidates": [{"content": {"parts": [{"text": "You are welcome."}], "role": "model"}, "finishReason": "STOP"}],
    },
}
TOOL = {
    "type": "function",
    "function": {
        "name": "look",
        "description": "Look it up",
        "parameters": {
            "type": "object",
            "properties": {"ids": {"type": "array", "items": {"type": "integer"}, "maxItems": 3}},
            "required": ["ids"],
        },
    },
}


def test_parts_become_messages_with_calls_results_and_thoughts() -> None:
    record = read_one(gemini, ROW)
    assert as_turns(record.messages) == [
        {"role": "system", "text": "Be brief."},
        {"role": "human", "text": "Where are\norders 7 and 8?"},
        {
            "role": "ai",
            "text": "Let me see.",
            "calls": [("look", {"ids": [7]}), ("book", {})],
            "reasoning": "Look twice.",
        },
        {"role": "tool", "text": "not today", "call": 1, "failed": True},
        {"role": "tool", "text": '{"state": "sent", "days": 2}', "call": 0, "failed": False},
        {"role": "ai", "text": "Sent, not booked.", "calls": [], "reasoning": ""},
    ]
    assert record.tools == (TOOL,)


def test_completions_are_trials_and_their_scores_grades_of_a_preference() -> None:
    first, second = read_all(gemini, COMPLETIONS)
    assert [(r.messages[-1].content, r.labels, r.trial) for r in (first, second)] == [
        ("Hello!", ((None, "preference", 1.0),), 0),
        ("What?", ((None, "preference", 0.0),), 1),
    ]
    assert first.task == second.task is not None


def test_only_the_response_of_a_logged_request_is_trained() -> None:
    record = read_one(gemini, LOGGED)
    answers = [message for message in record.messages if isinstance(message, AIMessage)]
    assert [bool(answer.response_metadata.get("canned")) for answer in answers] == [True, True, False]
    (candidate,) = LOGGED["response"]["candidates"]
    cut = {**LOGGED, "response": {"candidates": [{**candidate, "finishReason": "MAX_TOKENS"}]}}
    assert read_one(gemini, cut).messages[-1].response_metadata == {"canned": True}
    assert (record.messages[0].content, answers[-1].content) == ("Be brief.", "You are welcome.")
    assert (record.model, record.tools, record.task) == ("gemini-2.5-flash", (TOOL,), None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"role": "robot", "parts": []}, "content 0 has the unknown role 'robot'"),
        ({"parts": [{"inlineData": {"data": ""}}]}, "content 0 holds a part that is no text: inlineData"),
        ({"parts": [{"functionResponse": {"name": "f"}}]}, "message 0 is a result without a call"),
        ({"role": "model", "parts": [{"functionCall": {}}]}, "content 0: a call names no tool: None"),
        ("Hi", "content 0 has no parts"),
    ],
)
def test_odd_rows_say_what_is_odd(content: Any, reason: str) -> None:
    with pytest.raises(BadRow) as raised:
        read_all(gemini, {"contents": [content]})
    assert str(raised.value) == reason


def write(turns: list[Turn], *, snake: bool) -> dict[str, Any]:
    call, response = ("function_call", "function_response") if snake else ("functionCall", "functionResponse")

    def ai(turn: Turn, ids: list[str]) -> dict[str, Any]:
        parts: list[dict[str, Any]] = [{"text": turn["reasoning"], "thought": True}] if turn["reasoning"] else []
        parts += [{"text": turn["text"]}] if turn["text"] else []
        calls = zip(turn["calls"], ids, strict=True)
        return {"role": "model", "parts": parts + [{call: {"name": n, "args": a, "id": own}} for (n, a), own in calls]}

    def tool(turn: Turn, ids: list[str]) -> dict[str, Any]:
        given = {"error" if turn["failed"] else "output": turn["text"]}
        return {"role": "user", "parts": [{response: {"id": ids[0], "response": given}}]}

    by_role = {
        "system": lambda turn, _: {"role": "system", "parts": [{"text": turn["text"]}]},
        "human": lambda turn, _: {"role": "user", "parts": [{"text": turn["text"]}]},
        "ai": ai,
        "tool": tool,
    }
    contents = walk(turns, by_role, lambda number: f"fc{number}")
    apart = contents.pop(0) if contents[0]["role"] == "system" else None
    return {"contents": contents, **({"system_instruction" if snake else "systemInstruction": apart} if apart else {})}


@settings(max_examples=40)
@given(conversations(), st.booleans())
def test_what_is_written_comes_back(turns: list[Turn], snake: bool) -> None:
    row = write(turns, snake=snake)
    assert gemini.fits(row)
    assert as_turns(read_one(gemini, row).messages) == turns


@settings(max_examples=60)
@given(damaged([ROW, COMPLETIONS, LOGGED]))
def test_damaged_rows_are_read_or_set_aside(row: dict[str, Any]) -> None:
    survives(gemini, row)
