"""``threadmill status``: what runs where, at this moment."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .models_print import short_time
from .place import DEFAULT_DB, Database

if TYPE_CHECKING:
    from ..checkpoints.serving import SlotStatus
    from ..checkpoints.workers import Worker

SHOWN = 3
"""Threads that people see of a longer list."""


def status_command(
    slot: Annotated[str | None, typer.Argument(help="Only this slot.")] = None,
    db: Database = DEFAULT_DB,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Tell what runs where: versions, the processes that serve them, pins, paused threads, trials, evaluations.

    Example: threadmill status helpdesk.think
    """
    from dataclasses import asdict

    from ..checkpoints.serving import read_status
    from ..checkpoints.store import open_store
    from ..errors import UnknownSlot

    with open_store(db, create=False) as store:
        status = read_status(store)
    slots = [one for one in status.slots if slot in (None, one.slot)]
    if slot is not None and not slots:
        known = ", ".join(one.slot for one in status.slots) or "none yet"
        raise UnknownSlot(f"no slot {slot!r} is registered or served; there is {known}")
    if as_json:
        evaluations = [asdict(evaluation) for evaluation in status.evaluations]
        record = {"slots": [_slot(one) for one in slots], "evaluations": evaluations}
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    for one in slots:
        _print_slot(one)
    for evaluation in status.evaluations:
        versions = ", ".join(evaluation.versions.values())
        typer.echo(f"evaluation {evaluation.id} of {versions} on {evaluation.suite}: {evaluation.trials} trials so far")
    if not slots and not status.evaluations:
        typer.echo("nothing is registered, served or evaluated here yet")


def _slot(slot: "SlotStatus") -> dict[str, Any]:
    canary, guard = slot.canary, slot.guard
    return {
        "slot": slot.slot,
        **{alias: slot.aliases.get(alias) for alias in ("live", "previous", "candidate")},
        "aliases": slot.aliases,
        "workers": [_worker(slot, worker) for worker in slot.workers],
        "pins": [{"thread": pin.thread, "version": pin.version, "because": pin.because} for pin in slot.pins],
        "paused": [{"version": version, "threads": threads} for version, threads in sorted(slot.paused.items())],
        "canary": None
        if canary is None
        else {"version": canary.version, "mode": canary.mode, "share": canary.share, "since": canary.created_at},
        "guard": None if guard is None else {"bound": guard.bound, "since": guard.created_at},
    }


def _worker(slot: "SlotStatus", worker: "Worker") -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(worker), "loaded": list(worker.loaded), "behind": slot.is_behind(worker)}


def _print_slot(slot: "SlotStatus") -> None:
    from rich.console import Console
    from rich.table import Table

    aliases = ", ".join(f"{alias} {name.partition('@')[2]}" for alias, name in sorted(slot.aliases.items()))
    typer.echo(f"{slot.slot}: {aliases or 'nothing is live'}")
    if (canary := slot.canary) is not None:
        answers = canary.mode == "canary"
        doing = "answers {} of the new threads" if answers else "proposes in the shadow of {} of all threads"
        since = short_time(canary.created_at)
        typer.echo(f"  on trial: {canary.version} {doing.format(f'{canary.share:.0%}')}, since {since}")
    if (guard := slot.guard) is not None:
        rate = guard.bound["max_failure_rate"]
        typer.echo(f"  guarded: goes back when more than {rate:.0%} of the runs fail after a promotion")
    if slot.workers:
        table = Table()
        for column in ("worker", "pid", "answers with", "loaded", "seen", "state"):
            table.add_column(column, overflow="fold")
        for worker in slot.workers:
            table.add_row(
                worker.host,
                str(worker.pid),
                worker.answering or "",
                ", ".join(name.rpartition("@")[2] for name in worker.loaded),
                f"{worker.seen_s_ago:.0f} s ago",
                _state(slot, worker),
            )
        Console(markup=False, emoji=False).print(table)
    for pin in slot.pins:
        typer.echo(f"  pinned: {pin.thread} to {pin.version} ({pin.because})")
    for version, threads in sorted(slot.paused.items()):
        more = f" and {len(threads) - SHOWN} more" if len(threads) > SHOWN else ""
        typer.echo(f"  paused on {version}: {', '.join(threads[:SHOWN])}{more}")


def _state(slot: "SlotStatus", worker: "Worker") -> str:
    if worker.stale:
        return "stale: it ended without a word, or hangs"
    return worker.trouble or (f"behind {worker.alias}" if slot.is_behind(worker) else "ok")
