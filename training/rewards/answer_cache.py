"""What judges answered, kept in a file, so that the same question is never paid for twice.

An SQLite file of its own beside the database: it can be deleted at any time and costs only the questions. A key is the
digest of everything the answer depends on: version, words, schema. Questions are not kept, answers with their rationale
are, in the clear.
"""

import json
import sqlite3
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

from ...errors import BadDatabase

Ask = Callable[[], dict[str, Any] | None]


class AnswerCache:
    """Answers by key, for all threads of a process and for several processes at once."""

    def __init__(self, path: Path) -> None:
        """Open or make the file at ``path``.

        Raises:
            BadDatabase: it is no such file.
        """
        self.path = path
        self._lock = Lock()
        self._asking: dict[str, Lock] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=60, check_same_thread=False, isolation_level=None)
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, judge TEXT NOT NULL, answer TEXT NOT NULL, "
                "created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)"
            )
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise BadDatabase(f"{str(path)!r} cannot hold the answers of judges: {error}; name another file") from error

    def answer(self, key: str, judge: str, ask: Ask) -> tuple[dict[str, Any] | None, bool]:
        """The answer to ``key`` and whether it was known; else what ``ask`` says, kept unless that is None.

        A thread that asks the same at the same time waits for the first; another process does not.
        """
        with self._lock:
            asking = self._asking.setdefault(key, Lock())
        with asking:
            known = self._read(key)
            if known is not None:
                return known, True
            answer = ask()
            with self._lock:
                if answer is not None:
                    row = (key, judge, json.dumps(answer))
                    self._connection.execute("INSERT OR IGNORE INTO answers (key, judge, answer) VALUES (?, ?, ?)", row)
                self._asking.pop(key, None)
            return answer, False

    def __len__(self) -> int:
        with self._lock:
            return self._connection.execute("SELECT count(*) FROM answers").fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _read(self, key: str) -> dict[str, Any] | None:
        with self._lock:
            found = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])


def key_of(*parts: Any) -> str:
    """The digest of JSON-safe ``parts``, in order."""
    return sha256(json.dumps(parts, sort_keys=True, ensure_ascii=True).encode()).hexdigest()
