"""What many commands share: the options that name a database, a thread, a model, and who acts."""

from collections.abc import Sequence
from typing import Annotated

import typer

DEFAULT_DB = "sqlite:///runs.db"
Database = Annotated[str, typer.Option("--db", envvar="THREADMILL_DB", help="Where threads, labels and registry live.")]
ThreadId = Annotated[str, typer.Argument(help="The thread's id.")]
By = Annotated[str | None, typer.Option(help="Who acts (default: the user of this machine).")]
Model = Annotated[str | None, typer.Option(help="Model SPEC (default: the slot's live version).")]
Values = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="What the run is told, such as user=ann; kept for later turns."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

NOT_SET = ("thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map")
"""Where a run is: LangGraph's, and said by other options."""


def at_db(db: str) -> str:
    """How a command that somebody is told to type names the database; empty if it is found without.

    A password is not shown.
    """
    from os import environ
    from shlex import quote

    from sqlalchemy import make_url

    if db == environ.get("THREADMILL_DB", DEFAULT_DB):
        return ""
    return f" --db {quote(make_url(db).render_as_string(hide_password=True))}"


def read_values(given: Sequence[str] | None) -> dict[str, str]:
    """Name to value, out of ``--set user=ann``; for ``config["configurable"]``.

    >>> read_values(["user=ann@shop.org", "team=a=b"])
    {'user': 'ann@shop.org', 'team': 'a=b'}
    """
    values: dict[str, str] = {}
    for text in given or ():
        name, _, value = text.partition("=")
        if name in NOT_SET:
            raise typer.BadParameter(f"{name} says where a run is; name the thread with --thread", param_hint="--set")
        if not name.isidentifier() or name.startswith("__") or not value:
            raise typer.BadParameter(f"{text!r} is no KEY=VALUE, such as user=ann", param_hint="--set")
        values[name] = value
    return values


def user() -> str:
    """The user of this machine, or ``human`` where there is no name."""
    from getpass import getuser

    try:
        return getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "human"
