"""The trace on a message: written and read back exactly, small, and damage is named."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from threadmill.errors import BadTrace
from threadmill.nodes.models.trace import TRACE_KEY, Trace, read_trace, write_trace

TOKEN = st.integers(0, 2**31 - 1)
LOGPROB = st.floats(max_value=0, allow_nan=False, allow_infinity=False, width=32)


def on_message(**changes: object) -> AIMessage:
    stored = write_trace(Trace("t@0001", (1, 2), (3,), (-0.5,), settings={"seed": 7}))
    return AIMessage("x", id="m1", response_metadata={TRACE_KEY: {**stored, **changes}})


def test_the_stored_form() -> None:
    assert on_message().response_metadata[TRACE_KEY] == {
        "version": "t@0001",
        "prompt": "AQAAAAIAAAA=",
        "sampled": "AwAAAA==",
        "logprobs": "AAAAvw==",
        "human": [],
        "restart": False,
        "constrained": False,
        "finish": "stop",
        "digest": "",
        "settings": {"seed": 7},
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(TOKEN, min_size=2), st.lists(st.tuples(TOKEN, LOGPROB)), st.booleans(), st.booleans())
def test_a_trace_is_read_back_through_json(
    prompt: list[int], sampled: list[tuple[int, float]], restart: bool, constrained: bool
) -> None:
    trace = Trace(
        "t@0001",
        tuple(prompt),
        tuple(token for token, _ in sampled),
        tuple(logprob for _, logprob in sampled),
        ((0, 1), (1, 2)),
        restart,
        constrained,
        "length",
        "abc",
        {"temperature": 0.7},
    )
    stored = json.loads(json.dumps(write_trace(trace)))
    assert read_trace(AIMessage("", response_metadata={TRACE_KEY: stored})) == trace


def test_a_sampled_token_costs_less_than_12_bytes() -> None:
    few, many = (write_trace(Trace("t", (), (1,) * n, (-1.0,) * n)) for n in (3, 3003))
    assert len(json.dumps(many)) - len(json.dumps(few)) < 12 * 3000


def test_messages_without_a_trace_have_none() -> None:
    assert read_trace(HumanMessage("Hi")) is None
    assert read_trace(AIMessage("Hi")) is None


@pytest.mark.parametrize(
    "change",
    [
        {"sampled": "AwAA"},  # three bytes are no token
        {"sampled": "?"},
        {"prompt": None},
        {"human": [[1]]},
        {"human": 3},
    ],
)
def test_damage_is_named_with_the_message(change: dict[str, object]) -> None:
    with pytest.raises(BadTrace, match="the trace of message 'm1' cannot be read"):
        read_trace(on_message(**change))


def test_a_missing_field_is_named() -> None:
    message = on_message()
    del message.response_metadata[TRACE_KEY]["digest"]
    with pytest.raises(BadTrace, match=r"KeyError\('digest'\)"):
        read_trace(message)


def test_as_many_logprobs_as_tokens() -> None:
    with pytest.raises(BadTrace, match="2 sampled tokens but 1 logprobs"):
        Trace("t@0001", (), (1, 2), (-0.1,))
    with pytest.raises(BadTrace, match="1 sampled tokens but 0 logprobs"):
        read_trace(on_message(logprobs=""))
