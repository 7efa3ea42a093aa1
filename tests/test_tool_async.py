"""Sync and async tools, under ``invoke`` and under ``ainvoke``: the same observations, the same limits."""

import asyncio
import sys
from collections.abc import Callable
from threading import Event, current_thread, main_thread
from time import monotonic, sleep
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.runtime import ExecutionInfo, Runtime
from langgraph.types import Command, interrupt
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot, make_tool

RUNTIME = Runtime(execution_info=ExecutionInfo("checkpoint", "", "task-1"))


def look(order: str) -> str:
    """Look an order up."""
    if order == "none":
        raise ToolException("there is no such order")
    return f"{order} is sent"


async def look_later(order: str) -> str:
    """Look an order up."""
    await asyncio.sleep(0)
    return look(order)


@tool
async def key_of(order: str, config: RunnableConfig) -> str:
    """The key."""
    return f"{order} {config.get('configurable', {})['idempotency_key'][:4]}"


def leave(code: int) -> str:
    """Leave."""
    sys.exit(code)


async def leave_later(code: int) -> str:
    """Leave."""
    sys.exit(code)


async def give_up(order: str) -> str:
    """Give up."""
    raise asyncio.CancelledError


def recurse(order: str) -> str:
    """Go round in circles."""
    return recurse(order)


def call_to(name: str, **args: Any) -> Any:
    return {
        "id": "ai:0",
        "call": {"name": name, "args": args, "id": "c", "type": "tool_call"},
        "kind": "result",
        "text": "",
    }


def plainly(tools: list[Any], call: Any, timeout_s: float | None = 5) -> ToolMessage:
    return make_tool(tools, timeout_s)(call, {"configurable": {}}, RUNTIME)["messages"][0]


def awaited(tools: list[Any], call: Any, timeout_s: float | None = 5) -> ToolMessage:
    node: Any = make_tool(tools, timeout_s)
    return asyncio.run(node.awaited(call, {"configurable": {}}, RUNTIME))["messages"][0]


BOTH = pytest.mark.parametrize("run", [plainly, awaited])
Run = Callable[..., ToolMessage]


@pytest.mark.parametrize("timeout_s", [5, None])
@pytest.mark.parametrize(
    ("function", "args", "text", "kind"),
    [
        (look, {"order": "A1"}, "A1 is sent", "result"),
        (look_later, {"order": "A1"}, "A1 is sent", "result"),
        (look_later, {"order": "none"}, "there is no such order", "failed"),
        (key_of, {"order": "A1"}, "A1 632b", "result"),
        (leave, {"code": 3}, "SystemExit: 3", "failed"),
        (leave_later, {"code": 3}, "SystemExit: 3", "failed"),
        (give_up, {"order": "A1"}, "give_up was cancelled", "failed"),
        (recurse, {"order": "A1"}, "RecursionError: maximum recursion depth exceeded", "failed"),
    ],
)
def test_an_observation_is_the_same_either_way(
    function: Any, args: dict[str, Any], text: str, kind: str, timeout_s: float | None
):
    call = call_to(getattr(function, "name", None) or function.__name__, **args)
    answers = [run([function], call, timeout_s) for run in (plainly, awaited)]
    for answer in answers:
        assert answer.text.startswith(text)
        assert (answer.additional_kwargs["kind"], answer.id, answer.tool_call_id) == (kind, "ai:0", "c")
        assert answer.additional_kwargs.pop("duration_s") > 0
    assert answers[0] == answers[1]


@BOTH
def test_a_coroutine_that_is_late_is_cancelled_and_one_that_will_not_be_is_left_behind(run: Run):
    seen: list[str] = []

    async def dawdle(stubborn: bool) -> str:
        """Take your time."""
        try:
            await asyncio.sleep(3)
        except asyncio.CancelledError:
            seen.append("cancelled")
            if stubborn:
                await asyncio.sleep(0.2)
            raise
        return "at last"

    begun = monotonic()
    answer = run([dawdle], call_to("dawdle", stubborn=False), 0.05)
    assert answer.text.startswith("dawdle gave no result within 0.05 s")
    assert answer.additional_kwargs["kind"] == "timeout"
    run([dawdle], call_to("dawdle", stubborn=True), 0.05)
    while monotonic() - begun < 2 and len(seen) < 2:
        sleep(0.01)
    assert (seen, monotonic() - begun < 2) == (["cancelled", "cancelled"], True)


def test_the_event_loop_goes_on_while_a_tool_blocks_and_calls_run_at_the_same_time():
    def block() -> str:
        """Block."""
        sleep(0.1)
        return str(current_thread() is main_thread())

    async def ten() -> list[Any]:
        node: Any = make_tool([block], 5)
        return await asyncio.gather(*(node.awaited(call_to("block"), {}, RUNTIME) for _ in range(10)))

    begun = monotonic()
    assert {answer["messages"][0].text for answer in asyncio.run(ten())} == {"False"}
    assert monotonic() - begun < 0.8


def test_whoever_cancels_the_run_gets_the_cancellation_and_the_tool_too():
    seen: list[str] = []
    started = Event()

    async def wait() -> str:
        """Wait."""
        started.set()
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            seen.append("tool")
            raise
        return "done"

    async def cancel() -> None:
        node: Any = make_tool([wait], 5)
        task = asyncio.create_task(node.awaited(call_to("wait"), {}, RUNTIME))
        while not started.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert seen == ["tool"]


def test_a_keyboard_interrupt_is_no_observation():
    def press() -> str:
        """Press Ctrl-C."""
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plainly([press], call_to("press"))


def test_a_class_of_ones_own_with_both_ways_is_awaited_under_ainvoke():
    class Both(BaseTool):
        name: str = "both"
        description: str = "Say which way."

        def _run(self) -> str:
            return "run"

        async def _arun(self) -> str:
            return "awaited"

    assert [run([Both()], call_to("both")).text for run in (plainly, awaited)] == ["run", "awaited"]


async def agree(day: str) -> str:
    """Agree on a day."""
    return f"{day}: {interrupt('really?')}"


def asking() -> Any:
    calls = [
        {"name": "agree", "args": {"day": "Monday"}, "id": "c"},
        {"name": "look", "args": {"order": "A1"}, "id": "d"},
    ]
    script = ScriptedModel([AIMessage("", tool_calls=calls), AIMessage("Done.")])
    return build_react(Slot.fixed("desk.think", script, "v1"), [agree, look]).compile(checkpointer=InMemorySaver())


def test_a_graph_with_async_tools_runs_both_ways_and_a_tool_may_ask_a_question_of_its_own():
    config: Any = {"configurable": {"thread_id": "t"}}
    plain, later = asking(), asking()
    plain.invoke({"messages": [("user", "Book.")]}, config)
    done = plain.invoke(Command(resume="yes"), config)

    async def twice() -> Any:
        await later.ainvoke({"messages": [("user", "Book.")]}, config)
        return await later.ainvoke(Command(resume="yes"), config)

    expected = ["Book.", "", "Monday: yes", "A1 is sent", "Done."]
    assert [message.text for message in done["messages"]] == expected
    assert [message.text for message in asyncio.run(twice())["messages"]] == expected


def test_invoke_within_a_running_event_loop_works_too():
    async def inside() -> ToolMessage:
        return plainly([look_later], call_to("look_later", order="A1"), None)

    assert asyncio.run(inside()).text == "A1 is sent"
