"""DeepSeek-V3, R1 and V3.1: calls between tokens of their own, and a template that opens every turn."""

import json
from typing import Any

import pytest
from family_rows import TWO_QUESTIONS, assert_only_grows, converse, messages, rows_of, say_again
from family_tokenizers import small_tokenizer, trl_template
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from threadmill.nodes.models.families.choose import family_of
from threadmill.nodes.models.families.deepseekv3 import DEEPSEEK_V3, read
from threadmill.nodes.models.families.family import Said, read_calls
from threadmill.nodes.models.render import Renderer

SPECIAL = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>")
ADDED = tuple(
    "<｜User｜> <｜Assistant｜> <｜tool▁calls▁begin｜> <｜tool▁calls▁end｜> <｜tool▁call▁begin｜> <｜tool▁call▁end｜> "
    "<｜tool▁sep｜> <｜tool▁outputs▁begin｜> <｜tool▁outputs▁end｜> <｜tool▁output▁begin｜> <｜tool▁output▁end｜> "
    "<think> </think>".split()
)
BEGIN, END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
R1 = trl_template("deepseekv3")
V3 = R1.replace("<think>\\n", "")
V31 = """{# <｜tool▁calls▁begin｜> <｜tool▁sep｜> #}{% if add_generation_prompt %}<｜Assistant｜></think>{% endif %}"""


def deepseek(published: str, **settings: Any) -> Renderer:
    tokenizer = small_tokenizer(published, SPECIAL, eos=SPECIAL[1], bos=SPECIAL[0], added=ADDED)
    return Renderer(tokenizer, chat_template_kwargs=settings)


def fenced(name: str, args: str) -> str:
    return f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{args}\n```<｜tool▁call▁end｜>"


def bare(name: str, args: str) -> str:
    return f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{args}<｜tool▁call▁end｜>"


def calls_of(said: Said) -> list[tuple[str, dict[str, Any]]]:
    return [(call["name"], call["args"]) for call in read_calls(said, str)[0]]


def broken_of(said: Said) -> list[str | None]:
    return [call["args"] for call in read_calls(said, str)[1]]


@pytest.mark.parametrize("call", [fenced, bare])
def test_several_calls_with_text_and_thinking_around(call: Any) -> None:
    calls = BEGIN + call("look", '{"id": 1}') + "\n" + call("end", "{}") + END
    said = read("<｜Assistant｜><think>\n", f"Two.\n</think>\n\nI look.{calls}\nDone.")
    assert (said.reasoning, said.content) == ("Two.", "I look.\nDone.")
    assert calls_of(said) == [("look", {"id": 1}), ("end", {})]


@pytest.mark.parametrize("call", [fenced, bare])
def test_nested_and_unicode_arguments(call: Any) -> None:
    args = {"fälle": [{"name": "look", "x": {"y": 1}}], "text": 'a "b" {c} ]\\ ```\n 日本 🧵\n'}
    for ascii_only in (True, False):
        said = read("", BEGIN + call("look", json.dumps(args, ensure_ascii=ascii_only, indent=2)) + END)
        assert calls_of(said) == [("look", args)]


@pytest.mark.parametrize("call", [fenced, bare])
@pytest.mark.parametrize("broken", ['{"id": }', '{"id": 1', '{"id": "O1}', '{"id" 1}', "[1]", "", '{"id": 1} please'])
def test_one_broken_call_among_good_ones(call: Any, broken: str) -> None:
    calls = call("a", '{"x": 1}') + call("look", broken) + "\n" + call("b", '{"x": 2}')
    said = read("", f"Hm.{BEGIN}{calls}{END}")
    assert calls_of(said) == [("a", {"x": 1}), ("b", {"x": 2})]
    raw = call("look", broken).removeprefix("<｜tool▁call▁begin｜>").removesuffix("<｜tool▁call▁end｜>")
    assert broken_of(said) == [raw]
    assert said.content == "Hm."


def test_a_call_whose_end_is_missing_does_not_swallow_the_next() -> None:
    lost = fenced("look", '{"id": 1}').removesuffix("<｜tool▁call▁end｜>")
    said = read("", BEGIN + lost + fenced("b", "{}") + END)
    assert (calls_of(said), broken_of(said)) == ([("b", {})], [lost.removeprefix("<｜tool▁call▁begin｜>")])


@pytest.mark.parametrize("call", [fenced, bare])
def test_a_call_that_is_cut_off_is_broken(call: Any) -> None:
    whole = call("look", '{"id": "O1"}')
    begin = len("<｜tool▁call▁begin｜>")
    for end in (begin, begin + 4, whole.index("{") + 3, len(whole) - len("<｜tool▁call▁end｜>")):
        said = read("", "I look." + BEGIN + whole[:end])
        assert (said.content, calls_of(said), broken_of(said)) == ("I look.", [], [whole[begin:end].strip()])


PIECES = st.sampled_from(
    [
        *(fenced("f", '{"a": 1}'), bare("f", '{"a": "x"}'), BEGIN, END, "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"),
        *("function", "<｜tool▁sep｜>", "f\n", "```json\n", "```", "</think>", "<think>"),
        *('{"a": ', "{", "}", '"', "[", "1", "\\", "\n", "text ", " "),
    ]
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from(["", "<think>"]))
def test_a_growing_answer_is_told_piece_by_piece(text: str, opening: str) -> None:
    assert_only_grows(DEEPSEEK_V3, opening, text)


@pytest.mark.parametrize(
    "renderer",
    [deepseek(V3), deepseek(R1), deepseek(V31, thinking=True)],
    ids=["V3", "R1", "V3.1"],
)
def test_what_is_rendered_is_read_again(renderer: Renderer) -> None:
    @settings(deadline=None)
    @given(messages(without="<"))
    def said_again(message: AIMessage) -> None:
        assert say_again(renderer, message) == message

    said_again()


@pytest.mark.parametrize(("published", "call"), [(V3, fenced), (V31, bare)])
def test_a_broken_call_is_rendered_as_it_was_sampled(published: str, call: Any) -> None:
    raw = call("look", '{"id": }').removeprefix("<｜tool▁call▁begin｜>").removesuffix("<｜tool▁call▁end｜>")
    message = AIMessage(
        "I look.",
        tool_calls=[{"name": "look", "args": {"id": 1}, "id": "call00000"}],
        invalid_tool_calls=[{"type": "invalid_tool_call", "name": "look", "args": raw, "id": "1", "error": None}],
    )
    again = say_again(deepseek(published), message)
    assert (again.content, [call["args"] for call in again.tool_calls]) == ("I look.", [{"id": 1}])
    assert [call["args"] for call in again.invalid_tool_calls] == [raw]


def look(order: str) -> Any:
    return {"name": "look", "args": {"id": order}, "id": order}


TALK: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Where are they?"),
    AIMessage("I look.", tool_calls=[look("O1"), look("O2")]),
    ToolMessage("sent", tool_call_id="O1", name="look"),
    ToolMessage("lost", tool_call_id="O2", name="look"),
    AIMessage("", tool_calls=[look("O2")]),
    ToolMessage("lost", tool_call_id="O2", name="look"),
    AIMessage("One is lost.", additional_kwargs={"reasoning_content": "Bad."}),
    HumanMessage("Oh."),
    AIMessage("Sorry."),
]


def test_exactly_what_the_assistant_says_is_trained() -> None:
    assert rows_of(deepseek(V3), TALK) == [
        """\
<｜begin▁of▁sentence｜>Be brief.<｜User｜>Where are they?<｜Assistant｜>
000000000000000000000000000000000000000000000000000000000000000000
I look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look⏎
11111111111111111111111111111111111111111111111111111111111111111111111
```json⏎
11111111
{"id": "O1"}⏎
1111111111111
```<｜tool▁call▁end｜>⏎
111111111111111111111
<｜tool▁call▁begin｜>function<｜tool▁sep｜>look⏎
11111111111111111111111111111111111111111111
```json⏎
11111111
{"id": "O2"}⏎
1111111111111
```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>
111111111111111111111111111111111111111111111111111111111
<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>sent<｜tool▁output▁end｜>⏎
0000000000000000000000000000000000000000000000000000000000000000000
<｜tool▁output▁begin｜>lost<｜tool▁output▁end｜><｜tool▁outputs▁end｜>
0000000000000000000000000000000000000000000000000000000000000000
<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>look⏎
1111111111111111111111111111111111111111111111111111111111111111
```json⏎
11111111
{"id": "O2"}⏎
1111111111111
```<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>
111111111111111111111111111111111111111111111111111111111
<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>lost<｜tool▁output▁end｜><｜tool▁outputs▁end｜>
00000000000000000000000000000000000000000000000000000000000000000000000000000000000000
<think>⏎
11111111
Bad.⏎
11111
</think>⏎
111111111
⏎
1
One is lost.<｜end▁of▁sentence｜>
1111111111111111111111111111111
<｜User｜>Oh.<｜Assistant｜>
000000000000000000000000
Sorry.<｜end▁of▁sentence｜>
1111111111111111111111111"""
    ]


def test_thinking_that_the_prompt_opens_is_trained_until_the_next_question_and_then_a_new_row_begins() -> None:
    talk: list[BaseMessage] = [
        HumanMessage("Where?"),
        AIMessage("Here.", additional_kwargs={"reasoning_content": "Easy."}),
        HumanMessage("And?"),
        AIMessage("There."),
    ]
    assert rows_of(deepseek(R1), talk) == [
        """\
<｜begin▁of▁sentence｜><｜User｜>Where?<｜Assistant｜><think>⏎
00000000000000000000000000000000000000000000000000000000
Easy.⏎
111111
</think>⏎
111111111
⏎
1
Here.<｜end▁of▁sentence｜>
111111111111111111111111""",
        """\
<｜begin▁of▁sentence｜><｜User｜>Where?<｜Assistant｜>Here.<｜end▁of▁sentence｜><｜User｜>And?<｜Assistant｜><think>⏎
000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000
⏎
0
</think>⏎
000000000
⏎
0
There.<｜end▁of▁sentence｜>
1111111111111111111111111""",
    ]


def test_tools_stand_in_the_prompt() -> None:
    tool = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}}
    assert deepseek(V31).text([HumanMessage("Hi.")], [tool], ask=True) == (
        "<｜begin▁of▁sentence｜>\n\n## Tools\nYou have access to the following tools:\n\n"
        "### look\nDescription: Look.\n\n"
        'Parameters: {"type": "object"}\n\nIMPORTANT: ALWAYS adhere to this exact format for tool use:\n'
        "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>tool_call_name<｜tool▁sep｜>tool_call_arguments<｜tool▁call▁end｜>"
        "{additional_tool_calls}<｜tool▁calls▁end｜>\n\nWhere:\n"
        "- `tool_call_name` must be an exact match to one of the available tools\n"
        "- `tool_call_arguments` must be valid JSON that strictly follows the tool's Parameters Schema\n"
        "- For multiple tool calls, chain them directly without separators or spaces\n"
        "<｜User｜>Hi.<｜Assistant｜></think>"
    )


@pytest.mark.parametrize("published", [V3, R1], ids=["V3", "R1"])
def test_a_first_turn_with_calls_is_rendered_as_published(published: str) -> None:
    renderer = deepseek(published)
    for length in (2, 3, 4):
        ours = renderer.text(TALK[:length], None, ask=False).replace("<think>\n\n</think>\n\n", "")
        assert ours == renderer.tokenizer.apply_chat_template(DEEPSEEK_V3.write(TALK[:length]), tokenize=False)
    asked = renderer.tokenizer.apply_chat_template(
        DEEPSEEK_V3.write(TALK[:2]), tokenize=False, add_generation_prompt=True
    )
    assert renderer.text(TALK[:2], None, ask=True) == asked


def test_the_published_template_fails_where_ours_does_not() -> None:
    renderer = deepseek(V3)
    chat = DEEPSEEK_V3.write(TALK[:7])
    published = renderer.tokenizer.apply_chat_template(chat, tokenize=False)
    assert published.count("<｜tool▁calls▁begin｜>") == 1  # of two turns with calls
    assert renderer.text(TALK[:7], None, ask=False).count("<｜tool▁calls▁begin｜>") == 2
    training = renderer.tokenizer.apply_chat_template(
        chat,
        chat_template=trl_template("deepseekv3_training"),
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    marked = zip(training["input_ids"], training["assistant_masks"], strict=True)
    trained = renderer.tokenizer.decode([token for token, mark in marked if mark])
    assert trained.startswith("<｜Assistant｜>I look.")
    assert r'"{\"id\": \"O1\"}"' in trained
    chat[2]["tool_calls"][0]["function"]["arguments"] = {"id": "O1"}
    with pytest.raises(TypeError, match="dict"):
        renderer.tokenizer.apply_chat_template(chat, tokenize=False)


def test_the_family_follows_the_form_of_calls() -> None:
    assert [deepseek(published).family.name for published in (V3, R1, V31)] == [
        "deepseek-v3",
        "deepseek-v3",
        "deepseek-v3.1",
    ]


def test_a_template_that_tells_all_is_kept() -> None:
    tokenizer = small_tokenizer(f"{{#- ours -#}}{DEEPSEEK_V3.template}", SPECIAL, eos=SPECIAL[1], added=ADDED)
    assert family_of(tokenizer).template is None


@pytest.mark.parametrize(("published", "restart"), [(V3, False), (R1, True), (V31, False)], ids=["V3", "R1", "V3.1"])
def test_the_prompts_of_later_turns_go_on_with_what_was_sampled(published: str, restart: bool) -> None:
    assert converse(deepseek(published), TWO_QUESTIONS) == [False, False, restart]
