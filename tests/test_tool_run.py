"""Retries, places and traits: what a tool declares of itself decides how its calls run."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from time import sleep
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import ToolException
from langgraph.runtime import ExecutionInfo, Runtime
from langgraph.types import Command
from threadmill.errors import BadTool, BadTraits
from threadmill.nodes import make_tool
from threadmill.nodes.traits import with_traits

RUNTIME = Runtime(execution_info=ExecutionInfo("checkpoint", "", "task-1"))


def call_to(name: str, **args: Any) -> Any:
    return {
        "id": "ai:0",
        "call": {"name": name, "args": args, "id": "c", "type": "tool_call"},
        "kind": "result",
        "text": "",
    }


def plainly(tool: Any, call: Any, timeout_s: float | None = 5) -> ToolMessage:
    return make_tool([tool], timeout_s)(call, {"configurable": {}}, RUNTIME)["messages"][0]


def awaited(tool: Any, call: Any, timeout_s: float | None = 5) -> ToolMessage:
    node: Any = make_tool([tool], timeout_s)
    return asyncio.run(node.awaited(call, {"configurable": {}}, RUNTIME))["messages"][0]


BOTH = pytest.mark.parametrize("run", [plainly, awaited])


class Shaky:
    """Fails a number of times, and notes the key of every attempt."""

    def __init__(self, failures: int, error: Exception):
        self.failures, self.error = failures, error
        self.keys: list[str] = []

    def fetch(self, config: RunnableConfig) -> str:
        """Fetch."""
        self.keys.append(config.get("configurable", {})["idempotency_key"])
        if len(self.keys) <= self.failures:
            raise self.error
        return "fetched"


@BOTH
def test_an_idempotent_tool_is_tried_again_with_the_same_key(run: Any):
    shaky = Shaky(1, ConnectionError("reset"))
    answer = run(with_traits(shaky.fetch, idempotent=True), call_to("fetch"))
    assert (answer.text, answer.additional_kwargs["attempts"], len({*shaky.keys})) == ("fetched", 2, 1)


@BOTH
@pytest.mark.parametrize(
    ("traits", "error", "attempts"),
    [
        ({}, ConnectionError("reset"), 1),
        ({"retries": 5}, ConnectionError("reset"), 1),
        ({"idempotent": True, "retries": 1}, ConnectionError("reset"), 2),
        ({"idempotent": True, "retries": 0}, ConnectionError("reset"), 1),
        ({"idempotent": True}, ToolException("no such page"), 1),
        ({"idempotent": True}, NotImplementedError("later"), 1),
    ],
)
def test_no_other_tool_is_and_a_refusal_is_final(run: Any, traits: Any, error: Exception, attempts: int):
    shaky = Shaky(99, error)
    answer = run(with_traits(shaky.fetch, **traits), call_to("fetch"))
    assert (len(shaky.keys), answer.additional_kwargs.get("attempts", 1)) == (attempts, attempts)
    assert answer.status == "error"


def test_a_tools_own_time_limit_goes_before_that_of_the_node():
    def wait() -> str:
        """Wait."""
        sleep(0.2)
        return "waited"

    assert (
        plainly(with_traits(wait, acts=False, timeout_s=0.02), call_to("wait"), 5).text
        == "wait gave no result within 0.02 s"
    )
    assert plainly(with_traits(wait, timeout_s=5), call_to("wait"), 0.02).text == "waited"


class Crowd:
    """How many are inside, and how many were at most."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self.lock = Lock()

    def enter(self) -> None:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def leave(self) -> None:
        with self.lock:
            self.inside -= 1


def test_no_more_calls_of_a_tool_run_at_once_than_it_declares_whoever_makes_them():
    crowd = Crowd()

    def visit() -> str:
        """Visit."""
        crowd.enter()
        sleep(0.01)
        crowd.leave()
        return "been there"

    tool = with_traits(visit, at_once=2)

    async def eight() -> list[Any]:
        node: Any = make_tool([tool])
        return await asyncio.gather(*(node.awaited(call_to("visit"), {}, RUNTIME) for _ in range(8)))

    with ThreadPoolExecutor(9) as callers:
        loop = callers.submit(asyncio.run, eight())
        texts = [*callers.map(lambda _: plainly(tool, call_to("visit")).text, range(8))]
        texts += [answer["messages"][0].text for answer in loop.result()]
    assert (texts, crowd.most) == (["been there"] * 16, 2)


def test_the_same_holds_for_coroutines():
    crowd = Crowd()

    async def visit() -> str:
        """Visit."""
        crowd.enter()
        await asyncio.sleep(0.01)
        crowd.leave()
        return "been there"

    async def eight() -> None:
        node: Any = make_tool([with_traits(visit, at_once=2)])
        await asyncio.gather(*(node.awaited(call_to("visit"), {}, RUNTIME) for _ in range(8)))

    asyncio.run(eight())
    assert crowd.most == 2


@BOTH
def test_a_call_that_hangs_keeps_its_place_and_those_who_wait_are_told(run: Any):
    release, ran = Event(), []

    def hang() -> str:
        """Hang."""
        ran.append(1)
        release.wait(5)
        return "released"

    tool = with_traits(hang, acts=False, at_once=1, timeout_s=0.05)
    assert run(tool, call_to("hang")).text == "hang gave no result within 0.05 s"
    answer = run(tool, call_to("hang"))
    assert answer.text == "hang was not run: all its places (1) stayed taken for 0.05 s"
    assert (answer.additional_kwargs["kind"], len(ran)) == ("timeout", 1)
    release.set()
    sleep(0.05)
    assert run(tool, call_to("hang")).text == "released"


@BOTH
def test_who_stops_waiting_for_a_place_leaves_it_to_others(run: Any):
    release = Event()

    def work(wait: bool) -> str:
        """Work."""
        if wait:
            release.wait(5)
        return "worked"

    tool = with_traits(work, at_once=1)
    node: Any = make_tool([tool], 0.5)
    with ThreadPoolExecutor(1) as other:
        first = other.submit(plainly, tool, call_to("work", wait=True))
        while not first.running():
            sleep(0.001)
        sleep(0.02)
        assert run(tool, call_to("work", wait=False), 0.02).additional_kwargs["kind"] == "timeout"
        release.set()
        assert first.result().text == "worked"
    answers = [node(call_to("work", wait=False), {}, RUNTIME)["messages"][0] for _ in range(2)]
    assert [answer.text for answer in answers] == ["worked", "worked"]


@BOTH
def test_a_tool_changes_no_state_and_answers_no_call_but_its_own(run: Any):
    def jump() -> Any:
        """Jump."""
        return Command(goto="elsewhere")

    def forge() -> Any:
        """Forge."""
        return ToolMessage("forged", tool_call_id="another", name="another", id="another")

    assert run(jump, call_to("jump")).text == "jump returned a Command, which is no result: a tool gives back data"
    answer = run(forge, call_to("forge"))
    assert (answer.text, answer.tool_call_id, answer.name, answer.id) == ("forged", "c", "forge", "ai:0")


class Unspeakable(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError


@BOTH
def test_an_error_that_cannot_be_shown_is_an_observation_too(run: Any):
    def fail() -> str:
        """Fail."""
        raise Unspeakable

    assert run(fail, call_to("fail")).text == "Unspeakable: (no text: ValueError)"


@pytest.mark.parametrize(
    ("traits", "complaint"),
    [
        ({"at_once": 0}, "at_once is 0; give a whole number from 1 on"),
        ({"timeout_s": 0}, "timeout_s is 0; give seconds, or None"),
        ({"act": False}, "unexpected keyword argument 'act'; there are acts, trusted"),
    ],
)
def test_what_no_tool_can_have_is_refused_when_it_is_declared(traits: Any, complaint: str):
    with pytest.raises(BadTraits, match=complaint):
        with_traits(Shaky(0, ValueError()).fetch, **traits)


def test_a_function_that_says_nowhere_what_it_is_for_is_no_tool():
    def nameless(order: str) -> str:
        return order

    with pytest.raises(BadTool, match="function 'nameless' does not say what it is for; give it a docstring"):
        make_tool([nameless])
