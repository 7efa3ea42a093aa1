"""Imports of OpenAI's chat: fine-tuning rows, preferences, and logged requests with their responses."""

import json
from typing import Any

import pytest
from conversations import Turn, as_turns, conversations, damaged, read_all, read_one, survives, walk
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, ToolMessage
from threadmill.checkpoints.importers import openai
from threadmill.checkpoints.importers.record import BadRow

LOOK = {"name": "look", "description": "Look it up", "parameters": {"type": "object", "properties": {"id": {}}}}
ASKED = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"id": 7}'}}
ROW: dict[str, Any] = {
    "messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Where is"}, {"type": "text", "text": "order 7?"}]},
        {"role": "assistant", "content": None, "reasoning_content": "Look.", "tool_calls": [ASKED]},
        {"role": "tool", "tool_call_id": "c1", "content": "It was sent."},
        {"role": "assistant", "content": "It was sent.", "weight": 0},
        {"role": "user", "content": "Thanks.", "name": "ann"},
        {"role": "assistant", "content": None, "refusal": "I can't say more."},
    ],
    "tools": [{"type": "function", "function": LOOK}],
    "parallel_tool_calls": False,
}
PREFERENCE: dict[str, Any] = {
    "input": {"messages": [{"role": "user", "content": "Hi"}], "tools": [], "parallel_tool_calls": True},
    "preferred_output": [{"role": "assistant", "content": "Hello!"}],
    "non_preferred_output": [{"role": "assistant", "content": "What?"}],
}
LOGGED: dict[str, Any] = {
    "request": {"model": "gpt-4.1", "messages": [*ROW["messages"][:4]], "tools": ROW["tools"]},
    "response": {
        "id": "chatcmpl-1",
        "model": "gpt-4.1-2025-04-14",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "It was sent."}},
            {"index": 1, "finish_reason": "length", "message": {"role": "assistant", "content": "It was"}},
        ],
    },
}


def test_a_row_for_fine_tuning_becomes_a_conversation() -> None:
    record = read_one(openai, ROW)
    assert as_turns(record.messages) == [
        {"role": "system", "text": "Be brief."},
        {"role": "human", "text": "Where is\norder 7?"},
        {"role": "ai", "text": "", "calls": [("look", {"id": 7})], "reasoning": "Look."},
        {"role": "tool", "text": "It was sent.", "call": 0, "failed": False},
        {"role": "ai", "text": "It was sent.", "calls": [], "reasoning": ""},
        {"role": "human", "text": "Thanks."},
        {"role": "ai", "text": "I can't say more.", "calls": [], "reasoning": ""},
    ]
    assert [bool(message.response_metadata.get("canned")) for message in record.messages] == [False] * 4 + [
        True,
        False,
        False,
    ]
    assert record.messages[5].name == "ann"
    assert record.tools == ({"type": "function", "function": LOOK},)
    assert (record.task, record.reward, record.metadata) == (None, None, {"parallel_tool_calls": False})


def test_the_same_row_is_the_same_thread_and_another_row_another_one() -> None:
    again, other = read_one(openai, ROW), read_one(openai, {**ROW, "id": 3})
    assert again.thread == read_one(openai, ROW).thread
    assert other.thread.startswith("openai-3-")
    assert again.thread != other.thread


def test_what_others_add_to_a_row_becomes_task_trial_and_labels() -> None:
    record = read_one(openai, {**ROW, "task_id": "refund-3", "trial": 1, "reward": 0.5, "success": False})
    assert (record.task, record.trial, record.reward, record.success) == ("refund-3", 1, 0.5, 0.0)
    with pytest.raises(BadRow, match="reward is no number: 'good'"):
        read_one(openai, {**ROW, "reward": "good"})


def test_an_id_that_is_used_again_finds_the_newer_call() -> None:
    asked = {"role": "assistant", "content": None, "tool_calls": [ASKED]}
    given = {"role": "tool", "tool_call_id": "c1", "content": "Sent."}
    turns = as_turns(read_one(openai, {"messages": [asked, given, asked, given]}).messages)
    assert [turn.get("call") for turn in turns] == [None, 0, None, 1]


def test_functions_of_the_older_kind_are_read_too() -> None:
    row = {
        "messages": [
            {"role": "user", "content": "Order 7?"},
            {"role": "assistant", "content": None, "function_call": {"name": "look", "arguments": ""}},
            {"role": "function", "name": "look", "content": "Error: no such order"},
        ],
        "functions": [LOOK],
    }
    record = read_one(openai, row)
    assert as_turns(record.messages)[1:] == [
        {"role": "ai", "text": "", "calls": [("look", {})], "reasoning": ""},
        {"role": "tool", "text": "Error: no such order", "call": 0, "failed": True},
    ]
    assert record.tools == ({"type": "function", "function": LOOK},)


def test_a_preference_is_two_threads_of_one_task() -> None:
    chosen, rejected = read_all(openai, PREFERENCE)
    assert [m.content for m in chosen.messages] == ["Hi", "Hello!"]
    assert [m.content for m in rejected.messages] == ["Hi", "What?"]
    assert (chosen.labels, rejected.labels) == (((None, "preference", "chosen"),), ((None, "preference", "rejected"),))
    assert chosen.task == rejected.task is not None
    assert chosen.thread != rejected.thread


def test_each_choice_of_a_response_is_a_trial_and_only_the_choice_is_trained() -> None:
    first, second = read_all(openai, LOGGED)
    assert [first.messages[-1].content, second.messages[-1].content] == ["It was sent.", "It was"]
    assert [(r.trial, r.model, r.metadata) for r in (first, second)] == [
        (0, "gpt-4.1-2025-04-14", {"finish_reason": "stop"}),
        (1, "gpt-4.1-2025-04-14", {"finish_reason": "length"}),
    ]
    canned = [bool(m.response_metadata.get("canned")) for m in first.messages if isinstance(m, AIMessage)]
    assert canned == [True, False]
    assert second.messages[-1].response_metadata == {"canned": True}  # it was cut at its longest
    assert first.task == second.task is not None
    one = {**LOGGED, "response": {**LOGGED["response"], "choices": LOGGED["response"]["choices"][:1]}}
    assert (read_one(openai, one).task, read_one(openai, one).trial) == (None, None)


def test_a_stored_completion_with_its_messages_is_read() -> None:
    stored = {"object": "chat.completion", "id": "chatcmpl-2", "model": "gpt-4.1", **LOGGED["request"]}
    stored["choices"] = [{"message": {"role": "assistant", "content": "Sent."}}]
    record = read_one(openai, stored)
    assert (record.messages[-1].content, record.model) == ("Sent.", "gpt-4.1")
    assert record.thread.startswith("openai-chatcmpl-2-")


def test_a_request_of_a_batch_is_read_with_its_response() -> None:
    answer = {"status_code": 200, "body": {"choices": LOGGED["response"]["choices"][:1]}}
    batch = {"custom_id": "r1", "url": "/v1/chat/completions", "body": LOGGED["request"], "response": answer}
    assert openai.fits(batch)
    assert as_turns(read_one(openai, batch).messages) == as_turns(read_all(openai, LOGGED)[0].messages)


def test_a_call_that_cannot_be_read_is_kept_as_it_was_spelled() -> None:
    broken = {"id": "c1", "function": {"name": "look", "arguments": '{"id": '}}
    row = {"messages": [*ROW["messages"][:2], {"role": "assistant", "tool_calls": [broken]}, ROW["messages"][3]]}
    answer, result = read_one(openai, row).messages[2:]
    assert isinstance(answer, AIMessage)
    assert isinstance(result, ToolMessage)
    (call,) = answer.invalid_tool_calls
    assert (call["name"], call["args"], call["error"]) == ("look", '{"id": ', "the arguments are no JSON")
    assert (result.tool_call_id, result.status, result.additional_kwargs["kind"]) == (call["id"], "error", "invalid")


def test_the_id_of_a_result_counts_more_than_the_name_it_gives() -> None:
    function = {"name": "look", "arguments": "{}"}
    asked = {"role": "assistant", "tool_calls": [{"function": function}, {"id": "x", "function": function}]}
    given = [{"role": "tool", "name": "look", "content": id_, "tool_call_id": id_} for id_ in ("x", "")]
    turns = as_turns(read_one(openai, {"messages": [asked, *given]}).messages)
    assert [(turn["text"], turn["call"]) for turn in turns[1:]] == [("x", 1), ("", 0)]


def test_arguments_may_be_the_json_of_their_json_and_failures_are_seen_in_what_a_tool_says() -> None:
    function = {"name": "look", "arguments": json.dumps(json.dumps({"id": 7}))}
    for told, failed in (('{"success": false}', True), ('{"status": "ERROR"}', True), ('{"error": ""}', False)):
        said = [{"role": "assistant", "tool_calls": [{"function": function}]}, {"role": "tool", "content": told}]
        answer, result = as_turns(read_one(openai, {"messages": said}).messages)
        assert (answer["calls"], result["failed"]) == ([("look", {"id": 7})], failed)


def test_results_find_their_calls_by_id_whatever_their_order_and_by_place_without_ids() -> None:
    two = [{"id": i, "function": {"name": "look", "arguments": {"id": i}}} for i in ("a", "b")]
    given = [{"role": "tool", "tool_call_id": i, "content": i} for i in ("b", "a")]
    turns = as_turns(read_one(openai, {"messages": [{"role": "assistant", "tool_calls": two}, *given]}).messages)
    assert [turn["call"] for turn in turns[1:]] == [1, 0]
    for part in (*two, *given):
        part.pop("id", None)
        part.pop("tool_call_id", None)
    turns = as_turns(read_one(openai, {"messages": [{"role": "assistant", "tool_calls": two}, *given]}).messages)
    assert [(turn["text"], turn["call"]) for turn in turns[1:]] == [("b", 0), ("a", 1)]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "nothing is said in it"),
        ("Hi", "messages are no list"),
        ([{"content": "Hi"}], "message 0 has no role"),
        ([{"role": "robot", "content": ""}], "message 0 has the unknown role 'robot'"),
        ([{"role": "user", "content": 3}], "message 0 holds what is no text: 3"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
            "message 0 holds a part of type 'image_url', which is no text",
        ),
        ([{"role": "assistant", "audio": {"id": "a"}}], "message 0 is audio, which is no text"),
        ([ROW["messages"][3]], "message 0 is a result without a call"),
        (
            [ROW["messages"][2], {"role": "user", "content": "Well?"}],
            "message 1 comes before the result of the call of 'look'",
        ),
        (
            [ROW["messages"][2], {"role": "tool", "tool_call_id": "c9", "content": ""}],
            "message 1 is the result of the call 'c9', which nobody waits for",
        ),
        ([{"role": "assistant", "tool_calls": [{"id": "c"}]}], "a call of message 0 has no function"),
        ([{"role": "assistant", "tool_calls": 3}], "the tool_calls of message 0 are no list"),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"arguments": {}}}]}],
            "message 0: a call names no tool: None",
        ),
    ],
)
def test_odd_rows_say_what_is_odd(messages: Any, reason: str) -> None:
    with pytest.raises(BadRow) as raised:
        read_all(openai, {"messages": messages})
    assert str(raised.value) == reason


def write(turns: list[Turn], *, as_text: bool, with_ids: bool) -> dict[str, Any]:
    def ai(turn: Turn, ids: list[str]) -> dict[str, Any]:
        said: dict[str, Any] = {"role": "assistant", "content": turn["text"] or None}
        if turn["reasoning"]:
            said["reasoning_content"] = turn["reasoning"]
        if turn["calls"]:
            said["tool_calls"] = [
                {
                    "type": "function",
                    "function": {"name": name, "arguments": json.dumps(args) if as_text else args},
                    **({"id": own} if with_ids else {}),
                }
                for (name, args), own in zip(turn["calls"], ids, strict=True)
            ]
        return said

    def tool(turn: Turn, ids: list[str]) -> dict[str, Any]:
        return {"role": "tool", "content": turn["text"], **({"tool_call_id": ids[0]} if with_ids else {})}

    by_role = {
        "system": lambda turn, _: {"role": "system", "content": turn["text"]},
        "human": lambda turn, _: {"role": "user", "content": turn["text"]},
        "ai": ai,
        "tool": tool,
    }
    return {"messages": walk(turns, by_role, lambda number: f"call_{number}")}


@settings(max_examples=40)
@given(conversations(), st.booleans(), st.booleans())
def test_what_is_written_comes_back(turns: list[Turn], as_text: bool, with_ids: bool) -> None:
    row = write(turns, as_text=as_text, with_ids=with_ids)
    assert openai.fits(row)
    assert as_turns(read_one(openai, row).messages) == turns


@settings(max_examples=60)
@given(damaged([ROW, PREFERENCE, LOGGED]))
def test_damaged_rows_are_read_or_set_aside(row: dict[str, Any]) -> None:
    survives(openai, row)
