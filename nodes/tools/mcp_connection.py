"""One connection to one MCP server, kept open from call to call, and opened again when it broke.

All connections live in one event loop in a thread of its own; whoever calls waits for it, in whatever thread or loop.
A call that was sent is never sent again: what came of it is not known when the connection breaks meanwhile.
"""

import asyncio
import logging
import tempfile
from collections.abc import Coroutine, Mapping
from typing import Any

from langchain_core.tools import ToolException

from .mcp_listed import Listed, changed, listed
from .mcp_transport import CONNECT_S, checked_settings, new_session, open_transport

log = logging.getLogger("threadmill.mcp")

PROBE_S = 1.0
"""How often a server that lets a call wait is asked whether it is there; HTTP does not say when it went."""
AGAIN_S = 0.5
LOST_MESSAGES = ("Session terminated", "Connection closed")
"""What the mcp package itself says of a connection that is gone."""
MAX_PAGES = 100


class Lost(Exception):
    """The connection broke."""


class McpConnection:
    """A server by its settings; nothing is started before the first use. To be used in the loop of ``in_loop`` only."""

    def __init__(self, name: str, settings: Mapping[str, Any], timeout_s: float) -> None:
        self.name = name
        self.changes: Mapping[str, str] = {}
        self.bound: Listed | None = None
        self._settings = checked_settings(name, settings)
        self._timeout_s = timeout_s
        self._session: Any = None
        self._holder: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()
        self._opening = asyncio.Lock()
        self._calls = 0
        self._stale = False
        self._last_words = ""

    async def tools(self) -> list[Any]:
        """What the server lists now, and what later lists are compared with.

        Raises:
            ToolException: it cannot be reached.
        """
        tools = await self._list(await self._ready())
        self.bound = listed(tools)
        return tools

    async def call(self, tool: str, arguments: dict[str, Any], progress: Any = None) -> Any:
        """What the server returns; only a call that certainly did not reach it is sent over a new connection.

        Raises:
            ToolException: the tool changed since it was bound; the server cannot be reached, broke off, or is too slow.
        """
        from mcp.shared.exceptions import McpError

        session = await self._ready()
        if why := self.changes.get(tool):
            raise ToolException(
                f"{tool} of MCP server {self.name!r} is not called: {why} since the agent was built. "
                "Somebody has to look at it and build the agent again"
            )
        self._calls += 1
        try:
            return await self._until_lost(session, session.call_tool(tool, arguments, progress_callback=progress))
        except Lost as error:
            if self._session is session:  # nobody opened another meanwhile
                await self.close()
            raise ToolException(
                f"the connection to MCP server {self.name!r} broke during the call ({error}); "
                f"whether {tool} was carried out is not known"
            ) from error
        except TimeoutError as error:
            raise ToolException(
                f"{tool} of MCP server {self.name!r} gave no result within {self._timeout_s:g} s"
            ) from error
        except McpError as error:
            raise ToolException(f"MCP server {self.name!r} refused the call: {error}") from error
        finally:
            self._calls -= 1

    async def close(self) -> None:
        """End the connection, and the server if we started it."""
        holder, self._holder, self._session = self._holder, None, None
        if holder is not None:
            self._leave.set()
            await asyncio.wait([holder], timeout=CONNECT_S)
            holder.cancel()

    async def _ready(self) -> Any:
        """A session that answers, its list of tools compared with the one that was bound.

        Raises:
            ToolException: there is none, twice in a row.
        """
        async with self._opening:
            if self._session is not None and not self._calls and not await self._answers(self._session):
                log.warning("MCP server %s is gone; connecting again", self.name)
                await self.close()
            if self._session is None:
                try:
                    await self._open()
                except Lost:
                    await asyncio.sleep(AGAIN_S)
                    try:
                        await self._open()
                    except Lost as error:
                        raise ToolException(f"MCP server {self.name!r} cannot be reached: {error}") from error
            if self._stale and self.bound is not None:
                await self._compare(self.bound)
            return self._session

    async def _compare(self, bound: Listed) -> None:
        tools = await self._list(self._session)
        self._stale = False
        self.changes = changed(bound, listed(tools))
        for tool, why in self.changes.items():
            log.warning("tool %s of MCP server %s is not called any more: %s", tool, self.name, why)

    async def _list(self, session: Any) -> list[Any]:
        try:
            return await asyncio.wait_for(_all_tools(session), CONNECT_S)
        except Exception as error:
            raise ToolException(f"MCP server {self.name!r} does not list its tools: {_reason(error)}") from error

    async def _open(self) -> None:
        opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        self._holder = asyncio.create_task(self._hold(opened, self._leave))
        self._holder.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # nobody else may look
        await asyncio.wait([opened, self._holder], timeout=CONNECT_S, return_when=asyncio.FIRST_COMPLETED)
        if opened.done() and not opened.cancelled():
            self._session = opened.result()
            self._stale = self.bound is not None
            return
        holder, self._holder = self._holder, None
        holder.cancel()
        await asyncio.wait([holder], timeout=CONNECT_S)  # it ends the server
        error = holder.exception() if holder.done() and not holder.cancelled() else None
        why = _reason(error) if error else f"no answer within {CONNECT_S:g} s"
        raise Lost(f"{why}; it said: {self._last_words}" if self._last_words else why)

    async def _hold(self, opened: asyncio.Future[Any], leave: asyncio.Event) -> None:
        """Open the session and close it in the same task, as its cancel scopes demand."""
        with tempfile.TemporaryFile("w+", errors="replace") as said:
            try:
                async with (
                    open_transport(self._settings, said, self._timeout_s) as (read, write),
                    new_session(read, write, self._heard) as session,
                ):
                    await session.initialize()
                    opened.set_result(session)
                    await leave.wait()
            finally:
                said.seek(0)
                self._last_words = said.read().strip().rpartition("\n")[2][-500:]

    async def _heard(self, message: Any) -> None:
        from mcp.types import ServerNotification, ToolListChangedNotification

        if isinstance(message, ServerNotification) and isinstance(message.root, ToolListChangedNotification):
            self._stale = True

    async def _answers(self, session: Any) -> bool:
        try:
            await self._until_lost(session, session.send_ping(), CONNECT_S / 2)
        except Exception:
            return False
        return True

    async def _until_lost(self, session: Any, request: Coroutine[Any, Any, Any], timeout_s: float | None = None) -> Any:
        """The answer to ``request``.

        Raises:
            Lost: the connection ended, or the server does not know it any more.
            TimeoutError: no answer in time.
        """
        from mcp.shared.exceptions import McpError

        waiting = asyncio.ensure_future(request)
        holder = self._holder
        assert holder is not None
        ends = asyncio.get_running_loop().time() + (timeout_s or self._timeout_s)
        try:
            while not waiting.done():
                left = ends - asyncio.get_running_loop().time()
                if holder.done():
                    raise Lost("it ended")
                if left <= 0:
                    raise TimeoutError
                await asyncio.wait([waiting, holder], timeout=min(left, PROBE_S), return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done() and timeout_s is None and await _is_gone(session):
                    raise Lost("the server is gone")
            return waiting.result()
        except McpError as error:
            if error.error.message in LOST_MESSAGES:
                raise Lost(error.error.message) from error
            raise
        except (Lost, TimeoutError, ToolException):
            raise
        except Exception as error:
            raise Lost(_reason(error)) from error
        finally:
            waiting.cancel()


async def _is_gone(session: Any) -> bool:
    """Does asking the server fail? One that is merely busy does not answer, and is not gone."""
    try:
        await asyncio.wait_for(session.send_ping(), PROBE_S)
    except TimeoutError:
        return False
    except Exception:
        return True
    return False


async def _all_tools(session: Any) -> list[Any]:
    tools, cursor = [], None
    for _ in range(MAX_PAGES):
        page = await session.list_tools(cursor=cursor)
        tools += page.tools
        if not (cursor := page.nextCursor):
            break
    return tools


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}".removesuffix(": ")
