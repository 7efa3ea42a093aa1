"""``threadmill models lineage``: what weights were trained on, and who learnt from a thread; as a tree or a picture."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .place import DEFAULT_DB, Database

if TYPE_CHECKING:
    from rich.tree import Tree

    from ..checkpoints.lineage import Origin

FEW = 10
"""Threads of a data set that are named unless all are asked for."""
WIDE = 10_000
"""A tree would be cut off at the width of the terminal, whose own wrapping loses nothing."""


def lineage_command(
    spec: Annotated[str | None, typer.Argument(help="slot@alias or slot@0003, such as helpdesk.think@live.")] = None,
    thread: Annotated[str | None, typer.Option(help="Every version that learnt from this thread.")] = None,
    message: Annotated[
        str | None, typer.Option(help="With --thread: what its weights were trained on ('last': its last answer).")
    ] = None,
    picture: Annotated[Path | None, typer.Option(help="Also draw it: FILE.html, or FILE.dot for Graphviz.")] = None,
    every: Annotated[bool, typer.Option("--all", help=f"Name all threads, not the first {FEW} of a data set.")] = False,
    db: Database = DEFAULT_DB,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show what a version was trained on, back to its first base; or who learnt from a thread.

    Example: threadmill models lineage helpdesk.think@live --picture lineage.html
    """
    if (spec is None) == (thread is None):
        raise typer.BadParameter("give a version, or a thread with --thread; one of them", param_hint="SPEC")
    if message is not None and thread is None:
        raise typer.BadParameter(f"--message {message} needs the thread that it is in: --thread ID")
    if picture is not None and picture.suffix not in (".html", ".dot"):
        raise typer.BadParameter(f"{str(picture)!r} is neither FILE.html nor FILE.dot", param_hint="--picture")
    if picture is not None and not picture.parent.is_dir():
        raise typer.BadParameter(f"the folder of {str(picture)!r} does not exist; make it", param_hint="--picture")

    from dataclasses import asdict

    from ..checkpoints.lineage import (
        descendants_of_thread,
        origins_of_message,
        origins_of_version,
        threads_in,
        to_dict,
        versions_in,
    )
    from ..checkpoints.reading import latest_checkpoint
    from ..checkpoints.registry import resolve
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        if spec is not None:
            found = origins_of_version(store, spec)
        elif message is not None:
            found = origins_of_message(store, str(thread), None if message == "last" else message)
        else:
            found = descendants_of_thread(store, str(thread))
            if not found.leads:
                latest_checkpoint(store, str(thread))  # says so if there is no such thread
        versions = [asdict(resolve(store, name)) for name in versions_in(found)]
    if picture is not None:
        from .lineage_picture import draw_dot, draw_html

        shown = found if every else fewer(found)
        picture.write_text((draw_html if picture.suffix == ".html" else draw_dot)(shown), encoding="utf-8")
        typer.echo(f"drawn in {picture}", err=True)
    if as_json:
        line = [{"version": version.pop("name"), **version} for version in versions]
        record: dict[str, Any] = {"lineage": line, "threads": threads_in(found), "tree": to_dict(found)}
        typer.echo(json.dumps(record, ensure_ascii=False, default=str))
        return
    from rich.console import Console

    tree = _tree(found if every else fewer(found))
    Console(markup=False, emoji=False, soft_wrap=True, highlight=False, width=WIDE).print(tree)
    if thread is not None and message is None and not found.leads:
        typer.echo("no data set holds it, so no weights learnt from it")


def fewer(origin: "Origin") -> "Origin":
    """The same lineage with at most the first few threads of each data set, and the number of the others."""
    from dataclasses import replace

    threads = [one for one in origin.leads if one.kind == "thread"]
    others = [fewer(one) for one in origin.leads if one.kind != "thread"]
    shown = threads if len(threads) <= FEW + 1 else threads[:FEW]
    rest = len(threads) - len(shown)
    if rest:
        shown = [*shown, replace(threads[0], name=f"… and {rest} more", about="", details={})]
    return replace(origin, leads=[*shown, *others])


def _tree(origin: "Origin", tree: "Tree | None" = None) -> "Tree":
    from rich.tree import Tree

    said = f"{origin.kind} {origin.name}" + (f"  ({origin.about})" if origin.about else "")
    branch = Tree(said) if tree is None else tree.add(said)
    for one in origin.leads:
        _tree(one, branch)
    return branch
