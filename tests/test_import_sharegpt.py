"""Imports of ShareGPT with the roles of LLaMA-Factory, and with the tags of Hermes."""

import json
from typing import Any

import pytest
from conversations import Turn, as_turns, conversations, damaged, read_all, read_one, survives, walk
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from threadmill.checkpoints.importers import hermes, sharegpt
from threadmill.checkpoints.importers.record import BadRow

LOOK = {"name": "look", "description": "Look it up", "parameters": {"type": "object", "properties": {}}}
ROW: dict[str, Any] = {
    "id": "r_1",
    "system": "Be brief.",
    "tools": json.dumps([LOOK]),
    "conversations": [
        {"from": "human", "value": "Where are orders 7 and 8?"},
        {"from": "gpt", "value": "<think>\nLook twice.\n</think>\n\nLet me see."},
        {"from": "function_call", "value": '{"name": "look", "arguments": {"id": 7}}'},
        {"from": "function_call", "value": '{"name": "look", "arguments": "{\\"id\\": 8}"}'},
        {"from": "observation", "value": '[{"state": "sent"}, {"error": "no such order"}]'},
        {"from": "gpt", "value": "Sent; there is no 8."},
    ],
}
PREFERENCE: dict[str, Any] = {
    "conversations": [{"from": "human", "value": "Hi"}],
    "chosen": {"from": "gpt", "value": "Hello!"},
    "rejected": {"from": "gpt", "value": "What?"},
}
PROMPT = (
    "You are a function calling AI model. You are provided with function signatures within <tools> </tools> XML tags."
    "\n<tools>\n[{'type': 'function', 'function': {'name': 'look', 'description': 'Look it up', 'parameters': {'type': "
    "'object', 'properties': {}}}}]\n</tools>\nFor each function call return a json object with function name and "
    "arguments within <tool_call> </tool_call> tags with the following schema:\n<tool_call>\n{'arguments': "
    "<args-dict>, 'name': <function-name>}\n</tool_call>\n"
)
TAGGED: dict[str, Any] = {
    "id": "753d8365",
    "category": "Orders",
    "task": "Find orders",
    "tools": None,
    "conversations": [
        {"from": "system", "value": PROMPT},
        {"from": "human", "value": "Where are orders 7 and 8?"},
        {
            "from": "gpt",
            "value": "<think>Look twice.</think>Let me see.\n"
            "<tool_call>\n{'arguments': {'id': 7, 'new': True}, 'name': 'look'}\n</tool_call>\n"
            '<tool_call>\n{"name": "look", "arguments": {"id": 8, "tag": "</tool_call>"}}\n</tool_call>\n',
        },
        {
            "from": "tool",
            "value": "<tool_response>\n{'name': 'look', 'content': {'state': 'sent', 'by': None}}\n</tool_response>\n"
            "<tool_response>\nError: no such order\n</tool_response>\n",
        },
        {"from": "gpt", "value": "Sent; there is no 8."},
    ],
}
TOOL = {"type": "function", "function": LOOK}


def test_roles_of_llama_factory_become_one_answer_with_its_calls() -> None:
    record = read_one(sharegpt, ROW)
    assert as_turns(record.messages) == [
        {"role": "system", "text": "Be brief."},
        {"role": "human", "text": "Where are orders 7 and 8?"},
        {
            "role": "ai",
            "text": "Let me see.",
            "calls": [("look", {"id": 7}), ("look", {"id": 8})],
            "reasoning": "Look twice.",
        },
        {"role": "tool", "text": '{"state": "sent"}', "call": 0, "failed": False},
        {"role": "tool", "text": '{"error": "no such order"}', "call": 1, "failed": True},
        {"role": "ai", "text": "Sent; there is no 8.", "calls": [], "reasoning": ""},
    ]
    assert record.tools == (TOOL,)
    assert record.thread.startswith("sharegpt-r_1-")


def test_a_preference_is_two_threads_of_one_task() -> None:
    chosen, rejected = read_all(sharegpt, PREFERENCE)
    assert [r.messages[-1].content for r in (chosen, rejected)] == ["Hello!", "What?"]
    assert [r.labels for r in (chosen, rejected)] == [((None, "preference", k),) for k in ("chosen", "rejected")]
    assert chosen.task == rejected.task is not None


def test_a_tag_of_kto_is_a_success_or_a_failure() -> None:
    said = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]
    assert [read_one(sharegpt, {"conversations": said, "kto_tag": tag}).success for tag in (True, False, None)] == [
        1.0,
        0.0,
        None,
    ]


def test_tags_of_hermes_become_calls_results_and_tools() -> None:
    record = read_one(hermes, TAGGED)
    assert as_turns(record.messages) == [
        {"role": "human", "text": "Where are orders 7 and 8?"},
        {
            "role": "ai",
            "text": "Let me see.",
            "calls": [("look", {"id": 7, "new": True}), ("look", {"id": 8, "tag": "</tool_call>"})],
            "reasoning": "Look twice.",
        },
        {"role": "tool", "text": '{"state": "sent", "by": null}', "call": 0, "failed": False},
        {"role": "tool", "text": "Error: no such order", "call": 1, "failed": True},
        {"role": "ai", "text": "Sent; there is no 8.", "calls": [], "reasoning": ""},
    ]
    assert record.tools == (TOOL,)
    assert (record.task, record.metadata) == (None, {"category": "Orders", "title": "Find orders"})


def test_tags_are_read_under_either_name_and_wherever_the_prompt_stands() -> None:
    prompt, *rest = TAGGED["conversations"]
    apart = {**TAGGED, "system": prompt["value"], "conversations": rest}
    for module, row in ((sharegpt, TAGGED), (hermes, apart), (hermes, ROW)):
        record, known = (
            read_one(module, row),
            read_one(sharegpt if row is ROW else hermes, ROW if row is ROW else TAGGED),
        )
        assert (as_turns(record.messages), record.tools) == (as_turns(known.messages), known.tools)


def test_a_system_prompt_keeps_what_it_says_beside_the_tools() -> None:
    prompt = (
        f"You are Qwen.\n\n# Tools\n\nYou may call them:\n<tools>\n{json.dumps(LOOK)}\n</tools>\n\nUse <tool_call>."
    )
    said = [{"from": "system", "value": prompt}, {"from": "gpt", "value": "Yes?"}]
    record = read_one(hermes, {"conversations": said})
    assert [m.content for m in record.messages] == ["You are Qwen.\n\nUse <tool_call>.", "Yes?"]
    assert record.tools == (TOOL,)


@pytest.mark.parametrize(
    ("spoken", "name", "error"),
    [
        ('<tool_call>{"name": "look", "arguments": {</tool_call>', "look", "the call is no JSON object"),
        ('<tool_call>{"name": "look", "arguments": {}}', None, "the call is not closed"),
        ("<tool_call>{'arguments': {}}</tool_call>", None, "the call names no tool"),
        ("<tool_call>{'name': 'look', 'arguments': [1]}</tool_call>", "look", "the arguments are no object"),
    ],
)
def test_a_call_that_cannot_be_read_is_kept_as_it_was_spelled(spoken: str, name: str | None, error: str) -> None:
    said = [{"from": "gpt", "value": spoken}, {"from": "tool", "value": "<tool_response>No.</tool_response>"}]
    answer, result = read_one(hermes, {"conversations": said}).messages
    assert isinstance(answer, AIMessage)
    (call,) = answer.invalid_tool_calls
    assert (call["name"], call["error"], result.additional_kwargs["kind"]) == (name, error, "invalid")
    assert call["args"] in spoken


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"conversations": []}, "nothing is said in it"),
        ({"conversations": None}, "conversations are no list"),
        ({"conversations": [{"from": "robot", "value": ""}]}, "message 0 comes from nobody known: 'robot'"),
        ({"conversations": ["Hi"]}, "message 0 comes from nobody known: ''"),
        ({"conversations": [{"from": "gpt", "value": 3}]}, "message 0 holds what is no text: 3"),
        ({"conversations": [{"from": "observation", "value": "x"}]}, "message 0 is a result without a call"),
        ({"conversations": [{"from": "gpt", "value": ""}], "tools": "[{"}, None),
        ({"conversations": [{"from": "gpt", "value": ""}], "tools": "[3]"}, "tool 0 has no name"),
    ],
)
@pytest.mark.parametrize("module", [sharegpt, hermes])
def test_odd_rows_say_what_is_odd(module: Any, row: dict[str, Any], reason: str | None) -> None:
    with pytest.raises(BadRow) as raised:
        read_all(module, row)
    assert str(raised.value) == reason or (reason is None and "the tools cannot be read" in str(raised.value))


def test_rows_with_images_are_set_aside() -> None:
    with pytest.raises(BadRow, match="the row has images, which are no text"):
        read_all(sharegpt, {**PREFERENCE, "images": ["a.png"]})


def write(turns: list[Turn], *, as_text: bool) -> dict[str, Any]:
    def ai(turn: Turn, _: list[str]) -> list[dict[str, Any]]:
        thought = f"<think>\n{turn['reasoning']}\n</think>\n\n" if turn["reasoning"] else ""
        said = [{"from": "gpt", "value": thought + turn["text"]}] if turn["text"] else []
        calls = [{"name": n, "arguments": json.dumps(a) if as_text else a} for n, a in turn["calls"]]
        spoken = json.dumps(calls if len(calls) > 1 else calls[0], ensure_ascii=False) if calls else ""
        if calls:
            said.append({"from": "function_call", "value": spoken if turn["text"] else thought + spoken})
        return said

    by_role = {
        "system": lambda turn, _: [{"from": "system", "value": turn["text"]}],
        "human": lambda turn, _: [{"from": "human", "value": turn["text"]}],
        "ai": ai,
        "tool": lambda turn, _: [{"from": "observation", "value": turn["text"]}],
    }
    return {"conversations": [turn for some in walk(turns, by_role, str) for turn in some]}


@settings(max_examples=40)
@given(conversations(), st.booleans())
def test_what_is_written_comes_back(turns: list[Turn], as_text: bool) -> None:
    row = write(turns, as_text=as_text)
    assert sharegpt.fits(row)
    assert as_turns(read_one(sharegpt, row).messages) == turns


def write_tagged(turns: list[Turn], *, literal: bool) -> dict[str, Any]:
    spell = repr if literal else json.dumps

    def ai(turn: Turn, _: list[str]) -> dict[str, Any]:
        thought = f"<think>{turn['reasoning']}</think>" if turn["reasoning"] else ""
        calls = [f"<tool_call>\n{spell({'arguments': a, 'name': n})}\n</tool_call>" for n, a in turn["calls"]]
        return {"from": "gpt", "value": "\n".join([thought + turn["text"], *calls])}

    def tool(turn: Turn, _: list[str]) -> dict[str, Any]:
        given = spell({"name": None, "content": turn["text"]})
        return {"from": "tool", "value": f"<tool_response>{given}</tool_response>"}

    def system(turn: Turn, _: list[str]) -> dict[str, Any]:
        return {"from": "system", "value": f"{turn['text']}\n\n# Tools\n<tools>{spell([LOOK])}</tools>"}

    by_role = {
        "system": system,
        "human": lambda turn, _: {"from": "human", "value": turn["text"]},
        "ai": ai,
        "tool": tool,
    }
    return {"conversations": walk(turns, by_role, str)}


@settings(max_examples=40)
@given(conversations(), st.booleans())
def test_what_is_written_in_tags_comes_back(turns: list[Turn], literal: bool) -> None:
    row = write_tagged(turns, literal=literal)
    assert hermes.fits(row) == any(turn["role"] in ("system", "tool") for turn in turns)
    assert as_turns(read_one(hermes, row).messages) == turns


@settings(max_examples=60)
@given(damaged([ROW, PREFERENCE, TAGGED]))
def test_damaged_rows_are_read_or_set_aside(row: dict[str, Any]) -> None:
    survives(sharegpt, row)
    survives(hermes, row)


@settings(max_examples=40)
@given(st.lists(st.sampled_from([*"{}[]'\"\\:,", "<tool_call>", "</tool_call>", '"name"', "'arguments'", " 1"])))
def test_every_tag_that_opens_outside_of_a_text_is_a_call_or_a_broken_one(pieces: list[str]) -> None:
    said = "".join(pieces)
    (answer,) = read_one(hermes, {"conversations": [{"from": "gpt", "value": said}]}).messages
    assert isinstance(answer, AIMessage)
    opened = said.count("<tool_call>")
    assert min(opened, 1) <= len(answer.tool_calls) + len(answer.invalid_tool_calls) <= opened
