"""``threadmill eval``: success, pass^k and cost of one model, or of two on the same held-out tasks."""

import json
from typing import Annotated

import typer

from .place import DEFAULT_DB, Database


def evaluate_command(
    suite: Annotated[str, typer.Argument(help="The suite: helpdesk, reasoning, or file.py:make_suite.")],
    model: Annotated[
        list[str],
        typer.Option("--model", help="Model SPEC; given twice, the second is compared with the first."),
    ],
    k: Annotated[int, typer.Option("-k", min=1, help="Trials of each task, and the k of pass^k.")] = 3,
    tasks: Annotated[int, typer.Option(min=2, help="Held-out tasks per tier.")] = 40,
    seed: Annotated[int, typer.Option(help="Of tasks, sampling and bootstrap.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Threads run at a time.")] = 32,
    db: Database = DEFAULT_DB,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run held-out tasks with one model, or with two in turn, and report how well they did.

    With two models the top of the JSON document is the second one's, and ``difference`` is the second
    less the first. A registered version's finished threads are kept and not run again.

    Example: threadmill eval helpdesk --model helpdesk.think@previous --model helpdesk.think@live -k 3
    """
    if len(model) > 2:
        raise typer.BadParameter(f"{len(model)} models given; one or two can be evaluated", param_hint="--model")

    from dataclasses import asdict

    from rich.console import Console

    from ..checkpoints.store import open_store
    from ..training.episode import measure
    from ..training.evaluation.summary import compare, summarise
    from ..training.evaluation.tables import comparison_table, summary_table
    from ..training.rollout import play
    from ..training.suites import open_suite
    from .agents import make_slot
    from .progress import progress_bar

    opened = open_suite(suite)
    if len(opened.slots) != 1:
        raise typer.BadParameter(
            f"the agent of {suite} has several slots: {', '.join(opened.slots)}; evaluate it in Python"
        )
    chosen = opened.tasks("heldout", tasks, seed)
    versions, results = [], []
    with open_store(db) as store:
        (name,) = opened.slots
        slots = [make_slot(store, name, spec) for spec in model]
        for slot in slots:
            version = slot.version_now()
            if "@" in version:  # an alias may move meanwhile
                slot = make_slot(store, slot.name, version)
            with progress_bar(f"evaluate {version}") as progress:
                played = play(
                    store,
                    opened,
                    chosen,
                    {slot.name: slot},
                    trials=k,
                    seed=seed,
                    workers=workers,
                    prefix=thread_prefix(version),
                    progress=progress,
                )
            versions.append(version)
            results.append([measure(trial.finished, trial.number) for trial in played])

    summaries = [summarise(episodes, k=k) for episodes in results]
    comparison = compare(results[0], results[1], k=k, seed=seed) if len(results) == 2 else None
    if as_json:
        record = {
            "suite": suite,
            "version": versions[-1],
            **asdict(summaries[-1]),
            "difference": asdict(comparison.difference) if comparison else None,
            "models": [
                {"version": version, **asdict(summary)} for version, summary in zip(versions, summaries, strict=True)
            ],
        }
        typer.echo(json.dumps(record))
    elif comparison:
        Console().print(f"before: {versions[0]}\nafter:  {versions[1]}", highlight=False)
        Console().print(comparison_table(comparison))
    else:
        Console().print(summary_table(summaries[0], versions[0]))


def thread_prefix(version: str) -> str:
    """What the ids of a version's evaluation threads begin with.

    A registered version never changes, so that its threads may be read back; the files of a folder may,
    so each evaluation of one gets threads of its own.
    """
    from uuid import uuid4

    from ..training.slots import read_spec

    if read_spec(version).kind != "version":
        return f"eval-{uuid4().hex[:8]}-"
    slot, _, number = version.partition("@")
    return f"eval-{slot}-{number}-"
