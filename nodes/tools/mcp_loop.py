"""The event loop, in a thread of its own, in which all connections to MCP servers live."""

import asyncio
import os
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any


def in_loop(work: Coroutine[Any, Any, Any]) -> Future[Any]:
    """``work`` begun in the loop of all connections, from any thread."""
    return asyncio.run_coroutine_threadsafe(work, _loop())


_loops: list[tuple[int, asyncio.AbstractEventLoop]] = []
_starting = Lock()


def _loop() -> asyncio.AbstractEventLoop:
    with _starting:
        if not _loops or _loops[-1][0] != os.getpid():  # a forked process has no thread that runs it
            loop = asyncio.new_event_loop()
            Thread(target=loop.run_forever, daemon=True, name="mcp").start()
            _loops.append((os.getpid(), loop))
        return _loops[-1][1]
