"""``threadmill rewards``: score stored threads with every component beside the total, and watch a run for hacking."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .place import DEFAULT_DB, AsJson, Database

if TYPE_CHECKING:
    from ..checkpoints.store import Store
    from ..training.rewards.compose import Rewards, Scored
    from ..training.rewards.finished import Finished

app = typer.Typer(no_args_is_help=True, help="Score threads, and watch what a run's rewards do.")

Config = Annotated[Path, typer.Option(help="A TOML file with a table [rewards].")]


@app.command("score")
def score_command(
    config: Config,
    where: Annotated[
        list[str] | None, typer.Option(help="Only threads with e.g. agent=NAME, task=PATTERN, thread=PATTERN.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option(help="The suite they played, for rewards that need the answer or the solution.")
    ] = None,
    record: Annotated[bool, typer.Option("--record/--no-record", help="Keep the components beside threads.")] = False,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Score stored threads, those of one task together, with each reward apart.

    Nothing is changed but with --record, and the labels reward and success never are. Groups that a reward refuses are
    left out and counted.

    Example: threadmill rewards score --config rewards.toml --where agent=helpdesk --suite helpdesk
    """
    from ..checkpoints.store import open_store
    from ..checkpoints.where import find_heads, parse_where
    from ..training.rewards.configured import open_rewards, read_file
    from ..training.rewards.stored import record_scores
    from .progress import progress_bar

    table = read_file(config)
    left_out: list[dict[str, str]] = []
    with open_store(db, create=False) as store, open_rewards(table, store) as rewards:
        tasks = [(head.thread, head.task) for head in find_heads(store, parse_where(where or ()))]
        with progress_bar("rewards") as progress:
            scored: dict[str, Scored] = {}
            for group in _groups(store, tasks, suite):
                scored |= _score(group, rewards, left_out)
                progress(len(scored) + len(left_out), len(tasks))
        if record:
            record_scores(store, scored, rewards.weights)
    means = {name: _mean([one.components[name] for one in scored.values()]) for name in rewards.weights}
    said = {
        "threads": [
            {"thread": thread, "total": one.total, "components": one.components, "notes": one.notes}
            for thread, one in scored.items()
        ],
        "weights": dict(rewards.weights),
        "means": {"total": _mean([one.total for one in scored.values()]), **means},
        "left_out": left_out,
        "recorded": len(scored) if record else 0,
    }
    typer.echo(json.dumps(said, ensure_ascii=False)) if as_json else _tell(said)
    if left_out and not scored:
        raise typer.Exit(1)


@app.command("watch")
def watch_command(
    run: Annotated[
        Path, typer.Argument(help="The model folder of a GRPO run, or steps.jsonl of one that goes on.", metavar="RUN")
    ],
    alpha: Annotated[float, typer.Option(min=0, max=1, help="Share of honest runs that may raise an alarm.")] = 0.05,
    as_json: AsJson = False,
) -> None:
    """Tell whether a reward rises while success on held-out tasks falls, and other signs of a reward gone wrong.

    Exits with 1 on an alarm.

    Example: threadmill rewards watch models/grpo
    """
    from dataclasses import asdict

    from ..training.rewards.hacking import find_signs
    from ..training.rewards.series import read_series

    series = read_series(run)
    signs = find_signs(series, alpha=alpha)
    if as_json:
        said = {"steps": len(series.steps), "evaluations": len(series.held_out), "signs": [asdict(s) for s in signs]}
        typer.echo(json.dumps(said, ensure_ascii=False))
    else:
        typer.echo(f"{len(series.steps)} steps, {len(series.held_out)} evaluations on held-out tasks")
        for sign in signs:
            typer.echo(f"{'ALARM' if sign.kind == 'hacking' else 'hint '}  {sign.words}")
        if not signs:
            typer.echo("nothing to see")
    if any(sign.kind == "hacking" for sign in signs):
        raise typer.Exit(1)


def _groups(store: "Store", threads: Sequence[tuple[str, str | None]], suite: str | None) -> Iterator[list["Finished"]]:
    """The episodes of each task; a thread without a task is a group of its own."""
    from ..training.credit.tasks import find_tasks
    from ..training.rewards.stored import read_finished
    from ..training.suites import open_suite

    played = open_suite(suite) if suite else None
    tasks = find_tasks(played, {task for _, task in threads if task}) if played else {}
    for _, members in groupby(threads, key=lambda one: one[1] or f"\0{one[0]}"):
        yield [read_finished(store, thread, suite=played, task=tasks.get(task or "")) for thread, task in members]


def _score(group: Sequence["Finished"], rewards: "Rewards", left_out: list[dict[str, str]]) -> dict[str, "Scored"]:
    from ..errors import BadReward
    from ..training.rewards.compose import score

    try:
        return {one.thread: scored for one, scored in zip(group, score(group, rewards), strict=True)}
    except BadReward as error:
        left_out += [{"thread": one.thread, "reason": str(error)} for one in group]
        return {}


def _tell(said: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    names = list(said["weights"])
    table = Table(box=None, header_style="bold")
    table.add_column("thread", overflow="fold")
    for name in ["total", *names]:
        table.add_column(name, justify="right")
    rows = [(one["thread"], one["total"], one["components"]) for one in said["threads"]]
    if rows:
        rows.append(("mean", said["means"]["total"], said["means"]))
    for thread, total, components in rows:
        table.add_row(thread, f"{total:.3f}", *(f"{components[name]:.3f}" for name in names))
    Console().print(table)
    reasons = [one["reason"] for one in said["left_out"]]
    for reason in dict.fromkeys(reasons):
        typer.echo(f"left out {reasons.count(reason)}: {reason}", err=True)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
