"""What goes wrong with a server: what is asked again, what is said, and that nothing is half recorded."""

import asyncio
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import ModelServer, serving
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from threadmill.errors import ContextOverflow, EndpointFailed, MissingLibrary
from threadmill.graphs import build_react, run_thread
from threadmill.nodes import Slot
from threadmill.nodes.models.endpoint import EndpointChatModel
from threadmill.nodes.models.trace import read_trace


@pytest.fixture
def server(tiny_folder: Path) -> Iterator[ModelServer]:
    with serving(tiny_folder) as listening:
        yield listening


def at(server: ModelServer, *waits_s: float, **settings: Any) -> EndpointChatModel:
    return EndpointChatModel.from_server(
        server.url, "tiny", version="t@0001", waits_s=waits_s, max_new_tokens=8, **settings
    )


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(MissingLibrary, match=r"needs the library openai; install it with pip install 'threadmill\["):
        EndpointChatModel.from_server("http://127.0.0.1:1/v1", "tiny")


def test_a_server_that_is_not_there_is_asked_a_few_times(server: ModelServer) -> None:
    server.stop()
    begun = time.monotonic()
    with pytest.raises(EndpointFailed, match=r"cannot be reached \(.*refused.*\), tried 3 times; is the server run"):
        at(server, 0.05, 0.1).invoke("Hi")
    assert 0.15 <= time.monotonic() - begun < 5
    server.start()


def test_a_server_that_comes_back_meanwhile_is_only_a_pause(server: ModelServer) -> None:
    server.stop()
    threading.Timer(0.3, server.start).start()
    assert read_trace(at(server, *[0.1] * 60).invoke("Hi")) is not None


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(server: ModelServer, status: int) -> None:
    server.faults += [{"status": status}] * 2
    server.says.append("Hello.")
    assert at(server, 0.01, 0.01).invoke("Hi").text == "Hello."
    assert len(server.requests) == 3


def test_a_busy_server_says_how_long_to_wait(server: ModelServer) -> None:
    server.faults.append({"status": 429, "headers": {"retry-after": "1"}})
    begun = time.monotonic()
    at(server, 0.01).invoke("Hi")
    assert time.monotonic() - begun >= 1


def test_a_server_that_stays_busy_is_given_up_in_its_own_words(server: ModelServer) -> None:
    server.faults += [{"status": 503, "words": "queue of 9 is full"}] * 3
    with pytest.raises(EndpointFailed, match=r"too busy \(503: queue of 9 is full\), tried 2 times; ask less"):
        at(server, 0.01).invoke("Hi")
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "words", "said"),
    [
        (400, "top_p must be in (0, 1]", r"answered 400: top_p must be in"),
        (401, "bad key", r"refuses the key \(bad key\); set THREADMILL_ENDPOINT_KEY"),
        (404, "The model `x` does not exist.", r"does not serve this \(The model `x` does not exist.\); http://"),
        (500, "the engine is dead", r"answered 500: the engine is dead"),
    ],
)
def test_other_errors_are_told_at_once_in_the_servers_words(
    server: ModelServer, status: int, words: str, said: str
) -> None:
    server.faults.append({"status": status, "words": words})
    with pytest.raises(EndpointFailed, match=said):
        at(server, 0.01).invoke("Hi")
    assert len(server.requests) == 1


def test_a_prompt_that_is_too_long_says_how_much_and_what_to_do(server: ModelServer) -> None:
    with pytest.raises(ContextOverflow, match=r"maximum context length is 256 tokens.* \d{3,} input tokens.*observe"):
        at(server).invoke("x" * 400)


def test_a_slow_server_is_not_asked_twice(server: ModelServer) -> None:
    server.faults.append({"hang_s": 8})
    begun = time.monotonic()
    with pytest.raises(EndpointFailed, match=r"gave no answer within 0\.5 s; allow more with timeout_s"):
        at(server, 0.01, 0.01, timeout_s=0.5).invoke("Hi")
    assert len(server.requests) == 1
    assert time.monotonic() - begun < 8


def test_another_kind_of_server_is_recognised(server: ModelServer) -> None:
    root = server.url.removesuffix("/v1")
    with pytest.raises(EndpointFailed, match=r"does not serve this \(Not Found\); http"):
        EndpointChatModel.from_server(root, "tiny", waits_s=()).invoke("Hi")
    with pytest.raises(EndpointFailed, match=r"answered, but not as a model server does; does its address"):
        EndpointChatModel.from_server(f"{root}/web", "tiny", waits_s=()).invoke("Hi")


def test_the_key_is_sent_and_that_of_openai_never(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "for OpenAI alone")
    at(server).invoke("Hi")
    at(server, api_key="for this server").invoke("Hi")
    assert [head["authorization"] for head in server.heads] == ["Bearer none", "Bearer for this server"]


BREAKS = [
    ({"break_after": 4}, r"broke off in the middle of its answer \(.+\); nothing of it is kept"),
    ({"error_after": 4}, r"broke off in the middle of its answer \(the engine died\)"),
    ({"end_after": 4}, r"broke off in the middle of its answer \(no end came\)"),
    ({"pause_s": 3}, r"broke off in the middle of its answer \(nothing came for 1 s\)"),
]


@pytest.mark.parametrize(("fault", "said"), BREAKS)
def test_a_stream_that_breaks_is_an_error_and_not_an_answer(server: ModelServer, fault: Any, said: str) -> None:
    model = at(server, 0.01, timeout_s=1 if "pause_s" in fault else 60)
    server.faults.append(fault)
    chunks = []
    with pytest.raises(EndpointFailed, match=said):
        chunks.extend(model.stream("Hi"))
    assert all(chunk.response_metadata.get("trace") is None for chunk in chunks)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("fault", "said"), BREAKS)
def test_so_it_is_in_an_event_loop(server: ModelServer, fault: Any, said: str) -> None:
    model = at(server, 0.01, timeout_s=1 if "pause_s" in fault else 60)
    server.faults.append(fault)

    async def listen() -> None:
        try:
            async for _ in model.astream("Hi"):
                pass
        finally:
            await model.aclose()

    with pytest.raises(EndpointFailed, match=said):
        asyncio.run(listen())


def test_a_thread_keeps_nothing_of_an_answer_that_broke_off(server: ModelServer) -> None:
    slot = Slot.fixed("shop.think", at(server), "t@0001")
    agent = build_react(slot, []).compile(checkpointer=InMemorySaver(), name="shop")
    server.says += ["Hello.", "Fine."]
    run_thread(agent, "x7", "Hi")
    config: Any = {"configurable": {"thread_id": "x7"}}
    server.faults.append({"break_after": 3})
    server.says.append("lost")
    shown = []
    with pytest.raises(EndpointFailed, match="broke off"):
        shown += agent.stream({"messages": [("user", "How are you?")]}, config, stream_mode="messages")
    assert [m.text for m in agent.get_state(config).values["messages"] if isinstance(m, AIMessage)] == ["Hello."]


def test_nobody_waits_for_an_answer_that_is_no_longer_wanted(server: ModelServer) -> None:
    model = at(server)
    server.faults.append({"pause_s": 1})
    for _ in model.stream("Hi"):
        break
    begun = time.monotonic()
    server.says.append("Hello.")
    assert model.invoke("Hi").text == "Hello."
    assert time.monotonic() - begun < 5
