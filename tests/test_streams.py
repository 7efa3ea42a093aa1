"""The react agent in all of LangGraph's stream modes, run and awaited: who listens hears every step and every token."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot

STEPS = ["observe", "think", "act", "tool", "observe", "think"]
MODES = ["values", "updates", "messages", "custom", "checkpoints", "tasks", "debug"]


@tool
def look(order: int) -> str:
    """Look at an order."""
    return f"{order} was sent"


def reply(messages: list[BaseMessage]) -> AIMessage:
    if messages[-1].type == "human":
        return AIMessage("", tool_calls=[{"name": "look", "args": {"order": 7}, "id": "c1"}])
    return AIMessage("It was sent.")


def graph_of(model: Any, **settings: Any) -> Any:
    slot = Slot.fixed("desk.think", model, "v1")
    return build_react(slot, [look], **settings).compile(checkpointer=InMemorySaver())


def run(graph: Any, **settings: Any) -> list[Any]:
    """What a listener of one run hears."""
    config = {"configurable": {"thread_id": "t", "seed": 3}}
    return list(graph.stream({"messages": [HumanMessage("Was 7 sent?", id="h")]}, config, **settings))


def arun(graph: Any, **settings: Any) -> list[Any]:
    """The same in an event loop."""

    async def listen() -> list[Any]:
        config = {"configurable": {"thread_id": "t", "seed": 3}}
        given = {"messages": [HumanMessage("Was 7 sent?", id="h")]}
        return [part async for part in graph.astream(given, config, **settings)]

    return asyncio.run(listen())


both = pytest.mark.parametrize("listen", [run, arun])


@both
def test_values_and_updates(listen: Any) -> None:
    values = listen(graph_of(ScriptedModel(reply)), stream_mode="values")
    assert [len(value["messages"]) for value in values] == [1, 1, 2, 3, 4]
    assert values[-1]["messages"][-1].text == "It was sent."
    updates = listen(graph_of(ScriptedModel(reply)), stream_mode="updates")
    assert [name for update in updates for name in update] == STEPS


@both
def test_messages_are_those_of_model_and_tools(listen: Any) -> None:
    told = listen(graph_of(ScriptedModel(reply)), stream_mode="messages")
    assert [(message.type, message.text, about["langgraph_node"]) for message, about in told] == [
        ("ai", "", "think"),
        ("tool", "7 was sent", "tool"),
        ("ai", "It was sent.", "think"),
    ]


@both
def test_custom_tells_of_the_tools(listen: Any) -> None:
    told = listen(graph_of(ScriptedModel(reply)), stream_mode="custom")
    assert [(event["tool"], event["call"], event["event"]) for event in told] == [
        ("look", "c1", "started"),
        ("look", "c1", "finished"),
    ]


@both
def test_checkpoints_tasks_and_debug(listen: Any) -> None:
    checkpoints = listen(graph_of(ScriptedModel(reply)), stream_mode="checkpoints")
    assert [checkpoint["next"] for checkpoint in checkpoints] == [["__start__"], *([step] for step in STEPS), []]
    tasks = listen(graph_of(ScriptedModel(reply)), stream_mode="tasks")
    assert [task["name"] for task in tasks if "input" in task] == STEPS
    assert [task["error"] for task in tasks if "input" not in task] == [None] * 6
    debug = listen(graph_of(ScriptedModel(reply)), stream_mode="debug")
    assert [event["payload"]["name"] for event in debug if event["type"] == "task"] == STEPS


@both
def test_all_modes_at_once_in_the_newer_form(listen: Any) -> None:
    told = listen(graph_of(ScriptedModel(reply)), stream_mode=MODES, version="v2")
    assert {part["type"] for part in told} == set(MODES)
    assert {part["ns"] for part in told} == {()}


@pytest.fixture(scope="module")
def tiny(tiny_tokenizer: Any) -> Iterator[Any]:
    from conftest import build_tiny
    from threadmill.nodes.models.local import LocalChatModel

    model = LocalChatModel.from_model(build_tiny(tiny_tokenizer, 4096), tiny_tokenizer, version="v1", max_new_tokens=64)
    yield model
    model.close()


@both
@pytest.mark.parametrize("first", [None, "plan"])
def test_tokens_come_as_chunks_that_sum_to_the_messages(tiny: Any, listen: Any, first: Any) -> None:
    graph = graph_of(tiny, tool_choice="look", first=first)
    told = listen(graph, stream_mode="messages")
    sums: dict[str, Any] = {}
    for chunk, _ in told:
        if isinstance(chunk, AIMessageChunk):
            assert chunk.id
            sums[chunk.id] = sums[chunk.id] + chunk if chunk.id in sums else chunk
    messages = graph.get_state({"configurable": {"thread_id": "t"}}).values["messages"]
    spoken = [message for message in messages if isinstance(message, AIMessage)]
    assert [*sums] == [message.id for message in spoken]
    assert len(spoken) == (2 if first is None else 3)
    for message in spoken:
        total = sums[str(message.id)]
        assert (total.text, total.tool_calls) == (message.text, message.tool_calls)
    assert len([message for message, _ in told if message.type == "tool"]) == 1
    assert len(told) > 40  # tokens, not whole answers


def test_run_and_awaited_a_model_says_the_same(tiny: Any) -> None:
    said = [listen(graph_of(tiny, tool_choice="look"), stream_mode="values")[-1]["messages"] for listen in (run, arun)]
    one, other = ([(message.type, message.text) for message in messages] for messages in said)
    assert one == other
    traces = [[m.response_metadata["trace"]["sampled"] for m in messages if m.type == "ai"] for messages in said]
    assert traces[0] == traces[1]
