"""A database for a model to ask: tables described, queries with limits on rows and time, changes only where allowed.

SQLite and PostgreSQL, each with fences of its own (``sql_sqlite.py``, ``sql_postgres.py``). Others are refused: what
has no fence here must not be handed to a model.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from langchain_core.tools import BaseTool, ToolException
from langchain_core.tools import tool as make_langchain_tool
from pydantic import Field

from ...errors import BadToolSetting
from ..traits import with_traits
from .sql_rows import as_table, records
from .sql_words import CHANGING, READING, Refused, plain

if TYPE_CHECKING:
    from sqlalchemy import Inspector

MAX_TABLES = 200


def make_sql_tools(url: str, *, write: bool = False, max_rows: int = 100, timeout_s: float = 10) -> list[BaseTool]:
    """The tools list_tables, describe_tables and query_sql for a database; with ``write`` change_sql besides.

    A query gives at most ``max_rows`` rows and takes at most ``timeout_s`` seconds. Its artifact holds the rows as
    records. change_sql runs one INSERT, UPDATE, DELETE or MERGE in a transaction of its own.

    Raises:
        BadToolSetting: the URL names no SQLite file and no PostgreSQL database, or a limit is not above 0.
    """
    if max_rows <= 0 or timeout_s <= 0:
        raise BadToolSetting(f"max_rows and timeout_s must be above 0, not {max_rows} and {timeout_s}")
    database, told = _open(url, timeout_s)

    @told
    def list_tables() -> str:
        """List the tables and views of the database."""
        with _inspected(database) as seen:
            names = sorted([*seen.get_table_names(), *(f"{view} (view)" for view in seen.get_view_names())])
        if len(names) > MAX_TABLES:
            names[MAX_TABLES:] = [f"[{len(names) - MAX_TABLES} more]"]
        return "\n".join(names) or "[no tables]"

    @told
    def describe_tables(
        tables: Annotated[list[str], Field(min_length=1, max_length=20, description="Names of tables or views.")],
    ) -> str:
        """Show the columns of tables, their types, and which refer to other tables."""
        with _inspected(database) as seen:
            return "\n\n".join(_described(seen, table) for table in tables)

    @told
    def query_sql(
        statement: Annotated[str, "One SELECT statement."],
    ) -> tuple[str, list[dict[str, Any]]]:
        """Run one query on the database and see its first rows."""
        found = database.read(plain(statement, READING), max_rows)
        return as_table(found), records(found)

    @told
    def change_sql(
        statement: Annotated[str, "One INSERT, UPDATE or DELETE statement."],
    ) -> tuple[str, list[dict[str, Any]]]:
        """Run one statement that changes rows of the database."""
        found = database.change(plain(statement, CHANGING), max_rows)
        changed = f"[{found.changed} row{'' if found.changed == 1 else 's'} changed]"
        return (f"{as_table(found)}\n{changed}" if found.columns else changed), records(found)

    own_limit = {"timeout_s": timeout_s + 5}
    tables = [make_langchain_tool(one) for one in (list_tables, describe_tables)]
    query = make_langchain_tool(query_sql, response_format="content_and_artifact")
    tools = [with_traits(one, acts=False, idempotent=True, **own_limit) for one in (*tables, query)]
    if write:
        change = make_langchain_tool(change_sql, response_format="content_and_artifact")
        tools.append(with_traits(change, acts=True, **own_limit))
    return tools


def _open(url: str, timeout_s: float) -> tuple[Any, Callable[[Callable[..., Any]], Callable[..., Any]]]:
    """The database, and a decorator that turns its errors into observations without the password."""
    from functools import wraps

    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

    try:
        place = make_url(url)
    except ArgumentError:
        raise BadToolSetting(
            "the URL of the database cannot be read; write sqlite:///file.db or postgresql://…"
        ) from None
    if place.get_backend_name() == "sqlite":
        from sqlite3 import Error, Warning

        from .sql_sqlite import SqliteDatabase as Database
    elif place.get_backend_name() in ("postgresql", "postgres"):
        from psycopg import Error, Warning

        from .sql_postgres import PostgresDatabase as Database
    else:
        raise BadToolSetting(f"{place.get_backend_name()!r} cannot be fenced here; use SQLite or PostgreSQL")
    password = str(place.password or "")

    def told(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except MemoryError:
                raise ToolException("this takes more memory than there is for it; ask for less") from None
            except (Refused, Error, Warning, SQLAlchemyError) as error:
                text = str(error.orig if isinstance(error, DBAPIError) else error) or type(error).__name__
                if "interrupted" in text or "statement timeout" in text:
                    text = f"stopped after {timeout_s:g} s; ask for less"
                raise ToolException(text.replace(password, "***") if password else text) from None

        return run

    return Database(place, timeout_s), told


@contextmanager
def _inspected(database: Any) -> "Iterator[Inspector]":
    from sqlalchemy import inspect

    with database.reading() as connection:
        yield inspect(connection)


def _described(seen: "Inspector", table: str) -> str:
    if table not in (*seen.get_table_names(), *seen.get_view_names()):
        raise ToolException(f"there is no table {table!r}; list_tables shows those that are")
    keys = seen.get_pk_constraint(table)["constrained_columns"]
    refers = {
        ", ".join(key["constrained_columns"]): f"{key['referred_table']}({', '.join(key['referred_columns'])})"
        for key in seen.get_foreign_keys(table)
    }
    lines = [table]
    for column in seen.get_columns(table):
        notes = [] if column["nullable"] else ["not null"]
        notes += ["primary key"] if column["name"] in keys else []
        lines.append(f"  {column['name']} {column['type']}{''.join(f', {note}' for note in notes)}")
    return "\n".join([*lines, *(f"  {columns} refers to {place}" for columns, place in refers.items())])
