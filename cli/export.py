"""``threadmill export``: turn labelled threads into masked data sets, or look at one token by token."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .place import DEFAULT_DB, Database

if TYPE_CHECKING:
    from ..checkpoints.store import Store

app = typer.Typer(no_args_is_help=True, help="Turn labelled threads into data sets for training.")

Out = Annotated[Path, typer.Option(help="The folder to write; a data set in it is replaced.")]
Agent = Annotated[str | None, typer.Option(help="Only threads of this agent.")]
Task = Annotated[str | None, typer.Option(help="Only threads of this task.")]
Threads = Annotated[str | None, typer.Option(help="Only threads whose id fits this pattern, e.g. 'train-*'.")]
TokenizerSpec = Annotated[
    str | None,
    typer.Option("--tokenizer", "--model", help="Folder or hub name of the model to train (default: the seed policy)."),
]
Family = Annotated[
    str | None, typer.Option(help="How the model writes calls, if its chat template does not tell: react-text.")
]
MaxLength = Annotated[int | None, typer.Option(min=1, help="Leave longer rows out.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


class Continuation(StrEnum):
    """How much of two trials a pair compares."""

    whole = "whole"
    turn = "turn"


@app.command("sft")
def sft_command(
    out: Out,
    agent: Agent = None,
    task: Task = None,
    threads: Threads = None,
    tokenizer: TokenizerSpec = None,
    family: Family = None,
    all_threads: Annotated[bool, typer.Option("--all", help="Failures and unlabelled threads too.")] = False,
    min_reward: Annotated[float | None, typer.Option(help="Take branches by reward instead of success.")] = None,
    max_length: MaxLength = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Write masked SFT rows of successful threads.

    Example: threadmill export sft --out data/sft
    """
    from ..training.export import export_sft
    from .progress import progress_bar

    with open_for_export(db) as store, progress_bar("export sft") as progress:
        manifest = export_sft(
            store,
            out,
            tokenizer=tokenizer or _seed_policy(),
            agent=agent,
            task=task,
            threads=threads,
            only_success=not all_threads,
            min_reward=min_reward,
            max_length=max_length,
            family=family,
            progress=progress,
        )
    _report(manifest, out, as_json)


@app.command("pairs")
def pairs_command(
    out: Out,
    agent: Agent = None,
    task: Task = None,
    threads: Threads = None,
    tokenizer: TokenizerSpec = None,
    family: Family = None,
    continuation: Annotated[
        Continuation, typer.Option(help="Compare all that follows, or the differing turn.")
    ] = Continuation.whole,
    max_pairs_per_task: Annotated[int, typer.Option(min=0, help="Pairs of trials, of each task.")] = 4,
    max_length: MaxLength = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Write preference pairs: human edits, trials of one task, branches, repaired calls.

    Example: threadmill export pairs --out data/pairs
    """
    from ..training.export import export_pairs
    from .progress import progress_bar

    with open_for_export(db) as store, progress_bar("export pairs") as progress:
        manifest = export_pairs(
            store,
            out,
            tokenizer=tokenizer or _seed_policy(),
            agent=agent,
            task=task,
            threads=threads,
            continuation=continuation.value,
            max_pairs_per_task=max_pairs_per_task,
            max_length=max_length,
            family=family,
            progress=progress,
        )
    _report(manifest, out, as_json)


def open_for_export(db: str) -> "Store":
    """The database; one that is not ours is only read, and so does not remember what was exported from it."""
    from ..checkpoints.store import open_store

    with open_store(db, create=False, read_only=True) as store:
        ours = store.has_labels
    return open_store(db, create=False, read_only=not ours)


@app.command("preview")
def preview_command(
    thread: Annotated[str, typer.Argument(help="The thread to show.")],
    tokenizer: TokenizerSpec = None,
    family: Family = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Show the newest branch of a thread token by token, coloured by what is trained.

    Example: threadmill export preview simple-0-t0
    """
    from rich.console import Console

    from ..checkpoints.labels import labels_of
    from ..checkpoints.store import open_store
    from ..training.branches import read_branches
    from ..training.export import open_renderer
    from ..training.preview import preview_spans, render_preview

    with open_store(db, create=False, read_only=True) as store:
        renderer = open_renderer(tokenizer or _seed_policy(), family)
        labels = labels_of(store, [thread]).get(thread, [])
        branch = read_branches(store, thread, task=None, labels=labels, renderer=renderer)[-1]
    if not as_json:
        Console(highlight=False).print(render_preview(branch, renderer.tokenizer))
        return
    spans = [
        {
            "kind": kind,
            "text": renderer.tokenizer.decode(list(span.tokens)),
            "tokens": len(span.tokens),
            "message": span.message,
            "version": span.version,
        }
        for kind, span in preview_spans(branch)
    ]
    record = {"thread": thread, "checkpoint": branch.checkpoint, "tokens": branch.tokens, "spans": spans}
    typer.echo(json.dumps(record))


def _seed_policy() -> str:
    from ..training.slots import SEED_POLICY

    return str(SEED_POLICY)


def _report(manifest: dict[str, Any], out: Path, as_json: bool) -> None:
    keys = ("rows", "tokens", "trained_tokens", "left_out", "by_source", "digest")
    record = {key: manifest[key] for key in keys} | {"out": str(out)}
    if as_json:
        typer.echo(json.dumps(record))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{manifest['kind']} in {out}", show_header=False)
    table.add_row("rows", f"{record['rows']:,}")
    table.add_row("tokens", f"{record['tokens']:,}, {record['trained_tokens']:,} of them trained")
    for name in ("by_source", "left_out"):
        for reason, count in manifest[name].items():
            table.add_row(f"{name.replace('_', ' ')}: {reason}", f"{count:,}")
    table.add_row("digest", record["digest"][:16])
    Console(highlight=False).print(table)
