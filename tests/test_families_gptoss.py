"""gpt-oss: channels become thinking, text and calls, and every question begins a new row."""

import json
from typing import Any

import pytest
from family_rows import TWO_QUESTIONS, assert_only_grows, converse, messages, rows_of, say_again
from family_tokenizers import small_tokenizer, trl_template
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from threadmill.nodes.models.families.family import Said, read_calls
from threadmill.nodes.models.families.gptoss import GPT_OSS, read
from threadmill.nodes.models.render import Renderer

SPECIAL = tuple("<|start|> <|end|> <|message|> <|channel|> <|constrain|> <|return|> <|call|> <|endoftext|>".split())
ASK = "<|start|>assistant"
FINAL = "<|channel|>final<|message|>"


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(small_tokenizer(trl_template("gptoss"), SPECIAL, eos="<|return|>"))


def calls_of(said: Said) -> list[tuple[str, dict[str, Any]]]:
    return [(call["name"], call["args"]) for call in read_calls(said, str)[0]]


def broken_of(said: Said) -> list[tuple[str | None, str | None]]:
    return [(call["name"], call["args"]) for call in read_calls(said, str)[1]]


@pytest.mark.parametrize(
    "header",
    [
        " to=functions.look<|channel|>commentary json<|message|>",
        " to=functions.look<|channel|>commentary <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.look <|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.look<|constrain|>json<|message|>",
        "<|channel|>commentary to=functions.look<|message|>",
        "<|channel|>analysis to=functions.look code<|message|>",
    ],
)
def test_a_call_is_read_wherever_its_header_names_the_tool(header: str) -> None:
    for end in ("", "<|call|>", "<|end|>"):
        assert calls_of(read(ASK, header + '{"id": 1}' + end)) == [("look", {"id": 1})]


@pytest.mark.parametrize(
    "between", ["<|start|>assistant", "<|call|><|start|>assistant", "<|end|>", "<|call|>assistant"]
)
def test_several_calls_with_text_and_thinking_around(between: str) -> None:
    said = read(
        ASK,
        "<|channel|>analysis<|message|>Two.<|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|>"
        '<|start|>assistant<|channel|>commentary to=functions.look<|message|>{"id": 1}'
        + between
        + "<|channel|>commentary to=functions.end<|message|>{}<|end|><|start|>assistant<|channel|>analysis<|message|>"
        "So.<|end|><|start|>assistant<|channel|>final<|message|>Done.",
    )
    assert (said.reasoning, said.content) == ("Two.\n\nSo.", "I look.\n\nDone.")
    assert calls_of(said) == [("look", {"id": 1}), ("end", {})]


def test_nested_and_unicode_arguments() -> None:
    args = {"fälle": [{"name": "look", "x": {"y": 1}}], "text": 'a "b" {c} ]\\ to=functions.x 日本 🧵\n'}
    for ascii_only in (True, False):
        spoken = json.dumps(args, ensure_ascii=ascii_only)
        said = read(ASK, "<|channel|>commentary to=functions.look<|message|>" + spoken)
        assert calls_of(said) == [("look", args)]


@pytest.mark.parametrize(
    "broken", ['{"id": }', '{"id": 1', '{"id": "O1}', '{"id" 1}', "[1]", "", "please", "{} please"]
)
def test_one_broken_call_among_good_ones(broken: str) -> None:
    header = " to=functions.{}<|channel|>commentary json<|message|>"
    said = read(
        ASK,
        header.format("a")
        + '{"x": 1}<|call|><|start|>assistant'
        + header.format("look")
        + broken
        + "<|call|><|start|>assistant"
        + header.format("b")
        + '{"x": 2}',
    )
    assert calls_of(said) == [("a", {"x": 1}), ("b", {"x": 2})]
    assert broken_of(said) == [("look", broken)]


def test_a_call_that_is_cut_off_is_broken() -> None:
    said = read(ASK, '<|channel|>commentary to=functions.look<|message|>{"id": "O')
    assert (calls_of(said), broken_of(said)) == ([], [("look", '{"id": "O')])


def test_text_without_a_channel_is_text_and_words_in_the_name_of_others_are_nobodys() -> None:
    assert read(ASK, "Hello.") == Said("Hello.")
    assert read(ASK, " tomato<|channel|>final<|message|>soup") == Said("tomato\n\nsoup")
    assert read(f"{ASK}{FINAL}", "Hello.") == Said("Hello.")
    invented = (
        "<|start|>functions.look to=assistant<|channel|>commentary<|message|>sent<|end|><|start|>user<|message|>Ok."
    )
    assert read(ASK, f"{FINAL}Hello.<|end|>{invented}") == Said("Hello.")


PIECES = st.sampled_from(
    [
        *(" to=functions.f", "<|channel|>", "commentary", "analysis", "final", "<|message|>", "<|end|>"),
        *(
            "<|start|>",
            "assistant",
            "user",
            "<|constrain|>json",
            '{"a": 1}',
            "{",
            '"',
            "}",
            "[",
            "text ",
            " ",
            "\n",
            "t",
        ),
        *(f"<|start|>assistant{FINAL}", "<|channel|>commentary to=functions.f<|message|>{"),
    ]
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_a_growing_answer_is_told_piece_by_piece(text: str) -> None:
    assert_only_grows(GPT_OSS, ASK, text)


@settings(deadline=None)
@given(message=messages(without="<"))
def test_what_is_rendered_is_read_again(renderer: Renderer, message: AIMessage) -> None:
    assert say_again(renderer, message) == message


def test_a_broken_call_is_rendered_as_it_was_sampled(renderer: Renderer) -> None:
    message = AIMessage(
        "I look.",
        tool_calls=[{"name": "look", "args": {"id": 1}, "id": "call00000"}],
        invalid_tool_calls=[{"type": "invalid_tool_call", "name": "f", "args": '{"id": }', "id": "1", "error": None}],
    )
    again = say_again(renderer, message)
    assert (again.content, [call["args"] for call in again.tool_calls]) == ("I look.", [{"id": 1}])
    assert [(call["name"], call["args"]) for call in again.invalid_tool_calls] == [("f", '{"id": }')]


def look(order: str) -> Any:
    return {"name": "look", "args": {"id": order}, "id": order}


def think(text: str) -> dict[str, Any]:
    return {"reasoning_content": text}


def test_exactly_what_the_assistant_says_is_trained_and_every_question_begins_a_row(renderer: Renderer) -> None:
    talk: list[BaseMessage] = [
        HumanMessage("Where are they?"),
        AIMessage("I look.", tool_calls=[look("O1"), look("O2")], additional_kwargs=think("Two.")),
        ToolMessage("sent", tool_call_id="O1", name="look"),
        ToolMessage("lost", tool_call_id="O2"),
        AIMessage("One is lost.", additional_kwargs=think("Bad.")),
        HumanMessage("Oh."),
        AIMessage("Sorry.", additional_kwargs=think("Sad.")),
    ]
    beginning = """\
<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.⏎
0000000000000000000000000000000000000000000000000000000000000000000000000000000000000
Knowledge cutoff: 2024-06⏎
00000000000000000000000000
⏎
0
Reasoning: medium⏎
000000000000000000
⏎
0
# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>
0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
<|start|>user<|message|>Where are they?<|end|>
0000000000000000000000000000000000000000000000
"""
    assert rows_of(renderer, talk, breaks=("<|end|>", "<|call|>")) == [
        beginning
        + """\
<|start|>assistant
000000000000000000
<|channel|>analysis<|message|>Two.<|end|>
11111111111111111111111111111111111111111
<|start|>assistant<|channel|>commentary<|message|>I look.<|end|>
1111111111111111111111111111111111111111111111111111111111111111
<|start|>assistant to=functions.look<|channel|>commentary json<|message|>{"id": "O1"}<|call|>
111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111
<|start|>assistant to=functions.look<|channel|>commentary json<|message|>{"id": "O2"}<|call|>
111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111111
<|start|>functions.look to=assistant<|channel|>commentary<|message|>"sent"<|end|>
000000000000000000000000000000000000000000000000000000000000000000000000000000000
<|start|>functions.look to=assistant<|channel|>commentary<|message|>"lost"<|end|>
000000000000000000000000000000000000000000000000000000000000000000000000000000000
<|start|>assistant
000000000000000000
<|channel|>analysis<|message|>Bad.<|end|>
11111111111111111111111111111111111111111
<|start|>assistant<|channel|>final<|message|>One is lost.<|return|>
1111111111111111111111111111111111111111111111111111111111111111111""",
        beginning
        + """\
<|start|>assistant<|channel|>commentary<|message|>I look.<|end|>
0000000000000000000000000000000000000000000000000000000000000000
<|start|>assistant to=functions.look<|channel|>commentary json<|message|>{"id": "O1"}<|call|>
000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
<|start|>assistant to=functions.look<|channel|>commentary json<|message|>{"id": "O2"}<|call|>
000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
<|start|>functions.look to=assistant<|channel|>commentary<|message|>"sent"<|end|>
000000000000000000000000000000000000000000000000000000000000000000000000000000000
<|start|>functions.look to=assistant<|channel|>commentary<|message|>"lost"<|end|>
000000000000000000000000000000000000000000000000000000000000000000000000000000000
<|start|>assistant<|channel|>final<|message|>One is lost.<|end|>
0000000000000000000000000000000000000000000000000000000000000000
<|start|>user<|message|>Oh.<|end|>
0000000000000000000000000000000000
<|start|>assistant
000000000000000000
<|channel|>analysis<|message|>Sad.<|end|>
11111111111111111111111111111111111111111
<|start|>assistant<|channel|>final<|message|>Sorry.<|return|>
1111111111111111111111111111111111111111111111111111111111111""",
    ]


SCHEMA = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "which one"},
        "kind": {"type": "string", "enum": ["a", "b"], "default": "a"},
        "deep": {"type": "object", "properties": {"x": {"type": "array", "items": {"type": "integer"}}}},
    },
    "required": ["id"],
}
TOOLS = [{"type": "function", "function": {"name": "look", "description": "Look.", "parameters": SCHEMA}}]


@pytest.mark.parametrize("tools", [None, TOOLS], ids=["no tools", "tools"])
@pytest.mark.parametrize("length", [2, 3, 4, 5, 6])
def test_one_call_a_turn_is_rendered_as_published_but_for_the_date(renderer: Renderer, tools: Any, length: int) -> None:
    talk: list[BaseMessage] = [
        SystemMessage("Be brief."),
        HumanMessage("Where?"),
        AIMessage("", tool_calls=[look("O1")], additional_kwargs=think("Hm.")),
        ToolMessage("sent", tool_call_id="O1", name="look"),
        AIMessage("Here.", additional_kwargs=think("Ah.")),
        HumanMessage("Thanks."),
    ]
    for talk_part in (talk[:length], talk[1:length]):
        chat = GPT_OSS.write(talk_part)
        for told in chat:
            if not told.get("thinking"):
                told.pop("thinking", None)
        published = renderer.tokenizer.apply_chat_template(
            chat, tools=tools, tokenize=False, add_generation_prompt=True
        )
        dateless = "".join(line for line in published.splitlines(True) if not line.startswith("Current date: "))
        assert renderer.text(talk_part, tools, ask=True) == dateless


def test_the_date_is_told_if_it_is_given(renderer: Renderer) -> None:
    dated = Renderer(renderer.tokenizer, chat_template_kwargs={"current_date": "2026-03-01"})
    assert "\nCurrent date: 2026-03-01\n\nReasoning" in dated.text([HumanMessage("Hi.")], None, ask=True)


def test_the_published_template_fails_where_ours_does_not(renderer: Renderer) -> None:
    talk = [HumanMessage("Go."), AIMessage("", tool_calls=[look("O1"), look("O2")])]
    published = renderer.tokenizer.apply_chat_template(GPT_OSS.write(talk), tokenize=False)
    assert ('{"id": "O1"}' in published, '{"id": "O2"}' in published) == (True, False)
    assert '{"id": "O2"}' in renderer.text(talk, None, ask=False)
    thought: list[BaseMessage] = [HumanMessage("Go.")]
    thought += [AIMessage("", tool_calls=[look("O1")], additional_kwargs=think("Hm."))]
    thought += [ToolMessage("sent", tool_call_id="O1", name="look"), AIMessage("It is sent.")]
    published = renderer.tokenizer.apply_chat_template(GPT_OSS.write(thought), tokenize=False)
    assert ("Hm." in published, "Hm." in renderer.text(thought, None, ask=False)) == (False, True)


def test_the_parser_of_transformers_fails_where_ours_does_not(renderer: Renderer) -> None:
    from trl.chat_template_utils import add_response_schema

    parsing = add_response_schema(small_tokenizer(trl_template("gptoss"), SPECIAL, eos="<|return|>"))
    spoken = '<|channel|>commentary to=functions.look <|constrain|>json<|message|>{"id": 1}<|call|>'
    assert "tool_calls" not in parsing.parse_response(spoken, prefix=ASK)
    assert calls_of(renderer.read(spoken, ASK)) == [("look", {"id": 1})]


def test_prompts_go_on_with_what_was_sampled_until_the_next_question(renderer: Renderer) -> None:
    assert converse(renderer, TWO_QUESTIONS) == [False, False, True]
