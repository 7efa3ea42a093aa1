"""What a tool says while it works, to those who stream the thread with ``stream_mode="custom"``.

The model never sees it, and no checkpoint holds it. Each event is a dict: ``tool`` (its name), ``call`` (the call's
id), ``event`` (``started``, ``progress`` or ``finished``), and what the event has to say.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from langchain_core.messages import ToolCall


class Reporter:
    """Tells about one call from its beginning until it is over."""

    __slots__ = ("_call", "_token", "_tool", "_write")

    def __init__(self, call: ToolCall, write: Callable[[Any], None]) -> None:
        self._tool = call["name"]
        self._call = call["id"]
        self._write: Callable[[Any], None] | None = write

    def __enter__(self) -> "Reporter":
        self._token = _REPORTER.set(self)
        self.tell("started")
        return self

    def __exit__(self, *_: object) -> None:
        _REPORTER.reset(self._token)
        self._write = None  # a tool that was left behind tells nothing more

    def tell(self, event: str, **more: Any) -> None:
        """Nothing reaches a stream that was closed."""
        if (write := self._write) is not None:
            try:
                write({"tool": self._tool, "call": self._call, "event": event, **more})
            except RuntimeError:  # every call of a tool comes by here: ``suppress`` costs more than all the rest
                return


_REPORTER: ContextVar[Reporter | None] = ContextVar("threadmill_reporter", default=None)
"""Of the call that runs here."""


def report_progress(text: str, done: float | None = None, total: float | None = None) -> None:
    """Say how far a tool is; for tools to call. Outside of a call, or where nobody listens, nothing happens."""
    if (reporter := _REPORTER.get()) is not None:
        reporter.tell("progress", text=text, done=done, total=total)
