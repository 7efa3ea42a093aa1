"""LFM2 and LFM2.5: lists of Python calls, in three published templates."""

from typing import Any

import pytest
from family_rows import assert_only_grows, messages, rows_of, say_again
from family_tokenizers import small_tokenizer, trl_template
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from threadmill.nodes.models.families.family import Said, fresh_id, read_calls
from threadmill.nodes.models.families.lfm2 import LFM2, read
from threadmill.nodes.models.render import Renderer

OPEN, CLOSE = "<|tool_call_start|>", "<|tool_call_end|>"
TEMPLATES = ("lfm2", "lfm2_v2", "lfm2_2_5", "lfm2_2_5_v2", "lfm2_2_5_vl")
SPECIAL = (
    *("<|startoftext|>", "<|im_start|>", "<|im_end|>", OPEN, CLOSE),
    *("<|tool_list_start|>", "<|tool_list_end|>", "<|tool_response_start|>", "<|tool_response_end|>"),
)


def lfm_renderer(template: str) -> Renderer:
    return Renderer(small_tokenizer(trl_template(template), SPECIAL, eos="<|im_end|>", bos="<|startoftext|>"))


RENDERERS = {name: lfm_renderer(name) for name in TEMPLATES}


def good(said: Said) -> list[tuple[str, dict[str, Any]]]:
    return [(call["name"], call["args"]) for call in read_calls(said, fresh_id)[0]]


def broken(said: Said) -> list[tuple[str | None, str | None]]:
    return [(call["name"], call["args"]) for call in read_calls(said, fresh_id)[1]]


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ("Hello.", "Hello.", []),
        (f"{OPEN}[stop()]{CLOSE}", "", [("stop", {})]),
        (
            f"I look.{OPEN}[look(id=1), look(id=2)]{CLOSE}Done.",
            "I look.Done.",
            [("look", {"id": 1}), ("look", {"id": 2})],
        ),
        (f"{OPEN}[stop()]{CLOSE}{OPEN}[stop()]{CLOSE}", "", [("stop", {}), ("stop", {})]),
        (f"{OPEN}stop(){CLOSE}", "", [("stop", {})]),
        (f"{OPEN}[ a.b-c ( x = 1 , ) , ]{CLOSE}", "", [("a.b-c", {"x": 1})]),
        (f"{OPEN}[]{CLOSE}", "", []),
    ],
)
def test_calls_and_the_text_around_them(text: str, content: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    said = read("", text)
    assert (said.content, good(said), broken(said)) == (content, calls, [])


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1", 1),
        ("-1.5e+3", -1500.0),
        ("True", True),
        ("false", False),
        ("None", None),
        ("null", None),
        ("'it\\'s'", "it's"),
        ('"it\'s"', "it's"),
        ("'a), b(c=\"1\"'", 'a), b(c="1"'),
        ("'two\nlines'", "two\nlines"),
        (r"'\x41\u00e9\U0001f9f5\n\\ \d'", "Aé🧵\n\\ \\d"),
        (r"'\ud83e\uddf5'", "🧵"),
        ("'日本 🧵'", "日本 🧵"),
        ("[1, 'two', [True, None],]", [1, "two", [True, None]]),
        ("(1, 2)", [1, 2]),
        ('{"a": {"b": [true, null]}, \'c\': "\\u00e9"}', {"a": {"b": [True, None]}, "c": "é"}),
    ],
)
def test_a_value_is_read_as_python_or_json(written: str, value: Any) -> None:
    assert good(read("", f"{OPEN}[look(x={written})]{CLOSE}")) == [("look", {"x": value})]


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("look(id=O1)", "look"),
        ("look(id='O1)", "look"),
        ("look(id='O1'", "look"),
        ("look(id=)", "look"),
        ("look(1)", "look"),
        ("look(id=1 2)", "look"),
        ("look(id={'a': })", "look"),
        ("look(id=[1)", "look"),
        ("look(id={1: 2})", "look"),
        ("look(id=NaN)", "look"),
        ("look(id='\\ud83e')", "look"),
        ("look(id=__import__('os').system('true'))", "look"),
        ("look", None),
        ("'look'", None),
    ],
)
def test_a_broken_call_is_kept_as_written_and_spoils_only_itself(raw: str, name: str | None) -> None:
    said = read("", f"{OPEN}[stop(), {raw}, look(id=1)]{CLOSE}")
    assert (said.content, good(said)) == ("", [("stop", {}), ("look", {"id": 1})])
    assert broken(said) == [(name, raw)]
    said = read("", f"{OPEN}[stop(), {raw}]{CLOSE}")
    assert (said.content, good(said), broken(said)) == ("", [("stop", {})], [(name, raw)])


@given(st.text("\"\\{}[]():=,ab1 \n'"))
def test_whatever_stands_in_a_call_its_neighbours_survive(raw: str) -> None:
    for after, call in (("stop()", ("stop", {})), ("look(id='1')", ("look", {"id": "1"}))):
        calls = good(read("", f"{OPEN}[look(id=1), {raw}, {after}]{CLOSE}"))
        assert (calls[0], calls[-1]) == (("look", {"id": 1}), call)


def test_a_block_that_is_cut_off_keeps_its_finished_calls() -> None:
    said = read("", f"So.{OPEN}[stop(), look(id='O")
    assert (said.content, good(said), broken(said)) == ("So.", [("stop", {})], [("look", "look(id='O")])
    said = read("", f"{OPEN}[look(id=1), stop({OPEN}[stop()]{CLOSE}")
    assert (good(said), broken(said)) == ([("look", {"id": 1}), ("stop", {})], [("stop", "stop(")])


def test_thinking_is_kept() -> None:
    said = read("", f"<think>Hm.</think>So.{OPEN}[stop()]{CLOSE}")
    assert (said.reasoning, said.content, good(said)) == ("Hm.", "So.", [("stop", {})])


def test_a_call_is_read_while_it_is_written() -> None:
    whole = f"{OPEN}[look(id=12, city='Val d\\'I')]{CLOSE}"
    told = [
        read("", whole[: whole.index(end) + len(end)]).calls[0].args
        for end in ("look", "(", "12", ", ", "d\\", "I", "I'", ")")
    ]
    assert told == [
        "",
        "{",
        '{"id": ',
        '{"id": 12',
        '{"id": 12, "city": "Val d',
        '{"id": 12, "city": "Val d\'I',
        '{"id": 12, "city": "Val d\'I"',
        '{"id": 12, "city": "Val d\'I"}',
    ]


PIECES = st.sampled_from(
    (
        *(
            OPEN,
            CLOSE,
            "[",
            "]",
            "look(",
            "id=",
            "1",
            "'",
            '"',
            "\\",
            "u00e9",
            ", ",
            ")",
            "{",
            "}",
            ":",
            "True",
            "text",
            " ",
        ),
        *("look(id=1)", "look(city='Rome')", "<think>", "</think>", "\n", "é", "ud83e\\uddf5"),
    )
)


@example("look(city='\\ud83e\\uddf5 \\x41 \\\\')]" + CLOSE)
@example("look(city='\\\\ud83e\\uddf5')]" + CLOSE)
@example("look(city='a, look(b'), look()]" + CLOSE)
@example("look(city='a, look(b=1)]" + CLOSE)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_a_growing_answer_is_told_piece_by_piece(text: str) -> None:
    assert_only_grows(LFM2, "", text)
    assert_only_grows(LFM2, "", f"{OPEN}[look(id=1), {text}")


def with_bare_names(message: AIMessage) -> AIMessage:
    """Names of parameters stand bare in the text, so not every text can be one."""
    calls = [
        {**call, "args": {f"straße_{place}": value for place, value in enumerate(call["args"].values())}}
        for call in message.tool_calls
    ]
    return message.model_copy(update={"tool_calls": calls})


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=40, deadline=None)
@given(message=messages(without="<").map(with_bare_names))
def test_what_is_rendered_is_read_again(name: str, message: AIMessage) -> None:
    assert say_again(RENDERERS[name], message) == message


def test_the_mark_that_ends_calls_does_not_end_the_turn() -> None:
    assert {renderer.ends_of_turn for renderer in RENDERERS.values()} == {("<|im_end|>",)}


def test_broken_calls_are_rendered_as_they_were_sampled() -> None:
    raw = InvalidToolCall(type="invalid_tool_call", name="look", args="look(id=", id="b", error="not closed")
    message = AIMessage("Hm.", tool_calls=[ToolCall(name="stop", args={}, id="a")], invalid_tool_calls=[raw])
    for renderer in RENDERERS.values():
        text = renderer.text([HumanMessage("Go."), message], None, ask=False)
        assert text.endswith(f"<|im_start|>assistant\nHm.{OPEN}[stop(), look(id=]{CLOSE}<|im_end|>\n")


TALK: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Where are they?"),
    AIMessage(
        "I look.",
        additional_kwargs={"reasoning_content": "Two."},
        tool_calls=[
            ToolCall(name="look", args={"id": "it's"}, id="a"),
            ToolCall(name="look", args={"id": {"x": True}}, id="b"),
        ],
    ),
    ToolMessage("sent", tool_call_id="a", name="look"),
    ToolMessage("lost", tool_call_id="b", name="look"),
    AIMessage("One is lost."),
    HumanMessage("Oh."),
    AIMessage("Sorry."),
]
LOOK = {"type": "function", "function": {"name": "look"}}


@pytest.mark.parametrize("name", ["lfm2", "lfm2_v2"])
def test_exactly_what_the_model_says_is_trained(name: str) -> None:
    (row,) = rows_of(RENDERERS[name], TALK, tools=[LOOK])
    assert (
        row
        == """\
<|startoftext|><|im_start|>system⏎
0000000000000000000000000000000000
Be brief.⏎
0000000000
List of tools: <|tool_list_start|>[{"type": "function", "function": {"name": "look"}}]<|tool_list_end|><|im_end|>⏎
000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
<|im_start|>user⏎
00000000000000000
Where are they?<|im_end|>⏎
00000000000000000000000000
<|im_start|>assistant⏎
0000000000000000000000
<think>Two.</think>I look.<|tool_call_start|>[look(id='it\\'s'), look(id={"x": true})]<|tool_call_end|><|im_end|>
1111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111
⏎
0
<|im_start|>tool⏎
00000000000000000
<|tool_response_start|>sent<|tool_response_end|><|im_end|>⏎
00000000000000000000000000000000000000000000000000000000000
<|im_start|>tool⏎
00000000000000000
<|tool_response_start|>lost<|tool_response_end|><|im_end|>⏎
00000000000000000000000000000000000000000000000000000000000
<|im_start|>assistant⏎
0000000000000000000000
One is lost.<|im_end|>
1111111111111111111111
⏎
0
<|im_start|>user⏎
00000000000000000
Oh.<|im_end|>⏎
00000000000000
<|im_start|>assistant⏎
0000000000000000000000
Sorry.<|im_end|>
1111111111111111
⏎
0"""
    )


@pytest.mark.parametrize("name", ["lfm2_2_5", "lfm2_2_5_v2", "lfm2_2_5_vl"])
def test_lfm2_5_starts_a_row_where_it_drops_thinking(name: str) -> None:
    first, second = rows_of(RENDERERS[name], TALK, tools=[LOOK])
    assert (
        first
        == """\
<|startoftext|><|im_start|>system⏎
0000000000000000000000000000000000
Be brief.⏎
0000000000
List of tools: [{"type": "function", "function": {"name": "look"}}]<|im_end|>⏎
000000000000000000000000000000000000000000000000000000000000000000000000000000
<|im_start|>user⏎
00000000000000000
Where are they?<|im_end|>⏎
00000000000000000000000000
<|im_start|>assistant⏎
0000000000000000000000
<think>Two.</think>I look.<|tool_call_start|>[look(id='it\\'s'), look(id={"x": true})]<|tool_call_end|><|im_end|>
1111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111
⏎
0
<|im_start|>tool⏎
00000000000000000
sent<|im_end|>⏎
000000000000000
<|im_start|>tool⏎
00000000000000000
lost<|im_end|>⏎
000000000000000
<|im_start|>assistant⏎
0000000000000000000000
One is lost.<|im_end|>
1111111111111111111111"""
    )
    assert (
        second
        == """\
<|startoftext|><|im_start|>system⏎
0000000000000000000000000000000000
Be brief.⏎
0000000000
List of tools: [{"type": "function", "function": {"name": "look"}}]<|im_end|>⏎
000000000000000000000000000000000000000000000000000000000000000000000000000000
<|im_start|>user⏎
00000000000000000
Where are they?<|im_end|>⏎
00000000000000000000000000
<|im_start|>assistant⏎
0000000000000000000000
I look.<|tool_call_start|>[look(id='it\\'s'), look(id={"x": true})]<|tool_call_end|><|im_end|>⏎
0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
<|im_start|>tool⏎
00000000000000000
sent<|im_end|>⏎
000000000000000
<|im_start|>tool⏎
00000000000000000
lost<|im_end|>⏎
000000000000000
<|im_start|>assistant⏎
0000000000000000000000
One is lost.<|im_end|>⏎
00000000000000000000000
<|im_start|>user⏎
00000000000000000
Oh.<|im_end|>⏎
00000000000000
<|im_start|>assistant⏎
0000000000000000000000
Sorry.<|im_end|>
1111111111111111
⏎
0"""
    )


def test_the_published_template_writes_a_quote_that_nobody_can_read_and_ours_is_read() -> None:
    tokenizer = RENDERERS["lfm2_2_5"].tokenizer
    call = {"function": {"name": "look", "arguments": {"id": "it's"}}}
    published = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Go."}, {"role": "assistant", "content": "", "tool_calls": [call]}], tokenize=False
    )
    assert "[look(id='it's')]" in published
    assert "[look(id='it\\'s')," in RENDERERS["lfm2_2_5"].text([HumanMessage("Go."), TALK[2]], None, ask=False)
