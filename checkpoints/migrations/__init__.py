"""Create and upgrade our own tables by Alembic, also when many processes open a new database at once."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from ...errors import BadDatabase

HEAD = "0003"
"""The newest migration; a test compares it with the folder."""
TABLE = "threadmill_revision"
"""Ours alone: in a database that an application shares, ``alembic_version`` is the application's."""
LOCK = 0x7468726D696C6C  # "thrmill"
WAIT_S = 120.0


def upgrade(engine: Engine, *, also: Callable[[], None] | None = None) -> None:
    """Bring our tables to the newest shape, and do ``also`` under the same lock; nothing if they have it.

    Raises:
        BadDatabase: a newer Threadmill made them.
    """
    with engine.connect() as connection:
        if revision(connection) == HEAD and also is None:
            return
    with engine.connect() as connection, alone(connection):
        if also is not None:
            also()
        there = revision(connection)
        if there == HEAD:
            return
        if there is not None and there > HEAD:
            raise BadDatabase(
                f"the tables are of revision {there}, this Threadmill knows {HEAD}; install the newer Threadmill"
            )
        _alembic(connection)
        connection.commit()


def revision(connection: Connection) -> str | None:
    """The migration that this database has, or None if it has none of our tables' history."""
    if not inspect(connection).has_table(TABLE):
        return None
    return connection.execute(text(f"SELECT version_num FROM {TABLE}")).scalar()


def _alembic(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes.update(connection=connection, version_table=TABLE)
    command.upgrade(config, "head")


@contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """Nobody else sets up this database meanwhile; on SQLite all is one transaction, which the caller commits."""
    if connection.dialect.name == "sqlite":
        connection.rollback()
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield
        return
    # Tried again and again, not waited for: who waits inside a statement blocks CREATE INDEX CONCURRENTLY of the other.
    deadline = time.monotonic() + WAIT_S
    while not connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK}).scalar():
        connection.rollback()
        if time.monotonic() > deadline:
            raise BadDatabase(f"another process has been setting up this database for {WAIT_S:g} s; try again later")
        time.sleep(0.05)
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK})
        connection.commit()
