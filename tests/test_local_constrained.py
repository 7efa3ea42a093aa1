"""A local model under a grammar: calls are valid by construction, and the logprobs are those without it."""

import json
from enum import Enum
from typing import Any, Literal

import pytest
import torch
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from threadmill.errors import CannotConstrain
from threadmill.nodes.models.local import LocalChatModel
from threadmill.nodes.models.trace import read_trace


@tool
def look(order: int, part: Literal["status", "price"]) -> str:
    """Look at an order."""
    return f"{order} {part}"


@tool
def look_up(name: str = "") -> str:
    """Look a customer up."""
    return name


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Parcel(BaseModel):
    """A parcel."""

    colour: Colour
    weight: int
    tags: list[str] = []


@pytest.fixture
def model(tiny_model: Any, tiny_tokenizer: Any) -> Any:
    """An untrained model."""
    tiny_model.config.max_position_embeddings = 4096
    chat = LocalChatModel.from_model(tiny_model, tiny_tokenizer, version="t@0001", max_new_tokens=96)
    yield chat
    chat.close()


def test_a_required_call_is_made_and_fits(model: Any) -> None:
    answers = model.bind_tools([look, look_up], tool_choice="required").batch([f"{i}?" for i in range(24)])
    assert {call["name"] for answer in answers for call in answer.tool_calls} == {"look", "look_up"}
    for answer in answers:
        assert answer.invalid_tool_calls == []
        assert answer.tool_calls
        for call in answer.tool_calls:
            if call["name"] == "look":
                assert isinstance(call["args"]["order"], int)
                assert call["args"]["part"] in ("status", "price")


def test_one_tool_can_be_chosen_by_name(model: Any) -> None:
    bound = model.bind_tools([look, look_up], tool_choice="look")
    for answer in bound.batch([f"{i}?" for i in range(8)]):
        assert [call["name"] for call in answer.tool_calls] == ["look"]


def test_no_call_can_be_forbidden(model: Any) -> None:
    bound = model.bind_tools([look, look_up], tool_choice="none")
    for answer in bound.batch([f"{i}?" for i in range(8)]):
        assert answer.tool_calls == answer.invalid_tool_calls == []


def test_recorded_logprobs_are_those_without_the_grammar_on_every_turn(model: Any, tiny_model: Any) -> None:
    bound = model.bind_tools([look], tool_choice="required")
    messages: list[Any] = [HumanMessage("Where is 7?")]
    seen: list[int] = []
    for turn in range(3):
        answer = bound.invoke(messages, seed=turn)
        trace = read_trace(answer)
        assert trace is not None
        assert (trace.constrained, trace.restart, trace.settings["tool_choice"]) == (True, False, "required")
        seen += trace.prompt_ids
        with torch.no_grad():
            logits = tiny_model(torch.tensor([[*seen, *trace.sampled_ids]])).logits[0, len(seen) - 1 : -1]
        plain = torch.log_softmax(logits, -1).gather(1, torch.tensor(trace.sampled_ids)[:, None])[:, 0]
        assert (plain - torch.tensor(trace.logprobs)).abs().max() < 1e-4
        seen += trace.sampled_ids
        messages += [answer, HumanMessage("And now?")]


def test_free_answers_are_constrained_when_the_model_is_told_so(tiny_model: Any, tiny_tokenizer: Any) -> None:
    tiny_model.config.max_position_embeddings = 4096
    chat = LocalChatModel.from_model(tiny_model, tiny_tokenizer, version="t@0001", constrained=True)
    marker = tiny_tokenizer.convert_tokens_to_ids("<tool_call>")
    with torch.no_grad():  # it likes to call
        tiny_model.lm_head.weight[marker] = 3 * tiny_model.lm_head.weight.norm(dim=1).max() / 32**0.5
    answers: list[AIMessage] = chat.bind_tools([look, look_up]).batch([f"{i}?" for i in range(24)])
    assert sum(len(answer.tool_calls) for answer in answers) >= 5
    assert [answer.invalid_tool_calls for answer in answers] == [[]] * 24
    assert all(trace.constrained for answer in answers if (trace := read_trace(answer)))
    chat.close()


def test_an_answer_by_schema_is_an_instance_of_it(model: Any) -> None:
    parcels = model.with_structured_output(Parcel).batch([f"{i}?" for i in range(12)])
    assert {type(parcel) for parcel in parcels} == {Parcel}
    assert {parcel.colour for parcel in parcels} == {Colour.RED, Colour.BLUE}
    both = model.with_structured_output(Parcel, include_raw=True).invoke("?")
    assert both["parsed"] == Parcel(**json.loads(both["raw"].text))


def test_what_cannot_be_held_is_said_on_the_message(model: Any) -> None:
    odd = {
        "type": "function",
        "function": {
            "name": "odd",
            "description": "",
            "parameters": {"type": "object", "properties": {"text": {"type": "string", "not": {"const": "x"}}}},
        },
    }
    answer = model.bind_tools([odd], tool_choice="required").invoke("?", seed=0)
    assert [call["name"] for call in answer.tool_calls] == ["odd"] * len(answer.tool_calls)
    assert "odd" in answer.response_metadata["notes"][0]
    assert "not" in answer.response_metadata["notes"][0]


def test_no_room_for_the_shortest_answer_is_an_error_for_this_caller_alone(model: Any) -> None:
    bound = model.bind_tools([look], tool_choice="required")
    with pytest.raises(CannotConstrain, match="the shortest answer that fits takes"):
        bound.invoke("?", max_new_tokens=3)
    assert bound.invoke("?").tool_calls
