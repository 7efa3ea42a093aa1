"""``threadmill rollout``: run a suite's training tasks as checkpointed, labelled threads."""

import json
from typing import Annotated

import typer

from .place import DEFAULT_DB, Database


def rollout_command(
    suite: Annotated[str, typer.Argument(help="The suite; built in: helpdesk.")],
    tasks: Annotated[int, typer.Option(help="Tasks per tier.")] = 50,
    trials: Annotated[int, typer.Option(help="Trials of each task.")] = 4,
    model: Annotated[str | None, typer.Option(help="Model SPEC (default: the slot's live version).")] = None,
    seed: Annotated[int, typer.Option(help="Of tasks and sampling.")] = 0,
    workers: Annotated[int, typer.Option(help="Threads run at a time.")] = 32,
    prefix: Annotated[str, typer.Option(help="Put before the thread ids.")] = "",
    db: Database = DEFAULT_DB,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run training tasks, several trials each, with a scripted reviewer who edits some proposals.

    Threads that are finished already are not run again.

    Example: threadmill rollout helpdesk --tasks 50 --trials 4
    """
    from ..checkpoints.store import open_store
    from ..training.evaluate import summarise
    from ..training.rollout import run_tasks
    from ..training.worlds.helpdesk import make_tasks
    from .agents import make_slot
    from .progress import progress_bar

    check_suite(suite)
    with open_store(db) as store, progress_bar("rollout") as progress:
        slot = make_slot(store, f"{suite}.think", model)
        chosen = make_tasks("train", tasks, seed)
        episodes = run_tasks(
            store,
            chosen,
            slot,
            trials=trials,
            seed=seed,
            workers=workers,
            reviewer="scripted",
            prefix=prefix,
            progress=progress,
        )
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


def check_suite(suite: str) -> None:
    """Raise UnknownSuite unless ``suite`` is built in."""
    from ..errors import UnknownSuite

    if suite != "helpdesk":
        raise UnknownSuite(f"no suite {suite!r}; built in: helpdesk")
