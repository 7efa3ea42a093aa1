"""MCP servers as tools, with real servers: what they answer, how they break, what they change."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import BaseTool, ToolException
from threadmill.errors import BadConfig, CannotConnect, MissingLibrary
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot
from threadmill.nodes.tools import mcp_connection
from threadmill.nodes.tools.mcp import close_mcp_tools, make_mcp_tools
from threadmill.nodes.tools.mcp_listed import schema_fault, schema_for_model
from threadmill.nodes.traits import traits_of

Closing = Callable[..., dict[str, BaseTool]]


@pytest.fixture
def opened() -> Iterator[Closing]:
    """``make_mcp_tools`` whose tools, by name, are closed after the test."""
    made: list[BaseTool] = []

    def make(*args: Any, **settings: Any) -> dict[str, BaseTool]:
        made.extend(tools := make_mcp_tools(*args, **settings))
        return {tool.name: tool for tool in tools}

    yield make
    close_mcp_tools(made)


def run_agent(tools: Iterable[BaseTool], call: Any) -> list[str]:
    """The observations of an agent that makes ``call``, then the same without arguments."""
    replies = [AIMessage("", tool_calls=[call]), AIMessage("", tool_calls=[{**call, "args": {}}]), AIMessage("bye")]
    slot = Slot.fixed("desk.think", ScriptedModel(replies), "desk.think@0001")
    messages = (
        build_react(slot, list(tools), name="desk").compile().invoke({"messages": [HumanMessage("go")]})["messages"]
    )
    return [message.content for message in messages if message.type == "tool"]


def call_for_a_while(tool: BaseTool, args: Any) -> None:
    for _ in range(200):
        tool.invoke(args)
        time.sleep(0.01)


def stdio(journal: Path) -> dict[str, Any]:
    return {"command": sys.executable, "args": [str(Path(__file__).parent / "mcp_server.py"), str(journal)]}


def test_a_server_over_stdio_answers_breaks_and_is_started_again(opened: Closing, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    tools = opened({"shop": stdio(journal)}, timeout_s=5)
    assert list(tools) == ["look", "order", "read_odd", "behave"]
    assert tools["look"].description == "Look it<U+200B> up."
    assert [traits_of(tools[name]).acts for name in ("look", "order")] == [True, True]

    call = {"name": "look", "args": {"item": "pen"}, "id": "1", "type": "tool_call"}
    answer = tools["look"].invoke(call)
    assert (answer.content, answer.artifact) == ("pen costs 3", {"structured_content": {"price": 3}})
    assert asyncio.run(tools["look"].ainvoke(call)).content == "pen costs 3"
    with ThreadPoolExecutor(2) as threads:  # each waits for the other
        assert list(threads.map(tools["behave"].invoke, [{"item": "together"}] * 2)) == ["done", "done"]
    assert tools["read_odd"].invoke({"config": "a", "runtime": "b"}) == "[('config', 'a'), ('runtime', 'b')]"
    picture = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
    assert tools["behave"].invoke({"item": "picture"}) == [picture]
    with pytest.raises(ToolException, match="sold out"):
        tools["behave"].invoke({"item": "badly"})

    seen = run_agent(tools.values(), call)
    assert seen == ["pen costs 3", "invalid arguments for look: 'item' is a required property"]

    started, *_ = journal.read_text().splitlines()
    os.kill(int(started.split()[1]), signal.SIGKILL)
    assert tools["order"].invoke({"item": "after a kill"}) == "done"
    with pytest.raises(ToolException, match=r"broke during the call .*; whether behave was carried out is not known"):
        tools["behave"].invoke({"item": "deadly"})
    again, *orders = journal.read_text().splitlines()[-3:]
    assert again.startswith("started")
    assert orders == ["order after a kill", "behave deadly"]


@contextlib.contextmanager
def http(journal: Path, port: int) -> Iterator[Callable[[], None]]:
    """A shop over streamable HTTP; at the end it is gone at once, with all that it knew."""
    import uvicorn
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp_server import build_shop
    from starlette.applications import Starlette
    from starlette.routing import Mount

    manager = StreamableHTTPSessionManager(build_shop(journal))
    app = Starlette(routes=[Mount("/mcp", app=manager.handle_request)], lifespan=lambda _: manager.run())
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="critical", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)

    def end() -> None:
        server.should_exit = server.force_exit = True
        thread.join()

    try:
        yield end
    finally:
        end()


def test_a_server_over_http_is_found_again_and_what_it_changed_is_not_called(
    opened: Closing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_connection, "AGAIN_S", 0.05)
    monkeypatch.setattr(mcp_connection, "PROBE_S", 0.1)
    journal = tmp_path / "journal"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shop = {"url": f"http://127.0.0.1:{port}/mcp/"}
    with http(journal, port):
        tools = opened({"shop": shop, "twin": shop}, timeout_s=0.4, trust_hints=True)
        assert sorted(tools)[:4] == ["shop_behave", "shop_look", "shop_order", "shop_read_odd"]
        look, order, behave = tools["shop_look"], tools["shop_order"], tools["shop_behave"]
        assert [traits_of(tool).acts for tool in (look, order)] == [False, True]
        assert look.metadata["mcp"]["pinned"] is False
        assert look.invoke({"item": "pen"}) == "pen costs 3"
        with pytest.raises(ToolException, match=r"gave no result within 0\.4 s"):
            behave.invoke({"item": "slowly"})
    with http(journal, port) as end:
        assert order.invoke({"item": "again"}) == "done"
        assert behave.invoke({"item": "otherwise"}) == "done"
        with pytest.raises(ToolException, match="look of MCP server 'shop' is not called: its description changed"):
            call_for_a_while(look, {"item": "pen"})  # the news comes by another stream
        assert order.invoke({"item": "the rest"}) == "done"
        with pytest.raises(BadConfig, match=f"digest sha256:.*, and {look.metadata['mcp']['digest']} is pinned"):
            make_mcp_tools({"shop": {**shop, "pinned": look.metadata["mcp"]["digest"]}})
        with ThreadPoolExecutor(1) as thread:
            call = thread.submit(behave.invoke, {"item": "slowly"})
            time.sleep(0.1)
            end()
            with pytest.raises(ToolException, match="broke during the call"):
                call.result()
    with pytest.raises(ToolException, match="MCP server 'shop' cannot be reached: "):
        order.invoke({"item": "nowhere"})
    assert [line for line in journal.read_text().splitlines() if "started" not in line] == [
        "order again",
        "behave otherwise",
        "order the rest",
    ]


@pytest.mark.parametrize(
    ("settings", "error", "why"),
    [
        ({"cmd": "shop"}, BadConfig, "has no setting 'cmd'; there are command, args"),
        ({"args": []}, BadConfig, "needs either a command or a url"),
        ({"command": "shop", "env": {"KEY": "${NO_SUCH}"}}, BadConfig, "needs NO_SUCH in the environment"),
        ({"command": "/no/such"}, CannotConnect, "cannot be reached: FileNotFoundError"),
        (
            {"command": sys.executable, "args": ["-Sc", "import no_such"]},
            CannotConnect,
            "it said: ModuleNotFoundError: No module named 'no_such'",
        ),
    ],
)
def test_a_server_that_cannot_be_had_is_told(
    settings: dict[str, Any], error: type[Exception], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mcp_connection, "AGAIN_S", 0)
    with pytest.raises(error, match=why):
        make_mcp_tools({"shop": settings})


def doubling(levels: int) -> dict[str, Any]:
    parts = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": {**parts, f"d{levels}": {"type": "string"}}, "properties": {"a": {"$ref": "#/$defs/d0"}}}


@pytest.mark.parametrize(
    ("schema", "fault"),
    [
        ({"properties": {"a": {"$ref": "#/$defs/no"}}}, "refer to #/$defs/no, which is not in the schema"),
        ({"$id": "http://10.0.0.1/x", "properties": {"a": {"$ref": "#/y"}}}, "refer to #/y, which is not in the"),
        ({"properties": {"a": {"$ref": "#a"}}, "$defs": {"a": {"$anchor": "a"}}}, "refer to #a, which is not in the"),
        ({"$ref": "#"}, "refer to # without end"),
        ({"properties": {"a": {"allOf": [{"$ref": "#/properties/a"}]}}}, "refer to #/properties/a without end"),
        (doubling(30), "unfold to more than 10,000 parts"),
        (doubling(3), ""),
        ({"properties": {"more": {"$ref": "#"}, "$ref": {"type": "string"}}}, ""),
        ({"$defs": {"a/b": {"items": {"$ref": "#/$defs/a~1b"}}}, "properties": {"x": {"$ref": "#/$defs/a~1b"}}}, ""),
    ],
)
def test_a_schema_that_would_stop_the_agent_is_a_fault_of_the_tool(schema: Any, fault: str) -> None:
    told = schema_fault({"type": "object", **schema})
    assert fault in told if fault else not told


def test_patterns_of_a_server_are_told_to_the_model_and_not_run_here() -> None:
    path = {"type": "string", "description": "Where.", "pattern": "^(a+)+$"}
    schema = {
        "properties": {"pattern": {"type": "string"}, "path": path},
        "patternProperties": {"^(x+)+$": {"type": "integer"}},
        "additionalProperties": False,
    }
    assert schema_for_model(schema) == {
        "properties": {
            "pattern": {"type": "string"},
            "path": {"type": "string", "description": "Where. It matches ^(a+)+$"},
        }
    }


def test_without_the_packages_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingLibrary, match=r"pip install 'threadmill\[mcp\]'"):
        make_mcp_tools({})
