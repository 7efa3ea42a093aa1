"""Qwen3.5, 3.6 and 3.8: calls as XML whose values get their types from the tools."""

from typing import Any

import pytest
from family_rows import assert_only_grows, rows_of
from family_tokenizers import qwen_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage
from threadmill.nodes.models.families.family import Said, fresh_id, read_calls
from threadmill.nodes.models.families.qwen35 import QWEN35, read, read_typed
from threadmill.nodes.models.render import Renderer

TEMPLATES = ("qwen3_5_think", "qwen3_5_nothink", "qwen3_6", "qwen3_8")


def tool(**properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": parameters}}


def call(*parameters: tuple[str, str], name: str = "look") -> str:
    inner = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in parameters)
    return f"<tool_call>\n<function={name}>\n{inner}</function>\n</tool_call>"


STOP = call(name="stop")


def good(said: Said) -> list[tuple[str, dict[str, Any]]]:
    return [(call["name"], call["args"]) for call in read_calls(said, fresh_id)[0]]


def broken(said: Said) -> list[tuple[str | None, str | None, str]]:
    return [(call["name"], call["args"], str(call["error"])) for call in read_calls(said, fresh_id)[1]]


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ("Hello.", "Hello.", []),
        (STOP, "", [("stop", {})]),
        (f"I look.\n\n{call(('id', '1'))}\n{STOP}", "I look.", [("look", {"id": 1}), ("stop", {})]),
        (f"Before {STOP} after", "Before  after", [("stop", {})]),
        ("<tool_call><function=look><parameter=id>1</parameter></function></tool_call>", "", [("look", {"id": 1})]),
        (call(("text", "two\nlines\n")), "", [("look", {"text": "two\nlines\n"})]),
        (call(("text", "")), "", [("look", {"text": ""})]),
        (call(("fälle", '{"ü": [1, {"x": null}]}')), "", [("look", {"fälle": {"ü": [1, {"x": None}]}})]),
        (call(("text", '日本 🧵 "x" \\n'), ("yes", "True")), "", [("look", {"text": '日本 🧵 "x" \\n', "yes": True})]),
        (
            call(("text", "a </tool_call> and <tool_call> b")),
            "",
            [("look", {"text": "a </tool_call> and <tool_call> b"})],
        ),
    ],
)
def test_calls_and_the_text_around_them(text: str, content: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    said = read("", text)
    assert (said.content, good(said), broken(said)) == (content, calls, [])


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "12", "12"),
        ({"type": "string"}, "null", "null"),
        ({"type": "string"}, '"quoted"', '"quoted"'),
        ({"type": "integer"}, "12", 12),
        ({"type": "integer"}, "twelve", "twelve"),
        ({"type": "integer"}, "1.5", 1.5),
        ({"type": "string", "maxLength": 1}, "12", "12"),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "True", True),
        ({"type": "boolean"}, "false", False),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "None", None),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "12", "12"),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, "12", 12),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({"enum": [1, 2]}, "1", 1),
        ({"type": "array", "items": {"type": "string"}}, '["1", "2"]', ["1", "2"]),
        ({"$ref": "#/$defs/size"}, "7", "7"),
        ({}, "12", 12),
        ({}, "NaN", "NaN"),
        ({}, "1e999", "1e999"),
        (None, "12", 12),
        (None, "O12", "O12"),
    ],
)
def test_a_value_gets_the_type_that_the_tool_wants(schema: Any, text: str, value: Any) -> None:
    wanted = tool(**({} if schema is None else {"x": schema}))
    wanted["function"]["parameters"]["$defs"] = {"size": {"type": "string"}}
    assert good(read_typed("", call(("x", text)), [wanted])) == [("look", {"x": value})]


@pytest.mark.parametrize(
    ("raw", "name", "error"),
    [
        ('{"name": "look"}', None, "a call must begin with <function=its name>"),
        ("", None, "a call must begin with <function=its name>"),
        ("<function=look>\nid=1\n</function>", "look", "a parameter or </function> must follow"),
        ("<function=look>\n<parameter=id>\n1\n</function>", "look", "the parameter 'id' is not closed"),
        ("<function=look>\n<parameter=id>\n1", "look", "the parameter 'id' is not closed"),
        ("<function=look>\n<parameter=id>\n1\n</parameter>", "look", "a parameter or </function> must follow"),
        ("<function=look>\n</function>\n and more", "look", "a parameter or </function> must follow"),
    ],
)
def test_a_broken_call_is_kept_as_written_and_spoils_only_itself(raw: str, name: str | None, error: str) -> None:
    first = call(("id", "1"))
    said = read("", f"{first}\n<tool_call>\n{raw}\n</tool_call>\n{call(('id', '2'))}")
    assert good(said) == [("look", {"id": 1}), ("look", {"id": 2})]
    assert broken(said) == [(name, raw, error)]
    assert said.content == ""


def test_an_unclosed_call_ends_where_the_next_one_opens_or_the_text_ends() -> None:
    open_call = "<tool_call>\n<function=look>\n</function>\n"
    said = read("", open_call + STOP)
    assert good(said) == [("stop", {})]
    assert broken(said) == [("look", "<function=look>\n</function>", "the call is not closed with </tool_call>")]
    assert broken(read("", open_call)) == [("look", "<function=look>\n</function>", "the call is not closed")]


def test_thinking_is_kept_whether_the_prompt_opened_it_or_not() -> None:
    for opening, text in (
        ("<think>\n", f"Hm.\n</think>\n\nSo.\n\n{STOP}"),
        ("", f"<think>\nHm.\n</think>\n\nSo.{STOP}"),
    ):
        said = read(opening, text)
        assert (said.reasoning, said.content, good(said)) == ("Hm.", "So.", [("stop", {})])


def test_text_is_told_while_it_is_written_and_other_values_when_they_are_whole() -> None:
    wanted = [tool(city={"type": "string"}, id={"type": "integer"})]
    whole = call(("city", 'Val "d"'), ("id", "12"))
    told = [
        read_typed("", whole[: whole.index(end) + len(end)], wanted).calls[0].args
        for end in ("look", "city>\n", "Val", '"d"\n', "</parameter>", "id>\n1", "2\n</parameter>", "</tool_call>")
    ]
    assert told == [
        "",
        '{"city": "',
        '{"city": "Val',
        '{"city": "Val \\"d\\"',
        '{"city": "Val \\"d\\""',
        '{"city": "Val \\"d\\"", "id": ',
        '{"city": "Val \\"d\\"", "id": 12',
        '{"city": "Val \\"d\\"", "id": 12}',
    ]


PIECES = st.sampled_from(
    (
        *(
            STOP,
            call(("city", "Rome")),
            "<tool_call>",
            "</tool_call>",
            "<function=f>",
            "</function>",
            "\n",
            "<parameter=a>",
        ),
        *("<parameter=city>\n", "</parameter>", "text", " ", "12", '"', "</think>", "<think>", "é"),
    )
)


@given(st.lists(PIECES, max_size=12).map("".join), st.booleans(), st.booleans())
def test_a_growing_answer_is_told_piece_by_piece(text: str, thinking: bool, typed: bool) -> None:
    tools = [tool(city={"type": "string"})]
    tools[0]["function"]["name"] = "f"
    assert_only_grows(QWEN35.knowing(tools if typed else None), "<think>\n" if thinking else "", text)


TYPED = tool(
    text={"type": "string"},
    number={"type": "number"},
    yes={"type": "boolean"},
    none={"type": "null"},
    several={"type": "array"},
    deep={"type": "object"},
    any={},
)
_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="<"))
_NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
_ANY = st.recursive(st.none() | st.booleans() | _NUMBERS | _WORDS, lambda x: st.lists(x, max_size=3), max_leaves=5)
ARGS = st.fixed_dictionaries(
    {},
    optional={
        "text": _WORDS,
        "number": _NUMBERS,
        "yes": st.booleans(),
        "none": st.none(),
        "several": st.lists(_ANY, max_size=3),
        "deep": st.dictionaries(_WORDS, _ANY, max_size=3),
        "any": st.booleans() | _NUMBERS | st.none() | st.lists(_ANY, max_size=3),
    },
)
SAID = _WORDS.map(str.strip)
RENDERERS = {name: Renderer(qwen_tokenizer(name)) for name in TEMPLATES}


@pytest.mark.parametrize("name", TEMPLATES)
@settings(max_examples=40, deadline=None)
@given(content=SAID, reasoning=SAID, args=st.lists(ARGS, max_size=3))
def test_what_is_rendered_is_read_again(name: str, content: str, reasoning: str, args: list[dict[str, Any]]) -> None:
    message = AIMessage(
        content,
        additional_kwargs={"reasoning_content": reasoning},
        tool_calls=[ToolCall(name="look", args=these, id=f"c{place}") for place, these in enumerate(args)],
    )
    renderer = RENDERERS[name]
    (row,) = renderer.training_rows([HumanMessage("Go."), message], [TYPED])
    (turn,) = row.turns
    opening = renderer.tokenizer.decode(row.ids[: turn.low])
    said = renderer.read(row.ids[turn.low : turn.high], opening, [TYPED])
    assert (said.content, said.reasoning) == (content, reasoning)
    assert [call["args"] for call in read_calls(said, fresh_id)[0]] == args


TALK: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Where are they?"),
    AIMessage(
        "I look.",
        additional_kwargs={"reasoning_content": "Two."},
        tool_calls=[ToolCall(name="look", args={"id": 1}, id="a"), ToolCall(name="look", args={"id": [2]}, id="b")],
    ),
    ToolMessage("sent", tool_call_id="a", name="look"),
    ToolMessage("lost", tool_call_id="b", name="look"),
    AIMessage("One is lost."),
    HumanMessage("Oh."),
    AIMessage("Sorry.", additional_kwargs={"reasoning_content": "Bad."}),
]
FIRST = """\
<|im_start|>user⏎
00000000000000000
Where are they?<|im_end|>⏎
00000000000000000000000000
<|im_start|>assistant⏎
0000000000000000000000
<think>⏎
00000000
Two.⏎
11111
</think>⏎
111111111
⏎
1
I look.⏎
11111111
⏎
1
<tool_call>⏎
111111111111
<function=look>⏎
1111111111111111
<parameter=id>⏎
111111111111111
1⏎
11
</parameter>⏎
1111111111111
</function>⏎
111111111111
</tool_call>⏎
1111111111111
<tool_call>⏎
111111111111
<function=look>⏎
1111111111111111
<parameter=id>⏎
111111111111111
[2]⏎
1111
</parameter>⏎
1111111111111
</function>⏎
111111111111
</tool_call><|im_end|>
1111111111111111111111
⏎
0
<|im_start|>user⏎
00000000000000000
<tool_response>⏎
0000000000000000
sent⏎
00000
</tool_response>⏎
00000000000000000
<tool_response>⏎
0000000000000000
lost⏎
00000
</tool_response><|im_end|>⏎
000000000000000000000000000
<|im_start|>assistant⏎
0000000000000000000000
<think>⏎
00000000
⏎
0
</think>⏎
000000000
⏎
0
One is lost.<|im_end|>
1111111111111111111111"""
AFTER_THE_FIRST = """\
<|im_start|>user⏎
00000000000000000
Oh.<|im_end|>⏎
00000000000000
<|im_start|>assistant⏎
0000000000000000000000
<think>⏎
00000000
Bad.⏎
11111
</think>⏎
111111111
⏎
1
Sorry.<|im_end|>
1111111111111111
⏎
0"""


@pytest.mark.parametrize("name", TEMPLATES)
def test_exactly_what_the_model_says_is_trained(name: str) -> None:
    """Thinking is opened by the prompt, so its tag is not trained; qwen3_8 alone keeps the thinking of old turns."""
    rows = rows_of(RENDERERS[name], TALK, tools=[tool(id={})])
    answers = [row[row.index("<|im_start|>user⏎") :] for row in rows]
    assert not any("1" in line for row in rows for line in row[: row.index("<|im_start|>user⏎")].splitlines()[1::2])
    if name == "qwen3_8":
        assert answers == [f"{FIRST}\n⏎\n0\n{AFTER_THE_FIRST}"]
    else:
        first, second = answers
        assert first == FIRST
        assert second.endswith(AFTER_THE_FIRST)
        before = second.removesuffix(AFTER_THE_FIRST)
        assert not any("1" in line for line in before.splitlines()[1::2])
        assert "Two." not in before
