"""``threadmill batch``: give an agent many inputs, each a thread of its own, several at a time."""

import json
from pathlib import Path
from typing import Annotated

import typer

from .place import DEFAULT_DB, AsJson, Database


def batch_command(
    agent: Annotated[str, typer.Argument(help="A name (see `threadmill agents`), or shop.toml, or agents.py:build.")],
    file: Annotated[Path, typer.Argument(help='JSON lines: {"text": "…"} or {"turns": ["…", "…"]}; id, thread, …')],
    out: Annotated[Path, typer.Option(help="One JSON line for each input is added here.")],
    concurrency: Annotated[int, typer.Option(min=1, help="Threads run at a time.")] = 8,
    model: Annotated[
        list[str] | None, typer.Option(help="Model SPEC, or plan=SPEC for one slot (default: what is live).")
    ] = None,
    world: Annotated[int, typer.Option(help="Seed of the shop that new threads work on.")] = 0,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Run an agent on each line of a file; the same command again goes on where it was stopped.

    What is done is not run again, what stopped half-way is taken up, what asks stays paused, what failed is tried
    again. Lines that cannot be read are set aside and listed.

    Example: threadmill batch helpdesk questions.jsonl --out answers.jsonl --concurrency 8
    """
    from collections import Counter
    from dataclasses import asdict

    from ..checkpoints.store import open_store
    from ..training.live import Watched
    from .agents import open_agent
    from .batch_input import read_inputs
    from .batch_results import Results
    from .batch_run import run_inputs
    from .progress import progress_bar
    from .run import beginning
    from .timeline import visible

    if out.exists() and file.exists() and out.samefile(file):
        raise typer.BadParameter("is the input itself", param_hint="--out")
    inputs, set_aside = read_inputs(file, [agent, model, world])
    if several := [id for id, count in Counter(one.id for one in inputs).items() if count > 1]:
        typer.echo(visible(f"several lines have the id {', '.join(several)}: tell them apart by thread"), err=True)
    with open_store(db) as store:
        watched = Watched(store, open_agent(store, agent, model=model))
        with Results(out, inputs) as results, progress_bar("batch") as progress:
            counts = run_inputs(
                watched,
                inputs,
                results,
                begin=lambda thread: beginning(store, agent, thread, world),
                concurrency=concurrency,
                progress=progress,
            )
    for said in watched.taken_back:
        typer.echo(said, err=True)
    record = {**vars(counts), "set_aside": [asdict(one) for one in set_aside], "out": str(out)}
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
    else:
        told = ", ".join(f"{count} {name}" for name, count in vars(counts).items() if count)
        typer.echo(f"{told or 'nothing to run'}; {len(set_aside)} lines set aside; results in {out}")
        for one in set_aside:
            typer.echo(visible(f"set aside {one.file}:{one.line}: {one.reason}"))
        if counts.paused:
            typer.echo("see what is asked with `threadmill threads list --status paused`")
    if counts.failed:
        raise typer.Exit(1)
