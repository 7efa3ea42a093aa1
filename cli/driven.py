"""A run of a thread by a command: if it stops half-way, what went wrong in one line, and how the thread goes on."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

import typer

from ..errors import RunStopped, ThreadmillError
from .place import at_db

if TYPE_CHECKING:
    from ..graphs.run import Outcome


@contextmanager
def driven(graph: Any, thread: str, db: str, as_json: bool, taken_back: Sequence[str] = ()) -> Iterator[None]:
    """Around a run of ``thread``; says in the end what was ``taken_back``. A run that failed is a document, too.

    Raises:
        RunStopped: the run stopped half-way. What was refused before it began is raised as it is.
    """
    from ..training.live import NOT_OF_THE_MODEL

    how = f"thread {thread!r} keeps what was finished; go on with `{how_to_continue(thread, db)}`"
    try:
        yield
    except KeyboardInterrupt:
        if _half_way(graph, thread) is None:
            raise
        typer.echo(f"stopped; {how}", err=True)
        raise typer.Exit(130) from None  # told
    except NOT_OF_THE_MODEL:
        raise
    except Exception as error:
        outcome = _half_way(graph, thread)
        if outcome is None:
            raise
        if as_json:
            about = {"thread": thread, "status": "failed", "answer": None, "questions": []}
            record = {**about, "versions": dict(outcome.versions), "error": told(error)}
            typer.echo(json.dumps(record, ensure_ascii=False))
        raise RunStopped(f"{told(error)}; {how}") from error
    finally:
        for said in taken_back:
            typer.echo(said, err=True)


def tell_changes(graph: Any, metadata: Mapping[str, Any]) -> None:
    """Say so if the agent is not the one that the thread with ``metadata`` was run with last."""
    from ..graphs.run import graph_digest

    before, now = metadata.get("graph"), graph_digest(graph)
    if before is not None and before != now:
        changed = "its nodes, tools, prompts or policies"
        typer.echo(f"the agent was changed since the thread was run: {changed} (graph {before}, now {now})", err=True)


def how_to_continue(thread: str, db: str) -> str:
    """The command that goes on with ``thread``."""
    from shlex import quote

    return f"threadmill threads continue {quote(thread)}{at_db(db)}"


def told(error: BaseException) -> str:
    """``error`` in a line: ours as it is, others by their kind, and where in the user's own files they were raised."""
    if isinstance(error, ThreadmillError):
        return str(error)
    here = str(Path.cwd())
    own = [one for one in extract_tb(error.__traceback__) if one.filename.startswith(here)]
    own = [one for one in own if "site-packages" not in one.filename]
    place = f" ({Path(own[-1].filename).relative_to(here)}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{place}"


def _half_way(graph: Any, thread: str) -> "Outcome | None":
    """Where ``thread`` stands, if its run stopped half-way."""
    from ..graphs.run import read_outcome

    with suppress(Exception):  # whatever stopped the run may keep us from looking
        outcome = read_outcome(graph, thread)
        return outcome if outcome.status == "failed" else None
    return None
