"""The tools of MCP servers, over stdio or streamable HTTP, as tools of an agent.

A server's descriptions, hints and results are its own claims. Its tools act unless you trust its hints, its results are
data, and a tool that is not the one you bound any more is not called.
"""

import asyncio
import atexit
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from typing import Any
from weakref import WeakSet

from langchain_core.tools import BaseTool, ToolException
from pydantic import PrivateAttr

from ...errors import BadConfig, CannotConnect, MissingLibrary
from ..hidden_text import show_hidden
from ..traits import with_traits
from .mcp_connection import McpConnection, log
from .mcp_listed import digest_of, name_for_model, schema_fault, schema_for_model
from .mcp_loop import in_loop
from .mcp_transport import CONNECT_S

CLOSE_S = 10.0
_open: WeakSet[McpConnection] = WeakSet()


def make_mcp_tools(
    servers: Mapping[str, Mapping[str, Any]], *, trust_hints: bool = False, timeout_s: float = 60
) -> list[BaseTool]:
    """The tools of ``servers``, by name: a ``command`` with args, env and cwd, or a ``url`` with headers.

    ``pinned`` of a server is the digest that its tools must have (``tool.metadata["mcp"]["digest"]``). A name that
    several tools have is led by that of the server. With ``trust_hints`` a server that says so may be called without
    being asked about (readOnlyHint), or again after a failure (idempotentHint).

    Raises:
        MissingLibrary: the packages are not installed.
        CannotConnect: a server cannot be reached.
        BadConfig: a setting is not known, or a server's tools are not those that were pinned.
    """
    connections = [McpConnection(name, settings, timeout_s) for name, settings in servers.items()]
    try:
        import mcp  # noqa: F401

        _open.update(connections)
        begun = in_loop(_all_offers(connections))
        import langchain_mcp_adapters.tools  # noqa: F401 (takes as long as a server to start)

        offers = begun.result()
        for connection in connections:
            _check_pinned(connection, servers[connection.name].get("pinned"))
        pinned = {connection.name for connection in connections if servers[connection.name].get("pinned")}
        return _tools(offers, pinned, trust_hints, timeout_s)
    except ImportError as error:
        _close(connections)
        raise MissingLibrary(f"MCP servers need {error.name}; try `pip install 'threadmill[mcp]'`") from error
    except BaseException:
        _close(connections)
        raise


def close_mcp_tools(tools: Iterable[BaseTool]) -> None:
    """End the connections of ``tools``, and the servers that were started for them; a later call starts them again."""
    _close({tool._connection for tool in tools if isinstance(tool, McpTool)})


class McpTool(BaseTool):
    """A tool of an MCP server."""

    response_format: Any = "content_and_artifact"
    _connection: McpConnection = PrivateAttr()
    _offer: Any = PrivateAttr()

    # No parameter of these may have a name, or it would be taken from a tool whose argument is called the same.
    def _run(self, **arguments: Any) -> Any:
        return in_loop(self._answer(arguments)).result()

    async def _arun(self, **arguments: Any) -> Any:
        return await asyncio.wrap_future(in_loop(self._answer(arguments)))

    async def _answer(self, arguments: dict[str, Any]) -> Any:
        from langchain_mcp_adapters.tools import convert_mcp_tool_to_langchain_tool

        session: Any = _OneCall(self._connection, arguments)
        convert: Any = convert_mcp_tool_to_langchain_tool(session, self._offer)
        try:
            content, artifact = await convert.coroutine()
        except (NotImplementedError, ValueError) as error:
            raise ToolException(f"{self.name} returned what cannot be shown: {error}") from error
        if all(block["type"] == "text" for block in content):
            return "\n".join(block["text"] for block in content), artifact
        for block in content:
            block.pop("id", None)  # made up by the adapter, another each time
        return content, artifact


class _OneCall:
    """A session as the adapter sees it, for the one call that it makes."""

    def __init__(self, connection: McpConnection, arguments: dict[str, Any]) -> None:
        self._connection, self._arguments = connection, arguments

    async def call_tool(self, name: str, _: Any, progress_callback: Any = None) -> Any:
        return await self._connection.call(name, self._arguments, progress_callback)


async def _all_offers(connections: list[McpConnection]) -> list[tuple[McpConnection, Any]]:
    try:
        lists = await asyncio.gather(*(connection.tools() for connection in connections))
    except ToolException as error:
        raise CannotConnect(str(error)) from error
    return [(connection, offer) for connection, offers in zip(connections, lists, strict=True) for offer in offers]


def _check_pinned(connection: McpConnection, pinned: str | None) -> None:
    found = digest_of(connection.bound or {})
    if pinned is not None and pinned != found:
        raise BadConfig(
            f"the tools of MCP server {connection.name!r} have the digest {found}, and {pinned} is pinned; "
            "look at what they say now, and pin it if it is right"
        )


def _tools(
    offers: list[tuple[McpConnection, Any]], pinned: Set[str], trust_hints: bool, timeout_s: float
) -> list[BaseTool]:
    times = Counter(name_for_model(offer.name) for _, offer in offers)
    tools: list[BaseTool] = []
    for connection, offer in offers:
        if complaint := schema_fault(offer.inputSchema) if offer.name else "it has no name":
            log.warning("tool %s of MCP server %s is left out: %s", offer.name, connection.name, complaint)
            continue
        name = name_for_model(offer.name)
        if times[name] > 1:
            name = name_for_model(f"{connection.name}_{offer.name}")
        if any(tool.name == name for tool in tools):
            raise BadConfig(f"two tools of MCP servers would both be called {name!r}; rename one of the servers")
        tool = McpTool(
            name=name,
            description=show_hidden(offer.description or offer.title or offer.name),
            args_schema=schema_for_model(offer.inputSchema),
            metadata={
                "mcp": {
                    "server": connection.name,
                    "tool": offer.name,
                    "digest": digest_of(connection.bound or {}),
                    "pinned": connection.name in pinned,
                }
            },
        )
        tool._connection, tool._offer = connection, offer
        hints = offer.annotations if trust_hints else None
        reads = bool(hints and hints.readOnlyHint)
        tools.append(
            with_traits(
                tool,
                acts=not reads,
                idempotent=reads or bool(hints and hints.idempotentHint),
                timeout_s=timeout_s + 2 * CONNECT_S,
            )
        )
    return tools


def _close(connections: Iterable[McpConnection]) -> None:
    for ending in [in_loop(connection.close()) for connection in connections]:
        try:
            ending.result(CLOSE_S)
        except Exception as error:  # the others must end all the same
            log.warning("a connection to an MCP server did not close: %s: %s", type(error).__name__, error)


@atexit.register
def _close_all() -> None:
    if _open:
        _close(list(_open))
