"""``threadmill credit``: what each turn of finished threads was worth, by running on from the state before it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .place import DEFAULT_DB, AsJson, Database, Model

if TYPE_CHECKING:
    from ..checkpoints.store import Store
    from ..training.credit.step_values import StepValues
    from ..training.suites import Suite

app = typer.Typer(no_args_is_help=True, help="What each turn of finished threads was worth.")


@app.command("fork")
def fork_command(
    threads: Annotated[list[str], typer.Argument(help="Threads that a suite played.", metavar="THREAD…")],
    k: Annotated[int, typer.Option("-k", min=1, help="Continuations from the state before each turn.")] = 8,
    steps: Annotated[str, typer.Option(help="all, or only where siblings of other outcome part: disagree.")] = "all",
    first: Annotated[int | None, typer.Option(min=1, help="Only the first so many turns of each thread.")] = None,
    budget: Annotated[int | None, typer.Option(min=0, help="At most so many continuations in all.")] = None,
    suite: Annotated[str | None, typer.Option(help="The suite they played (default: named as their agent).")] = None,
    model: Model = None,
    temperature: Annotated[float | None, typer.Option(help="Of sampling (default: that of the thread).")] = None,
    seed: Annotated[int, typer.Option(help="Of the continuations' sampling.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Continuations that run at a time.")] = 32,
    label: Annotated[bool, typer.Option("--label/--no-label", help="Keep the values as labels.")] = True,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Run K continuations from the state before each turn, and show what each turn changed.

    Continuations are threads of their own (`threads list`), and finished ones are not run again. A thread whose world
    cannot be restored is refused.

    Example: threadmill credit fork train-0-complex-0003-t1 -k 8
    """
    from ..checkpoints.labels import add_labels, labels_of
    from ..checkpoints.store import open_store
    from ..training.credit.forking import Forking, value_steps
    from ..training.credit.step_labels import new_labels, step_labels
    from .agents import make_slot
    from .progress import progress_bar

    if steps not in ("all", "disagree"):
        raise typer.BadParameter(f"{steps!r} is neither all nor disagree", param_hint="--steps")
    settings = Forking(k, steps, first, budget, seed, workers)  # type: ignore[arg-type]
    with open_store(db, create=False) as store, progress_bar("fork") as progress:
        played = _open_suite(store, suite, threads)
        slots = {name: make_slot(store, name, model) for name in played.slots}
        found = value_steps(
            store,
            played,
            slots,
            _tasks(store, played, threads),
            settings,
            temperature=temperature,
            progress=progress,
        )
        made = 0
        if label:
            known = labels_of(store, threads)
            new = [one for of in found.values() for one in new_labels(step_labels(of), known.get(of.thread, ()))]
            add_labels(store, new)
            made = len(new)
        versions = {name: slot.version_now() for name, slot in slots.items()}
    record = {
        "threads": [_record(of) for of in found.values()],
        "k": k,
        "versions": versions,
        "refused": sum(of.refused is not None for of in found.values()),
        "labels": made,
    }
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
    else:
        _tell(record)


@app.command("rows")
def rows_command(
    out: Annotated[Path, typer.Argument(help="The JSONL file to write; one that is there is replaced.")],
    where: Annotated[
        list[str] | None, typer.Option(help="Only threads with e.g. agent=NAME, task=PATTERN, thread=PATTERN.")
    ] = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Write every valued turn as a row: the tokens in front of it, its own, and the expected outcome after it.

    Example: threadmill credit rows steps.jsonl --where agent=helpdesk
    """
    from hashlib import sha256

    from ..checkpoints.data_sets import record_data_set
    from ..checkpoints.store import open_store
    from ..checkpoints.where import find_heads, parse_where
    from ..training.branches import stream_branches
    from ..training.credit.step_rows import StepRows

    maker = StepRows()
    count, used, digest = 0, set[str](), sha256()
    fresh = out.with_name(f".{out.name}.new")
    with open_store(db, create=False) as store, fresh.open("wb") as file:
        for read in stream_branches(store, find_heads(store, parse_where(where or ())), renderer=None):
            if read.error is not None:
                maker.left_out[type(read.error).__name__] += 1
            for row in maker.of(read.branches):
                line = json.dumps(row, ensure_ascii=False).encode() + b"\n"
                file.write(line)
                digest.update(line)
                used.add(read.thread)
                count += 1
        fresh.replace(out)
        folder = str(out.absolute())
        record_data_set(store, digest=digest.hexdigest(), kind="steps", folder=folder, threads=used)
    record = {"rows": count, "left_out": dict(maker.left_out), "digest": digest.hexdigest(), "out": str(out)}
    typer.echo(json.dumps(record) if as_json else f"{count} rows in {out}")
    if not count and not as_json:
        typer.echo("no turn has a value; make some with `threadmill credit fork THREAD`", err=True)


def _open_suite(store: "Store", name: str | None, threads: list[str]) -> "Suite":
    from ..checkpoints.reading import latest_metadata
    from ..checkpoints.threads import agent_of
    from ..training.suites import open_suite

    return open_suite(name or agent_of(latest_metadata(store, threads[0])))


def _tasks(store: "Store", suite: "Suite", threads: list[str]) -> dict[str, Any]:
    from ..checkpoints.reading import latest_metadata
    from ..training.credit.tasks import find_tasks

    ids = {thread: str(latest_metadata(store, thread).get("task") or "") for thread in threads}
    tasks = find_tasks(suite, ids.values())
    return {thread: tasks[task] for thread, task in ids.items()}


def _record(of: "StepValues") -> dict[str, Any]:
    turns = []
    for turn, (step, changed) in enumerate(zip(of.steps, of.advantages, strict=True)):
        interval = step.interval()
        turns.append(
            {
                "turn": turn,
                "message": step.message,
                "checkpoint": step.checkpoint,
                "continuations": len(step.returns),
                "value": step.value,
                "error": step.error,
                "low": interval.low if interval else None,
                "high": interval.high if interval else None,
                "advantage": changed.value if changed else None,
                "advantage_error": changed.error if changed else None,
            }
        )
    return {"thread": of.thread, "task": of.task, "reward": of.reward, "refused": of.refused, "steps": turns}


def _tell(record: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from .timeline import visible

    console = Console()
    for of in record["threads"]:
        if of["refused"]:
            console.print(f"{visible(of['thread'])}: refused: {visible(of['refused'])}", highlight=False, markup=False)
            continue
        table = Table(title=f"{of['thread']} · reward {of['reward']:g}", title_justify="left")
        for name in ("turn", "value before", "95 %", "changed by"):
            table.add_column(name, justify="right")
        for step in of["steps"]:
            table.add_row(
                str(step["turn"]),
                _number(step["value"], step["error"]),
                "" if step["low"] is None else f"{step['low']:.2f} … {step['high']:.2f}",
                _number(step["advantage"], step["advantage_error"]),
            )
        console.print(table)
    console.print(
        f"{len(record['threads'])} threads, {record['refused']} refused, {record['labels']} labels; "
        "± is the standard error",
        highlight=False,
    )


def _number(value: float | None, error: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if error is None else f"{value:.3f} ± {error:.3f}"
