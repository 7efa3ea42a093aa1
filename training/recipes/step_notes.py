"""What a run notes of its steps, in a file beside its checkpoints, so that a run that goes on knows what it did."""

import json
from pathlib import Path
from typing import Any


class StepNotes:
    """Notes in the order they were taken, each with the ``step`` it belongs to and a ``kind``."""

    def __init__(self, file: Path, *, writes: bool = True) -> None:
        self.file = file
        self.writes = writes
        """Of several processes one writes; all remember."""
        self.taken: list[dict[str, Any]] = []

    def go_on_from(self, step: int) -> None:
        """Read what an earlier part of the run noted, and forget what it did from ``step`` on: it is done again."""
        self.taken = []
        for line in self.file.read_text(encoding="utf-8").splitlines() if self.file.exists() else []:
            try:
                note = json.loads(line)
            except ValueError:  # the process ended in the middle of it
                break
            if note["step"] < step:
                self.taken.append(note)
        if self.writes:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text("".join(json.dumps(note) + "\n" for note in self.taken), encoding="utf-8")

    def take(self, kind: str, step: int, **about: Any) -> None:
        """Note something."""
        note = {"kind": kind, "step": step, **about}
        self.taken.append(note)
        if self.writes:
            with self.file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(note) + "\n")

    def of(self, kind: str) -> list[dict[str, Any]]:
        """All notes of ``kind``, oldest first."""
        return [note for note in self.taken if note["kind"] == kind]
