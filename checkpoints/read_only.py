"""Look at a database without changing it: how SQLite is told, what is refused, and whose tables are no threads."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, ExceptionContext, Inspector, event, inspect

from ..errors import BadDatabase, ReadOnly

TIMEOUT_S = 60.0
PLACE = {"thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id"}
_LACKS = re.compile(r'no such (?:table|column): (\S+)|(?:relation|column) "?(\S+?)"? does not exist')
"""How SQLite and PostgreSQL say so."""


def readable_address(path: Path) -> str:
    """An address to read the SQLite file ``path`` by.

    In a folder that cannot be written SQLite needs to be told that nobody writes. Elsewhere it puts an empty
    log (``-wal``) and an index of it (``-shm``) beside a file in WAL mode; the file itself stays as it is.

    Raises:
        BadDatabase: a log that was not written back lies there, and cannot be read in such a folder.
    """
    file = path.resolve()
    address = f"{file.as_uri()}?mode=ro"
    try:
        with closing(connect(address)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise
        log = file.with_name(file.name + "-wal")
        if log.exists() and log.stat().st_size:
            raise BadDatabase(
                f"{str(path)!r} has a log, {log.name!r}, which cannot be read in a folder that cannot be written; "
                "copy both to another folder and open it there"
            ) from error
        return f"{address}&immutable=1"
    return address


def connect(address: str) -> sqlite3.Connection:
    """A connection to ``readable_address`` for any Python thread."""
    return sqlite3.connect(address, uri=True, timeout=TIMEOUT_S, check_same_thread=False)


def refuse_writes(engine: Engine) -> None:
    """Let ``engine`` raise ReadOnly instead of writing."""

    def check(*given: Any) -> None:
        statement, context = given[2], given[4]
        if context.isinsert or context.isupdate or context.isdelete or context.isddl:
            verb = statement.split()[0]
            raise ReadOnly(f"this database was opened to be read, not to {verb}; open it with open_store(url) for that")

    event.listen(engine, "before_cursor_execute", check)


def tell_what_lacks(engine: Engine, name: str) -> None:
    """Let ``engine`` raise BadDatabase if a table or column of ours is missing: an older Threadmill made them, or none.

    Threads can be looked at all the same; a database that is opened to be read is never upgraded.
    """

    def tell(context: ExceptionContext) -> None:
        reason = str(context.original_exception).strip().splitlines()[0]
        lacks = _LACKS.search(reason)
        if lacks:
            raise BadDatabase(
                f"{name!r} lacks {lacks[1] or lacks[2]}: an older Threadmill made its tables, or none did; open it "
                "once to write, as `threadmill models list` does, which upgrades it"
            ) from context.original_exception

    event.listen(engine, "handle_error", tell)


def refuse_other_tables(engine: Engine, name: str, *, may_be_new: bool = False) -> None:
    """Make sure that LangGraph's savers made the tables of threads, in a shape that can be read.

    Raises:
        BadDatabase: there are none (unless it ``may_be_new``), or they are something else's.
    """
    seen = inspect(engine)
    there = seen.has_table("checkpoints")
    missing = PLACE - _columns(seen, "checkpoints") if there else set()
    if missing == {"checkpoint_id", "parent_checkpoint_id"}:
        raise BadDatabase(
            f"{name!r} was written by LangGraph's ShallowPostgresSaver, which keeps neither history nor deltas; "
            "let the agent write into another database with PostgresSaver, and open that"
        )
    if missing:
        raise BadDatabase(
            f"{name!r} holds no threads: its table 'checkpoints' is another program's (no {', '.join(sorted(missing))})"
        )
    if may_be_new:
        return
    if not there or not seen.has_table(_writes(engine)):
        raise BadDatabase(f"{name!r} holds no threads: it has none of the tables that LangGraph's savers make")
    if engine.dialect.name == "postgresql" and not has_task_path(engine):
        raise BadDatabase(
            f"{name!r} has the tables of a LangGraph saver of before 2025 (no task_path); upgrade them with "
            "LangGraph's PostgresSaver.setup(), or by open_store(url) without read_only"
        )


def has_task_path(engine: Engine) -> bool:
    """Whether writes say which part of the graph wrote them; those of older savers do not."""
    return "task_path" in _columns(inspect(engine), _writes(engine))


def has_our_labels(engine: Engine) -> bool:
    """Whether there is a table of labels, and it is ours."""
    seen = inspect(engine)
    return seen.has_table("labels") and {"thread", "checkpoint", "message", "kind"} <= _columns(seen, "labels")


def _writes(engine: Engine) -> str:
    return "checkpoint_writes" if engine.dialect.name == "postgresql" else "writes"


def _columns(seen: Inspector, table: str) -> set[str]:
    return {column["name"] for column in seen.get_columns(table)}
