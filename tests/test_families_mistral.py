"""Mistral: both forms of calls are read, whatever stands around them, and the past is never told anew."""

import json
from typing import Any

import pytest
from family_rows import TWO_QUESTIONS, assert_only_grows, converse, messages, rows_of, say_again
from family_tokenizers import small_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from threadmill.nodes.models.families.choose import family_of
from threadmill.nodes.models.families.family import Said, read_calls
from threadmill.nodes.models.families.mistral import MISTRAL, MISTRAL_LIST, read, template_like
from threadmill.nodes.models.render import Renderer

SPECIAL = tuple(
    "<s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CALLS] [ARGS] "
    "[CALL_ID] [TOOL_CONTENT] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [THINK] [/THINK]".split()
)
LOOK = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}}
SIGNS = {
    "v3": "[TOOL_CALLS][INST] ",
    "v7": "[TOOL_CALLS][SYSTEM_PROMPT][TOOL_CONTENT]",
    "v11": "[TOOL_CALLS][ARGS][CALL_ID][SYSTEM_PROMPT][TOOL_CONTENT]",
    "v13": "[TOOL_CALLS][ARGS][SYSTEM_PROMPT][THINK]",
}
"""What the published template of a tokenizer's version has in it."""


def mistral(version: str) -> Renderer:
    """As it comes from the hub: a template that is published, and that moves the tools to the newest question."""
    template = SIGNS[version] + "{%- for m in messages %}{{ (tools if loop.last else '') ~ m.content }}{% endfor %}"
    return Renderer(small_tokenizer(template, SPECIAL, eos="</s>", bos="<s>"))


def calls_of(said: Said) -> list[tuple[str, dict[str, Any]]]:
    return [(call["name"], call["args"]) for call in read_calls(said, str)[0]]


def broken_of(said: Said) -> list[str | None]:
    return [call["args"] for call in read_calls(said, str)[1]]


@pytest.mark.parametrize(
    "text",
    [
        'I look.[TOOL_CALLS]look[ARGS]{"id": 1}[TOOL_CALLS]end[ARGS]{}',
        'I look.[TOOL_CALLS]look[CALL_ID]VvvODy9mT[ARGS]{"id": 1}[TOOL_CALLS]end[CALL_ID]VvvODy9mU[ARGS]{}',
        ' I look.[TOOL_CALLS] look {"id": 1}\n[TOOL_CALLS]end{}',
        'I look.[TOOL_CALLS][{"name": "look", "arguments": {"id": 1}, "id": "VvvODy9mT"}, '
        '{"name": "end", "arguments": {}}]',
        'I look.[TOOL_CALLS] [ {"arguments": {"id": 1}, "name": "look"} , {"name":"end","arguments":{}} ]',
        'I look.[TOOL_CALLS] {"name": "look", "arguments": {"id": 1}}[TOOL_CALLS][{"name": "end", "arguments": {}}]',
    ],
)
def test_text_and_two_calls_in_every_form(text: str) -> None:
    said = read("", text)
    assert (said.content, calls_of(said)) == ("I look.", [("look", {"id": 1}), ("end", {})])


def test_thinking_is_kept_apart() -> None:
    said = read("", '[THINK]Two [orders].[/THINK]I look.[TOOL_CALLS]look[ARGS]{"id": 1}')
    assert (said.reasoning, said.content, calls_of(said)) == ("Two [orders].", "I look.", [("look", {"id": 1})])


def test_nested_and_unicode_arguments() -> None:
    args = {"fälle": [{"name": "look", "arguments": {"x": 1}}], "text": 'a "b" {c} ]\\ [ARGS] 日本 🧵\n'}
    for ascii_only in (True, False):
        spoken = json.dumps(args, ensure_ascii=ascii_only)
        assert calls_of(read("", f"[TOOL_CALLS]look[ARGS]{spoken}")) == [("look", args)]
        listed = json.dumps([{"name": "look", "arguments": args, "id": "1"}], ensure_ascii=ascii_only)
        assert calls_of(read("", f"[TOOL_CALLS]{listed}")) == [("look", args)]


@pytest.mark.parametrize("broken", ['{"id": }', '{"id": 1', '{"id": "O1}', '{"id" 1}', "[1]", "", "please"])
def test_one_broken_call_among_good_ones(broken: str) -> None:
    said = read("", f'Hm.[TOOL_CALLS]a[ARGS]{{"x": 1}}[TOOL_CALLS]look[ARGS]{broken}[TOOL_CALLS]b[ARGS]{{"x": 2}}')
    assert calls_of(said) == [("a", {"x": 1}), ("b", {"x": 2})]
    assert broken_of(said) == [f"look[ARGS]{broken}"]
    assert said.content == "Hm."


@pytest.mark.parametrize(
    "broken",
    [
        '{"name": "look", "arguments": {"id": }}',
        '{"name": "look", "arguments": {"id": 1}',
        '{"name": "look", "arguments": {"id": "O1}}\n',
        '{"name": "look", "arguments" {"id": 1}}',
        '{"name": "look", "arguments": [1]}',
        '{"name": "look"}',
        '{"arguments": {}}',
    ],
)
def test_one_broken_call_in_a_list_of_good_ones(broken: str) -> None:
    first, last = '{"name": "a", "arguments": {"x": 1}}', '{"name": "b", "arguments": {"x": 2}}'
    said = read("", f"[TOOL_CALLS][{first}, {broken}, {last}] Done.")
    assert calls_of(said) == [("a", {"x": 1}), ("b", {"x": 2})]
    assert broken_of(said) == [broken.strip()]
    assert said.content == "Done."
    said = read("", f"[TOOL_CALLS][{first}, {last}, {broken}]")
    assert (calls_of(said), broken_of(said)) == ([("a", {"x": 1}), ("b", {"x": 2})], [broken.strip()])


def test_calls_that_are_cut_off_are_broken() -> None:
    for text, raw in (
        ('I look.[TOOL_CALLS]look[ARGS]{"id": "O', 'look[ARGS]{"id": "O'),
        ('I look.[TOOL_CALLS][{"name": "look", "arg', '{"name": "look", "arg'),
        ("I look.[TOOL_CALLS]look", "look"),
        ("I look.[TOOL_CALLS][1, 2]", "1, 2]"),
    ):
        said = read("", text)
        assert (said.content, calls_of(said), broken_of(said)) == ("I look.", [], [raw])


PIECES = st.sampled_from(
    [
        *(
            '[TOOL_CALLS]f[ARGS]{"a": 1}',
            '[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}}, ',
            "[TOOL_CALLS]",
            "[ARGS]",
        ),
        *('{"name": "f", "arguments": {"a": "x"}}', '{"name": "f", ', '"arguments": ', '{"a": [}', "[CALL_ID]", "]"),
        *(", ", "\n", "text ", "{", "}", '"', "[", "\\", "nul", "[THINK]", "[/THINK]"),
    ]
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join))
def test_a_growing_answer_is_told_piece_by_piece(text: str) -> None:
    assert_only_grows(MISTRAL, "", text)


@pytest.mark.parametrize("version", SIGNS)
def test_what_is_rendered_is_read_again(version: str) -> None:
    renderer = mistral(version)

    @settings(deadline=None)
    @given(messages(without="[]"))
    def said_again(message: AIMessage) -> None:
        assert say_again(renderer, message) == message

    said_again()


@pytest.mark.parametrize(
    ("version", "raw"), [("v3", '{"name": "look", "arguments": {"id": }}'), ("v13", 'look[ARGS]{"id": }')]
)
def test_a_broken_call_is_rendered_as_it_was_sampled(version: str, raw: str) -> None:
    message = AIMessage(
        "I look.",
        tool_calls=[{"name": "look", "args": {"id": 1}, "id": "call00000"}],
        invalid_tool_calls=[{"type": "invalid_tool_call", "name": "look", "args": raw, "id": "1", "error": None}],
    )
    again = say_again(mistral(version), message)
    assert (again.content, [call["args"] for call in again.tool_calls]) == ("I look.", [{"id": 1}])
    assert [call["args"] for call in again.invalid_tool_calls] == [raw]


TALK: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Where are they?"),
    AIMessage(
        "",
        tool_calls=[
            {"name": "look", "args": {"id": "O1"}, "id": "VvvODy9m1"},
            {"name": "look", "args": {"id": "O2"}, "id": "VvvODy9m2"},
        ],
    ),
    ToolMessage("sent", tool_call_id="VvvODy9m1", name="look"),
    ToolMessage("lost", tool_call_id="VvvODy9m2", name="look"),
    AIMessage("One is lost."),
]
TOOLS = json.dumps([LOOK])


@pytest.mark.parametrize(
    ("version", "rendered"),
    [
        (
            "v3",
            f"<s>[AVAILABLE_TOOLS] {TOOLS}[/AVAILABLE_TOOLS][INST] Be brief.\n\nWhere are they?[/INST]"
            '[TOOL_CALLS] [{"name": "look", "arguments": {"id": "O1"}, "id": "VvvODy9m1"}, '
            '{"name": "look", "arguments": {"id": "O2"}, "id": "VvvODy9m2"}]</s>'
            '[TOOL_RESULTS] {"content": "sent", "call_id": "VvvODy9m1"}[/TOOL_RESULTS]'
            '[TOOL_RESULTS] {"content": "lost", "call_id": "VvvODy9m2"}[/TOOL_RESULTS] One is lost.</s>',
        ),
        (
            "v7",
            f"<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][AVAILABLE_TOOLS]{TOOLS}[/AVAILABLE_TOOLS]"
            "[INST]Where are they?[/INST]"
            '[TOOL_CALLS][{"name": "look", "arguments": {"id": "O1"}, "id": "VvvODy9m1"}, '
            '{"name": "look", "arguments": {"id": "O2"}, "id": "VvvODy9m2"}]</s>'
            "[TOOL_RESULTS]VvvODy9m1[TOOL_CONTENT]sent[/TOOL_RESULTS]"
            "[TOOL_RESULTS]VvvODy9m2[TOOL_CONTENT]lost[/TOOL_RESULTS]One is lost.</s>",
        ),
        (
            "v11",
            f"<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][AVAILABLE_TOOLS]{TOOLS}[/AVAILABLE_TOOLS]"
            "[INST]Where are they?[/INST]"
            '[TOOL_CALLS]look[CALL_ID]VvvODy9m1[ARGS]{"id": "O1"}[TOOL_CALLS]look[CALL_ID]VvvODy9m2[ARGS]{"id": "O2"}'
            "</s>[TOOL_RESULTS]VvvODy9m1[TOOL_CONTENT]sent[/TOOL_RESULTS]"
            "[TOOL_RESULTS]VvvODy9m2[TOOL_CONTENT]lost[/TOOL_RESULTS]One is lost.</s>",
        ),
        (
            "v13",
            f"<s>[SYSTEM_PROMPT]Be brief.[/SYSTEM_PROMPT][AVAILABLE_TOOLS]{TOOLS}[/AVAILABLE_TOOLS]"
            '[INST]Where are they?[/INST][TOOL_CALLS]look[ARGS]{"id": "O1"}[TOOL_CALLS]look[ARGS]{"id": "O2"}</s>'
            "[TOOL_RESULTS]sent[/TOOL_RESULTS][TOOL_RESULTS]lost[/TOOL_RESULTS]One is lost.</s>",
        ),
    ],
)
def test_one_question_is_rendered_as_the_version_of_the_tokenizer_has_it(version: str, rendered: str) -> None:
    assert mistral(version).text(TALK, [LOOK], ask=False) == rendered


def test_the_family_follows_the_form_of_calls() -> None:
    names = {version: mistral(version).family.name for version in SIGNS}
    assert names == {"v3": "mistral-list", "v7": "mistral-list", "v11": "mistral", "v13": "mistral"}


def test_ids_get_nine_characters_the_same_in_call_and_result() -> None:
    look = {"name": "look", "args": {}, "id": "call_0123456789abcdef"}
    call, result = MISTRAL_LIST.write([AIMessage("", tool_calls=[look]), ToolMessage("x", tool_call_id=look["id"])])
    assert call["tool_calls"][0]["id"] == result["tool_call_id"]
    assert len(result["tool_call_id"]) == 9


def test_a_template_that_tells_all_is_kept() -> None:
    tokenizer = small_tokenizer("{#- ours -#}" + template_like(SIGNS["v13"]), SPECIAL, eos="</s>", bos="<s>")
    assert family_of(tokenizer).template is None
    tokenizer.chat_template = tokenizer.chat_template.replace("message.content if message.content", "''")
    assert family_of(tokenizer).template is not None


def test_exactly_what_the_assistant_says_is_trained() -> None:
    talk: list[BaseMessage] = [
        HumanMessage("Where are they?"),
        AIMessage(
            "I look.",
            additional_kwargs={"reasoning_content": "Two."},
            tool_calls=[
                {"name": "look", "args": {"id": "O1"}, "id": "VvvODy9m1"},
                {"name": "end", "args": {}, "id": "VvvODy9m2"},
            ],
        ),
        ToolMessage("sent", tool_call_id="VvvODy9m1", name="look"),
        ToolMessage("lost", tool_call_id="VvvODy9m2", name="look"),
        AIMessage("One is lost."),
        HumanMessage("Oh."),
        AIMessage("Sorry."),
    ]
    assert rows_of(mistral("v13"), talk) == [
        """\
<s>[INST]Where are they?[/INST]
0000000000000000000000000000000
[THINK]Two.[/THINK]I look.[TOOL_CALLS]look[ARGS]{"id": "O1"}[TOOL_CALLS]end[ARGS]{}</s>
111111111111111111111111111111111111111111111111111111111111111111111111111111111111111
[TOOL_RESULTS]sent[/TOOL_RESULTS][TOOL_RESULTS]lost[/TOOL_RESULTS]
000000000000000000000000000000000000000000000000000000000000000000
One is lost.</s>
1111111111111111
[INST]Oh.[/INST]
0000000000000000
Sorry.</s>
1111111111"""
    ]
    (row,) = rows_of(mistral("v3"), [talk[0], *talk[4:]])  # white space in front of an answer is the model's
    assert row.splitlines()[-4:] == ["[INST] Oh.[/INST]", "00000000000000000", " Sorry.</s>", "11111111111"]
    (row,) = rows_of(mistral("v3"), talk[:3])
    spoken = (
        ' [THINK]Two.[/THINK]I look.[TOOL_CALLS] [{"name": "look", "arguments": {"id": "O1"}, "id": "VvvODy9m1"}, '
        '{"name": "end", "arguments": {}, "id": "VvvODy9m2"}]</s>'
    )
    assert row.splitlines()[2:] == [spoken, "1" * len(spoken)]


@pytest.mark.parametrize("version", SIGNS)
def test_the_prompts_of_later_turns_go_on_with_what_was_sampled(version: str) -> None:
    assert converse(mistral(version), TWO_QUESTIONS) == [False, False, False]
