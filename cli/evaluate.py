"""``threadmill eval``: how well models do on a suite's held-out tasks, one against the other."""

import json
from pathlib import Path
from typing import Annotated

import typer

from .place import DEFAULT_DB, Database


def evaluate_command(
    suite: Annotated[
        str, typer.Argument(help="The suite: helpdesk, reasoning, FILE.jsonl, bfcl:FOLDER, file.py:make_suite …")
    ],
    model: Annotated[
        list[str],
        typer.Option("--model", help="Model SPEC, or slot=SPEC,slot2=SPEC; further ones are compared with the first."),
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="Trials of each task, and the k of pass@k and pass^k.")] = 3,
    tasks: Annotated[int, typer.Option(min=2, help="Held-out tasks per tier.")] = 40,
    seed: Annotated[int, typer.Option(help="Of tasks, sampling and bootstrap.")] = 0,
    temperature: Annotated[float | None, typer.Option(min=0, help="Of sampling (default: 1).")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads run at a time.")] = 32,
    prices: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Price table (TOML), for the cost.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    picture: Annotated[Path | None, typer.Option(help="Write success by tier to this PNG file.")] = None,
    db: Database = DEFAULT_DB,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run held-out tasks with each model in turn, and report how well they did.

    With several models the top of the JSON document is the last one's, and ``difference`` is the last less the
    first. What is finished is kept: the same command reads it back, an interrupted one goes on, and one with more
    tasks plays those that are new. A version of one slot leaves the agent's other slots on their live versions.

    Example: threadmill eval helpdesk --model helpdesk.think@previous --model helpdesk.think@live -k 3
    """
    from rich.console import Console

    from ..checkpoints.store import open_store
    from ..training.evaluation.identity import fixed_versions
    from ..training.evaluation.junit import write_junit
    from ..training.evaluation.models import read_models
    from ..training.evaluation.picture import draw_success
    from ..training.evaluation.prices import load_prices
    from ..training.evaluation.report import as_json as report_json
    from ..training.evaluation.report import name_of, report_on
    from ..training.evaluation.run import evaluate
    from ..training.evaluation.tables import print_reports
    from ..training.suites import open_suite
    from .progress import progress_bar

    opened = open_suite(suite)
    table = None if prices is None else load_prices(prices)
    done = []
    with open_store(db) as store:
        # Aliases may move, and SPECs may be wrong: both are settled before the first task is played.
        chosen = [fixed_versions(store, opened, read_models(text, opened.slots)) for text in model]
        for versions in chosen:
            with progress_bar(f"evaluate {name_of(versions)}") as progress:
                done.append(
                    evaluate(
                        store,
                        opened,
                        versions,
                        tasks_per_tier=tasks,
                        k=k,
                        seed=seed,
                        workers=workers,
                        temperature=temperature,
                        prices=table,
                        progress=progress,
                    )
                )
    reports = report_on(done, seed=seed)
    if junit is not None:
        write_junit(junit, reports)
    if picture is not None:
        draw_success(picture, reports)
    if as_json:
        typer.echo(json.dumps({**report_json(reports), "suite": suite}))
    else:
        print_reports(reports, Console())
