"""A PostgreSQL database that a model may query: in a read-only transaction that is always rolled back.

What such a transaction does not stop is stopped by other means: a second statement (the server is asked to prepare
one), functions with effects of their own (all that the catalog calls volatile are refused, save a few harmless ones),
endless work (statement_timeout), rows and values without end (the query is wrapped in one that limits both), and the
rights of a superuser (laid down before the query). The real fence is a role with few rights.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .sql_rows import Rows, longest_value, rows_of
from .sql_words import Refused, called, dotted

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

HARMLESS = {"random", "clock_timestamp", "statement_timestamp", "timeofday", "gen_random_uuid", "uuidv4", "uuidv7"}
"""Volatile functions that change nothing."""
SEQUENCES = {"nextval", "currval", "lastval"}
"""Volatile functions that a statement which may write needs."""
_EFFECTS = """
SELECT DISTINCT proname FROM pg_proc LEFT JOIN pg_type ON pg_type.oid = proargtypes[0]
WHERE provolatile = 'v' AND (proname = ANY(%s) OR (proname = ANY(%s) AND typtype IN ('c', 'd', 'p')))
ORDER BY proname
"""
"""Volatile functions of these names, and of those only the ones that take a row: they are called as its columns are."""
_SYSTEM = re.compile(r"(?<![\w$])(pg_|information_schema\b)", re.IGNORECASE)
_AS_THEY_ARE = {16, 20, 21, 23, 700, 701}
"""Types that are not turned into text: bool, whole numbers, floating point."""


class PostgresDatabase:
    """A database, its tables and rows."""

    def __init__(self, place: "URL", timeout_s: float) -> None:
        """Use the database that ``place`` names; it is connected to for each call."""
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        self._timeout_s = timeout_s
        waits = {"connect_timeout": max(2, round(timeout_s)), "tcp_user_timeout": round(timeout_s * 1000)}
        url = place.set(drivername="postgresql+psycopg")
        self._engine = create_engine(url, poolclass=NullPool, connect_args=waits)

    def read(self, statement: str, max_rows: int) -> Rows:
        """The rows of a query."""
        with self.reading() as connection:
            driver = connection.connection.driver_connection
            _refuse_effects(driver, statement, HARMLESS)
            names, types = _columns(driver, statement)
            if not names:
                raise Refused("the statement returns no columns; ask for at least one")
            longest = longest_value(len(names), max_rows) + 1
            short = ", ".join(
                f"c{n}" if kind in _AS_THEY_ARE else f"left(c{n}::text, {longest})" for n, kind in enumerate(types)
            )
            aliases = ", ".join(f"c{n}" for n in range(len(names)))
            wrapped = f"SELECT {short} FROM (\n{statement}\n) AS q({aliases}) LIMIT {max_rows + 1}"
            found = _execute(driver, wrapped).fetchall()
            return rows_of(names, found, max_rows)

    def change(self, statement: str, max_rows: int) -> Rows:
        """Run a statement in a transaction of its own; rows only if it says RETURNING."""
        from psycopg.types.string import TextLoader

        with self._engine.connect() as connection, connection.begin():
            driver: Any = connection.connection.driver_connection
            self._limit(driver)
            _refuse_effects(driver, statement, HARMLESS | SEQUENCES)
            if _SYSTEM.search(statement):
                raise Refused("system tables are for people; write the statement without names such as pg_class")
            names, types = _columns(driver, statement)
            if not names:
                return Rows([], [], changed=_execute(driver, statement).rowcount)
            cursor = driver.cursor()
            for kind in {*types} - _AS_THEY_ARE:  # Python has no date that is infinity
                cursor.adapters.register_loader(kind, TextLoader)
            rows = cursor.stream(statement)  # however many there are, they are held one at a time
            found = rows_of(names, rows, max_rows)
            rest = sum(1 for _ in rows)
            return found._replace(changed=len(found.rows) + found.more + rest)

    @contextmanager
    def reading(self) -> "Iterator[Connection]":
        """A connection that can do nothing but read."""
        with (
            self._engine.connect().execution_options(postgresql_readonly=True) as connection,
            connection.begin() as all_,
        ):
            driver: Any = connection.connection.driver_connection
            self._limit(driver)
            ((is_superuser,),) = driver.execute("SELECT current_setting('is_superuser')").fetchall()
            if is_superuser == "on":
                driver.execute("SET LOCAL ROLE pg_read_all_data")
            try:
                yield connection
            finally:
                all_.rollback()

    def _limit(self, driver: Any) -> None:
        for setting in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
            driver.execute(f"SET LOCAL {setting} = {round(self._timeout_s * 1000)}")


def _execute(driver: Any, statement: str) -> Any:
    return driver.execute(statement, prepare=True)  # as one prepared statement; it would run several otherwise


def _refuse_effects(driver: Any, statement: str, harmless: set[str]) -> None:
    names = [list(called(statement)), list(dotted(statement))]
    found = [name for (name,) in driver.execute(_EFFECTS, names) if name not in harmless]
    if found:
        raise Refused(f"{', '.join(found)}() may do more than read, and is not available")


def _columns(driver: Any, statement: str) -> tuple[list[str], list[int]]:
    """Names and types of what a statement returns, if it does, told by the server without running it."""
    from psycopg import pq
    from psycopg.errors import error_from_result

    result = driver.pgconn.prepare(b"", statement.encode())
    if result.status == pq.ExecStatus.COMMAND_OK:
        result = driver.pgconn.describe_prepared(b"")
    if result.status != pq.ExecStatus.COMMAND_OK:
        raise error_from_result(result)
    names = [(result.fname(n) or b"").decode() for n in range(result.nfields)]
    return names, [result.ftype(n) for n in range(result.nfields)]
