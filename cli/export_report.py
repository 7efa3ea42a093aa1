"""What ``threadmill export`` prints when a data set is written."""

import json
from typing import Any

import typer

from .export_options import Export

KEYS = ("rows", "tokens", "trained_tokens", "left_out", "by_source", "digest", "splits", "redacted")


def report(export: Export, manifest: dict[str, Any]) -> None:
    """Print the manifest's numbers, for people or as JSON."""
    from ..training.export.pipeline import NO_TOOLS
    from ..training.tabular import CHATS

    if not manifest["threads"]:
        asked = " and ".join(export.where or ()) or "anything"
        typer.echo(f"no thread fits {asked}; see `threadmill threads list`", err=True)
    if lacking := manifest.get("noted", {}).get(NO_TOOLS):
        typer.echo(f"{lacking} rows have calls of tools that their prompts do not show; give --tools FILE", err=True)
    if not manifest["rows"] and manifest["left_out"].get("no outcome"):
        anyhow = "" if manifest["kind"] == "kto" else ", or take them anyhow with --all"
        typer.echo(f"nothing says what went well: label with `threadmill threads label ID success 1`{anyhow}", err=True)
    if manifest["kind"] == "pairs" and manifest["threads"] and not manifest["rows"] and not manifest["left_out"]:
        typer.echo(
            "nothing to compare: no edits, preferences or repairs, and no trials or branches that ended differently",
            err=True,
        )
    record = {key: manifest[key] for key in KEYS} | {"out": str(export.out)}
    if export.as_json:
        typer.echo(json.dumps(record))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{manifest['kind']} in {export.out}", show_header=False)
    for split, rows in manifest["splits"].items():
        table.add_row(f"rows: {split}", f"{rows:,}")
    if manifest["kind"] not in CHATS:
        table.add_row("tokens", f"{record['tokens']:,}, {record['trained_tokens']:,} of them trained")
        table.add_row("tokenizer", export.tokenizer or "seed; --tokenizer names another")
    for name in ("by_source", "left_out", "redacted"):
        for reason, count in manifest[name].items():
            table.add_row(f"{name.replace('_', ' ')}: {reason}", f"{count:,}")
    table.add_row("digest", record["digest"][:16])
    Console(highlight=False).print(table)
