"""Conversations without traces: rows as a model would have seen them, their trajectories, and edits in them."""

from typing import Any

import pytest
from family_tokenizers import CHATML, qwen_tokenizer, small_tokenizer, trl_template
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from threadmill.errors import CannotRender
from threadmill.nodes.models.families.choose import family_named
from threadmill.nodes.models.families.family import fresh_id, read_calls
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.trace import EDIT_KEY, Trace, write_trace
from threadmill.training.branches import render_trajectory
from threadmill.training.trajectory import read_trajectory


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(qwen_tokenizer("qwen3"))


def thinking(content: str, reasoning: str, **kwargs: Any) -> AIMessage:
    return AIMessage(content, additional_kwargs={"reasoning_content": reasoning}, **kwargs)


def test_every_answer_is_trained_in_exactly_one_row(renderer: Renderer) -> None:
    talk: list[BaseMessage] = [HumanMessage("Hi.")]
    for turn in range(3):
        talk += [thinking(f"Answer {turn}.", f"Thought {turn}."), HumanMessage("And?")]
    rows = renderer.training_rows(talk)
    assert [[turn.message for turn in row.turns] for row in rows] == [[1], [3], [5]]
    assert [renderer.tokenizer.decode(row.ids[t.low : t.high]) for row in rows for t in row.turns] == [
        f"<think>\nThought {turn}.\n</think>\n\nAnswer {turn}.<|im_end|>" for turn in range(3)
    ]
    with pytest.raises(CannotRender, match="these 7 messages make 3 rows; use training_rows"):
        renderer.training_ids(talk)


def test_what_is_said_before_anybody_asked_is_no_answer(renderer: Renderer) -> None:
    (row,) = renderer.training_rows([AIMessage("Welcome."), HumanMessage("Hi."), AIMessage("Hello.")])
    assert [(turn.message, renderer.tokenizer.decode(row.ids[turn.low : turn.high])) for turn in row.turns] == [
        (2, "Hello.<|im_end|>")
    ]
    assert "Welcome." in renderer.tokenizer.decode(row.ids)


def test_a_conversation_without_answers_is_one_row_that_trains_nothing(renderer: Renderer) -> None:
    (row,) = renderer.training_rows([HumanMessage("Hi.")])
    assert (row.turns, sum(row.mask())) == ((), 0)
    assert renderer.tokenizer.decode(row.ids) == "<|im_start|>user\nHi.<|im_end|>\n"
    assert render_trajectory([HumanMessage("Hi.")], renderer) == ()


def test_a_rendered_row_is_what_the_prompts_of_a_model_would_have_been(renderer: Renderer) -> None:
    call = ToolCall(name="look", args={"id": 1}, id="a")
    talk: list[BaseMessage] = [
        HumanMessage("Where?"),
        thinking("", "Hm.", tool_calls=[call]),
        ToolMessage("sent", tool_call_id="a"),
        thinking("It is sent.", "So."),
    ]
    (row,) = renderer.training_rows(talk)
    first, second = row.turns
    assert row.ids[: first.low] == renderer.prompt(talk[:1], None).full_ids
    sampled = row.ids[first.low : first.high]
    prompt = renderer.prompt(talk[:1], None)
    trace = Trace("v", prompt.delta_ids, sampled, (-1.0,) * len(sampled), digest=prompt.digest)
    traced = talk[1].model_copy(update={"response_metadata": {"trace": write_trace(trace)}})
    assert row.ids[: second.low] == renderer.prompt([talk[0], traced, talk[2]], None).full_ids


def test_rows_become_trajectories_whose_spans_name_their_messages(renderer: Renderer) -> None:
    talk: list[BaseMessage] = [
        HumanMessage("Hi."),
        AIMessage("Hello.", id="a"),
        HumanMessage("Bye."),
        thinking("Bye.", "Hm.", id="b"),
        HumanMessage("Wait."),
        AIMessage("Yes?", id="c"),
    ]
    one, two = render_trajectory(talk, renderer)
    decode = renderer.tokenizer.decode
    assert [(span.origin, span.message) for span in one.spans] == [
        ("given", None),
        ("sampled", "a"),
        ("given", None),
        ("sampled", "b"),
    ]
    assert decode(one.ids()) == (
        "<|im_start|>user\nHi.<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\nHello.<|im_end|>\n"
        "<|im_start|>user\nBye.<|im_end|>\n<|im_start|>assistant\n<think>\nHm.\n</think>\n\nBye.<|im_end|>"
    )
    assert [(span.origin, span.message) for span in two.spans] == [("given", None), ("sampled", "c"), ("given", None)]
    assert [decode(span.tokens) for span in two.spans[1:]] == ["Yes?<|im_end|>", "\n"]


def test_an_edit_is_human_and_keeps_what_it_replaced_as_a_proposal(renderer: Renderer) -> None:
    edit = {"by": "ann", "at": "", "proposal": {"content": "Wrong.", "tool_calls": []}}
    talk: list[BaseMessage] = [HumanMessage("Hi."), AIMessage("Right.", id="a", response_metadata={EDIT_KEY: edit})]
    (row,) = render_trajectory(talk, renderer)
    assert [(span.origin, renderer.tokenizer.decode(span.tokens)) for span in row.spans[1:2]] == [
        ("human", "Right.<|im_end|>")
    ]
    (proposal,) = row.proposals
    assert (proposal.at, proposal.replaced) == (1, True)
    assert renderer.tokenizer.decode(proposal.span.tokens) == "Wrong.<|im_end|>"


def test_where_a_text_ends_the_turn_the_recorded_tokens_hold_too() -> None:
    """As in ReAct without a chat template: the model itself goes on to the observation, and is stopped there."""
    renderer = Renderer(small_tokenizer(None, CHATML, eos="<|im_end|>", bos="<|im_start|>"), family_named("react-text"))
    called = ' Hm.\nAction: look\nAction Input: {"id": 1}'
    for sampled, finish, added in (
        (f"{called}\nObservation:", "stop_text", " sent\nThought:"),
        (called, "length", "\nObservation: sent\nThought:"),
    ):
        asked: list[BaseMessage] = [HumanMessage("Where?")]
        prompt, ids = renderer.prompt(asked, None), renderer.ids(sampled)
        trace = Trace("v", prompt.delta_ids, ids, (-1.0,) * len(ids), finish=finish, digest=prompt.digest)
        said = renderer.read(ids, prompt.opening)
        calls, _ = read_calls(said, fresh_id)
        answer = AIMessage(
            "",
            tool_calls=calls,
            additional_kwargs={"reasoning_content": said.reasoning},
            response_metadata={"trace": write_trace(trace)},
        )
        following = renderer.prompt([*asked, answer, ToolMessage("sent", tool_call_id=str(calls[0]["id"]))], None)
        assert not following.restart
        assert renderer.tokenizer.decode(following.delta_ids) == added


LFM = ("<|startoftext|>", "<|im_start|>", "<|im_end|>", "<|tool_call_start|>", "<|tool_call_end|>")
NO_THINKING = {"enable_thinking": False}
SPEAKERS = {
    "qwen2_5": (Renderer(qwen_tokenizer("qwen2_5")), "Hm."),
    "qwen3": (Renderer(qwen_tokenizer("qwen3")), "Hm."),
    "qwen3 without thinking": (Renderer(qwen_tokenizer("qwen3"), chat_template_kwargs=NO_THINKING), ""),
    "qwen3_5": (Renderer(qwen_tokenizer("qwen3_5_think")), "Hm."),
    "qwen3_5 without thinking": (Renderer(qwen_tokenizer("qwen3_5_nothink")), ""),
    "qwen3_8": (Renderer(qwen_tokenizer("qwen3_8")), "Hm."),
    "lfm2_2_5": (
        Renderer(small_tokenizer(trl_template("lfm2_2_5"), LFM, eos="<|im_end|>", bos="<|startoftext|>")),
        "Hm.",
    ),
}


@pytest.mark.parametrize("name", SPEAKERS)
@settings(max_examples=25, deadline=None)
@given(calls_by_turn=st.lists(st.integers(0, 2), min_size=1, max_size=6))
def test_rows_are_those_of_a_model_that_would_have_said_just_that(name: str, calls_by_turn: list[int]) -> None:
    renderer, reasoning = SPEAKERS[name]
    talk: list[BaseMessage] = [HumanMessage("Go.")]
    traced = list(talk)
    for turn, count in enumerate(calls_by_turn):
        calls = [ToolCall(name="look", args={"id": turn}, id=f"{turn}{place}") for place in range(count)]
        said = thinking(f"Text {turn}.", reasoning, tool_calls=calls, id=str(turn))
        talk.append(said)
        row = renderer.training_rows(talk)[-1]
        sampled = row.ids[row.turns[-1].low : row.turns[-1].high]
        prompt = renderer.prompt(traced, None)
        trace = Trace(
            "v", prompt.delta_ids, sampled, (-1.0,) * len(sampled), restart=prompt.restart, digest=prompt.digest
        )
        traced.append(said.model_copy(update={"response_metadata": {"trace": write_trace(trace)}}))
        then = [ToolMessage("sent", tool_call_id=str(call["id"])) for call in calls] or [HumanMessage("And?")]
        talk, traced = [*talk, *then], [*traced, *then]
    recorded = [
        [(span.origin, span.tokens, span.message) for span in trajectory.spans]
        for trajectory in read_trajectory(traced)
    ]
    rendered = [
        [(span.origin, span.tokens, span.message) for span in trajectory.spans]
        for trajectory in render_trajectory(talk, renderer)
    ]
    last = rendered[-1].pop()  # what the template puts behind the last answer, which no model has seen yet
    assert last[0] == "given"
    assert rendered == recorded
