"""The time limit of tools: what is late is left behind and harms nobody, and a thread serves one call at a time."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from textwrap import dedent
from threading import Barrier, Event, current_thread
from time import monotonic, sleep
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.runtime import Runtime
from langgraph.types import Command, interrupt
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot, make_tool
from threadmill.nodes.time_limit import OutOfTime, within

AUTHOR: ContextVar[str] = ContextVar("author", default="nobody")


@tool
def wait(seconds: float) -> str:
    """Wait."""
    sleep(seconds)
    return f"waited {seconds}"


def call_wait(seconds: float, timeout_s: float) -> ToolMessage:
    proposed = {"name": "wait", "args": {"seconds": seconds}, "id": "c", "type": "tool_call"}
    call = {"id": "ai:0", "call": proposed, "kind": "result", "text": ""}
    return make_tool([wait], timeout_s)(call, {"configurable": {}}, Runtime())["messages"][0]


def test_the_result_of_a_late_call_is_never_that_of_another():
    assert all("no result within 0.01 s" in call_wait(0.2, timeout_s=0.01).text for _ in range(3))
    assert [call_wait(seconds, timeout_s=5).text for seconds in (0, 0.25, 0.1)] == [
        "waited 0.0",
        "waited 0.25",
        "waited 0.1",
    ]


def test_a_thread_that_was_in_time_is_used_again_and_one_that_hangs_is_not():
    release = Event()
    first = within(5, current_thread)
    assert within(5, current_thread) is first
    with pytest.raises(OutOfTime):
        within(0.01, release.wait)
    second = within(5, current_thread)
    assert first.is_alive()
    assert second is not first
    release.set()
    first.join(5)
    assert not first.is_alive()


def test_calls_at_the_same_time_have_a_thread_each():
    everyone = Barrier(8)

    def meet() -> Any:
        everyone.wait(5)
        return current_thread()

    with ThreadPoolExecutor(8) as callers:
        threads = {*callers.map(lambda _: within(5, meet), range(8))}
    assert len(threads) == 8


def test_more_than_a_few_threads_are_not_kept():
    everyone = Barrier(40)
    with ThreadPoolExecutor(40) as callers:
        assert len([*callers.map(lambda _: within(20, lambda: everyone.wait(20)), range(40))]) == 40
    deadline = monotonic() + 5
    while monotonic() < deadline and len(kept()) > 16:
        sleep(0.01)
    assert len(kept()) <= 16


def kept() -> list[Any]:
    return [thread for thread in threading.enumerate() if thread.name == "tool"]


def test_the_work_sees_the_context_of_its_caller_and_leaves_nothing_in_it():
    def sign() -> str:
        before = AUTHOR.get()
        AUTHOR.set("the work")
        return before

    token = AUTHOR.set("Ada")
    assert [within(5, sign), AUTHOR.get()] == ["Ada", "Ada"]
    AUTHOR.reset(token)
    assert within(5, sign) == "nobody"


@pytest.mark.parametrize("kind", [ValueError, TimeoutError, KeyboardInterrupt, SystemExit])
def test_what_the_work_raises_is_raised_and_its_thread_goes_on(kind: type[BaseException]):
    def fail() -> None:
        raise kind(current_thread().name)

    thread = within(5, current_thread)
    with pytest.raises(kind, match="tool"):
        within(5, fail)
    assert within(5, current_thread) is thread


def test_a_tool_may_ask_a_question_of_its_own():
    @tool
    def book(day: str) -> str:
        """Book."""
        return f"booked {day}: {interrupt('really?')}"

    proposed = AIMessage("", tool_calls=[{"name": "book", "args": {"day": "Monday"}, "id": "c"}])
    slot = Slot.fixed("desk.think", ScriptedModel([proposed, AIMessage("Done.")]), "v1")
    graph = build_react(slot, [book]).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t"}}
    given: Any = {"messages": [("user", "Book.")]}
    paused = graph.invoke(given, config, durability="sync")
    assert [question.value for question in paused["__interrupt__"]] == ["really?"]
    done = graph.invoke(Command(resume="yes"), config, durability="sync")
    assert [message.text for message in done["messages"]][2:] == ["booked Monday: yes", "Done."]


HANGING = dedent("""
    import os, sys, time
    from threadmill.nodes.time_limit import OutOfTime, within

    within(5, int)
    if sys.argv[1] == "fork" and (child := os.fork()):
        sys.exit(os.waitpid(child, 0)[1])
    print(within(5, lambda: "in time"))
    try:
        within(0.05, lambda: time.sleep(60))
    except OutOfTime:
        print(within(5, lambda: "in time again"), flush=True)
""")


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_python_ends_though_a_call_hangs_and_a_forked_process_has_threads_of_its_own(how: str):
    began = monotonic()
    ended = subprocess.run([sys.executable, "-c", HANGING, how], capture_output=True, text=True, timeout=50)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "in time\nin time again\n", "")
    assert monotonic() - began < 30
