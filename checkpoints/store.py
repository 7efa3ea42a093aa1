"""One URL opens everything that a database holds: threads, labels and the registry."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateIndex, CreateTable

from ..errors import BadDatabase
from .saver import BUSY_TIMEOUT_S, ThreadSaver
from .tables import Base

PREFIX = "sqlite:///"


class Store:
    """An open database. Use it as a context manager, or ``close`` it."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self.path = path
        place = URL.create("sqlite", database=str(path))  # as text it would be decoded to another file's name
        self.engine: Engine = create_engine(place, connect_args={"timeout": BUSY_TIMEOUT_S})
        event.listen(self.engine, "connect", _set_up_connection)
        self.saver = ThreadSaver(path)
        try:
            with self.engine.begin() as connection:
                for table in Base.metadata.sorted_tables:  # create_all fails if another process is faster
                    connection.execute(CreateTable(table, if_not_exists=True))
                    for index in table.indexes:
                        connection.execute(CreateIndex(index, if_not_exists=True))
        except DBAPIError:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()
        self.saver.conn.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_store(url: str, *, create: bool = True) -> Store:
    """The database at ``url``, such as ``sqlite:///runs.db`` (four slashes for an absolute path).

    Raises:
        BadDatabase: the URL names no SQLite file, the folder or (without ``create``) the file does not exist,
            or the file is no SQLite database.
    """
    path = _path_of(url)
    if path.is_dir():
        raise BadDatabase(f"{str(path)!r} is a folder; name a file in it, as in sqlite:///{path}/runs.db")
    if not path.parent.is_dir():
        raise BadDatabase(f"the folder of {str(path)!r} does not exist; make it, or name another file")
    if not path.exists() and not create:
        raise BadDatabase(
            f"the database {str(path)!r} does not exist; name one with --db sqlite:///FILE, or make threads "
            "with `threadmill rollout helpdesk`"
        )
    _looking(path, lambda: _is_database(path))
    return _looking(path, lambda: Store(url, path))


def _path_of(url: str) -> Path:
    if url.startswith("postgres"):
        raise BadDatabase(f"{url.split('@')[-1]!r}: PostgreSQL comes later; use sqlite:///FILE")
    if not url.startswith(PREFIX) or url in (PREFIX, PREFIX + ":memory:"):
        raise BadDatabase(f"{url!r} is no database URL; write it as sqlite:///runs.db")
    return Path(url.removeprefix(PREFIX))


def _is_database(path: Path) -> None:
    if path.exists():
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _looking(path: Path, look: Callable[[], Any]) -> Any:
    try:
        return look()
    except (sqlite3.DatabaseError, DBAPIError) as error:
        reason = error.orig if isinstance(error, DBAPIError) else error
        raise BadDatabase(
            f"{str(path)!r} cannot be opened as an SQLite database: {reason}; name another file with --db"
        ) from error


def _set_up_connection(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
