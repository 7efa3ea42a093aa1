"""What a training run leaves behind: a complete model folder with its loss curve and figures in it."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...errors import BadDataset, TrainingFailed

REPORT = "training.json"
CURVES = "curves.png"
Progress = Callable[..., None]
"""Called as ``(done, total, loss)`` after every step, with further figures by name: ``reward=0.5``."""


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
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """What else the method logged, by name: step and value."""
    stopped: str | None = None
    """Why the run ended before its last step."""
    resumed_at: int | None = None
    """The step from which the run went on, if it had been killed or stopped."""

    noted: list[dict[str, Any]] = field(default_factory=list)
    """What the method itself noted of its steps, such as the threads of its episodes."""

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


def refuse_overwriting(out: Path) -> None:
    """Raise TrainingFailed if ``out`` holds anything: a version is never written over."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise TrainingFailed(f"{out} exists already; versions are never overwritten, name another folder")


def work_folder(out: Path) -> Path:
    """Where checkpoints of an unfinished run lie; gone when ``out`` is complete."""
    return out.with_name(f".{out.name}.trainer")


def save_folder(
    model: Any,
    tokenizer: Any,
    report: TrainingReport,
    *,
    merge: bool = False,
    weights: Mapping[str, Any] | None = None,
) -> None:
    """Write weights, config, tokenizer, template, report and curves into ``report.out`` in one step.

    ``merge`` folds an adapter into its weights. ``weights`` are saved in place of the model's own, which may be
    spread over several processes.

    Raises:
        TrainingFailed: nothing was trained, or a weight is not a number any more; nothing is written.
    """
    from .adapters import save_weights
    from .curves import draw_curves

    if not report.losses:
        raise TrainingFailed("training took no step; give it more epochs or steps")
    for name, weight in model.named_parameters() if weights is None else weights.items():
        if not bool(weight.isfinite().all()):
            raise TrainingFailed(f"the weight {name} holds values that are not numbers; lower the learning rate")
    fresh = report.out.with_name(f".{report.out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    save_weights(model, fresh, merge=merge, state_dict=weights)
    tokenizer.save_pretrained(fresh)
    record = {**asdict(report), "out": report.out.name}
    (fresh / REPORT).write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")
    draw_curves(fresh / CURVES, report)
    if report.out.exists():
        report.out.rmdir()
    fresh.rename(report.out)
    shutil.rmtree(work_folder(report.out), ignore_errors=True)


def read_report(folder: Path) -> TrainingReport:
    """The report that lies in a trained folder.

    Raises:
        BadDataset: there is none.
    """
    try:
        record = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadDataset(f"{folder} holds no {REPORT}: {error}; train it with `threadmill train`") from error
    points = {name: _points(curve) for name, curve in record.pop("curves", {}).items()}
    return TrainingReport(**{**record, "out": folder, "losses": _points(record["losses"]), "curves": points})


def _points(curve: list[list[float]]) -> list[tuple[int, float]]:
    return [(int(step), float(value)) for step, value in curve]
