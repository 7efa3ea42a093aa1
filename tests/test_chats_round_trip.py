"""Random conversations come back from every chat format as they were, and every record has the documented shape."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from threadmill.checkpoints.importers import anthropic, openai, sharegpt
from threadmill.training.branches import Branch, Outcome
from threadmill.training.chats.anthropic import anthropic_record
from threadmill.training.chats.openai import openai_record
from threadmill.training.chats.sharegpt import sharegpt_record


def closed(required: str, **properties: Any) -> dict[str, Any]:
    """An object with these keys and no others; those in ``required`` must be there."""
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


TEXT: dict[str, Any] = {"type": "string"}
NAME = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,64}$"}
ID = {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,40}$"}
SCHEMA = {"type": "object", "required": ["type", "properties"]}


def one_of(*schemas: Any) -> dict[str, Any]:
    return {"anyOf": list(schemas)}


def many(schema: Any) -> dict[str, Any]:
    return {"type": "array", "items": schema, "minItems": 1}


FUNCTION = closed("name", name=NAME, description=TEXT, parameters=SCHEMA)
CALL = closed(
    "id type function", id=ID, type={"const": "function"}, function=closed("name arguments", name=NAME, arguments=TEXT)
)
OPENAI = closed(
    "messages",
    messages=many(
        one_of(
            closed("role content", role={"enum": ["system", "user"]}, content=TEXT),
            closed(
                "role content",
                role={"const": "assistant"},
                content=TEXT,
                tool_calls=many(CALL),
                weight={"enum": [0, 1]},
                reasoning_content=TEXT,
            ),
            closed("role content tool_call_id", role={"const": "tool"}, content=TEXT, tool_call_id=ID),
        )
    ),
    tools=many(closed("type function", type={"const": "function"}, function=FUNCTION)),
)
SAID = closed("type text", type={"const": "text"}, text={"type": "string", "minLength": 1})
RESULT = closed(
    "type tool_use_id content", type={"const": "tool_result"}, tool_use_id=ID, content=TEXT, is_error={"const": True}
)
THOUGHT = closed("type thinking signature", type={"const": "thinking"}, thinking=TEXT, signature=TEXT)
USE = closed("type id name input", type={"const": "tool_use"}, id=ID, name=NAME, input={"type": "object"})
ANTHROPIC = closed(
    "messages",
    system=TEXT,
    messages=many(
        one_of(
            closed("role content", role={"const": "user"}, content=many(one_of(RESULT, SAID))),
            closed("role content", role={"const": "assistant"}, content=many(one_of(THOUGHT, SAID, USE))),
        )
    ),
    tools=many(closed("name input_schema", name=NAME, description=TEXT, input_schema=SCHEMA)),
)
SHAREGPT = closed(
    "conversations system tools",
    conversations=many(
        closed(
            "from value",
            **{"from": {"enum": ["human", "gpt", "function_call", "observation"]}, "value": TEXT},
        )
    ),
    system=TEXT,
    tools=TEXT,
)

WORDS = st.text(st.sampled_from("aÜ\"\\{}\n'日🙂 "), max_size=12).map(lambda text: f"x{text}x")
ARGS = st.dictionaries(st.sampled_from("pq"), st.one_of(WORDS, st.integers(-9, 9), st.none(), st.lists(st.booleans())))
CALLS = st.lists(st.tuples(st.sampled_from(["look", "pay-it"]), ARGS, WORDS, st.booleans()), min_size=1, max_size=3)
STEP = st.tuples(CALLS, st.one_of(st.just(""), WORDS), st.one_of(st.just(""), WORDS))
TURN = st.tuples(WORDS, st.lists(STEP, max_size=2), WORDS, st.one_of(st.just(""), WORDS))
TALKS = st.tuples(st.one_of(st.just(""), WORDS), st.booleans(), st.lists(TURN, min_size=1, max_size=3))
TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "description": "d", "parameters": {"type": "object", "properties": {}}},
    }
    for name in ("look", "pay-it")
]


def branch_of(talk: Any, *, beside: bool) -> Branch:
    """A branch that says ``talk``; with ``beside``, text may stand beside calls."""
    system, with_tools, turns = talk
    messages: list[BaseMessage] = [SystemMessage(system, id="s")] if system else []

    def say(text: str, thought: str, calls: Any = ()) -> None:
        own = f"m{len(messages)}"
        messages.append(
            AIMessage(
                text,
                id=own,
                tool_calls=[{"name": name, "args": args, "id": "same"} for name, args, _, _ in calls],
                additional_kwargs={"reasoning_content": thought} if thought else {},
                response_metadata={"tools": TOOLS} if with_tools else {},
            )
        )
        for place, (_, _, result, failed) in enumerate(calls):
            status = "error" if failed else "success"
            messages.append(ToolMessage(result, id=f"{own}:{place}", tool_call_id="same", status=status))

    for asked, steps, answer, thought in turns:
        messages.append(HumanMessage(asked, id=f"m{len(messages)}"))
        for calls, text, thinking in steps:
            say(text if beside else "", thinking, calls)
        say(answer, thought)
    return Branch("t", "c", None, tuple(messages), "recorded", (), Outcome())


def told(messages: Sequence[BaseMessage], *, failures: bool) -> list[Any]:
    """What is said, without ids: a result says which call of the answer before it is its own."""
    found: list[Any] = []
    waiting: list[tuple[int, Any]] = []
    for message in messages:
        if isinstance(message, AIMessage):
            waiting = [(place, call["id"]) for place, call in enumerate(message.tool_calls)]
            calls = [(call["name"], call["args"]) for call in message.tool_calls]
            found.append(("ai", message.text, calls, message.additional_kwargs.get("reasoning_content", "")))
        elif isinstance(message, ToolMessage):
            at = next(at for at, (_, id_) in enumerate(waiting) if id_ == message.tool_call_id)
            found.append(("tool", waiting.pop(at)[0], message.text, failures and message.status))
        else:
            found.append((message.type, message.text))
    return found


def read(importer: Any, record: dict[str, Any]) -> Any:
    """The one row that an importer makes of a record."""
    assert importer.fits(record) or importer is anthropic  # plain text is OpenAI's as well
    rows = importer.read(json.loads(json.dumps(record, allow_nan=False)), Path("data.jsonl"))
    return rows if importer is anthropic else next(iter(rows))


@settings(max_examples=40, deadline=None)
@given(TALKS)
@pytest.mark.parametrize("name", ["openai", "anthropic", "sharegpt"])
def test_a_conversation_comes_back_as_it_was(name, talk):
    branch = branch_of(talk, beside=name != "sharegpt")
    record, importer, shape = {
        "openai": lambda: (openai_record(branch, thinking="keep"), openai, OPENAI),
        "anthropic": lambda: (anthropic_record(branch), anthropic, ANTHROPIC),
        "sharegpt": lambda: (sharegpt_record(branch), sharegpt, SHAREGPT),
    }[name]()
    Draft202012Validator(shape).validate(record)
    back = read(importer, record)
    failures = name == "anthropic"  # the others have no place for them
    assert told(back.messages, failures=failures) == told(branch.messages, failures=failures)
    assert list(back.tools) == (TOOLS if talk[1] else [])
    if name == "anthropic":
        roles = [message["role"] for message in record["messages"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
    if name == "sharegpt":
        speakers = [turn["from"] for turn in record["conversations"]]
        assert {*speakers[::2]} <= {"human", "observation"}
        assert {*speakers[1::2]} <= {"gpt", "function_call"}
        assert len(speakers) % 2 == 0
