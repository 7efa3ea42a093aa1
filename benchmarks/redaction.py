"""CPU time of redaction per 1,000 tokens: threads of the helpdesk and texts in files, the first time and again.

    python benchmarks/redaction.py --threads 200 FILE.jsonl …

A thousand tokens of a text are taken to be 4,000 characters; those of the helpdesk are counted.
"""

import argparse
import gzip
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import process_time
from typing import Any

from rich.console import Console
from rich.table import Table
from threadmill.training.branches import render_trajectory
from threadmill.training.export import open_renderer
from threadmill.training.seed_policy.demonstrations import episode
from threadmill.training.selection.redactor import Redactor
from threadmill.training.slots import SEED_POLICY
from threadmill.training.trajectory import Trajectory
from threadmill.training.worlds.helpdesk.tasks import TIERS

CHARACTERS_A_TOKEN = 4


def helpdesk(renderer: Any, threads: int) -> list[Trajectory]:
    """Demonstrations of all tiers in turn, each with a second question."""
    return [
        trajectory
        for number in range(threads)
        for trajectory in render_trajectory(
            episode(TIERS[number % len(TIERS)], number, mistake=False, seed=number, again=True), renderer
        )
    ]


def lines_of(files: Sequence[Path]) -> Iterator[str]:
    """The lines of texts, unzipped."""
    for file in files:
        data = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        yield from data.decode(errors="replace").splitlines()


def timed(redact: Callable[[Any], tuple[Any, Counter[str]]], parts: Sequence[Any]) -> tuple[float, Counter[str]]:
    """Seconds of CPU time for all ``parts``, and what was found in them."""
    found: Counter[str] = Counter()
    begun = process_time()
    for part in parts:
        found += redact(part)[1]
    return process_time() - begun, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--threads", type=int, default=200)
    asked = parser.parse_args()
    renderer = open_renderer(SEED_POLICY)
    redactor = Redactor(renderer.tokenizer)
    table = Table("what", "tokens", "ms per 1,000 tokens", "finds")

    def measure(
        what: str, tokens: int, redact: Callable[[Any], tuple[Any, Counter[str]]], parts: Sequence[Any]
    ) -> None:
        seconds, found = timed(redact, parts)
        finds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(found.items()))
        table.add_row(what, f"{tokens:,}", f"{1_000_000 * seconds / max(tokens, 1):.2f}", finds)

    redactor.text("Warm up: jo@example.com, +1 212-555-0123")
    trajectories = helpdesk(renderer, asked.threads)
    tokens = sum(len(trajectory.ids()) for trajectory in trajectories)
    for time in ("first", "again"):
        measure(f"helpdesk, {time}", tokens, redactor.trajectory, trajectories)
    lines = list(lines_of(asked.files))
    if lines:
        tokens = sum(map(len, lines)) // CHARACTERS_A_TOKEN
        for time in ("first", "again"):
            measure(f"texts, {time}", tokens, redactor.text, lines)
    Console().print(table)


if __name__ == "__main__":
    main()
