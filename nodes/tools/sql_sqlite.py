"""A SQLite file that a model may query: opened to be read, and everything but reading its tables denied by SQLite.

Denied where SQLite compiles a statement (its authorizer): other files (ATTACH, extensions), settings (PRAGMA), changes
of the schema, and of rows where only reading is allowed. Limits: time, length of a value, one statement.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ...errors import BadToolSetting
from .sql_rows import Rows, rows_of

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

MAX_LENGTH = 1_000_000
"""Bytes of a value: one call of a function on it is not interrupted, so it must not take long."""
MAX_MEMORY = 500_000_000
"""Bytes for SQLite in this process: a statement of a few lines can unfold without end while it is compiled."""
STEPS = 1_000
"""Instructions of SQLite's machine between two looks at the clock."""
_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE}
_CHANGES = {sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE, sqlite3.SQLITE_TRANSACTION}
_PRAGMAS = {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list"}
_PRAGMAS |= {"data_version"}  # which full-text search asks for
_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", "regexp"}
"""Denied. ``regexp`` is SQLAlchemy's, in Python, and knows no time limit."""


class SqliteDatabase:
    """A file, its tables and rows."""

    def __init__(self, place: "URL", timeout_s: float) -> None:
        """Use the file that ``place`` names.

        Raises:
            BadToolSetting: there is no such file.
        """
        if place.query or not place.database or not Path(place.database).is_file():
            shown = place.render_as_string(hide_password=True)
            raise BadToolSetting(f"{shown!r} names no SQLite file that is there; write sqlite:///path/to/file.db")
        self._file = str(Path(place.database).absolute())
        self._timeout_s = timeout_s

    def read(self, statement: str, max_rows: int) -> Rows:
        """The rows of a query."""
        with self.reading() as connection, closing(_driver(connection).cursor()) as cursor:
            cursor.execute(statement)
            names = [column[0] for column in cursor.description or ()]
            return rows_of(names, cursor, max_rows)

    def change(self, statement: str, max_rows: int) -> Rows:
        """Run a statement in a transaction of its own; rows only if it says RETURNING."""
        with self._connected(changing=True) as connection:
            driver = _driver(connection)
            with driver, closing(driver.cursor()) as cursor:  # commits, or rolls back
                cursor.execute(statement)
                names = [column[0] for column in cursor.description or ()]
                found = cursor.fetchmany(max_rows + 1) if names else []
                ((changed,),) = driver.execute("SELECT changes()").fetchall()
            return rows_of(names, found, max_rows, changed)

    @contextmanager
    def reading(self) -> "Iterator[Connection]":
        """A connection that can do nothing but read."""
        with self._connected(changing=False) as connection:
            yield connection

    @contextmanager
    def _connected(self, *, changing: bool) -> "Iterator[Connection]":
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        uri = f"file:{quote(self._file)}?mode={'rw' if changing else 'ro'}"

        def open_file() -> sqlite3.Connection:
            return sqlite3.connect(uri, uri=True, timeout=min(self._timeout_s, 5), check_same_thread=False)

        engine = create_engine("sqlite://", creator=open_file, poolclass=NullPool)
        with engine.connect() as connection:
            _fence(_driver(connection), monotonic() + self._timeout_s, changing=changing)
            yield connection


def _driver(connection: "Connection") -> Any:
    return connection.connection.driver_connection


def _fence(driver: sqlite3.Connection, until: float, *, changing: bool) -> None:
    driver.execute(f"PRAGMA query_only = {'OFF' if changing else 'ON'}")
    driver.execute("PRAGMA trusted_schema = OFF")
    driver.execute("PRAGMA foreign_keys = ON")
    driver.execute(f"PRAGMA hard_heap_limit = {MAX_MEMORY}")  # for all connections: SQLite has none for one
    driver.text_factory = lambda text: text.decode(errors="replace")
    driver.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_LENGTH)
    driver.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    driver.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1_000)
    allowed = _READS | _CHANGES if changing else _READS

    def authorize(action: int, first: str | None, second: str | None, *_: Any) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            return sqlite3.SQLITE_DENY if (second or "").lower() in _FUNCTIONS else sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_PRAGMA:
            return sqlite3.SQLITE_OK if (first or "").lower() in _PRAGMAS else sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_UPDATE and first in ("sqlite_master", "sqlite_temp_master"):
            return (
                sqlite3.SQLITE_IGNORE
            )  # a virtual table that is opened asks for it; it gets nothing, and needs nothing
        if action in _CHANGES and (first or "").lower().startswith("sqlite_"):
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY

    driver.set_authorizer(authorize)
    driver.set_progress_handler(lambda: monotonic() > until, STEPS)
