"""Unfinished runs: where a killed run goes on, and whether what is to be run now is the same run."""

import json
import shutil
from pathlib import Path
from typing import Any

from ...errors import TrainingFailed
from .config import plain_values
from .processes import is_main_process, process_count
from .report import work_folder

RECORD = "run.json"
"""In the work folder: what the run is."""
COMPLETE = "complete.json"
"""In a checkpoint that was written to its end: how long the run had taken."""
MAY_CHANGE = ("out", *(f"run.{name}" for name in ("max_minutes", "save_every", "track", "tokens_at_once")))
"""Settings that change nothing of what is learnt but its rounding, so that another start may change them."""


def begin_or_go_on(config: Any, digest: str | None) -> Path | None:
    """The newest complete checkpoint of the unfinished run of ``config``; None for a new run, which is noted.

    ``digest`` is that of the data, None where tasks are played.

    Raises:
        TrainingFailed: the checkpoints there are of a run with other settings or other data.
    """
    work = work_folder(config.out)
    settings = {name: str(value) for name, value in plain_values(config).items() if name not in MAY_CHANGE}
    now = {**settings, "data digest": str(digest), "processes": str(process_count())}
    checkpoint = newest_checkpoint(work)
    if checkpoint is None:
        if is_main_process():
            for broken in work.glob("checkpoint-*"):
                shutil.rmtree(broken, ignore_errors=True)
            work.mkdir(parents=True, exist_ok=True)
            (work / RECORD).write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        return None
    before = json.loads((work / RECORD).read_text(encoding="utf-8"))
    other = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if other:
        changes = "; ".join(f"{name} was {before.get(name)}, now {now.get(name)}" for name in other)
        raise TrainingFailed(
            f"an unfinished run for {config.out} stopped at step {step_of(checkpoint)}, but had other settings: "
            f"{changes}. Start it with the settings it had and it goes on, or give it up: rm -r {work}"
        )
    return checkpoint


def newest_checkpoint(work: Path) -> Path | None:
    """The last checkpoint in a work folder that was written to its end."""
    return max((path.parent for path in work.glob(f"checkpoint-*/{COMPLETE}")), key=step_of, default=None)


def mark_complete(work: Path, step: int, seconds: float) -> None:
    """Say that the checkpoint of ``step`` is whole; until then, a kill leaves the one before it in charge."""
    mark = work / f"checkpoint-{step}" / COMPLETE
    fresh = mark.with_suffix(".new")
    fresh.write_text(json.dumps({"seconds": seconds}) + "\n", encoding="utf-8")
    fresh.replace(mark)  # so that a kill leaves no half of it


def seconds_at(checkpoint: Path) -> float:
    """How long the run had taken when ``checkpoint`` was written."""
    return float(json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))["seconds"])


def step_of(checkpoint: Path) -> int:
    """The step after which ``checkpoint`` was written."""
    return int(checkpoint.name.rpartition("-")[2])
