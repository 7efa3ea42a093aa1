"""How an MCP server is reached: which settings there are, and what they open."""

import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from ...errors import BadConfig

SETTINGS = ("command", "args", "env", "cwd", "url", "headers", "pinned")
CONNECT_S = 20.0


def checked_settings(server: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """``settings`` with each ``${NAME}`` in env and headers taken from the environment: no secret stands in a file.

    Raises:
        BadConfig: there is no such setting, or none says where the server is, or the environment has no such name.
    """
    if unknown := sorted(set(settings) - set(SETTINGS)):
        raise BadConfig(f"MCP server {server!r} has no setting {unknown[0]!r}; there are {', '.join(SETTINGS)}")
    if ("command" in settings) == ("url" in settings):
        raise BadConfig(f"MCP server {server!r} needs either a command or a url")

    def value_of(found: re.Match[str]) -> str:
        if (value := os.environ.get(found[1])) is None:
            raise BadConfig(f"MCP server {server!r} needs {found[1]} in the environment; set it")
        return value

    filled = {
        key: {name: re.sub(r"\$\{(\w+)\}", value_of, str(value)) for name, value in settings.get(key, {}).items()}
        for key in ("env", "headers")
    }
    return {**settings, **filled}


def open_transport(settings: Mapping[str, Any], said: Any, timeout_s: float) -> AbstractAsyncContextManager[Any]:
    """A server's streams; the errors of one that is started go to the file ``said``."""
    if "url" in settings:
        return _http(settings["url"], settings["headers"], timeout_s)
    from mcp.client.stdio import StdioServerParameters, stdio_client

    return stdio_client(
        StdioServerParameters(
            command=settings["command"],
            args=[str(argument) for argument in settings.get("args", ())],
            env=settings["env"] or None,
            cwd=settings.get("cwd"),
        ),
        errlog=said,
    )


@asynccontextmanager
async def _http(url: str, headers: dict[str, str], timeout_s: float) -> AsyncIterator[Any]:
    import httpx
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    timeout = httpx.Timeout(CONNECT_S, read=timeout_s + CONNECT_S)
    async with (
        create_mcp_http_client(headers=headers, timeout=timeout) as client,
        streamable_http_client(url, http_client=client) as (read, write, _),
    ):
        yield read, write


def new_session(read: Any, write: Any, heard: Any) -> AbstractAsyncContextManager[Any]:
    """A session on a server's streams; ``heard`` gets what the server says unasked."""
    from mcp import ClientSession

    return ClientSession(read, write, message_handler=heard)
