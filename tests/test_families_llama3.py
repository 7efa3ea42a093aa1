"""Llama 3: bare JSON calls are found in text, survive broken neighbours, and are rendered as published."""

import json
from typing import Any

import pytest
from family_rows import TWO_QUESTIONS, assert_only_grows, converse, messages, rows_of, say_again
from family_tokenizers import small_tokenizer, trl_template
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from threadmill.nodes.models.families.choose import family_of
from threadmill.nodes.models.families.family import Said, read_calls
from threadmill.nodes.models.families.llama3 import LLAMA3, read
from threadmill.nodes.models.render import Renderer

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


def test_a_call_right_behind_other_json_or_behind_broken_json_is_found() -> None:
    for text in ('{"name": "Bob"}', '{"a": oops ', '{"a": "b\n', '{"a" '):
        said = read(ASK, text + '{"name": "look", "parameters": {"id": 1}}')
        assert (said.content, calls_of(said)) == (text.strip(), [("look", {"id": 1})])


PIECES = st.sampled_from(
    [
        *(
            '{"name": "f", "parameters": {"a": 1}}',
            '{"name": "f", "parameters": {"a": [}}',
            '{"name": "Bob", "age": 3}',
        ),
        *(
            "; ",
            "\n",
            "text ",
            "{",
            "}",
            '"',
            '{"name": ',
            '"parameters": ',
            ", ",
            "\\",
            "<|python_tag|>",
            "[1, ",
            "nul",
        ),
    ]
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join), st.booleans())
def test_a_growing_answer_is_told_piece_by_piece(text: str, thinking: bool) -> None:
    assert_only_grows(LLAMA3, ASK + "<think>" if thinking else ASK, "Hm.</think>" + text if thinking else text)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(llama_tokenizer("llama3_1"))


def llama_tokenizer(template: str) -> Any:
    return small_tokenizer(trl_template(template), SPECIAL, eos="<|eot_id|>", bos="<|begin_of_text|>")


@settings(deadline=None)
@given(messages(without="{<"))
def test_what_is_rendered_is_read_again(renderer: Renderer, message: AIMessage) -> None:
    assert say_again(renderer, message) == message


def test_a_broken_call_is_rendered_as_it_was_sampled(renderer: Renderer) -> None:
    raw = '{"name": "look", "parameters": {"id": }}'
    message = AIMessage(
        "I look.",
        tool_calls=[{"name": "look", "args": {"id": 1}, "id": "call00000"}],
        invalid_tool_calls=[{"type": "invalid_tool_call", "name": "look", "args": raw, "id": "more", "error": None}],
    )
    again = say_again(renderer, message)
    assert (again.content, [call["args"] for call in again.tool_calls]) == ("I look.", [{"id": 1}])
    assert [call["args"] for call in again.invalid_tool_calls] == [raw]


@pytest.mark.parametrize("published", ["llama3_1", "llama3_2"])
@pytest.mark.parametrize("tools", [None, [LOOK]], ids=["no tools", "tools"])
@pytest.mark.parametrize("length", [2, 3, 4, 5])
def test_one_call_a_turn_is_rendered_as_published(published: str, tools: Any, length: int) -> None:
    tokenizer = llama_tokenizer(published)
    renderer = Renderer(tokenizer)
    look = {"name": "look", "args": {"id": 'Ö"1"', "deep": {"list": [1, None]}}, "id": "1"}
    talk: list[BaseMessage] = [
        SystemMessage("Be brief. "),
        HumanMessage("Where is it?"),
        AIMessage("", tool_calls=[look]),
        ToolMessage('"sent"', tool_call_id="1", name="look"),
        AIMessage("It is sent."),
    ]
    for begin in (0, 1):
        part = talk[begin:length]
        assert renderer.text(part, tools, ask=True) == tokenizer.apply_chat_template(
            LLAMA3.write(part), tools=tools, tokenize=False, add_generation_prompt=True, date_string="26 Jul 2024"
        )


def test_the_published_template_fails_where_ours_does_not() -> None:
    from jinja2 import TemplateError

    tokenizer = llama_tokenizer("llama3_1")
    one, two = ({"name": "look", "args": {"id": name}, "id": name} for name in ("O1", "O2"))
    with pytest.raises(TemplateError, match="only supports single tool-calls"):
        tokenizer.apply_chat_template(LLAMA3.write([HumanMessage("Go."), AIMessage("", tool_calls=[one, two])]))
    beside = tokenizer.apply_chat_template(
        LLAMA3.write([HumanMessage("Go."), AIMessage("I look.", tool_calls=[one])]), tokenize=False
    )
    assert "I look." not in beside


def test_the_parser_of_transformers_fails_where_ours_does_not() -> None:
    from trl.chat_template_utils import add_response_schema

    tokenizer = add_response_schema(llama_tokenizer("llama3_1"))
    good, bad = '{"name": "look", "parameters": {"id": 1}}', '{"name": "look", "parameters": {"id": }}'
    with pytest.raises(ValueError, match="JSON"):
        tokenizer.parse_response(f"{good}; {bad}<|eot_id|>", prefix=ASK)
    assert len(read(ASK, f"{good}; {bad}").calls) == 2


def test_a_template_that_tells_all_is_kept() -> None:
    tokenizer = llama_tokenizer("llama3_1")
    assert family_of(tokenizer).template == LLAMA3.template
    tokenizer.chat_template = "{#- ours -#}" + str(LLAMA3.template)
    assert family_of(tokenizer).template is None


def test_exactly_what_the_assistant_says_is_trained(renderer: Renderer) -> None:
    talk: list[BaseMessage] = [
        HumanMessage("Where are they?"),
        AIMessage(
            "I look.",
            tool_calls=[
                {"name": "look", "args": {"id": "O1"}, "id": "1"},
                {"name": "look", "args": {"id": "O2"}, "id": "2"},
            ],
        ),
        ToolMessage("sent", tool_call_id="1", name="look"),
        ToolMessage("lost", tool_call_id="2", name="look"),
        AIMessage("One is lost.", additional_kwargs={"reasoning_content": "Bad."}),
        HumanMessage("Oh."),
        AIMessage("Sorry."),
    ]
    assert rows_of(renderer, talk) == [
        """\
<|begin_of_text|><|start_header_id|>system<|end_header_id|>⏎
000000000000000000000000000000000000000000000000000000000000
⏎
0
Cutting Knowledge Date: December 2023⏎
00000000000000000000000000000000000000
Today Date: 26 Jul 2024⏎
000000000000000000000000
⏎
0
<|eot_id|><|start_header_id|>user<|end_header_id|>⏎
000000000000000000000000000000000000000000000000000
⏎
0
Where are they?<|eot_id|><|start_header_id|>assistant<|end_header_id|>⏎
00000000000000000000000000000000000000000000000000000000000000000000000
⏎
0
I look.⏎
11111111
{"name": "look", "parameters": {"id": "O1"}}; {"name": "look", "parameters": {"id": "O2"}}<|eot_id|>
1111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111
<|start_header_id|>ipython<|end_header_id|>⏎
00000000000000000000000000000000000000000000
⏎
0
"sent"<|eot_id|><|start_header_id|>ipython<|end_header_id|>⏎
000000000000000000000000000000000000000000000000000000000000
⏎
0
"lost"<|eot_id|><|start_header_id|>assistant<|end_header_id|>⏎
00000000000000000000000000000000000000000000000000000000000000
⏎
0
<think>⏎
11111111
Bad.⏎
11111
</think>⏎
111111111
⏎
1
One is lost.<|eot_id|>
1111111111111111111111
<|start_header_id|>user<|end_header_id|>⏎
00000000000000000000000000000000000000000
⏎
0
Oh.<|eot_id|><|start_header_id|>assistant<|end_header_id|>⏎
00000000000000000000000000000000000000000000000000000000000
⏎
0
Sorry.<|eot_id|>
1111111111111111"""
    ]


def test_the_prompts_of_later_turns_go_on_with_what_was_sampled(renderer: Renderer) -> None:
    assert converse(renderer, TWO_QUESTIONS) == [False, False, False]
