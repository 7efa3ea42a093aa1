"""The folder of one seed: a sub-folder for each condition with its model, data and threads; what is there is kept."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from threadmill.training.recipes.report import TrainingReport, read_report


@dataclass(frozen=True)
class Sizes:
    """How much of everything. The defaults were chosen on training tasks of another seed."""

    demonstrations: int = 8000
    train_per_tier: int = 60
    trials: int = 4
    grpo_per_tier: int = 120
    grpo_steps: int = 20
    grpo_tasks: int = 12
    grpo_group: int = 8
    heldout_per_tier: int = 40
    evaluation_trials: int = 3
    temperature: float = 1.0
    cool_temperature: float = 0.7


@dataclass(frozen=True)
class Place:
    """Where everything of one seed lies."""

    folder: Path
    seed: int
    sizes: Sizes
    say: Callable[[str], None]

    def of(self, condition: str) -> Path:
        """The folder of ``condition``."""
        folder = self.folder / condition
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def trained(self, out: Path, train: Callable[[], TrainingReport]) -> Path:
        """``out``, trained if it is not there."""
        if not (out / "training.json").exists():
            report = train()
            self.say(f"{out.parent.name}/{out.name}: {report.method}, {report.steps} steps, {report.seconds:.0f} s")
        return out

    def report(self, policy: Path) -> TrainingReport | None:
        """What the training of ``policy`` left behind; None for the seed policy."""
        return read_report(policy) if (policy / "training.json").exists() else None


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The JSON document at ``path``, made if it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(make(), indent=1) + "\n", encoding="utf-8")
        fresh.rename(path)
    return json.loads(path.read_text(encoding="utf-8"))


def commit_of() -> str:
    """The commit of the code that runs, short; empty if nobody knows."""
    import threadmill.training

    folder = Path(threadmill.training.__path__[0]).resolve()
    asked = subprocess.run(["git", "-C", str(folder), "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return asked.stdout.strip()
