"""What many commands share: the options that name a database, a thread, a model, and who acts."""

from typing import Annotated

import typer

DEFAULT_DB = "sqlite:///runs.db"
Database = Annotated[str, typer.Option("--db", envvar="THREADMILL_DB", help="Where threads, labels and registry live.")]
ThreadId = Annotated[str, typer.Argument(help="The thread's id.")]
By = Annotated[str | None, typer.Option(help="Who acts (default: the user of this machine).")]
Model = Annotated[str | None, typer.Option(help="Model SPEC (default: the slot's live version).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def user() -> str:
    """The user of this machine, or ``human`` where there is no name."""
    from getpass import getuser

    try:
        return getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "human"
