"""Chunks of a growing answer: nothing uncertain is told, and their sum is the finished message."""

import json
import re
from functools import reduce
from operator import add
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.messages.ai import UsageMetadata, add_ai_message_chunks
from langchain_core.messages.tool import tool_call_chunk
from threadmill.errors import BadModelSpec
from threadmill.nodes.models.families.choose import family_named
from threadmill.nodes.models.families.family import Family, Said, SpokenCall, read_calls
from threadmill.nodes.models.streaming import SpokenChunk, Teller, settled, unrepairable

TOLD = re.compile(r"<call>(.*?)(</call>|\Z)", re.DOTALL)


def read(opening: str, text: str) -> Said:
    """``thought</think>text<call>name {"json": 1}</call>text``"""
    thought, _, spoken = text.partition("</think>") if opening.endswith("<think>") else ("", "", text)
    return Said(TOLD.sub("", spoken).strip(), thought.strip(), tuple(call(*found) for found in TOLD.findall(spoken)))


def call(raw: str, close: str) -> SpokenCall:
    name, space, args = raw.partition(" ")
    if space:
        return SpokenCall(name or None, args, raw, "" if name else "no name", bool(close))
    return SpokenCall(None, "", raw, "no arguments" if close else "", bool(close))


def dumps(args: Any) -> str:
    return json.dumps(args, ensure_ascii=False)


def joined(form: str, between: str, args: dict[str, Any]) -> str:
    return between.join(form.format(name, value) for name, value in args.items())


TINY = Family("tiny", ("<call>", "</call>", "</think>"), read, write=lambda messages: [])

CALLS = {
    "tiny": lambda args: f"<call>look {dumps(args)}</call>",
    "plain": dumps,
    "hermes": lambda args: "<tool_call>\n" + dumps({"name": "look", "arguments": args}) + "\n</tool_call>",
    "qwen3": lambda args: "<tool_call>\n" + dumps({"name": "look", "arguments": args}) + "\n</tool_call>",
    "llama3": lambda args: dumps({"name": "look", "parameters": args}),
    "mistral": lambda args: f"[TOOL_CALLS]look[ARGS]{dumps(args)}",
    "mistral-list": lambda args: "[TOOL_CALLS]" + dumps([{"name": "look", "arguments": args}]),
    "lfm2": lambda args: f"<|tool_call_start|>[look({joined('{}={!r}', ', ', args)})]<|tool_call_end|>",
    "qwen3.5": lambda args: (
        "<tool_call>\n<function=look>\n"
        + joined("<parameter={}>\n{}\n</parameter>", "\n", args)
        + "\n</function>\n</tool_call>"
    ),
    "deepseek-v3": lambda args: (
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look\n"
        f"```json\n{dumps(args)}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
    ),
    "deepseek-v3.1": lambda args: f"<｜tool▁call▁begin｜>look<｜tool▁sep｜>{dumps(args)}<｜tool▁call▁end｜>",
    "gpt-oss": lambda args: f"<|channel|>commentary to=functions.look<|message|>{dumps(args)}<|end|><|start|>assistant",
    "react-text": lambda args: f"\nAction: look\nAction Input: {dumps(args)}",
}
"""How each family writes a good call."""

FAMILIES = [
    pytest.param(family, opening, id=f"{family.name}{opening}")
    for family in (TINY, *(family_named(name) for name in CALLS if name != "tiny"))
    for opening in ("", "<think>")
]

USAGE = UsageMetadata(input_tokens=3, output_tokens=4, total_tokens=7)
TRACE = {"trace": {"version": "toy@0001", "constrained": False, "sampled": "AAAA", "human": [[0, 2]]}}


def finished(teller: Teller, family: Family, opening: str, text: str) -> AIMessage:
    said = family.read(opening, text)
    calls, broken = read_calls(said, teller.id_of)
    return AIMessage(
        content=said.content,
        additional_kwargs={"reasoning_content": said.reasoning} if said.reasoning else {},
        tool_calls=calls,
        invalid_tool_calls=broken,
        usage_metadata=USAGE,
        response_metadata=TRACE,
        id="m1",
    )


def tell(family: Family, opening: str, growing: list[str]) -> tuple[list[SpokenChunk], AIMessage]:
    """The chunks of an answer that was seen at the lengths of ``growing``, and its message."""
    teller = Teller(family, opening)
    chunks = [chunk for text in growing for chunk in teller.tell(text)]
    message = finished(teller, family, opening, growing[-1])
    return chunks + teller.finish(growing[-1], message), message


def letters(text: str) -> list[str]:
    return [text[:end] for end in range(1, len(text) + 1)]


def test_text_thinking_and_calls_are_told_as_they_grow() -> None:
    growing = [
        "Hm",
        "Hm.</th",
        "Hm.</think>One mo",
        'Hm.</think>One moment. <call>look {"id":',
        'Hm.</think>One moment. <call>look {"id": 1}</ca',
        'Hm.</think>One moment. <call>look {"id": 1}</call>',
    ]
    chunks, _ = tell(TINY, "<think>", growing)
    parts = [
        (
            chunk.additional_kwargs.get("reasoning_content"),
            chunk.content,
            [(part["index"], part["name"], part["args"]) for part in chunk.tool_call_chunks],
        )
        for chunk in chunks
    ]
    assert parts == [
        ("Hm", "", []),
        (".", "", []),
        (None, "One mo", []),
        (None, "ment.", []),
        (None, "", [(0, "look", '{"id":')]),
        (None, "", [(0, None, " 1}")]),
        (None, "", []),
    ]


def test_arguments_are_told_letter_by_letter_under_one_id() -> None:
    chunks, message = tell(TINY, "", letters('<call>look {"id": 1}</call>'))
    parts = [part for chunk in chunks for part in chunk.tool_call_chunks]
    assert [part["args"] for part in parts] == ["", *'{"id": 1}']
    assert [part["name"] for part in parts] == ["look"] + [None] * 9
    assert [part["id"] for part in parts] == [message.tool_calls[0]["id"]] + [None] * 9
    assert {part["index"] for part in parts} == {0}


def test_what_may_become_a_marker_or_a_stop_string_or_a_character_is_held_back() -> None:
    assert settled("1 < 2", ["<call>"]) == "1 < 2"
    assert settled("1 <", ["<call>"]) == "1 "
    assert settled("1 <cal", ["<call>", "<c"]) == "1 "
    assert settled("caf\ufffd", []) == "caf"
    assert settled("a \ufffd b", []) == "a \ufffd b"
    assert settled("Thought.\nObserv", [], ["\nObservation:"]) == "Thought."
    assert settled("Thought.\nObservation: 3", [], ["\nObservation:"]) == "Thought."


@pytest.mark.parametrize(
    "text",
    [
        '<call>look {"id": 1',  # LangChain would repair all of these
        '<call>look {"id": 1}',
        '<call>look {"id": "a',
        '<call>look {"id": "a\\',
        '<call>look {"id": [{"b": 1',
        '<call>look {"id": 1} 2</call>',
        '<call>look {"id": NaN}</call>',
        "<call>look </call>",
        "<call>look</call>",
        "<call></call>",
        "<call>",
    ],
)
def test_a_broken_call_stays_broken_in_every_sum(text: str) -> None:
    chunks, message = tell(TINY, "", letters(text))
    assert [len(message.tool_calls), len(message.invalid_tool_calls)] == [0, 1]
    exact = reduce(add, chunks)
    assert (exact.tool_calls, exact.invalid_tool_calls) == ([], message.invalid_tool_calls)
    ignorant = reduce(add, [AIMessageChunk(**json.loads(chunk.model_dump_json())) for chunk in chunks])  # from a server
    assert ignorant.tool_calls == []
    assert [call["id"] for call in ignorant.invalid_tool_calls] == [message.invalid_tool_calls[0]["id"]]


def test_the_sum_may_begin_with_an_empty_chunk_and_go_pair_by_pair() -> None:
    chunks, message = tell(TINY, "", letters('Hello.<call>look {"id": 1'))
    total = AIMessageChunk(content="")
    for chunk in chunks:
        total += chunk
    assert type(total) is AIMessageChunk
    assert message_chunk_to_message(total) == message
    assert message_chunk_to_message(chunks[0] + chunks[1:]) == message


def test_a_silent_answer_is_told_in_two_chunks() -> None:
    chunks, message = tell(TINY, "", [""])
    assert [chunk.chunk_position for chunk in chunks] == [None, "last"]
    assert message_chunk_to_message(chunks[0] + chunks[1]) == message


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
objects = st.dictionaries(st.text(max_size=3) | st.just("id"), values, max_size=3)


def ids(message: AIMessage) -> set[str | None]:
    """Those of broken calls; a sum that does not know the finished message has them in the order of their telling."""
    return {call["id"] for call in message.invalid_tool_calls}


@st.composite
def answers(draw: st.DrawFn, family: Family) -> list[str]:
    """Growing texts of markers, good and bad calls and words; some end within a character."""
    calls = objects.map(CALLS[family.name])
    words = st.text() | st.sampled_from(
        ["Hello. ", "\n", "<", "{", "}", '"', "\\", "\ufffd", "look ", "<ca", '{"name": "look", ']
    )
    parts = st.one_of(calls, objects.map(dumps), words, st.sampled_from(family.markers))
    text = "".join(draw(st.lists(parts, max_size=6)))
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12) | st.just(range(len(text)))))
    return [text[:cut] + draw(st.sampled_from(["", "\ufffd"])) * (cut < len(text)) for cut in cuts] + [text]


@pytest.mark.parametrize(("family", "opening"), FAMILIES)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_the_sum_of_the_chunks_is_the_message(family: Family, opening: str, data: Any) -> None:
    chunks, message = tell(family, opening, data.draw(answers(family)))
    assert message_chunk_to_message(chunks[0] + chunks[1:]) == message
    ignorant = add_ai_message_chunks(*[AIMessageChunk(**chunk.model_dump()) for chunk in chunks])
    assert ignorant.tool_calls == message.tool_calls
    assert ids(ignorant) == ids(message)
    assert (ignorant.content, ignorant.additional_kwargs) == (message.content, message.additional_kwargs)
    assert (ignorant.usage_metadata, ignorant.response_metadata) == (USAGE, TRACE)


def test_every_family_is_among_those_tried() -> None:
    with pytest.raises(BadModelSpec) as refused:
        family_named("nobody's")
    assert set(str(refused.value).partition("there are ")[2].split(", ")) == CALLS.keys() - {"tiny"}


@settings(deadline=None)
@given(st.text(st.sampled_from('{}[]",:\\1a ')))
def test_nothing_can_be_repaired_after_a_bracket_that_closes_nothing(text: str) -> None:
    part = tool_call_chunk(name="look", args=text + unrepairable(text), id="1", index=0)
    assert AIMessageChunk(content="", tool_call_chunks=[part]).tool_calls == []
