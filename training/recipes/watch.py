"""Watches a run while TRL trains: figures of every step, progress, its time, Ctrl-C; imports transformers."""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .processes import is_main_process, or_anywhere
from .report import Progress
from .resume import mark_complete

CURVES = {
    "reward": ("reward",),
    "kl": ("kl",),
    "behaviour_kl": ("ratio/kl",),
    "ratio_max": ("ratio/max",),
    "clipped": ("ratio/clipped",),
    "accuracy": ("rewards/accuracies", "accuracy", "mean_token_accuracy"),
    "margin": ("rewards/margins", "margin"),
    "entropy": ("entropy",),
    "gradient": ("grad_norm",),
    "learning_rate": ("learning_rate",),
}
"""Our names of curves, and what trainers call them."""


class NotFinite(Exception):
    """The loss or its gradient is not a number any more."""


class Watch(TrainerCallback):
    """Reports every step, marks checkpoints that are whole, and ends a run that is out of time or not to go on."""

    def __init__(
        self,
        progress: Progress | None = None,
        *,
        max_minutes: float | None = None,
        earlier_seconds: float = 0.0,
        tokens: Callable[[TrainerState], float] | None = None,
    ) -> None:
        self.progress = progress
        self.max_minutes = max_minutes
        self.earlier_seconds = earlier_seconds
        """Spent by runs that this one goes on from."""
        self.tokens = tokens
        """How many tokens have gone through the model so far."""
        self.stopped: str | None = None
        self.interrupted = False
        self._began = time.monotonic()
        self._tokens_before = 0.0

    @property
    def seconds(self) -> float:
        """How long the run has taken so far, earlier parts of it included."""
        return self.earlier_seconds + time.monotonic() - self._began

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock: loading is not training."""
        self._began = time.monotonic()
        self._tokens_before = self.tokens(state) if self.tokens and state.epoch is not None else 0.0

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """End the run if its time is over, or if somebody wants it to stop."""
        if state.global_step >= state.max_steps:
            return
        if or_anywhere(self.interrupted):
            self.interrupted = control.should_training_stop = True
            control.should_save = args.save_strategy != "no"
        elif self.max_minutes is not None and or_anywhere(self.seconds > 60 * self.max_minutes):
            control.should_training_stop = True
            self.stopped = (
                f"after {self.max_minutes:g} minutes (max_minutes), at step {state.global_step} of {state.max_steps}"
            )

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Mark the checkpoint, now that every process has written its part."""
        or_anywhere(False)
        if is_main_process():
            mark_complete(Path(str(args.output_dir)), state.global_step, self.seconds)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Report the step.

        Raises:
            NotFinite: its loss or gradient is not a number.
        """
        if not logs or "loss" not in logs:
            return
        for name, key in (("loss", "loss"), ("gradient", "grad_norm")):
            if not math.isfinite(logs.get(key, 0.0)):
                raise NotFinite(f"the {name} became {logs[key]} at step {state.global_step}")
        if self.progress is not None:
            told = {name: curve[-1][1] for name, curve in curves_of([{**logs, "step": state.global_step}]).items()}
            if self.tokens:
                done = self.tokens(state) - self._tokens_before
                told["tokens_per_second"] = done / max(time.monotonic() - self._began, 1e-9)
            self.progress(state.global_step, state.max_steps, float(logs["loss"]), **told)


@contextmanager
def stop_on_signals(watch: Watch) -> Iterator[None]:
    """Ctrl-C and SIGTERM let the present step end; a second Ctrl-C does not wait."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, frame: Any) -> None:
        if watch.interrupted and number == signal.SIGINT:
            raise KeyboardInterrupt
        watch.interrupted = True
        if is_main_process():
            os.write(2, b"\nstopping after this step; Ctrl-C again stops at once\n")  # print may be in use just now

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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
