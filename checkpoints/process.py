"""Who a process is, so that another one can name it and tell whether it still lives.

A pid alone does not say: it is given away again, and it means something only inside its machine and container.
"""

import os
import socket
from dataclasses import dataclass
from functools import cache
from getpass import getuser
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process, as it is remembered by others."""

    holder: str
    """``user@host``, for people."""
    machine: str
    """Within which ``pid`` means this process: host, boot and, where there are such, pid namespace."""
    pid: int
    started: str
    """Clock ticks from the boot to its start; empty where there is no ``/proc``."""

    def __str__(self) -> str:
        return f"{self.holder} pid {self.pid}"


def this_process() -> Process:
    """The process that asks; after a fork, the child."""
    return _describe(os.getpid())


def is_gone(process: Process) -> bool:
    """Whether ``process`` has surely ended, reaped or not. One on another machine never has."""
    if process.machine != this_process().machine or os.name != "posix":
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, and is another user's
    state, started = _state_and_start(process.pid)
    return state in ("Z", "X") or (bool(started and process.started) and started != process.started)


@cache
def _describe(pid: int) -> Process:
    host = socket.gethostname()
    boot = _read("/proc/sys/kernel/random/boot_id")
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:
        namespace = ""
    return Process(
        f"{_user()}@{host}", " ".join((host, boot.strip(), namespace)).strip(), pid, _state_and_start(pid)[1]
    )


def _user() -> str:
    try:
        return getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def _state_and_start(pid: int) -> tuple[str, str]:
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()  # the name before it may hold anything
    return (fields[0], fields[19]) if fields else ("", "")


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
