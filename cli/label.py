"""``threadmill threads label``: say what came of a thread, a branch or a message, or what it is preferred over."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .place import DEFAULT_DB, AsJson, Database, ThreadId

if TYPE_CHECKING:
    from ..checkpoints.preferences import Place
    from ..checkpoints.store import Store


def label(
    thread: ThreadId,
    kind: Annotated[str | None, typer.Argument(help="reward, success, preference or feedback.")] = None,
    value: Annotated[str | None, typer.Argument(help="A number, or text; thumbs are 1 and 0.")] = None,
    at: Annotated[str | None, typer.Option("--at", help="Only the branches through this checkpoint.")] = None,
    message: Annotated[str | None, typer.Option(help="Only this message, by its id.")] = None,
    prefer_over: Annotated[
        str | None, typer.Option(help="Prefer it over this thread, or branch: THREAD@CHECKPOINT.")
    ] = None,
    over_message: Annotated[
        str | None, typer.Option(help="Prefer --message over this one, and not over the turn at the same place.")
    ] = None,
    source: Annotated[str, typer.Option(help="Who says so.")] = "person",
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Say what came of a thread, of one of its branches, or of a message; or that it is better than another.

    Example: threadmill threads label helpdesk-1a2b3c4d success 1
    """
    from ..checkpoints.branch import find_message
    from ..checkpoints.labels import Label, add_label
    from ..checkpoints.preferences import write_over
    from ..checkpoints.reading import find_checkpoint, latest_checkpoint
    from ..checkpoints.store import open_store

    known, meant = _read(kind, value, prefer_over)
    if over_message is not None and (prefer_over is None or message is None):
        raise typer.BadParameter("goes with --message and --prefer-over", param_hint="--over-message")
    with open_store(db, create=False) as store:
        latest_checkpoint(store, thread)
        checkpoint = find_checkpoint(store, thread, at) if at else None
        if message is not None:
            message = find_message(store, thread, message)
        if prefer_over is not None:
            other = _find(store, prefer_over, over_message)
            if (other.thread, other.checkpoint, other.message) == (thread, checkpoint, message):
                raise typer.BadParameter("nothing is better than itself; name branches", param_hint="--prefer-over")
            meant = write_over(other)
        add_label(store, Label(thread, checkpoint, message, known, meant, source))
    record = {"thread": thread, "checkpoint": checkpoint, "message": message}
    record |= {"kind": known, "value": meant, "source": source}
    typer.echo(json.dumps(record) if as_json else f"{thread}: {known} {meant} ({source})")


def _read(kind: str | None, value: str | None, prefer_over: str | None) -> tuple[Any, float | str]:
    """Kind and value as they are stored; the place that something is preferred over is not looked up yet."""
    from math import isfinite
    from typing import get_args

    from ..checkpoints.labels import NUMERIC, Kind
    from ..checkpoints.preferences import GRADES

    if prefer_over is not None:
        if kind not in (None, "preference") or value is not None:
            raise typer.BadParameter("stands for kind and value; leave those out", param_hint="--prefer-over")
        return "preference", prefer_over
    if kind not in get_args(Kind):
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(get_args(Kind))}", param_hint="KIND")
    if value is None:
        raise typer.BadParameter(f"{kind} needs a value", param_hint="VALUE")
    try:
        meant: float | str = float(value)
    except ValueError:
        meant = value
    if isinstance(meant, float) and not isfinite(meant):
        raise typer.BadParameter(f"{value!r} is no finite number", param_hint="VALUE")
    if isinstance(meant, str) and kind in NUMERIC:
        raise typer.BadParameter(f"{value!r} is no number, and {kind} needs one", param_hint="VALUE")
    if isinstance(meant, str) and kind == "preference" and meant not in GRADES:
        raise typer.BadParameter(
            f"{value!r} is neither a number nor {' nor '.join(GRADES)}; to name another thread use --prefer-over",
            param_hint="VALUE",
        )
    return kind, meant


def _find(store: "Store", text: str, message: str | None) -> "Place":
    """The thread called ``text``, or the branch ``THREAD@CHECKPOINT``."""
    from ..checkpoints.branch import find_message
    from ..checkpoints.diff import read_place
    from ..checkpoints.preferences import Place
    from ..checkpoints.reading import latest_checkpoint
    from ..errors import UnknownThread

    try:
        latest_checkpoint(store, text)
        thread, checkpoint = text, None
    except UnknownThread:
        thread, checkpoint = read_place(store, text)
    return Place(thread, checkpoint, None if message is None else find_message(store, thread, message))
