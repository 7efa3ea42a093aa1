"""Arguments that the model does not give and does not see: state, store, runtime and the call's id."""

import asyncio
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import InjectedToolCallId, tool
from langgraph.graph import START, StateGraph
from langgraph.prebuilt import InjectedState, InjectedStore, ToolNode, ToolRuntime
from langgraph.runtime import Runtime
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore
from threadmill.errors import MissingLibrary
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot, make_tool
from threadmill.nodes.calls import args_schema
from threadmill.nodes.injected import _READ


@tool
def count(
    word: str,
    messages: Annotated[list[Any], InjectedState("messages")],
    call: Annotated[str, InjectedToolCallId],
) -> str:
    """Count."""
    return f"{word}: {len(messages)} messages, call {call}"


@tool
def remember(fact: str, store: Annotated[BaseStore, InjectedStore()]) -> str:
    """Remember."""
    store.put(("facts",), "first", {"text": fact})
    return "remembered"


@tool
async def look(order: str, runtime: ToolRuntime) -> str:
    """Look around."""
    assert runtime.store is not None
    known = runtime.store.get(("facts",), "first")
    return f"{order} {runtime.tool_call_id} {sorted(runtime.state)} {known and known.value['text']}"


class Seen(TypedDict):
    seen: bool


def test_langgraph_still_has_what_is_borrowed_of_its_inside():
    node: Any = ToolNode([count])
    lost = [name for name in ("_injected_args", "_inject_tool_args") if not hasattr(node, name)]
    assert lost == [], f"LangGraph's ToolNode has lost {lost}: make_inject must put arguments in without them"
    state: Any = node._injected_args["count"].state
    assert state == {"messages": "messages"}, "ToolNode tells otherwise which fields a tool asks for: see make_inject"

    def look_around(state: Seen, config: RunnableConfig) -> dict[str, bool]:
        return {"seen": _READ in config.get("configurable", {})}

    graph = StateGraph(Seen)
    seen = graph.add_node(look_around).add_edge(START, "look_around").compile().invoke({"seen": False})["seen"]
    assert seen, f"LangGraph no longer puts {_READ} into a node's config: _read_state must find the state elsewhere"


def test_a_langgraph_that_has_changed_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(ToolNode, "_inject_tool_args")
    with pytest.raises(MissingLibrary, match=r"\['call', 'messages'\] of 'count' cannot be put in: ToolNode"):
        make_tool([count])


def test_the_model_is_not_shown_them():
    assert [list(args_schema(one)["properties"]) for one in (count, remember, look)] == [["word"], ["fact"], ["order"]]


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_tools_get_what_they_declare(way: str):
    calls = [
        {"name": "count", "args": {"word": "so far"}, "id": "c1"},
        {"name": "remember", "args": {"fact": "tea"}, "id": "c2"},
    ]
    then = {"name": "look", "args": {"order": "A1"}, "id": "c3"}
    script = ScriptedModel([AIMessage("", tool_calls=calls), AIMessage("", tool_calls=[then]), AIMessage("Done.")])
    slot = Slot.fixed("desk.think", script, "v1")
    graph = build_react(slot, [count, remember, look]).compile(store=InMemoryStore())
    given: Any = {"messages": [("user", "Go.")]}
    done = graph.invoke(given) if way == "invoke" else asyncio.run(graph.ainvoke(given))
    assert [message.text for message in done["messages"] if message.type == "tool"] == [
        "so far: 2 messages, call c1",
        "remembered",
        "A1 c3 ['messages', 'versions'] tea",
    ]


def test_a_model_cannot_give_them_and_what_is_not_there_is_an_observation():
    call: Any = {"name": "remember", "args": {"fact": "tea", "store": "mine"}, "id": "c", "type": "tool_call"}
    sent: Any = {"id": "ai:0", "call": call, "kind": "result", "text": ""}
    answer = make_tool([remember])(sent, {}, Runtime())["messages"][0]
    assert answer.status == "error"
    assert answer.text.startswith("ValueError: Cannot inject store into tools with InjectedStore")
