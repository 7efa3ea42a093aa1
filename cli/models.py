"""``threadmill models``: the versions of a slot, which one is live, and how it came to be."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import models_keep
from .lineage import lineage_command
from .models_print import Because, SlotName, Spec, print_table, record_of, run_line, scores, short_size, short_time
from .place import DEFAULT_DB, AsJson, By, Database, user

if TYPE_CHECKING:
    from ..checkpoints.store import Store

app = typer.Typer(help="Versions: list, promote, roll back, trace, pin, clean up.", no_args_is_help=True)
app.command("lineage")(lineage_command)
app.command("diff")(models_keep.diff)
app.command("pin")(models_keep.pin)
app.command("unpin")(models_keep.unpin)
app.command("pins")(models_keep.pins)
app.command("gc")(models_keep.gc)

Expecting = Annotated[
    str | None,
    typer.Option(help="The version that you decided against ('none': no version); if another is there now, refuse."),
]


@app.command("list")
def list_command(
    slot: Annotated[str | None, typer.Argument(help="Only this slot.")] = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """List versions with their aliases, and how many threads are pinned to them.

    Example: threadmill models list helpdesk.think
    """
    from ..checkpoints.pins import pins_of
    from ..checkpoints.registry import aliases_of, list_versions, resolve
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        if slot is not None:
            resolve(store, f"{slot}@0001")  # an unknown slot is an error, not an empty list
        versions = list_versions(store, slot)
        aliases = {name: aliases_of(store, name) for name in {version.slot for version in versions}}
        pinned = [pin.version for pin in pins_of(store, slot)]
    records = [
        {
            **record_of(version),
            "aliases": sorted(alias for alias, name in aliases[version.slot].items() if name == version.name),
            "pins": pinned.count(version.name),
        }
        for version in versions
    ]
    if as_json:
        typer.echo(json.dumps({"versions": records}))
        return
    print_table(
        ("version", "aliases", "pins", "base", "size", "made"),
        [
            (
                record["version"],
                ", ".join(record["aliases"]),
                str(record["pins"] or ""),
                (record["base"] or "").removeprefix(f"{record['slot']}@"),
                short_size(record["size_bytes"]) if record["gone_at"] is None else "gone",
                short_time(record["created_at"]),
            )
            for record in records
        ],
        fold=("version", "aliases", "base"),
    )


@app.command()
def show(spec: Spec, db: Database = DEFAULT_DB, as_json: AsJson = False) -> None:
    """Show what is known of one version, its files checked against their digests.

    Example: threadmill models show helpdesk.think@live
    """
    from ..checkpoints.registry import resolve
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        version = resolve(store, spec)
        if version.gone_at is None:
            resolve(store, version.name, verify=True)
        about = _about(store, version.name)
    record = {**record_of(version), **about}
    if as_json:
        typer.echo(json.dumps(record))
        return
    files = "as registered" if version.gone_at is None else f"removed by a clean-up, {short_time(version.gone_at)}"
    typer.echo(" ".join([version.name, *(f"({alias})" for alias in record["aliases"])]))
    lines = [
        ("made", short_time(version.created_at)),
        ("kind", f"{version.kind}, {short_size(version.size_bytes)}"),
        ("folder", version.folder),
        ("files", f"{files}, digest {version.digest}"),
        ("trained from", version.base),
        ("merged into", version.base_folder),
        *(("run", run_line(run)) for run in record["runs"]),
        *(("pin", f"thread {pin['thread']}: {pin['because']}") for pin in record["pins"]),
        *(
            ("evaluation", f"{suite}, k {one['k']}: {scores(one['summary'])} ({one['id']})")
            for suite, one in record["evaluations"].items()
        ),
        *(
            ("verdict", f"{one['decision']} against {one['live']}, look {one['look']}: {'; '.join(one['reasons'])}")
            for one in record["verdicts"]
        ),
        *(
            ("moved", f"{short_time(move['created_at'])} {move['alias']} ({move['action']}): {move['because']}")
            for move in record["moves"]
        ),
    ]
    for label, line in lines:
        if line:
            typer.echo(f"{label:<13} {line}")


@app.command()
def history(slot: SlotName, db: Database = DEFAULT_DB, as_json: AsJson = False) -> None:
    """Show every move of every alias.

    Example: threadmill models history helpdesk.think
    """
    from dataclasses import asdict

    from ..checkpoints.registry import history as moves_of
    from ..checkpoints.registry import resolve
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        resolve(store, f"{slot}@0001")  # an unknown slot is an error, not an empty list
        moves = [asdict(move) for move in moves_of(store, slot)]
    if as_json:
        typer.echo(json.dumps({"moves": moves}))
        return
    print_table(
        ("when", "alias", "what", "from", "to", "by", "because"),
        [
            (
                short_time(move["created_at"]),
                move["alias"],
                move["action"],
                (move["from_version"] or "").removeprefix(f"{slot}@"),
                move["to_version"].removeprefix(f"{slot}@"),
                move["by"] or "",
                move["because"],
            )
            for move in moves
        ],
        fold=("alias", "by", "because"),
    )


@app.command()
def register(
    slot: SlotName,
    folder: Annotated[Path, typer.Argument(help="A model folder; it must stay as it is.")],
    base: Annotated[str | None, typer.Option(help="The version that it was trained from, if that is known.")] = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Make a model folder the next version of a slot.

    Example: threadmill models register helpdesk.think out/models/sft
    """
    from ..checkpoints.registry import register_version
    from ..checkpoints.store import open_store

    with open_store(db) as store:
        record = record_of(register_version(store, slot, folder, lineage={}, base=base))
    typer.echo(json.dumps(record) if as_json else f"{record['version']} is {record['folder']}")


@app.command()
def promote(
    spec: Spec,
    because: Because,
    alias: Annotated[str, typer.Option(help="Another alias to move, such as candidate.")] = "live",
    expecting: Expecting = None,
    by: By = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Move live to a version; new turns of running agents follow it. Refused if somebody moved it meanwhile.

    Example: threadmill models promote helpdesk.think@0002 --because "better on every tier"
    """
    from ..checkpoints.registry import NOTHING, aliases_of, point, resolve
    from ..checkpoints.registry import promote as move
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        slot = spec.partition("@")[0]
        seen = expecting or aliases_of(store, slot).get(alias, NOTHING)
        chosen = resolve(store, spec, verify=True)  # may take a while, in which others promote
        if alias == "live":
            move(store, slot, chosen.name, because=because, expecting=seen, by=by or user())
        else:
            point(store, slot, alias, chosen.name, because, expecting=seen, by=by or user())
    record = {**record_of(chosen), "alias": alias, "before": None if seen == NOTHING else seen}
    typer.echo(json.dumps(record) if as_json else f"{alias} is {record['version']} now")


@app.command()
def rollback(
    slot: SlotName,
    because: Because,
    expecting: Expecting = None,
    by: By = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Move live back to the version before. Refused if somebody moved it meanwhile.

    Example: threadmill models rollback helpdesk.think --because "complaints"
    """
    from ..checkpoints.registry import NOTHING, aliases_of, resolve
    from ..checkpoints.registry import rollback as move_back
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        seen = expecting or aliases_of(store, slot).get("live", NOTHING)
        resolve(store, f"{slot}@previous", verify=True)
        record = record_of(move_back(store, slot, because=because, expecting=seen, by=by or user()))
    typer.echo(json.dumps(record) if as_json else f"live is {record['version']} again")


def _about(store: "Store", name: str) -> dict[str, Any]:
    """What other tables tell of a version, as JSON holds it."""
    from dataclasses import asdict

    from ..checkpoints.pins import pins_of
    from ..checkpoints.registry import aliases_of
    from ..checkpoints.registry import history as moves_of
    from ..checkpoints.runs import list_runs
    from ..checkpoints.verdicts import list_verdicts
    from ..checkpoints.version_diff import newest_evaluations

    slot = name.partition("@")[0]
    return {
        "aliases": sorted(alias for alias, version in aliases_of(store, slot).items() if version == name),
        "runs": [asdict(run) for run in list_runs(store) if run.version == name],
        "pins": [asdict(pin) for pin in pins_of(store, slot) if pin.version == name],
        "evaluations": {suite: asdict(one) for suite, one in newest_evaluations(store, name).items()},
        "verdicts": [one.as_json() for one in list_verdicts(store, slot) if name in (one.candidate, one.live)],
        "moves": [asdict(move) for move in moves_of(store, slot) if move.to_version == name],
    }
