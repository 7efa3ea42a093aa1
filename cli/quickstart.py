"""``threadmill quickstart``: the whole loop once, with progress, one table, one picture."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..training.quickstart import Quickstart


def quickstart_command(
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("out/quickstart"),
    seed: Annotated[int, typer.Option(help="Of tasks, sampling and training.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run an agent on tasks, then label, export, train, evaluate, gate and swap: the whole loop in a few minutes.

    Each seed has a folder of its own in OUT. One that was interrupted goes on where it stopped.

    Example: threadmill quickstart --out out/quickstart
    """
    from rich.console import Console

    console = Console(stderr=True)
    console.print("Loading torch, transformers and TRL …")
    from datasets import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bars()  # ours tells more
    disable_progress_bar()
    from ..training.quickstart import QuickstartConfig, run_quickstart
    from ..training.quickstart import as_json as to_json

    done = run_quickstart(QuickstartConfig(out=fresh_folder(out, seed), seed=seed), _stage)
    if as_json:
        typer.echo(json.dumps(to_json(done)))
    else:
        show(done)


def fresh_folder(out: Path, seed: int) -> Path:
    """The unfinished run of ``seed`` in ``out`` if there is one, else a new folder beside the finished ones."""
    number = 1
    while (out / f"seed{seed}-{number}" / "result.json").exists():
        number += 1
    return out / f"seed{seed}-{number}"


@contextmanager
def _stage(title: str) -> Iterator[Callable[..., None]]:
    from .progress import progress_bar

    with progress_bar(title) as progress:
        yield progress


def show(done: "Quickstart") -> None:
    """Print what a person wants to see: the thread that was resumed, the table, and where things lie."""
    from rich.console import Console
    from rich.table import Table

    from ..training.evaluation.tables import comparison_table
    from ..training.improve.state import folder_of

    console = Console()
    thread = Table(title="The thread that was paused before training, and who wrote what", title_justify="left")
    for column in ("version", "role", "text"):
        thread.add_column(column)
    for row in done.spoken:
        thread.add_row(*row)
    console.print(thread)
    console.print(comparison_table(done.comparison))
    difference = done.comparison.difference
    verdict = "promoted to live" if done.promoted else f"not promoted ({done.round.decision})"
    console.print(
        f"held-out success {difference.mean:+.1%} (95 % interval {difference.low:+.1%} to "
        f"{difference.high:+.1%}); the candidate was {verdict}:"
    )
    for reason in done.round.reasons:
        console.print(f"- {reason}", markup=False, highlight=False)
    out = done.out
    console.print(
        f"\ntook {sum(done.stages.values()):.0f} s: " + ", ".join(f"{k} {v:.0f} s" for k, v in done.stages.items())
    )
    places = {
        "picture": out / "result.png",
        "numbers": out / "result.json",
        "threads, labels, registry": out / "runs.db",
        "report": out / "report.html",
        "training data": folder_of(out, done.round.number) / "data",
        "models and loss curves": folder_of(out, done.round.number) / "models",
    }
    for what, path in places.items():
        console.print(f"  {what:<26} {path}", highlight=False, soft_wrap=True)
    console.print(f"look around: threadmill threads list --db sqlite:///{out / 'runs.db'}", soft_wrap=True)
