"""One URL opens everything that a database holds: threads, labels and the registry."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from copy import copy
from pathlib import Path
from types import TracebackType
from typing import Any

from langgraph.checkpoint.serde.base import SerializerProtocol, maybe_add_typed_methods
from sqlalchemy import URL, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.pool import QueuePool

from ..errors import BadDatabase
from .lease import open_leases
from .memories import Memories
from .migrations import upgrade
from .read_only import (
    connect,
    has_our_labels,
    has_task_path,
    readable_address,
    refuse_other_tables,
    refuse_writes,
    tell_what_lacks,
)
from .rows import ThreadTables
from .saver import ThreadSaver
from .serializer import Allowed, key_from_environment, make_serializer
from .sqlite import BUSY_TIMEOUT_S, SqliteThreadReader, SqliteThreadSaver

PREFIX = "sqlite:///"
POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")


class Store:
    """An open database. Use it in ``with`` or ``async with``, or ``close`` it.

    ``saver`` is a LangGraph checkpointer and ``memories`` a LangGraph store, for sync and async graphs alike.
    """

    def __init__(self, url: str, name: str, engine: Engine, saver: ThreadSaver, reader: SerializerProtocol) -> None:
        self.url = url
        self.name = name
        """How messages call this database: its file, or its URL without the password."""
        self.engine = engine
        self.saver = saver
        self.tables = saver.tables
        self.leases = saver.leases
        self.read_only = saver.read_only
        self.serde = reader
        """For looking: types that are not on the allow-list come as their plain content."""
        self.reader = copy(saver)
        self.reader.serde = maybe_add_typed_methods(reader)
        self.memories = Memories(engine, name, saver)
        self.has_labels = not saver.read_only or has_our_labels(engine)
        self.has_data_sets = self.has_labels and inspect(engine).has_table("data_set_threads")

    @property
    def place(self) -> Path:
        """What files that belong to this database are named after: its own file, or one in the current folder."""
        return Path(self.url.removeprefix(PREFIX) if self.url.startswith(PREFIX) else "threadmill.db")

    def close(self) -> None:
        """Give up held leases and close all connections."""
        self.leases.close()
        self.memories.close()
        self.saver.close()
        self.engine.dispose()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> "Store":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_store(url: str, *, create: bool = True, read_only: bool = False, allow: Allowed = ()) -> Store:
    """The database at ``url``: ``sqlite:///runs.db`` (four slashes for an absolute path) or ``postgresql://…``.

    Our tables are added or upgraded, unless it is opened ``read_only``: then nothing is changed, and any
    database that LangGraph's savers wrote can be looked at. ``allow`` names types of your own that
    checkpoints may hold. With ``THREADMILL_KEY`` in the environment what is written is encrypted.

    Raises:
        BadDatabase: the URL names no database, or (without ``create``) one that does not exist, or no database at all.
        BadKey: ``THREADMILL_KEY`` is malformed.
    """
    if url.split(":", 1)[0] in POSTGRES:
        return _open_postgres(url, read_only, allow)
    path = _path_of(url)
    if path.is_dir():
        raise BadDatabase(f"{str(path)!r} is a folder; name a file in it, as in sqlite:///{path}/runs.db")
    if not path.parent.is_dir():
        raise BadDatabase(f"the folder of {str(path)!r} does not exist; make it, or name another file")
    if not path.exists() and (read_only or not create):
        raise BadDatabase(
            f"the database {str(path)!r} does not exist; name one with --db sqlite:///FILE, or make threads "
            "with `threadmill rollout helpdesk`"
        )
    key = key_from_environment()
    serde, reader = make_serializer(allow, key=key), make_serializer(allow, key=key, refuse=False)
    _looking(str(path), lambda: _is_database(path))
    if read_only:
        return _looking(str(path), lambda: _read_sqlite(url, path, reader))
    return _looking(str(path), lambda: _open_sqlite(url, path, serde, reader))


def _path_of(url: str) -> Path:
    if not url.startswith(PREFIX) or url in (PREFIX, PREFIX + ":memory:"):
        hidden = f"{url.split('://')[0]}://…{url.split('@')[-1]}" if "@" in url else url
        raise BadDatabase(
            f"{hidden!r} is no database URL; write it as sqlite:///runs.db or postgresql://user@host/name"
        )
    return Path(url.removeprefix(PREFIX))


def _open_sqlite(url: str, path: Path, serde: SerializerProtocol, reader: SerializerProtocol) -> Store:
    place = URL.create("sqlite", database=str(path))  # as text it would be decoded to another file's name
    engine = create_engine(place, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _set_up_connection)
    saver: SqliteThreadSaver | None = None
    try:
        if path.exists():
            refuse_other_tables(engine, str(path), may_be_new=True)
        saver = SqliteThreadSaver(path, ThreadTables(engine), open_leases(engine), serde)
        upgrade(engine)
    except BaseException:
        if saver is not None:
            saver.close()
        engine.dispose()
        raise
    return Store(url, str(path), engine, saver, reader)


def _read_sqlite(url: str, path: Path, reader: SerializerProtocol) -> Store:
    address = readable_address(path)
    engine = create_engine("sqlite://", creator=lambda: connect(address), poolclass=QueuePool)
    refuse_writes(engine)
    tell_what_lacks(engine, str(path))
    refuse_other_tables(engine, str(path))
    tables = ThreadTables(engine, task_path=has_task_path(engine))
    saver = SqliteThreadReader(connect(address), tables, open_leases(engine), reader)
    return Store(url, str(path), engine, saver, reader)


def _open_postgres(url: str, read_only: bool, allow: Allowed) -> Store:
    try:
        place = make_url(url).set(drivername="postgresql+psycopg")
    except ArgumentError as error:
        raise BadDatabase(f"{url.split('@')[-1]!r} is no database URL: {error}") from error
    name = place.set(drivername="postgresql").render_as_string(hide_password=True)
    if read_only:
        said = place.query.get("options", "")
        before = said if isinstance(said, str) else " ".join(said)
        place = place.update_query_dict({"options": f"{before} -c default_transaction_read_only=on".strip()})
    key = key_from_environment()
    serde, reader = make_serializer(allow, key=key), make_serializer(allow, key=key, refuse=False)

    def opened() -> Store:
        from psycopg.conninfo import make_conninfo

        from .postgres import WAIT_S, PostgresThreadSaver, share_of

        # One connection stays open, more only while several Python threads read at once: see PROCESSES.
        pool = {"pool_pre_ping": True, "pool_size": 1, "max_overflow": 3, "pool_timeout": WAIT_S}
        engine = create_engine(place, **pool)
        leases = open_leases(engine)
        try:
            with engine.connect() as connection:  # says at once what is wrong; the saver's pool would try for a minute
                room = int(connection.execute(text("SHOW max_connections")).scalar_one())
            if read_only:
                refuse_writes(engine)
                tell_what_lacks(engine, name)
            refuse_other_tables(engine, name, may_be_new=not read_only)
            given = engine.dialect.create_connect_args(place)[1]  # a URL would have "+" for a space, which libpq keeps
            given.pop("context", None)  # SQLAlchemy's own
            saver = PostgresThreadSaver(
                make_conninfo(**given),
                ThreadTables(engine),
                leases,
                reader if read_only else serde,
                connections=share_of(room),
                sealed=key is not None,
                read_only=read_only,
            )
        except BaseException:
            engine.dispose()
            raise
        try:
            if not read_only:
                upgrade(engine, also=None if saver.is_set_up() else saver.setup)
        except BaseException:
            saver.close()
            engine.dispose()
            raise
        return Store(url, name, engine, saver, reader)

    return _looking(name, opened)


def _is_database(path: Path) -> None:
    if path.exists():
        with closing(connect(readable_address(path))) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _looking(name: str, look: Callable[[], Any]) -> Any:
    try:
        return look()
    except (sqlite3.DatabaseError, DBAPIError) as error:
        reason = str(error.orig if isinstance(error, DBAPIError) else error).strip()
        kind = "a PostgreSQL" if "://" in name else "an SQLite"
        raise BadDatabase(
            f"{name!r} cannot be opened as {kind} database: {reason}; name another one with --db"
        ) from error


def _set_up_connection(connection: Any, record: Any) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
