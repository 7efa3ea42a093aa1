"""Merge a LoRA adapter beside its base: fresh tensors for what it touches, the base's own for the rest.

PEFT does the arithmetic. What is ours is that nothing the base owns is ever written: some adapters
store whole tensors (biases, embeddings) that PEFT loads in place, and some change the base's weights
before they add to them (OLoRA), so every module that the adapter's file names is copied first.
"""

import copy
import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from ...errors import BadAdapter
from .placement import room_for

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
    try:
        name = json.loads((folder / CONFIG).read_text("utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadAdapter(f"{str(folder / CONFIG)!r} cannot be read: {error!r}; save the adapter again") from error
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
    from peft import PeftConfig, PeftModel

    _quiet()
    _look_at(folder, model)
    try:
        config: Any = PeftConfig.from_pretrained(str(folder))
    except Exception as error:  # PEFT builds the config from whatever the file says
        raise BadAdapter(f"the config of the adapter {str(folder)!r} cannot be used: {error}") from error
    if config.is_prompt_learning or config.is_adaption_prompt:
        raise BadAdapter(
            f"the adapter {str(folder)!r} is of the kind {config.peft_type.value}, which adds no weights that could "
            "be merged; train a LoRA adapter, or serve this one from an endpoint"
        )
    if getattr(config, "layer_replication", None):
        raise BadAdapter(
            f"the adapter {str(folder)!r} repeats layers of its base (layer_replication), which share weights and so "
            "cannot be merged; serve it from an endpoint"
        )
    shapes = _shapes(folder)
    _resize(model, shapes)
    touched = _touched(model, shapes, set(getattr(config, "modules_to_save", None) or ())).values()
    needed = sum(parameter.numel() * parameter.element_size() for parameter in touched)
    device = next(model.parameters()).device
    with room_for(f"the adapter {str(folder)!r}", needed, str(model.dtype).removeprefix("torch."), device):
        for parameter in touched:
            parameter.data = parameter.detach().clone()
        config.inference_mode = True
        try:
            adapted: Any = PeftModel(model, config)
            loaded = adapted.load_adapter(
                str(folder),
                "default",
                torch_device=str(device),
                key_mapping=getattr(model, "_checkpoint_conversion_mapping", None),
            )
            _all_used(folder, loaded)
            _untie(adapted)
            merged = adapted.merge_and_unload(safe_merge=True)
        except (BadAdapter, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever PEFT makes of a config and weights that do not fit
            raise BadAdapter(_why(folder, error)) from error
    return merged.requires_grad_(False)


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


def _resize(model: Any, shapes: dict[str, tuple[int, ...]]) -> None:
    """Give the model as many embeddings as the adapter brings, if its tokenizer has grown."""
    embeddings = model.get_input_embeddings()
    name = next((name for name, module in model.named_modules() if module is embeddings), None)
    shape = shapes.get(f"{name}.weight")
    if shape is not None and len(shape) == 2 and shape[0] != embeddings.weight.shape[0]:
        model.resize_token_embeddings(shape[0], mean_resizing=False)


def _touched(model: Any, names: Iterable[str], replaced: set[str]) -> dict[int, nn.Parameter]:
    """The parameters that loading an adapter with tensors of these names may change, by their identity.

    Modules that it replaces are left out. A name that the model does not know may mean anything, and then
    this is every parameter.
    """
    modules = dict(model.named_modules())
    found: dict[int, nn.Parameter] = {}
    for path in names:
        while path and path not in modules:
            path = path.rpartition(".")[0]
        if not any(f".{module}." in f".{path}." for module in replaced):
            found |= {id(parameter): parameter for parameter in modules[path].parameters()}
    return found


def _untie(adapted: Any) -> None:
    """Let what is merged into a layer not reach the layers that it shares a tensor with."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for layer in adapted.modules():
        if isinstance(layer, BaseTunerLayer):
            inner = layer.get_base_layer()
            for name, parameter in list(inner.named_parameters(recurse=False)):
                setattr(inner, name, nn.Parameter(parameter.detach(), requires_grad=False))


def _all_used(folder: Path, loaded: Any) -> None:
    if loaded.unexpected_keys:
        raise BadAdapter(
            f"the base of the adapter {str(folder)!r} has no place for {len(loaded.unexpected_keys)} of its tensors, "
            f"such as {loaded.unexpected_keys[0]!r}; it was made for another base: correct base_model_name_or_path "
            f"in its {CONFIG}"
        )
    if loaded.missing_keys:
        raise BadAdapter(
            f"the adapter {str(folder)!r} lacks {len(loaded.missing_keys)} tensors that its {CONFIG} promises, "
            f"such as {loaded.missing_keys[0]!r}; save it again"
        )


def _why(folder: Path, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    mismatch = next((line for line in lines if line.startswith("size mismatch")), None)
    if mismatch is not None:
        return (
            f"the adapter {str(folder)!r} does not fit its base: {mismatch} "
            f"It was made for another base: correct base_model_name_or_path in its {CONFIG}"
        )
    if "NaNs detected" in str(error):
        return (
            f"merging the adapter {str(folder)!r} gives weights that are not finite (NaN or inf); "
            "train it again with a lower learning rate, or take an earlier checkpoint"
        )
    return f"the adapter {str(folder)!r} cannot be merged into its base: {error}"


def _quiet() -> None:
    """Silence what is handled here: tied tensors are untied where one of them changes."""
    for message, kind in (
        (".*is_gradient_checkpointing.*", FutureWarning),
        (".*tie_word_embeddings.*", UserWarning),
        (".*no longer tied.*", UserWarning),
    ):
        warnings.filterwarnings("ignore", message, kind)
