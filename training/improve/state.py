"""What a round of ``improve`` has done so far, in ``improve.json``: what makes the same command go on after a kill.

A round that was begun is finished by the next call with the same settings, however many threads have come since; when
it is finished, the next call begins another. Only one process works in a folder at a time.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...errors import BadConfig, FolderBusy

FILE = "improve.json"
LOCK = ".improve.lock"


@dataclass
class Stage:
    """What a stage did."""

    seconds: float = 0.0
    told: dict[str, Any] = field(default_factory=dict)
    """Its figures, JSON-safe; what later stages and the report go by."""
    left_out: str | None = None
    """Why it was not run."""


@dataclass
class Round:
    """One way from threads to a verdict."""

    number: int
    settings: dict[str, Any]
    """That of ``ImproveConfig.what_counts``, the gate's policy and the database."""
    stages: dict[str, Stage] = field(default_factory=dict)
    """Those that are over, in their order."""
    decision: str | None = None
    """``promote``, ``hold``, ``reject`` or ``nothing to do``; None while nothing is decided."""
    reasons: list[str] = field(default_factory=list)
    base: str | None = None
    """The version that was live when the round began."""
    candidate: str | None = None
    promoted: bool = False
    began_at: str = ""
    finished: bool = False

    @property
    def seconds(self) -> float:
        """What its stages have taken."""
        return sum(stage.seconds for stage in self.stages.values())

    def told(self, stage: str) -> dict[str, Any]:
        """The figures of a stage; empty if it was not run."""
        return self.stages[stage].told if stage in self.stages else {}

    def close(self, decision: str, *reasons: str) -> None:
        """Decide; the stages that are left have nothing to do."""
        self.decision = decision
        self.reasons = [*reasons]


def folder_of(out: Path, number: int) -> Path:
    """Where the data, the models and the report of a round lie."""
    return out / f"round-{number:04d}"


def read_round(out: Path) -> Round | None:
    """The newest round in ``out``, if there is one.

    Raises:
        BadConfig: what lies there cannot be read.
    """
    file = out / FILE
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        return Round(**{**said, "stages": {name: Stage(**stage) for name, stage in said["stages"].items()}})
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BadConfig(f"{file} cannot be read: {error!r}; take it away, or name another folder with --out") from error


def write_round(out: Path, round: Round) -> None:
    """Remember the round, whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    fresh = out / f".{FILE}.new"
    with fresh.open("w", encoding="utf-8") as file:
        file.write(json.dumps(as_json(round), indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(out / FILE)


def as_json(round: Round) -> dict[str, Any]:
    """The round as it is written; ``stages`` in the order in which they were run."""
    return asdict(round)


def open_round(out: Path, settings: Mapping[str, Any], live: str | None, began_at: str) -> Round:
    """The unfinished round of these settings in ``out``, or a new one behind the newest; nothing is written.

    A round is stale once another version has gone live than the one it began with or its own candidate.
    """
    newest = read_round(out)
    if newest is None:
        number = 1
    elif not newest.finished and newest.settings == settings and live in (newest.base, newest.candidate):
        return newest
    elif newest.finished and newest.candidate is None:  # its folder holds nothing to be kept
        return Round(newest.number, dict(settings), base=live, began_at=began_at)
    else:
        number = newest.number + 1
    while folder_of(out, number).exists():  # of an improve.json that somebody took away
        number += 1
    return Round(number, dict(settings), base=live, began_at=began_at)


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Keep other processes out of ``out``; the lock goes with the process, however that ends.

    Raises:
        FolderBusy: another one is at work there.
    """
    import fcntl

    out.mkdir(parents=True, exist_ok=True)
    with (out / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderBusy(
                f"another improve is at work in {out}; wait for it, or name another folder with --out"
            ) from None
        yield
