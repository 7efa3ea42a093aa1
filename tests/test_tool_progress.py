"""Progress of tools, in LangGraph's custom stream, from threads and coroutines; nobody who does not listen pays."""

import asyncio
from threading import Event
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot, make_tool
from threadmill.nodes.progress import report_progress


def copy(files: int) -> str:
    """Copy files."""
    report_progress("half of them", done=files / 2, total=files)
    return "copied"


async def copy_later(files: int) -> str:
    """Copy files."""
    await asyncio.sleep(0)
    return copy(files)


def desk(function: Any, timeout_s: float | None) -> Any:
    call = {"name": function.__name__, "args": {"files": 4}, "id": "c1"}
    script = ScriptedModel([AIMessage("", tool_calls=[call]), AIMessage("Done.")])
    return build_react(Slot.fixed("desk.think", script, "v1"), [function], timeout_s=timeout_s).compile()


async def listed(stream: Any) -> list[Any]:
    return [event async for event in stream]


@pytest.mark.parametrize("timeout_s", [5, None])
@pytest.mark.parametrize("way", ["stream", "astream"])
@pytest.mark.parametrize("function", [copy, copy_later])
def test_who_streams_a_thread_sees_how_far_its_tools_are(function: Any, way: str, timeout_s: float | None):
    graph, given = desk(function, timeout_s), {"messages": [("user", "Copy.")]}
    if way == "stream":
        events = list(graph.stream(given, stream_mode="custom"))
    else:
        events = asyncio.run(listed(graph.astream(given, stream_mode="custom")))
    assert events.pop()["duration_s"] > 0
    about = {"tool": function.__name__, "call": "c1"}
    assert events == [
        {**about, "event": "started"},
        {**about, "event": "progress", "text": "half of them", "done": 2.0, "total": 4},
    ]


def test_the_last_event_says_what_became_of_the_call_and_what_was_left_behind_says_nothing_more():
    events: list[dict[str, Any]] = []
    release, reported = Event(), Event()

    def dawdle() -> str:
        """Dawdle."""
        release.wait(5)
        report_progress("still here")
        reported.set()
        return "at last"

    call: Any = {"name": "dawdle", "args": {}, "id": "c1", "type": "tool_call"}
    sent: Any = {"id": "ai:0", "call": call, "kind": "result", "text": ""}
    make_tool([dawdle], 0.02)(sent, {}, Runtime(stream_writer=events.append))
    release.set()
    assert reported.wait(5)
    assert [(event["event"], event.get("kind")) for event in events] == [("started", None), ("finished", "timeout")]


def test_outside_of_a_call_nothing_happens():
    assert report_progress("alone") is None
