"""Tracking of runs by TensorBoard and Trackio, offline: files in the folder ``tracking`` beside OUT.

Runs with neighbouring OUT folders land in the same place, so that they can be compared.
"""

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from transformers import TrainerCallback
from transformers.integrations.integration_utils import rewrite_logs

from ...errors import MissingLibrary
from .config import to_toml
from .processes import is_main_process


def tracking_folder(out: Path) -> Path:
    """Where the runs with folders beside ``out`` are tracked."""
    return out.parent / "tracking"


def trackers(config: Any, method: str) -> list[TrainerCallback]:
    """A callback for each tracker that ``config.run`` names; none where another process writes.

    Raises:
        MissingLibrary: one of them is not installed.
    """
    if not is_main_process():
        return []
    known = {"tensorboard": TensorBoard, "trackio": Trackio}
    try:
        return [known[name](config, method) for name in config.run.track]
    except ImportError as error:
        raise MissingLibrary(f"--track needs {error.name}; try `pip install 'threadmill[track]'`") from error


class TensorBoard(TrainerCallback):
    """Writes event files; look at them with ``tensorboard --logdir tracking/tensorboard``."""

    def __init__(self, config: Any, method: str) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(tracking_folder(config.out) / "tensorboard" / config.out.name))
        self.writer.add_text("config", f"```\n# {method}\n{to_toml(config)}```")

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Write what is a number."""
        for name, value in rewrite_logs(_numbers(logs)).items():
            self.writer.add_scalar(name, value, state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the rest."""
        self.writer.close()


class Trackio(TrainerCallback):
    """Writes a SQLite file; look at it with ``TRACKIO_DIR=tracking/trackio trackio show``."""

    def __init__(self, config: Any, method: str) -> None:
        import trackio

        self.trackio = trackio
        if "TRACKIO_DIR" not in os.environ:  # a wish of the user's
            _send_trackio_to(tracking_folder(config.out) / "trackio")
        with redirect_stdout(None):  # it greets
            trackio.init(
                project="threadmill",
                name=config.out.name,
                config={"method": method, "toml": to_toml(config)},
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Log what is a number."""
        self.trackio.log(rewrite_logs(_numbers(logs)), step=state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write the rest."""
        with redirect_stdout(None):
            self.trackio.finish()


def _send_trackio_to(folder: Path) -> None:
    """Trackio reads its folder once, when it is imported, and TRL has done that before we know the folder."""
    places = {"TRACKIO_DIR": folder, "MEDIA_DIR": folder / "media", "ARTIFACTS_DIR": folder / "artifacts"}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "trackio":
            vars(module).update({constant: place for constant, place in places.items() if constant in vars(module)})


def _numbers(logs: dict[str, Any] | None) -> dict[str, float]:
    return {name: value for name, value in (logs or {}).items() if isinstance(value, int | float)}
