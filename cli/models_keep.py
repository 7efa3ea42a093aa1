"""``threadmill models diff · pin · unpin · pins · gc``: compare versions, keep threads on one, remove old files."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from .models_print import SlotName, Spec, print_table, record_of, run_line, scores, short_size, short_time
from .place import DEFAULT_DB, AsJson, Database, ThreadId

if TYPE_CHECKING:
    from ..checkpoints.version_diff import VersionDiff

FEW = 12
"""Tensors and settings that are printed; the JSON document has all."""


def diff(before: Spec, after: Spec, db: Database = DEFAULT_DB, as_json: AsJson = False) -> None:
    """Compare two versions: settings, runs, every tensor, evaluations and what the gate said.

    Example: threadmill models diff helpdesk.think@previous helpdesk.think@live
    """
    from dataclasses import asdict

    from ..checkpoints.store import open_store
    from ..checkpoints.version_diff import diff_versions

    with open_store(db, create=False) as store:
        found = diff_versions(store, before, after)
    if as_json:
        record = {**asdict(found), "verdicts": [verdict.as_json() for verdict in found.verdicts]}
        typer.echo(json.dumps(record | {"before": record_of(found.before), "after": record_of(found.after)}))
        return
    _print_diff(found)


def pin(
    thread: ThreadId,
    spec: Spec,
    because: Annotated[str, typer.Option(help="The reason, kept with the pin.")],
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Keep a thread on a version from its next run on, wherever the alias goes.

    Example: threadmill models pin helpdesk-1a2b3c4d helpdesk.think@0001 --because "the customer likes it"
    """
    from dataclasses import asdict

    from ..checkpoints.pins import pin_thread
    from ..checkpoints.reading import latest_checkpoint
    from ..checkpoints.registry import resolve
    from ..checkpoints.store import open_store
    from ..errors import UnknownThread

    with open_store(db, create=False) as store:
        made = pin_thread(store, thread, resolve(store, spec, verify=True).name, because=because)
        try:
            latest_checkpoint(store, thread)
        except UnknownThread:
            typer.echo(f"there is no thread {thread!r} yet; it will begin with {made.version}", err=True)
    typer.echo(json.dumps(asdict(made)) if as_json else f"{thread} stays on {made.version}")


def unpin(thread: ThreadId, slot: SlotName, db: Database = DEFAULT_DB, as_json: AsJson = False) -> None:
    """Let a thread follow the alias again, from its next run on.

    Example: threadmill models unpin helpdesk-1a2b3c4d helpdesk.think
    """
    from dataclasses import asdict

    from ..checkpoints.pins import unpin_thread
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        was = unpin_thread(store, thread, slot)
    typer.echo(json.dumps(asdict(was)) if as_json else f"{thread} follows {slot}@live again; it was on {was.version}")


def pins(
    slot: Annotated[str | None, typer.Argument(help="Only in this slot.")] = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """List which threads are pinned to which versions, and why.

    Example: threadmill models pins helpdesk.think
    """
    from dataclasses import asdict

    from ..checkpoints.pins import pins_of
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        found = pins_of(store, slot)
    if as_json:
        typer.echo(json.dumps({"pins": [asdict(one) for one in found]}))
        return
    rows = [(one.thread, one.version, short_time(one.created_at), one.because) for one in found]
    print_table(("thread", "version", "since", "because"), rows, fold=("thread", "because"))


def gc(
    slot: Annotated[str | None, typer.Argument(help="Only versions of this slot.")] = None,
    newest: Annotated[int, typer.Option("--keep", min=0, help="So many of the newest of a slot stay anyway.")] = 5,
    yes: Annotated[bool, typer.Option("--yes", help="Remove the files; without it they are only named.")] = False,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Show which versions' files nobody needs; with --yes, remove them. What an alias or a pin needs always stays.

    Example: threadmill models gc --keep 3
    """
    from dataclasses import asdict

    from ..checkpoints.clean_up import collect_garbage
    from ..checkpoints.registry import resolve
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        if slot is not None:
            resolve(store, f"{slot}@0001")  # an unknown slot is an error, not nothing to do
        done = collect_garbage(store, slot, dry_run=not yes, newest=newest)
    size_bytes = sum(one.size_bytes for one in {one.folder: one for one in done.removed}.values())
    if as_json:
        typer.echo(json.dumps({**asdict(done), "size_bytes": size_bytes, "dry_run": not yes}))
        return
    for name, reasons in done.kept.items():
        more = f", and {len(reasons) - 2} more" if len(reasons) > 2 else ""
        typer.echo(f"{name} stays: {', '.join(reasons[:2])}{more}")
    for name, why in done.left_alone.items():
        typer.echo(f"{name} is left alone: {why}")
    for one in done.removed:
        stays = f", but for {', '.join(one.stays)}" if one.stays else ""
        typer.echo(f"{one.version} {'is gone' if yes else 'would go'}: {one.folder}{stays}")
    if not done.removed:
        typer.echo("nothing to remove")
    else:
        typer.echo(f"{short_size(size_bytes)} {'removed' if yes else 'in all; --yes removes the files'}")


def _print_diff(found: "VersionDiff") -> None:
    from dataclasses import asdict

    names = (found.before.name, found.after.name)
    sizes = [f"{one.kind}, {short_size(one.size_bytes)}" for one in (found.before, found.after)]
    print_table(
        ("", *names), [("size", *sizes), ("made", *(short_time(v.created_at) for v in (found.before, found.after)))]
    )
    for name, runs in found.runs.items():
        for run in runs:
            typer.echo(f"{name} run {run_line(asdict(run))}")
    if found.unread:
        typer.echo(f"files not compared: {found.unread}")
    else:
        for one in found.settings[:FEW]:
            typer.echo(f"{one.file} {one.key}: {one.before!r} → {one.after!r}")
        if found.files:
            typer.echo(f"other files that differ: {', '.join(found.files)}")
        only = len(found.only_before), len(found.only_after)
        typer.echo(
            f"tensors: {found.same_tensors} equal, {len(found.tensors)} changed, {len(found.other_shapes)} of another "
            f"shape, {only[0]} only before, {only[1]} only after"
        )
    if found.tensors:
        rows = [(one.name, f"{one.max:.2e}", f"{one.rms:.2e}") for one in found.tensors[:FEW]]
        print_table(("changed tensor", "max", "rms"), rows, fold=("changed tensor",))
    for suite, by_version in found.evaluations.items():
        for name, evaluation in by_version.items():
            typer.echo(f"{suite}, k {evaluation.k}, {name}: {scores(evaluation.summary)}")
    for verdict in found.verdicts:
        typer.echo(f"verdict on {verdict.candidate}: {verdict.decision}: {'; '.join(verdict.reasons)}")
