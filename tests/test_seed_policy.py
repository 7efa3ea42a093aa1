"""The seed policy in the package: its tokenizer, template and files fit together, and it can be asked."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from threadmill.nodes.models.local import LocalChatModel
from threadmill.nodes.models.render import Renderer
from threadmill.nodes.models.trace import read_trace
from threadmill.training.slots import SEED_POLICY
from threadmill.training.worlds.helpdesk.names import ORDERS
from threadmill.training.worlds.helpdesk.tools import TOOLS
from transformers import AutoConfig, AutoTokenizer


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(SEED_POLICY)


def encode(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@settings(max_examples=200, deadline=None)
@given(st.text())
def test_any_text_is_encoded_without_loss(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(encode(tokenizer, text)) == text


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from((" ", "  ", "O123", "order_id", "60", '": "', " + ", "<tool_call>", "x", "\n", "é"))))
def test_pieces_of_the_vocabulary_are_joined_without_loss(tokenizer: Any, pieces: list[str]) -> None:
    text = "".join(pieces)
    assert tokenizer.decode(encode(tokenizer, text)) == text


@pytest.mark.parametrize(
    "frame", ["{}", "Order {}.", "({})", '{{"order_id": "{}"}}', "\n{}\n", "{}, ", "is {}?", "  {}"]
)
def test_every_order_is_the_same_single_token_everywhere(tokenizer: Any, frame: str) -> None:
    for order in ORDERS:
        token = tokenizer.convert_tokens_to_ids(order)
        assert token is not None
        assert encode(tokenizer, frame.format(order)).count(token) == 1


def test_exactly_what_the_assistant_says_is_marked(tokenizer: Any) -> None:
    look = {"name": "get_order", "args": {"order_id": "O123"}, "id": "1"}
    ids, mask = Renderer(tokenizer).training_ids(
        [
            SystemMessage("Be brief."),
            HumanMessage("Where is O123?"),
            AIMessage("", tool_calls=[look]),
            ToolMessage("shipped", tool_call_id="1", name="get_order"),
            AIMessage("It is shipped."),
        ]
    )
    runs: list[tuple[int, list[int]]] = []
    for token, marked in zip(ids, mask, strict=True):
        if not runs or runs[-1][0] != marked:
            runs.append((marked, []))
        runs[-1][1].append(token)
    assert [(marked, tokenizer.decode(run)) for marked, run in runs] == [
        (
            0,
            "<|im_start|>system\nBe brief.\n<|im_end|>\n<|im_start|>user\nWhere is O123?<|im_end|>\n"
            "<|im_start|>assistant\n",
        ),
        (1, '<tool_call>{"name": "get_order", "arguments": {"order_id": "O123"}}</tool_call><|im_end|>'),
        (0, "\n<|im_start|>tool\nshipped<|im_end|>\n<|im_start|>assistant\n"),
        (1, "It is shipped.<|im_end|>"),
        (0, "\n"),
    ]


def test_files_fit_together(tokenizer: Any) -> None:
    config = AutoConfig.from_pretrained(SEED_POLICY)
    assert config.model_type == "llama"
    assert config.vocab_size == len(tokenizer)
    assert (config.eos_token_id, config.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert (SEED_POLICY / "model.safetensors").stat().st_size <= 8_000_000


def test_it_opens_and_answers_a_question_with_a_message_that_can_be_read() -> None:
    model = LocalChatModel.from_folder(str(SEED_POLICY), version="helpdesk.think@0000", device="cpu", max_new_tokens=48)
    answer = model.bind_tools(TOOLS).invoke([HumanMessage("What is the status of order O123?")], seed=0)
    model.close()
    trace = read_trace(answer)
    assert trace is not None
    assert (trace.version, trace.restart) == ("helpdesk.think@0000", False)
    assert answer.content or answer.tool_calls or answer.invalid_tool_calls
    assert 1 <= len(trace.sampled_ids) == len(trace.logprobs) <= 48


def test_its_forward_pass_is_traced_once_for_all_its_versions() -> None:
    from threadmill.nodes.models.decoding.probe import trace_columns
    from threadmill.nodes.models.folder import load_model
    from threadmill.training.slots import SEED_POLICY

    first, second = (trace_columns(load_model(str(SEED_POLICY), device="cpu")[0]) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first._one is second._one  # torch never lets a trace go, so there must not be one for each version
    assert first._weights[0] is not second._weights[0]
