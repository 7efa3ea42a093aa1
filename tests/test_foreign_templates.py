"""Templates that are not the seed policy's: another end-of-turn token than eos, no generation markers."""

import re
from copy import deepcopy
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from threadmill.nodes.models.local import LocalChatModel
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.trace import EDIT_KEY, Trace, write_trace

START, END = "<|im_start|>", "<|im_end|>"


@pytest.fixture
def foreign(tiny_tokenizer: Any) -> Any:
    """As Gemma and base models have it: turns end with ``<|im_end|>``, but eos is another token."""
    tokenizer = deepcopy(tiny_tokenizer)
    tokenizer.eos_token = "<|pad|>"
    return tokenizer


def answered(renderer: Renderer, asked: list[BaseMessage], finish: str) -> AIMessage:
    prompt = renderer.prompt(asked, None)
    ids = renderer.tokenizer("hello" + (END if finish == "stop" else ""), add_special_tokens=False)["input_ids"]
    trace = Trace("v1", prompt.delta_ids, tuple(ids), (-1.0,) * len(ids), finish=finish, digest=prompt.digest)
    return AIMessage("hello", response_metadata={"trace": write_trace(trace)})


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_an_answer_is_not_repeated_when_its_end_is_not_eos(foreign: Any, finish: str) -> None:
    renderer = Renderer(foreign)
    asked: list[BaseMessage] = [HumanMessage("One.")]
    prompt = renderer.prompt([*asked, answered(renderer, asked, finish), HumanMessage("Two.")], None)
    assert not prompt.restart
    assert foreign.decode(prompt.full_ids) == (
        f"{START}user\nOne.{END}\n{START}assistant\nhello{END}\n{START}user\nTwo.{END}\n{START}assistant\n"
    )


def test_an_edit_is_human_when_its_end_is_not_eos(foreign: Any) -> None:
    renderer = Renderer(foreign)
    asked: list[BaseMessage] = [HumanMessage("One.")]
    proposal = answered(renderer, asked, "stop")
    metadata = {**proposal.response_metadata, EDIT_KEY: {"by": "eva"}}
    edited = proposal.model_copy(update={"content": "bye", "response_metadata": metadata})
    prompt = renderer.prompt([*asked, edited, HumanMessage("Two.")], None)
    ((low, high),) = prompt.human
    assert foreign.decode(prompt.delta_ids[low:high]) == f"bye{END}"


def test_a_template_that_writes_no_end_of_turn_starts_anew(foreign: Any) -> None:
    foreign.chat_template = (
        "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
    )
    renderer = Renderer(foreign)
    asked: list[BaseMessage] = [HumanMessage("One.")]
    prompt = renderer.prompt([*asked, answered(renderer, asked, "stop"), HumanMessage("Two.")], None)
    assert prompt.restart
    assert foreign.decode(prompt.full_ids) == "user: One.\nassistant: hello\nuser: Two.\nassistant: "


def test_decoding_stops_at_the_end_of_turn_of_the_template(tiny_model: Any, foreign: Any) -> None:
    tiny_model.generation_config.eos_token_id = None
    model = LocalChatModel.from_model(tiny_model, foreign, version="t@0001")
    assert model.voice.decoder.end_ids == frozenset(foreign.convert_tokens_to_ids([END, "<|pad|>"]))


@pytest.mark.parametrize("marked", [True, False])
def test_a_template_is_trained_with_and_without_generation_markers(tiny_tokenizer: Any, marked: bool) -> None:
    tokenizer = deepcopy(tiny_tokenizer)
    if not marked:
        tokenizer.chat_template = re.sub(r"\{%- (end)?generation -%\}", "{#- -#}", tokenizer.chat_template)
    ids, mask = Renderer(tokenizer).training_ids([HumanMessage("Hi."), AIMessage("Hello.")])
    assert tokenizer.decode(ids) == f"{START}user\nHi.{END}\n{START}assistant\nHello.{END}\n"
    assert tokenizer.decode([token for token, own in zip(ids, mask, strict=True) if own]) == f"Hello.{END}"


def test_a_prompt_that_opens_the_answer_otherwise_than_it_went_on_is_trained_from_where_they_part(
    tiny_tokenizer: Any,
) -> None:
    """As DeepSeek-V3.1 has it: without thinking the prompt closes a thought, with thinking it opens one."""
    tokenizer = deepcopy(tiny_tokenizer)
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}"
        "{% if add_generation_prompt %}assistant: </think>{% endif %}"
    )
    said = AIMessage("Hello.", additional_kwargs={"reasoning_content": "Hm."})
    ids, mask = Renderer(tokenizer).training_ids([HumanMessage("Hi."), said])
    assert (
        tokenizer.decode([i for i, own in zip(ids, mask, strict=True) if not own]) == "user: Hi.<|im_end|>assistant: "
    )
    assert tokenizer.decode([i for i, own in zip(ids, mask, strict=True) if own]) == (
        "<think>\nHm.\n</think>\n\nHello.<|im_end|>"
    )


def test_a_template_whose_answers_end_in_several_ways_is_known_by_all_of_them(tiny_tokenizer: Any) -> None:
    """As gpt-oss has it: one token ends a last word, another one calls."""
    tokenizer = deepcopy(tiny_tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role }}: {{ m.content }}"
        "{% for call in m.tool_calls or [] %}{{ call.function.arguments | tojson }}{% endfor %}"
        "{{ '<|pad|>' if m.tool_calls else '<|im_end|>' }}{% endfor %}"
    )
    renderer = Renderer(tokenizer)
    assert (renderer.end_of_turn, renderer.ends_of_turn) == ("<|im_end|>", ("<|im_end|>", "<|pad|>"))
    talk: list[BaseMessage] = [
        HumanMessage("Hi."),
        AIMessage("", tool_calls=[ToolCall(name="look", args={}, id="a")]),
        ToolMessage("found", tool_call_id="a"),
        AIMessage("Here."),
    ]
    ids, mask = renderer.training_ids(talk)
    assert tokenizer.decode([i for i, own in zip(ids, mask, strict=True) if own]) == (
        "assistant: {}<|pad|>assistant: Here.<|im_end|>"
    )
