"""Watches a run while TRL trains: figures of every step, progress, the time limit; imports transformers."""

import math
import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ...errors import TrainingFailed
from .report import Progress

CURVES = {
    "reward": ("reward",),
    "kl": ("kl",),
    "accuracy": ("rewards/accuracies", "accuracy", "mean_token_accuracy"),
    "margin": ("rewards/margins", "margin"),
    "entropy": ("entropy",),
    "gradient": ("grad_norm",),
    "learning_rate": ("learning_rate",),
}
"""Our names of curves, and what trainers call them."""


class Watch(TrainerCallback):
    """Reports every step, ends the run when its minutes are over, and stops it when the loss is no number."""

    def __init__(self, progress: Progress | None = None, *, max_minutes: float | None = None) -> None:
        self.progress = progress
        self.max_minutes = max_minutes
        self.earlier_seconds = 0.0
        """Spent by runs that this one goes on from."""
        self.began = time.monotonic()
        self.stopped: str | None = None
        self.first_epoch = 0.0

    @property
    def seconds(self) -> float:
        """How long the run has taken so far, earlier parts of it included."""
        return self.earlier_seconds + time.monotonic() - self.began

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock: loading is not training."""
        self.began = time.monotonic()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """End the run if its time is over."""
        if (
            self.max_minutes is not None
            and self.seconds > 60 * self.max_minutes
            and state.global_step < state.max_steps
        ):
            self.stopped = (
                f"after {self.max_minutes:g} minutes (max_minutes), at step {state.global_step} of {state.max_steps}"
            )
            control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Report the step; a loss that is not a number ends the run."""
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(logs["loss"]):
            raise TrainingFailed(
                f"the loss became {logs['loss']} at step {state.global_step}; lower the learning rate, "
                "or look at the data with `threadmill export preview`"
            )
        if self.progress is not None:
            told = {name: curve[-1][1] for name, curve in curves_of([{**logs, "step": state.global_step}]).items()}
            self.progress(state.global_step, state.max_steps, float(logs["loss"]), **told)


def losses_of(log: list[dict[str, Any]]) -> list[tuple[int, float]]:
    """Step and loss of every step in a trainer's history."""
    return [(int(line["step"]), float(line["loss"])) for line in log if "loss" in line]


def curves_of(log: list[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """What else a trainer's history holds, by our names."""
    found: dict[str, list[tuple[int, float]]] = {}
    for name, keys in CURVES.items():
        for line in log:
            value = next((line[key] for key in keys if key in line), None)
            if value is not None and "loss" in line:
                found.setdefault(name, []).append((int(line["step"]), float(value)))
    return found
