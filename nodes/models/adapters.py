"""Merge an adapter beside its base: fresh tensors for what it touches, the base's own for the rest.

Plain LoRA is added up here, because that is ten times faster than building PEFT's layers, and Python's
one lock is shared with whoever decodes meanwhile. Every other kind is left to PEFT.
"""

import copy
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import nn

from ...errors import BadAdapter
from .peft_merge import merge_with_peft
from .plain_lora import merge_plain

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"


def is_adapter(folder: Path) -> bool:
    """Whether ``folder`` holds an adapter and not full weights."""
    return (folder / CONFIG).is_file()


def base_name(folder: Path) -> str:
    """What the adapter in ``folder`` was made for: a folder or a hub name.

    A relative folder is looked for from here, then from the adapter's own folder.

    Raises:
        BadAdapter: its config cannot be read or names nothing.
    """
    name = _settings(folder).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise BadAdapter(
            f"the adapter {str(folder)!r} does not say what its base is; "
            f"write the base's folder or hub name into base_model_name_or_path of its {CONFIG}"
        )
    beside = folder / name
    return str(beside) if not Path(name).expanduser().is_dir() and beside.is_dir() else name


def share(model: Any) -> Any:
    """A second model over the same tensors: what is given to it later does not reach the first."""
    twins: dict[int, Any] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in model.parameters()}
    twins |= {id(buffer): buffer for buffer in model.buffers()}
    return copy.deepcopy(model, twins)


def merge_adapter(model: Any, folder: Path) -> Any:
    """``model``, which nobody else uses but whose tensors others may share, with the adapter in ``folder`` added.

    Tensors that the adapter leaves alone stay shared.

    Raises:
        BadAdapter: it is damaged, does not fit the model, or is of a kind that cannot be merged.
        OutOfMemory: there is no room for the tensors that it touches.
    """
    settings = _settings(folder)
    _look_at(folder, model)
    shapes = _shapes(folder)
    if not merge_plain(model, folder / WEIGHTS, settings, shapes, f"the adapter {str(folder)!r}"):
        model = merge_with_peft(model, folder, shapes)
    return model


def _settings(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / CONFIG).read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise BadAdapter(f"{str(folder / CONFIG)!r} cannot be read: {error!r}; save the adapter again") from error


def _look_at(folder: Path, model: Any) -> None:
    if not (folder / WEIGHTS).is_file():
        pickled = (folder / "adapter_model.bin").is_file()
        raise BadAdapter(
            f"the adapter {str(folder)!r} lacks {WEIGHTS}; "
            + (
                "adapter_model.bin is a pickle, which can run code when it is opened: save it with safetensors"
                if pickled
                else "save it with save_pretrained"
            )
        )
    if getattr(model.config, "quantization_config", None) is not None:
        raise BadAdapter(
            f"the base of the adapter {str(folder)!r} is quantised, and merging would round its weights anew; "
            "name the unquantised base in its config, or serve both from an endpoint"
        )


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor in the adapter's file by its name in the base: without PEFT's own prefixes."""
    try:
        with safe_open(str(folder / WEIGHTS), "pt") as stored:
            return {
                name.removeprefix("base_model.model.").replace(".base_layer", ""): tuple(
                    stored.get_slice(name).get_shape()
                )
                for name in stored.keys()  # noqa: SIM118  a file that is no mapping
            }
    except SafetensorError as error:
        raise BadAdapter(f"{str(folder / WEIGHTS)!r} cannot be read: {error}; save the adapter again") from error
