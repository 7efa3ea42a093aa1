"""The processes of a sandbox of bubblewrap, seen from outside: what they use, and how all of them are ended."""

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from .bounded import AFTER_END_S
from .sandbox import Sandbox
from .written import too_full


def too_much(first: int | None, sandbox: Sandbox) -> str:
    """Why the sandbox whose first process is ``first`` must be stopped, or nothing."""
    if first is None:
        return ""
    if memory_of(first) > sandbox.memory_mb << 20:
        return f"its processes together used more than {sandbox.memory_mb} MB of memory"
    for place in ("work", "tmp", "dev/shm"):
        if place == "work" and sandbox.folder:
            continue
        with suppress(OSError):
            root = f"/proc/{first}/root"
            if os.path.samefile(root, "/"):  # it is not in its own yet
                break
            room = os.statvfs(f"{root}/{place}")
            if room.f_files - room.f_ffree > sandbox.files:
                return f"it made more than {sandbox.files} files in /{place}"
    return too_full(sandbox.folder, max_files=sandbox.files, max_mb=sandbox.disk_mb)


def memory_of(first: int) -> int:
    """Bytes that ``first`` and all below it hold for themselves alone; pages shared by a fork count for each."""
    pages = 0
    for process in _all_below(first):
        with suppress(OSError, IndexError, ValueError):
            _, resident, shared, *_ = Path(f"/proc/{process}/statm").read_text().split()
            pages += int(resident) - int(shared)
    return pages * os.sysconf("SC_PAGESIZE")


def _all_below(first: int) -> Iterator[int]:
    waiting = [first]
    while waiting:
        yield (process := waiting.pop())
        waiting += _children(process)


def _children(process: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            found += map(int, Path(f"/proc/{process}/task/{thread}/children").read_text().split())
    return found


def end_sandbox(process: subprocess.Popen[bytes]) -> None:
    """End bwrap and the first process of the sandbox; with that one the kernel ends all others in it.

    bwrap stands still meanwhile. Killed alone, it might not have told the first process yet to go with it.
    """
    if process.poll() is None:
        process.send_signal(signal.SIGSTOP)
        for child in _children(process.pid):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        process.kill()


def wait_for_end(first: int | None) -> None:
    """Wait until the first process of the sandbox has gone; it does so after all others."""
    if first is not None:
        with suppress(ProcessLookupError):
            known = os.pidfd_open(first)
            end = select.poll()
            end.register(known, select.POLLIN)
            end.poll(AFTER_END_S * 1000)
            os.close(known)
