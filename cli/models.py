"""``threadmill models``: the versions of a slot, which one is live, and where each came from."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .lineage import lineage_command
from .place import DEFAULT_DB, Database

if TYPE_CHECKING:
    from ..checkpoints.registry import Version

app = typer.Typer(help="Versions: list, promote, roll back, trace.", no_args_is_help=True)
app.command("lineage")(lineage_command)

Spec = Annotated[str, typer.Argument(help="slot@alias or slot@0003, such as helpdesk.think@live.")]
SlotName = Annotated[str, typer.Argument(help="The slot, such as helpdesk.think.")]
Because = Annotated[str, typer.Option(help="The reason, kept in the history.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command("list")
def list_command(
    slot: Annotated[str | None, typer.Argument(help="Only this slot.")] = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """List versions with their aliases.

    Example: threadmill models list helpdesk.think
    """
    from ..checkpoints.registry import aliases_of, list_versions, resolve
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        if slot is not None:
            resolve(store, f"{slot}@0001")
        versions = list_versions(store, slot)
        aliases = {name: aliases_of(store, name) for name in {version.slot for version in versions}}
    records = [
        {**_record(version), "aliases": [a for a, name in aliases[version.slot].items() if name == version.name]}
        for version in versions
    ]
    if as_json:
        typer.echo(json.dumps({"versions": records}))
        return
    _table(
        ("version", "aliases", "base", "size", "made", "folder"),
        [
            (
                record["version"],
                ", ".join(record["aliases"]),
                record["base"] or "",
                f"{record['size_bytes'] / 1e6:.1f} MB",
                record["created_at"],
                record["folder"],
            )
            for record in records
        ],
    )


@app.command()
def show(spec: Spec, db: Database = DEFAULT_DB, as_json: AsJson = False) -> None:
    """Show one version, its files checked against their digest.

    Example: threadmill models show helpdesk.think@live
    """
    from ..checkpoints.registry import resolve
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        record = _record(resolve(store, spec, verify=True))
    typer.echo(json.dumps(record) if as_json else json.dumps(record, indent=2))


@app.command()
def history(slot: SlotName, db: Database = DEFAULT_DB, as_json: AsJson = False) -> None:
    """Show every move of the alias live.

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
    _table(
        ("when", "what", "from", "to", "because"),
        [(m["created_at"], m["action"], m["from_version"] or "", m["to_version"], m["because"]) for m in moves],
    )


@app.command()
def register(
    slot: SlotName,
    folder: Annotated[Path, typer.Argument(help="A model folder; it must stay as it is.")],
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Make a model folder the next version of a slot.

    Example: threadmill models register helpdesk.think out/models/sft
    """
    from ..checkpoints.registry import register_version
    from ..checkpoints.store import open_store

    with open_store(db) as store:
        record = _record(register_version(store, slot, folder, lineage={}))
    typer.echo(json.dumps(record) if as_json else f"{record['version']} is {record['folder']}")


@app.command()
def promote(spec: Spec, because: Because, db: Database = DEFAULT_DB, as_json: AsJson = False) -> None:
    """Move live to a version; new turns of running agents follow it.

    Example: threadmill models promote helpdesk.think@0002 --because "better on every tier"
    """
    from ..checkpoints.registry import promote as move
    from ..checkpoints.registry import resolve
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        chosen = resolve(store, spec, verify=True)
        record = _record(move(store, chosen.slot, chosen.name, because=because))
    typer.echo(json.dumps(record) if as_json else f"live is {record['version']} now")


@app.command()
def rollback(slot: SlotName, because: Because, db: Database = DEFAULT_DB, as_json: AsJson = False) -> None:
    """Move live back to the version before.

    Example: threadmill models rollback helpdesk.think --because "complaints"
    """
    from ..checkpoints.registry import rollback as move_back
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        record = _record(move_back(store, slot, because=because))
    typer.echo(json.dumps(record) if as_json else f"live is {record['version']} again")


def _record(version: "Version") -> dict[str, Any]:
    from dataclasses import asdict

    record = asdict(version)
    return {"version": record.pop("name"), **record}


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(markup=False, emoji=False).print(table)
