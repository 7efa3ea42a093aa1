"""Prompts continue recorded ids: what was sampled is never tokenized again."""

from typing import Any

import pytest
from hypothesis import given, settings
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
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.trace import EDIT_KEY, Trace, read_trace, write_trace

START, END = "<|im_start|>", "<|im_end|>"
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"properties": {"id": {}}}}}]


@pytest.fixture(scope="module")
def renderer(tiny_tokenizer: Any) -> Renderer:
    return Renderer(tiny_tokenizer)


def answer(
    renderer: Renderer,
    messages: list[BaseMessage],
    sampled: list[int],
    *,
    finish: str = "stop",
    tools: list[dict[str, Any]] | None = None,
    **said: Any,
) -> AIMessage:
    """The message of a model that sampled ``sampled`` after ``messages``."""
    prompt = renderer.prompt(messages, tools)
    trace = Trace(
        "t@0001",
        prompt.delta_ids,
        tuple(sampled),
        (-1.0,) * len(sampled),
        prompt.human,
        prompt.restart,
        finish=finish,
        digest=prompt.digest,
    )
    text = renderer.tokenizer.decode(sampled, skip_special_tokens=True)
    return AIMessage(**{"content": text, **said}, response_metadata={"trace": write_trace(trace)})


def edit(message: AIMessage, content: str, calls: list[ToolCall]) -> AIMessage:
    metadata = {**message.response_metadata, EDIT_KEY: {"by": "eva", "at": "2026-01-01T00:00:00Z", "proposal": {}}}
    return message.model_copy(update={"content": content, "tool_calls": calls, "response_metadata": metadata})


def call(order: int) -> ToolCall:
    return ToolCall(name="look", args={"id": order}, id=f"c{order}")


def letters(renderer: Renderer, text: str) -> list[int]:
    """One token a letter, which is not how the tokenizer itself writes most words."""
    return [*(renderer.tokenizer.convert_tokens_to_ids(letter) for letter in text), renderer.tokenizer.eos_token_id]


def test_an_unusual_spelling_stays_as_it_was_sampled(renderer: Renderer) -> None:
    asked: list[BaseMessage] = [HumanMessage("Where?")]
    sampled = letters(renderer, "status")
    usual = renderer.tokenizer("status", add_special_tokens=False)["input_ids"]
    assert sampled[:-1] != usual
    message = answer(renderer, asked, sampled)
    prompt = renderer.prompt([*asked, message, HumanMessage("Thanks.")], None)
    first = renderer.prompt(asked, None).full_ids
    assert prompt.full_ids == (*first, *sampled, *prompt.delta_ids)
    assert renderer.tokenizer.decode(prompt.delta_ids) == f"\n{START}user\nThanks.{END}\n{START}assistant\n"


def test_two_messages_with_parallel_calls(renderer: Renderer) -> None:
    messages: list[BaseMessage] = [SystemMessage("Help."), HumanMessage("Both, please.")]
    expected: tuple[int, ...] = ()
    for turn in range(2):
        prompt = renderer.prompt(messages, TOOLS)
        expected += prompt.delta_ids
        assert prompt.full_ids == expected
        sampled = letters(renderer, f"call{turn}")
        expected += tuple(sampled)
        calls = [call(10 * turn), call(10 * turn + 1)]
        messages.append(answer(renderer, messages, sampled, tools=TOOLS, content="", tool_calls=calls))
        messages += [ToolMessage(f"result {c['id']}", tool_call_id=c["id"] or "", name="look") for c in calls]
    last = renderer.prompt(messages, TOOLS)
    assert not last.restart
    assert last.full_ids == expected + last.delta_ids
    assert renderer.tokenizer.decode(last.delta_ids) == (
        f"\n{START}tool\nresult c10{END}\n{START}tool\nresult c11{END}\n{START}assistant\n"
    )


def test_an_edited_call_is_rendered_as_the_human_wrote_it(renderer: Renderer) -> None:
    asked: list[BaseMessage] = [HumanMessage("Look.")]
    proposal = answer(renderer, asked, letters(renderer, "wrong"), tools=TOOLS, content="", tool_calls=[call(1)])
    prompt = renderer.prompt(
        [*asked, edit(proposal, "", [call(2)]), ToolMessage("found", tool_call_id="c2", name="look")], TOOLS
    )
    ((low, high),) = prompt.human
    assert low == 0
    assert renderer.tokenizer.decode(prompt.delta_ids[low:high]) == (
        '<tool_call>{"name": "look", "arguments": {"id": 2}}</tool_call>' + END
    )
    assert renderer.tokenizer.decode(prompt.delta_ids[high:]) == f"\n{START}tool\nfound{END}\n{START}assistant\n"
    assert prompt.full_ids == renderer.prompt(asked, TOOLS).full_ids + prompt.delta_ids


def test_invalid_calls_are_rendered_as_written(renderer: Renderer) -> None:
    broken = InvalidToolCall(type="invalid_tool_call", name=None, args='{"name": ', id="b", error="not JSON")
    text = renderer.tokenizer.decode(
        renderer.prompt(
            [HumanMessage("Go."), AIMessage("Hm.", invalid_tool_calls=[broken], tool_calls=[call(3)])], TOOLS
        ).full_ids
    )
    assert text == (
        f"{START}system\nTools: look(id){END}\n{START}user\nGo.{END}\n{START}assistant\n"
        'Hm.<tool_call>{"name": </tool_call><tool_call>{"name": "look", "arguments": {"id": 3}}</tool_call>'
        f"{END}\n{START}assistant\n"
    )


def test_a_cut_off_answer_that_a_human_edits_is_closed_once(renderer: Renderer) -> None:
    asked: list[BaseMessage] = [HumanMessage("Go.")]
    cut = answer(renderer, asked, letters(renderer, "abc")[:2], finish="length")
    prompt = renderer.prompt([*asked, edit(cut, "done", []), HumanMessage("Ok.")], None)
    assert renderer.tokenizer.decode(prompt.delta_ids) == (f"done{END}\n{START}user\nOk.{END}\n{START}assistant\n")
    ((low, high),) = prompt.human
    assert renderer.tokenizer.decode(prompt.delta_ids[low:high]) == f"done{END}"


@pytest.mark.parametrize("finish", ["length", "stop_text"])
def test_an_answer_that_was_cut_off_is_closed_and_one_that_ended_is_not(renderer: Renderer, finish: str) -> None:
    asked: list[BaseMessage] = [HumanMessage("Go.")]
    ended = letters(renderer, "abc")
    for sampled, closing in ((ended[:-1], END), (ended, "")):
        said = answer(renderer, asked, sampled, finish=finish)
        prompt = renderer.prompt([*asked, said, HumanMessage("Ok.")], None)
        assert renderer.tokenizer.decode(prompt.delta_ids) == (f"{closing}\n{START}user\nOk.{END}\n{START}assistant\n")


def test_sampled_ids_are_read_without_their_end_and_without_special_tokens_that_mark_nothing(
    renderer: Renderer,
) -> None:
    pad, end = renderer.tokenizer.convert_tokens_to_ids(["<|pad|>", END])
    call = '<tool_call>{"name": "look", "arguments": {"id": 1}}</tool_call>'
    ids = [*renderer.ids("Hm."), pad, *renderer.ids(call)]
    assert renderer.spoken(ids) == renderer.spoken([*ids, end]) == f"Hm.{call}"
    assert renderer.spoken([end]) == ""
    said = renderer.read([*ids, end], renderer.opening([HumanMessage("Go.")], None))
    assert (said.content, [c.args for c in said.calls]) == ("Hm.", ['{"id": 1}'])


def test_the_opening_is_what_the_prompt_adds_for_the_answer(renderer: Renderer) -> None:
    assert renderer.opening([HumanMessage("Go.")], TOOLS) == f"{START}assistant\n"
    assert renderer.ends_of_turn == (END,)


def test_after_a_restart_the_thread_continues_again(renderer: Renderer) -> None:
    messages: list[BaseMessage] = [HumanMessage("One.")]
    messages += [answer(renderer, messages, letters(renderer, "a")), HumanMessage("Two.")]
    messages[0] = HumanMessage("Changed.")
    restarted = renderer.prompt(messages, None)
    assert restarted.restart
    assert restarted.human == ()
    sampled = letters(renderer, "b")
    messages += [answer(renderer, messages, sampled), HumanMessage("Three.")]
    prompt = renderer.prompt(messages, None)
    assert not prompt.restart
    assert prompt.full_ids == (*restarted.full_ids, *sampled, *prompt.delta_ids)


turns = st.lists(
    st.tuples(
        st.text("abst", min_size=1, max_size=5),  # what is sampled, a letter a token
        st.sampled_from(("text", "one call", "two calls")),
        st.sampled_from((None, "text", "call")),  # what a human puts in its place
        st.booleans(),  # cut off by the budget
        st.one_of(st.none(), st.text(max_size=6)),  # a new user turn, where nothing was called
    ),
    max_size=5,
)


@settings(max_examples=50, deadline=None)
@given(turns=turns)
def test_recorded_tokens_joined_are_the_next_prompt(renderer: Renderer, turns: list[Any]) -> None:
    messages: list[BaseMessage] = [SystemMessage("Help."), HumanMessage("Go.")]
    row: tuple[int, ...] = ()
    for at, (text, kind, edited, cut, said) in enumerate(turns):
        calls = [call(2 * at + k) for k in range(("text", "one call", "two calls").index(kind))]
        sampled = letters(renderer, text)[: -1 if cut else None]
        content = "" if calls else text
        finish = "length" if cut else "stop"
        message = answer(renderer, messages, sampled, finish=finish, tools=TOOLS, content=content, tool_calls=calls)
        if edited is not None:
            calls = [call(100 + at)] if edited == "call" else []
            message = edit(message, "" if calls else "Human.", calls)
        trace = read_trace(message)
        assert trace is not None
        assert not trace.restart
        row += trace.prompt_ids + (() if edited is not None else trace.sampled_ids)
        messages.append(message)
        messages += [ToolMessage("found", tool_call_id=c["id"] or "", name="look") for c in calls]
        if not calls:
            messages.append(HumanMessage(said or "And?"))
        prompt = renderer.prompt(messages, TOOLS)
        assert prompt.full_ids == row + prompt.delta_ids
        assert bool(prompt.human) == (edited is not None)
        closed_here = cut and edited is None
        assert (prompt.delta_ids[0] == renderer.tokenizer.eos_token_id) == closed_here
        assert prompt.digest != trace.digest
