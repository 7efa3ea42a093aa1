"""What a training run leaves behind: a complete model folder with its loss curve and figures in it."""

import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ...errors import BadDataset, TrainingFailed

REPORT = "training.json"
Progress = Callable[..., None]
"""Called as ``(done, total, loss)`` after every step."""


@dataclass(frozen=True)
class TrainingReport:
    """The figures of one training run."""

    method: str
    out: Path
    steps: int
    losses: list[tuple[int, float]]
    """Step (from 1) and loss."""
    seconds: float
    tokens: int
    """Tokens that went through the model, padding not counted."""
    config: dict[str, Any]

    @property
    def loss_first(self) -> float:
        """Loss of the first step."""
        return self.losses[0][1]

    @property
    def loss_last(self) -> float:
        """Loss of the last step."""
        return self.losses[-1][1]

    @property
    def tokens_per_second(self) -> float:
        """Throughput over the whole run."""
        return self.tokens / self.seconds


class Watch(TrainerCallback):
    """Collects the loss of every step, reports progress, and stops a run that went wrong."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress = progress
        self.losses: list[tuple[int, float]] = []
        self.began = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep the loss; a loss that is not a number ends the run."""
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise TrainingFailed(
                f"the loss became {logs['loss']} at step {state.global_step}; lower the learning rate, "
                "or look at the data with `threadmill export preview`"
            )
        self.losses.append((state.global_step, float(logs["loss"])))
        if self.progress is not None:
            self.progress(state.global_step, state.max_steps, float(logs["loss"]))


def refuse_overwriting(out: Path) -> None:
    """Raise TrainingFailed if ``out`` holds anything: a version is never written over."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingFailed(f"{out} exists already; versions are never overwritten, name another folder")


def save_folder(model: Any, tokenizer: Any, report: TrainingReport) -> None:
    """Write weights, config, tokenizer, template and report into ``report.out`` in one step.

    Raises:
        TrainingFailed: nothing was trained, or a weight is not a number any more; nothing is written.
    """
    if not report.losses:
        raise TrainingFailed("training took no step; give it more epochs or steps")
    for name, weight in model.named_parameters():
        if not bool(weight.isfinite().all()):
            raise TrainingFailed(f"the weight {name} holds values that are not numbers; lower the learning rate")
    fresh = report.out.with_name(f".{report.out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    model.save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    record = {**asdict(report), "out": report.out.name}
    (fresh / REPORT).write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
    if report.out.exists():
        report.out.rmdir()
    fresh.rename(report.out)
    shutil.rmtree(report.out.with_name(f".{report.out.name}.trainer"), ignore_errors=True)


def read_report(folder: Path) -> TrainingReport:
    """The report that lies in a trained folder.

    Raises:
        BadDataset: there is none.
    """
    try:
        record = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadDataset(f"{folder} holds no {REPORT}: {error}; train it with `threadmill train`") from error
    losses = [(int(step), float(loss)) for step, loss in record.pop("losses")]
    return TrainingReport(**{**record, "out": folder, "losses": losses})
