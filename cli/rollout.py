"""``threadmill rollout``: run a suite's training tasks as checkpointed, labelled threads."""

import json
from typing import Annotated

import typer

from .place import DEFAULT_DB, Database


def rollout_command(
    suite: Annotated[str, typer.Argument(help="The suite: helpdesk, reasoning, FILE.jsonl or file.py:make_suite.")],
    tasks: Annotated[int, typer.Option(help="Tasks per tier.")] = 50,
    trials: Annotated[int, typer.Option(help="Trials of each task.")] = 4,
    model: Annotated[
        str | None, typer.Option(help="Model SPEC for every slot (default: each slot's live version).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of tasks and sampling.")] = 0,
    workers: Annotated[int, typer.Option(help="Threads run at a time.")] = 32,
    prefix: Annotated[str, typer.Option(help="Put before the thread ids.")] = "",
    db: Database = DEFAULT_DB,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run training tasks, several trials each, as threads that are labelled with what they earned.

    Threads that are finished already are not run again. The helpdesk's scripted reviewer edits some proposals.

    Example: threadmill rollout helpdesk --tasks 50 --trials 4
    """
    from ..checkpoints.store import open_store
    from ..training.episode import measure
    from ..training.evaluation.summary import summarise
    from ..training.follow import follow
    from ..training.rollout import play
    from ..training.suites import open_suite
    from ..training.worlds.helpdesk.suite import HelpdeskSuite
    from .agents import make_slot
    from .progress import progress_bar

    opened = HelpdeskSuite("scripted") if suite == "helpdesk" else open_suite(suite)
    with open_store(db) as store, progress_bar("rollout") as progress:
        slots = {name: make_slot(store, name, model) for name in opened.slots}
        with follow(store, slots.values()):  # it may take hours, in which the alias moves
            played = play(
                store,
                opened,
                opened.tasks("train", tasks, seed),
                slots,
                trials=trials,
                seed=seed,
                workers=workers,
                prefix=prefix,
                progress=progress,
            )
    episodes = [measure(trial.finished, trial.number) for trial in played]
    summary = summarise(episodes)
    record = {
        "threads": len(episodes),
        "edited": sum(episode.edited for episode in episodes),
        "success": {tier: round(values["success"], 4) for tier, values in summary.by_tier.items()},
        "version": episodes[0].version if episodes else None,
    }
    if as_json:
        typer.echo(json.dumps(record))
        return
    typer.echo(f"{record['threads']} threads, {record['edited']} with a human edit, by {record['version']}")
    for tier, value in record["success"].items():
        typer.echo(f"  {tier:<12} {value:6.1%}")
