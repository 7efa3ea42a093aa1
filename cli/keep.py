"""``threadmill threads copy · delete · prune · export-file · import-file``: keep threads, or forget them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .place import DEFAULT_DB, AsJson, Database, ThreadId

if TYPE_CHECKING:
    from ..checkpoints.data_sets import Uses


def copy(
    thread: ThreadId,
    to: Annotated[str, typer.Argument(help="The id of the copy.")],
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Copy a thread with all its checkpoints and labels.

    Example: threadmill threads copy helpdesk-1a2b3c4d my-copy
    """
    from ..checkpoints.copies import copy_thread
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        copy_thread(store, thread, to)
    typer.echo(json.dumps({"thread": thread, "copy": to}) if as_json else f"{thread} copied to {to}")


def delete(
    thread: ThreadId,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Delete a thread from every table, and say which data sets and versions used it.

    Example: threadmill threads delete helpdesk-1a2b3c4d --yes
    """
    from ..checkpoints.forget import delete_thread
    from ..checkpoints.reading import latest_checkpoint
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        latest_checkpoint(store, thread)
        if not yes:
            typer.confirm(f"Delete thread {thread} from {store.name}?", abort=True, err=True)
        uses = delete_thread(store, thread)
    if as_json:
        typer.echo(json.dumps({"thread": thread, "deleted": True, **_uses(uses)}))
        return
    typer.echo(f"{thread} deleted")
    _tell(uses)


def prune(
    threads: Annotated[list[str] | None, typer.Argument(help="Threads (default: all that fit the filters).")] = None,
    agent: Annotated[str | None, typer.Option(help="Only threads of this agent.")] = None,
    status: Annotated[str | None, typer.Option(help="Only threads that stand so (default: done).")] = "done",
    before: Annotated[str | None, typer.Option(help="Only threads untouched since then (ISO 8601).")] = None,
    whole: Annotated[bool, typer.Option("--whole", help="Delete the threads instead of thinning them out.")] = False,
    even_used: Annotated[bool, typer.Option("--even-used", help="Also threads that a data set refers to.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before --whole deletes.")] = False,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Thin threads out to the ends of their branches, or delete them; what data sets refer to is kept.

    Example: threadmill threads prune --before 2026-01-01 --dry-run
    """
    from ..checkpoints.forget import prune_threads
    from ..checkpoints.store import open_store
    from ..checkpoints.threads import list_threads

    wanted: Any = read_status(status)
    until = read_time(before, "--before")
    if threads and (agent or before):
        raise typer.BadParameter("threads are named, so there is nothing to filter", param_hint="--agent, --before")
    with open_store(db, create=False, read_only=dry_run) as store:
        found = [] if threads else list_threads(store, agent=agent, status=wanted, until=until)
        names = threads or [one.thread for one in found]
        strategy = "delete" if whole else "keep-leaves"
        if whole and names and not (yes or dry_run):
            typer.confirm(f"Delete {len(names)} threads from {store.name}?", abort=True, err=True)
        done = prune_threads(store, names, strategy=strategy, even_used=even_used, dry_run=dry_run)
    record = {
        "threads": done.threads,
        "checkpoints": done.checkpoints,
        "kept": {thread: _uses(uses) for thread, uses in done.kept.items()},
        "used": {thread: _uses(uses) for thread, uses in done.used.items()},
        "dry_run": dry_run,
    }
    if as_json:
        typer.echo(json.dumps(record))
        return
    verb = "would go" if dry_run else "are gone"
    typer.echo(f"{done.checkpoints} checkpoints of {len(done.threads)} threads {verb}")
    if done.kept:
        typer.echo(f"{len(done.kept)} threads are kept, because data sets refer to them (--even-used takes them too)")
    for thread, uses in done.used.items():
        typer.echo(f"{thread}:")
        _tell(uses)


def export_file(
    thread: ThreadId,
    file: Annotated[Path, typer.Argument(help="The file to write; compressed if its name ends in .gz.")],
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Write a thread with everything in it to one file, for any other database.

    Example: threadmill threads export-file helpdesk-1a2b3c4d thread.jsonl.gz
    """
    from ..checkpoints.portable import export_thread
    from ..checkpoints.store import open_store

    with open_store(db, create=False, read_only=True) as store:
        _tell_file(export_thread(store, thread, file), file, as_json)


def import_file(
    file: Annotated[Path, typer.Argument(help="A file that export-file wrote.")],
    thread: Annotated[str | None, typer.Option(help="Another id for the thread.")] = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Read a thread that export-file wrote into this database.

    Example: threadmill threads import-file thread.jsonl.gz --db postgresql://me@host/runs
    """
    from ..checkpoints.portable import import_thread
    from ..checkpoints.store import open_store

    with open_store(db) as store:
        _tell_file(import_thread(store, file, thread=thread), file, as_json)


def read_time(text: str | None, name: str) -> str | None:
    """``text`` if it is a time in ISO 8601; wrong usage of the option ``name`` if not."""
    from datetime import datetime

    if text is not None:
        try:
            datetime.fromisoformat(text)
        except ValueError as error:
            raise typer.BadParameter(
                f"{text!r} is no time; write 2026-11-21 or 2026-11-21T08:30:00", param_hint=name
            ) from error
    return text


def read_status(text: str | None) -> str | None:
    """``text`` if it is a status; wrong usage of ``--status`` if not."""
    from typing import get_args

    from ..checkpoints.threads import Status

    if text is not None and text not in get_args(Status):
        raise typer.BadParameter(f"{text!r} is none of {', '.join(get_args(Status))}", param_hint="--status")
    return text


def _uses(uses: "Uses") -> dict[str, Any]:
    from dataclasses import asdict

    return {"data_sets": [asdict(one) for one in uses.data_sets], "versions": list(uses.versions)}


def _tell(uses: "Uses") -> None:
    for one in uses.data_sets:
        typer.echo(f"data set {one.digest[:16]} ({one.kind}, {one.folder}) holds rows of it")
    for version in uses.versions:
        typer.echo(f"version {version} was trained on it")
    if not uses.data_sets:
        typer.echo("no data set that was exported from this database holds rows of it")


def _tell_file(written: Any, file: Path, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        typer.echo(json.dumps({**asdict(written), "file": str(file)}, default=str))
        return
    held = f"{written.checkpoints} checkpoints, {written.writes} writes, {written.labels} labels"
    typer.echo(f"{written.thread}: {held} · {file}")
