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
WIDE = 120
"""Columns of a terminal that has room for the bar beside times and figures."""


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
    wide = console.width >= WIDE
    columns = (
        TextColumn("{task.description:<22}" if wide else "{task.description}"),
        *([BarColumn(24)] if wide else []),
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
            nonlocal began, told_at, first
            now = time.monotonic()
            if first is None:  # a run that goes on does not begin at 0, and loading says nothing of the time left
                first, began = done, now
            told = {**({} if loss is None else {"loss": loss}), **figures}
            words = [FORMS[name].format(value) for name, value in told.items() if name in FORMS]
            taken = (48 if wide else len(name) + 1) + 2 * len(str(total)) + 2 + 2 * len("0:00:00 ")
            bar.update(task, completed=done, total=total, note=_fitting(words, console.width - taken))
            if not console.is_terminal and now - told_at > LINE_EVERY_S and done > first:
                told_at = now
                left = (now - began) / (done - first) * (total - done)
                line = f"{name} {done}/{total}, {left / 60:.0f} min left {' '.join(words)}"
                console.print(line.rstrip(), soft_wrap=True)

        yield advance


def _fitting(words: list[str], room: int) -> str:
    """The first of ``words`` that fit: too long a line would be taken from the times.

    >>> _fitting(["loss 0.5000", "kl 0.0100", "800 tokens/s"], 25)
    'loss 0.5000 kl 0.0100'
    """
    fitting = ""
    for word in words:
        longer = f"{fitting} {word}".lstrip()
        if len(longer) > room:
            break
        fitting = longer
    return fitting
