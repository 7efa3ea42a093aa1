"""Progress on stderr: a bar for long work; where stderr is no terminal, a line now and then."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FORMS = {
    "loss": "loss {:.4f}",
    "reward": "reward {:.3f}",
    "kl": "kl {:.4f}",
    "accuracy": "accuracy {:.2f}",
    "tokens_per_second": "{:.0f} tokens/s",
}
"""What is shown behind the bar; a recipe may tell more."""
LINE_EVERY_S = 30.0


@contextmanager
def progress_bar(name: str) -> Iterator[Callable[..., None]]:
    """A function ``(done, total, loss=None, **figures)`` that draws a bar called ``name`` on stderr."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<22}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(name, total=None, note="")
        began = told_at = time.monotonic()
        first: int | None = None

        def advance(done: int, total: int, loss: float | None = None, **figures: float) -> None:
            nonlocal told_at, first
            first = done if first is None else first  # a run that goes on does not begin at 0
            told = {**({} if loss is None else {"loss": loss}), **figures}
            note = " ".join(FORMS[name].format(value) for name, value in told.items() if name in FORMS)
            bar.update(task, completed=done, total=total, note=note)
            now = time.monotonic()
            if not console.is_terminal and now - told_at > LINE_EVERY_S and done > first:
                told_at = now
                left = (now - began) / (done - first) * (total - done)
                console.print(f"{name} {done}/{total}, {left / 60:.0f} min left {note}".rstrip(), soft_wrap=True)

        yield advance
