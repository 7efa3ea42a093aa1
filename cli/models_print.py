"""What the commands on versions share: their arguments, and how versions, times and tables fit into 80 columns."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ..checkpoints.registry import Version

Spec = Annotated[str, typer.Argument(help="slot@alias or slot@0003, such as helpdesk.think@live.")]
SlotName = Annotated[str, typer.Argument(help="The slot, such as helpdesk.think.")]
Because = Annotated[str, typer.Option(help="The reason, kept in the history.")]


def record_of(version: "Version") -> dict[str, Any]:
    """A version as JSON holds it."""
    from dataclasses import asdict

    record = asdict(version)
    return {"version": record.pop("name"), **record}


def short_time(time: str) -> str:
    """A time of the registry to the minute, in UTC.

    >>> short_time("2026-11-21T20:43:05.123+00:00")
    '2026-11-21 20:43'
    """
    return time[:16].replace("T", " ")


def short_size(size_bytes: int) -> str:
    """Bytes in a unit that people read.

    >>> short_size(1234), short_size(4_100_000), short_size(2_470_000_000)
    ('1.2 kB', '4.1 MB', '2.5 GB')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if size_bytes >= size:
            return f"{size_bytes / size:.1f} {unit}"
    return f"{size_bytes / 1e3:.1f} kB"


def run_line(run: Mapping[str, Any]) -> str:
    """A training run (as JSON holds it) in few words.

    >>> run_line({"recipe": "sft", "steps": 30, "seed": 7, "data": None})
    'sft: 30 steps, seed 7'
    """
    seed = "" if run["seed"] is None else f", seed {run['seed']}"
    data = "" if run["data"] is None else f", data {run['data'][:12]}"
    return f"{run['recipe']}: {run['steps']} steps{seed}{data}"


def scores(summary: Mapping[str, Any] | None) -> str:
    """The figures of an evaluation that people compare first."""
    found = {name: (summary or {}).get(name) for name in ("pass_at_1", "pass_hat_k")}
    return ", ".join(f"{name} {value:.3f}" for name, value in found.items() if isinstance(value, (int, float)))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, fold: Sequence[str] = ()) -> None:
    """A table without lines between the columns; only the columns in ``fold`` may wrap."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column not in fold)
    for row in rows:
        table.add_row(*row)
    Console(markup=False, emoji=False, highlight=False).print(table)
