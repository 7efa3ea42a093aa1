"""think with a model of this process: plans, reflections and text ReAct are token-exact, each sampled token once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from threadmill.graphs import build_react, run_thread
from threadmill.nodes import Slot
from threadmill.nodes.models.local import LocalChatModel
from threadmill.nodes.models.trace import read_trace
from threadmill.training.trajectory import read_trajectory


@tool
def look(order: int) -> str:
    """Look."""
    return f"order {order} was sent"


@pytest.fixture(scope="module")
def folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with room for a conversation."""
    from conftest import build_tiny
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("roomy")
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    build_tiny(tokenizer, context=4096).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(params=[None, "react-text"])
def model(request: pytest.FixtureRequest, folder: Path) -> Iterator[LocalChatModel]:
    model = LocalChatModel.from_folder(str(folder), version="t@0001", family=request.param, max_new_tokens=64)
    yield model
    model.close()


def thread(model: LocalChatModel, **settings: Any) -> list[BaseMessage]:
    """Two turns in which the model looks and then says something."""
    slot = Slot.fixed("desk.think", model, "t@0001")
    graph = build_react(slot, [look], tool_choice="look", **settings).compile(checkpointer=InMemorySaver())
    for text in ("Where is it?", "And now?"):
        run_thread(graph, "t", text, configurable={"seed": 5})
    return graph.get_state({"configurable": {"thread_id": "t"}}).values["messages"]


@pytest.mark.parametrize("first", [None, "plan", "reflect"])
def test_each_sampled_token_is_in_one_row_and_the_rest_is_masked(model: LocalChatModel, first: Any) -> None:
    messages = thread(model, first=first)
    spoken = [message for message in messages if isinstance(message, AIMessage)]
    assert len([message for message in messages if isinstance(message, ToolMessage)]) >= 2
    assert sum(message.response_metadata.get("first") == first for message in spoken) >= 2
    traces = [read_trace(message) for message in spoken]
    assert [trace.restart for trace in traces if trace] == [False] * len(spoken)
    (row,) = read_trajectory(messages)
    sampled = [(span.message, span.tokens) for span in row.spans if span.origin == "sampled"]
    assert sampled == [(message.id, trace.sampled_ids) for message, trace in zip(spoken, traces, strict=True) if trace]
    text = model.voice.loaded.tokenizer.decode([t for span in row.spans if span.origin == "given" for t in span.tokens])
    assert "was sent" in text
