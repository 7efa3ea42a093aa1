"""ReAct as text: a base model calls tools with nothing but eos, and its turns end where they should."""

import json
from typing import Any

import pytest
from family_rows import TWO_QUESTIONS, assert_only_grows, converse, messages, rows_of, say_again
from family_tokenizers import small_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from threadmill.errors import BadModelFolder
from threadmill.nodes.models.families.choose import family_named
from threadmill.nodes.models.families.family import Said, read_calls
from threadmill.nodes.models.families.react_text import REACT_TEXT, read
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.trace import Trace, write_trace

ASK = "Thought:"
EOS = "<|endoftext|>"


def base_tokenizer() -> Any:
    return small_tokenizer(None, (EOS,), eos=EOS)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(base_tokenizer(), REACT_TEXT)


def calls_of(said: Said) -> list[tuple[str, dict[str, Any]]]:
    return [(call["name"], call["args"]) for call in read_calls(said, str)[0]]


def broken_of(said: Said) -> list[str | None]:
    return [call["args"] for call in read_calls(said, str)[1]]


def test_a_thought_and_a_call() -> None:
    for end in (
        "",
        "\nObservation:",
        "\nObservation: sent\nThought: Good.\nFinal Answer: It is sent.",
        "\nThought: So.",
    ):
        said = read(ASK, ' I look.\nAction: look\nAction Input: {"id": 1}' + end)
        assert (said.content, calls_of(said)) == ("", [("look", {"id": 1})])
        assert said.reasoning == "I look." + ("\nSo." if end.endswith("So.") else "")


def test_a_thought_and_a_final_answer() -> None:
    for end in ("", "\n\nQuestion: what else?", "\nObservation: none"):
        said = read(ASK, " Easy.\nThought: Yes.\nFinal Answer: It is sent.\nAction: none" + end)
        assert said == Said("It is sent.\nAction: none", "Easy.\nYes.")


def test_an_answer_that_gives_neither_is_thinking() -> None:
    assert read(ASK, " It is sent.\nI think.") == Said("", "It is sent.\nI think.")


def test_several_calls_are_all_read() -> None:
    look, end = '\nAction: look\nAction Input: {"id": 1}', "\nAction: end\nAction Input: {}"
    for between in ("", "\nThought: Then"):
        assert calls_of(read(ASK, f"{look}{between}{end}\nObservation:")) == [("look", {"id": 1}), ("end", {})]


def test_nested_and_unicode_arguments() -> None:
    args = {"fälle": [{"name": "look", "x": {"y": 1}}], "text": 'a "b" {c} ]\\ \nAction: x\nObservation: 日本 🧵\n'}
    for indent in (None, 2):
        said = read(ASK, "\nAction: look\nAction Input: " + json.dumps(args, ensure_ascii=bool(indent), indent=indent))
        assert calls_of(said) == [("look", args)]


@pytest.mark.parametrize(
    "broken",
    [
        'look\nAction Input: {"id": }',
        'look\nAction Input: {"id": 1',
        'look\nAction Input: {"id": "O1}',
        "look\nAction Input: [1]",
        "look\nAction Input: order O1",
        'look\nAction Input: {"id": 1} please',
        "look[O1]",
        "look",
    ],
)
def test_one_broken_call_among_good_ones(broken: str) -> None:
    first, last = 'a\nAction Input: {"x": 1}', 'b\nAction Input: {"x": 2}'
    said = read(ASK, f" Hm.\nAction: {first}\nAction: {broken}\nAction: {last}\nObservation:")
    assert calls_of(said) == [("a", {"x": 1}), ("b", {"x": 2})]
    assert broken_of(said) == [broken]


def test_a_call_that_is_cut_off_is_broken() -> None:
    for cut in ('look\nAction Input: {"id": "O', "look\nAction Input:", "lo"):
        said = read(ASK, f" Hm.\nAction: {cut}")
        assert (calls_of(said), broken_of(said)) == ([], [cut])
    assert broken_of(read(ASK, '\nAction Input: {"id": 1}')) == ['Action Input: {"id": 1}']


PIECES = st.sampled_from(
    [
        *("\nThought:", "\nAction:", "\nAction Input:", "\nFinal Answer:", "\nObservation:", "\nQuestion:", "Action:"),
        *(" look", '{"a": 1}', "{", "}", '"', "[", "\n", " ", "text", "Act", ":"),
        '\nAction: f\nAction Input: {"a": "x"}',
    ]
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=14).map("".join))
def test_a_growing_answer_is_told_piece_by_piece(text: str) -> None:
    assert_only_grows(REACT_TEXT, ASK, text)


@settings(deadline=None)
@given(message=messages(without=":", beside_calls=False))
def test_what_is_rendered_is_read_again(renderer: Renderer, message: AIMessage) -> None:
    assert say_again(renderer, message) == message


def test_text_beside_a_call_is_told_as_thought_and_a_broken_call_as_it_was_sampled(renderer: Renderer) -> None:
    raw = "look\nAction Input: O1"
    message = AIMessage(
        "I look.",
        additional_kwargs={"reasoning_content": "Hm."},
        tool_calls=[{"name": "look", "args": {"id": 1}, "id": "call00000"}],
        invalid_tool_calls=[{"type": "invalid_tool_call", "name": "look", "args": raw, "id": "1", "error": None}],
    )
    again = say_again(renderer, message)
    assert (again.content, again.additional_kwargs["reasoning_content"]) == ("", "Hm.\nI look.")
    assert [call["args"] for call in again.tool_calls] == [{"id": 1}]
    assert [call["args"] for call in again.invalid_tool_calls] == [raw]


def look(order: str) -> Any:
    return {"name": "look", "args": {"id": order}, "id": order}


def think(text: str) -> dict[str, Any]:
    return {"reasoning_content": text}


def test_exactly_what_the_assistant_says_is_trained(renderer: Renderer) -> None:
    talk: list[BaseMessage] = [
        SystemMessage("Be brief."),
        HumanMessage("Where are they?"),
        AIMessage("", tool_calls=[look("O1"), look("O2")], additional_kwargs=think("Two.")),
        ToolMessage("sent", tool_call_id="O1", name="look"),
        ToolMessage("lost", tool_call_id="O2", name="look"),
        AIMessage("One is lost.", additional_kwargs=think("Bad.")),
        HumanMessage("Oh."),
        AIMessage("Sorry."),
    ]
    assert rows_of(renderer, talk) == [
        """\
Be brief.⏎
0000000000
⏎
0
Answer the questions as well as you can. Use this form:⏎
00000000000000000000000000000000000000000000000000000000
⏎
0
Question: the question that you must answer⏎
00000000000000000000000000000000000000000000
Thought: what you think about it⏎
000000000000000000000000000000000
Final Answer: the answer to the question⏎
00000000000000000000000000000000000000000
⏎
0
Question: Where are they?⏎
00000000000000000000000000
Thought:
00000000
 Two.⏎
111111
Action: look⏎
1111111111111
Action Input: {"id": "O1"}⏎
111111111111111111111111111
Action: look⏎
1111111111111
Action Input: {"id": "O2"}⏎
111111111111111111111111111
Observation:
111111111111
 sent⏎
000000
Observation: lost⏎
000000000000000000
Thought:
00000000
 Bad.⏎
111111
Final Answer: One is lost.<|endoftext|>
111111111111111111111111111111111111111
⏎
0
⏎
0
Question: Oh.⏎
00000000000000
Thought:
00000000
⏎
1
Final Answer: Sorry.<|endoftext|>
111111111111111111111111111111111
⏎
0"""
    ]


def test_tools_stand_in_the_prompt(renderer: Renderer) -> None:
    tool = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}}
    assert renderer.text([HumanMessage("Hi.")], [tool], ask=True) == (
        "Answer the questions as well as you can. These are the tools:\n\n"
        'look: Look. Arguments: {"type": "object"}\n\n'
        "Use this form:\n\n"
        "Question: the question that you must answer\n"
        "Thought: what you think about what to do\n"
        "Action: the name of a tool\n"
        "Action Input: its arguments as a JSON object\n"
        "Observation: its result\n"
        "... (this can be repeated)\n"
        "Thought: what you know now\n"
        "Final Answer: the answer to the question\n\n"
        "Question: Hi.\nThought:"
    )


@pytest.mark.parametrize(
    ("sampled", "finish"),
    [
        ("\nObservation:", "stop_text"),
        (EOS, "stop"),  # it ended its turn, but did not go on to the observation
        ("", "length"),
    ],
)
def test_what_was_sampled_goes_on_with_the_result_behind_observation(
    renderer: Renderer, sampled: str, finish: str
) -> None:
    asked: list[BaseMessage] = [HumanMessage("Where?")]
    prompt = renderer.prompt(asked, None)
    spoken = ' Hm.\nAction: look\nAction Input:{"id":"O1"}' + sampled  # not as the template writes it
    ids = renderer.ids(spoken)
    trace = Trace("v1", prompt.delta_ids, ids, (-1.0,) * len(ids), finish=finish, digest=prompt.digest)
    call = AIMessage("", tool_calls=[look("O1")], response_metadata={"trace": write_trace(trace)})
    call.additional_kwargs.update(think("Hm."))
    after = renderer.prompt([*asked, call, ToolMessage("sent", tool_call_id="O1")], None)
    assert not after.restart
    lost = "" if finish == "stop_text" else "\nObservation:"
    assert renderer.tokenizer.decode(after.full_ids[len(prompt.full_ids) :]) == f"{spoken}{lost} sent\nThought:"


def test_a_base_model_without_a_template_is_served_if_the_family_is_named() -> None:
    with pytest.raises(BadModelFolder, match='family="react-text"'):
        Renderer(base_tokenizer())
    assert family_named("react-text") is REACT_TEXT


def test_the_prompts_of_later_turns_go_on_with_what_was_sampled(renderer: Renderer) -> None:
    assert converse(renderer, TWO_QUESTIONS) == [False, False, False]
