"""Wait until an alias, a pin or a canary may have changed: PostgreSQL tells us, in SQLite we look five times a second.

A watch only says that it is time to look; what there is to see is in the registry. Its connection is its own, and
when that breaks the watch is of no more use: open another one, and look.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from sqlalchemy import Engine

from .changing import CHANNEL
from .store import Store

POLL_S = 0.2
BUSY_S = 5.0


class Watch(Protocol):
    """Tells of changes since it was opened."""

    def wait(self, seconds: float) -> bool:
        """Whether something may have changed; at the latest after so many seconds. The first time it may have."""
        ...


@contextmanager
def watch_aliases(store: Store) -> Iterator[Watch]:
    """A watch for one Python thread.

    Raises:
        Exception: whatever the database's driver raises when it cannot be reached, then and in ``wait``.
    """
    watch = PostgresWatch(store.engine) if store.engine.dialect.name == "postgresql" else SqliteWatch(store.engine)
    try:
        yield watch
    finally:
        watch.close()


class SqliteWatch:
    """Asks SQLite for a number that changes with every commit of another connection; that takes microseconds."""

    def __init__(self, engine: Engine) -> None:
        self._connection = sqlite3.connect(engine.url.database or "", timeout=BUSY_S, check_same_thread=False)
        self._seen: int | None = None

    def wait(self, seconds: float) -> bool:
        """Look every ``POLL_S``."""
        deadline = time.monotonic() + seconds
        while True:
            number = self._connection.execute("PRAGMA data_version").fetchone()[0]
            if number != self._seen:
                self._seen = number
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, POLL_S))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class PostgresWatch:
    """Listens on a connection that a dead server, or a dead network, is noticed on."""

    def __init__(self, engine: Engine) -> None:
        from .lease_postgres import open_session

        self._connection: Any = open_session(engine).connection
        self._connection.execute(f"LISTEN {CHANNEL}")
        self._is_new = True

    def wait(self, seconds: float) -> bool:
        """Wait for a notification."""
        if self._is_new:
            self._is_new = False
            return True
        return any(True for _ in self._connection.notifies(timeout=seconds, stop_after=1))

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
