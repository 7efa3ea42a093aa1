"""Those who want the lease of a thread: another process that holds it, and what one who asks is told."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from threadmill.checkpoints.lease import Leases
from threadmill.errors import ThreadBusy

HOLDER = Path(__file__).with_name("lease_holder.py")
HEARTBEAT = "threadmill leases"


class Holder:
    """Another process that holds the lease of thread ``t``."""

    def __init__(self, engine: Engine, beat_every_s: float = 5.0, stale_after_s: float = 30.0) -> None:
        url = engine.url.render_as_string(hide_password=False)
        self.process = subprocess.Popen(
            [sys.executable, HOLDER, url, "t", str(beat_every_s), str(stale_after_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        self.said = self.hear()

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)
        return self.hear()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __enter__(self) -> "Holder":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


def refusal(leases: Leases, thread: str = "t") -> str:
    with pytest.raises(ThreadBusy) as caught, leases.hold(thread):
        pass
    return str(caught.value)


def is_free(leases: Leases, thread: str = "t") -> bool:
    try:
        with leases.hold(thread):
            return True
    except ThreadBusy:
        return False


def heartbeats() -> int:
    return sum(thread.name == HEARTBEAT for thread in threading.enumerate())


def hang_up(engine: Engine) -> int:
    """Let the server end all connections that hold leases, and wait until it did."""
    end = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name LIKE 'threadmill %' AND datname = current_database()"
    )
    with engine.begin() as connection:
        return len(connection.execute(text(end)).all())


def eventually(happened: Callable[[], Any]) -> bool:
    deadline = time.monotonic() + 5
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True
