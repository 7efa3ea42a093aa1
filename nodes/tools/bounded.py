"""Run a process whose output, time and use of things are bounded; when it is over, everything it started is killed."""

import codecs
import os
import selectors
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

TICK_S = 0.05
AFTER_END_S = 2.0
MAX_NOTES = 1 << 12


class Cut:
    """A text that grows without end and of which the beginning and the end are kept.

    >>> cut = Cut(8)
    >>> for piece in (b"abc", b"defgh", b"ijklm"):
    ...     cut.add(piece)
    >>> print(cut)
    abcd
    [… 5 characters left out …]
    jklm
    """

    def __init__(self, max_chars: int) -> None:
        self._half = max(1, max_chars // 2)
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._head = self._tail = ""
        self._chars = 0
        self.size = 0

    def add(self, piece: bytes) -> None:
        """Add what was read next."""
        self.size += len(piece)
        text = self._decode(piece)
        self._chars += len(text)
        room = self._half - len(self._head)
        self._head += text[:room]
        self._tail = (self._tail + text[room:])[-self._half :]

    def __str__(self) -> str:
        left_out = self._chars - len(self._head) - len(self._tail)
        gap = f"\n[… {left_out} characters left out …]\n" if left_out else ""
        return self._head + gap + self._tail


class Ended:
    """How a process ended: its status, why it was stopped, what it printed."""

    def __init__(self, max_chars: int) -> None:
        self.status: int | None = None
        self.stopped = ""
        self.output, self.errors = Cut(max_chars), Cut(max_chars)
        self.notes = b""
        self.seconds = 0.0


def run_bounded(
    command: Sequence[str],
    *,
    time_s: float,
    max_chars: int,
    max_bytes: int,
    kill: Callable[[subprocess.Popen[bytes]], None],
    watch: Callable[[Ended], str] = lambda ended: "",
    notes: int | None = None,
    **popen: Any,
) -> Ended:
    """Run ``command`` to its end, or until its time is up, it printed ``max_bytes``, or ``watch`` gives a reason.

    ``notes`` is a file descriptor that is read besides; ``watch`` sees what has come so far. ``kill`` ends
    the process and all that it started, and is called in any case.

    Raises:
        OSError: it could not be started.
    """
    ended = Ended(max_chars)
    begun = monotonic()
    try:
        process = subprocess.Popen[bytes](
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **popen
        )
    finally:
        for end in popen.get("pass_fds", ()):  # or we would hold our own pipes open
            os.close(end)
    assert process.stdout is not None
    assert process.stderr is not None
    streams = selectors.DefaultSelector()
    try:
        streams.register(process.stdout.fileno(), selectors.EVENT_READ, ended.output)
        streams.register(process.stderr.fileno(), selectors.EVENT_READ, ended.errors)
        if notes is not None:
            streams.register(notes, selectors.EVENT_READ)
        looked = begun
        while process.poll() is None:
            if streams.get_map():
                _read(streams, ended)
            else:  # it closed them, or is about to end
                with suppress(subprocess.TimeoutExpired):
                    process.wait(TICK_S)
            now = monotonic()
            if now - begun > time_s:
                ended.stopped = f"it was still running after {time_s:g} s"
            elif ended.output.size + ended.errors.size > max_bytes:
                ended.stopped = f"it printed more than {max_bytes >> 20} MB"
            elif now - looked > TICK_S:
                ended.stopped = watch(ended)
                looked = monotonic()
            if ended.stopped:
                break
        ended.seconds = monotonic() - begun
        kill(process)
        last = monotonic() + AFTER_END_S
        while streams.get_map() and monotonic() < last:
            _read(streams, ended)
        process.wait()
    finally:
        kill(process)
        streams.close()
        process.stdout.close()
        process.stderr.close()
    ended.status = None if ended.stopped else process.returncode
    return ended


def _read(streams: selectors.BaseSelector, ended: Ended) -> None:
    for key, _ in streams.select(TICK_S):
        piece = os.read(key.fd, 1 << 16)
        if not piece:
            streams.unregister(key.fd)
        elif key.data is None:
            ended.notes = (ended.notes + piece)[:MAX_NOTES]
        else:
            key.data.add(piece)


def in_memory(content: bytes) -> int:
    """A file descriptor, at its beginning, of a file that is nowhere."""
    descriptor = os.memfd_create("threadmill")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
