"""Merge an adapter of any kind by PEFT, without writing to a tensor that the base shares with others.

Some adapters store whole tensors (biases, embeddings) that PEFT loads in place, and some change the base's
weights in place before they add to them (OLoRA), so every module that the adapter's file names is copied first.
"""

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import BadAdapter
from .placement import room_for


def merge_with_peft(model: Any, folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """``model`` with the adapter in ``folder`` merged; ``shapes`` are those of its tensors by their name in the model.

    Raises:
        BadAdapter: it does not fit the model, or is of a kind that cannot be merged.
        OutOfMemory: there is no room for the tensors that it touches.
    """
    from peft import PeftModel

    _quiet()
    config = _config(folder)
    _resize(model, shapes)
    touched = _touched(model, shapes, set(getattr(config, "modules_to_save", None) or ())).values()
    needed = sum(parameter.numel() * parameter.element_size() for parameter in touched)
    named = str(model.dtype).removeprefix("torch.")
    with room_for(f"the adapter {str(folder)!r}", needed, named, model.device):
        for parameter in touched:
            parameter.data = parameter.detach().clone()
        try:
            adapted: Any = PeftModel(model, config)
            loaded = adapted.load_adapter(
                str(folder),
                "default",
                torch_device=str(model.device),
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


def _config(folder: Path) -> Any:
    from peft import PeftConfig

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
    config.inference_mode = True
    return config


def _resize(model: Any, shapes: Mapping[str, tuple[int, ...]]) -> None:
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
            "in its adapter_config.json"
        )
    if loaded.missing_keys:
        raise BadAdapter(
            f"the adapter {str(folder)!r} lacks {len(loaded.missing_keys)} tensors that its adapter_config.json "
            f"promises, such as {loaded.missing_keys[0]!r}; save it again"
        )


def _why(folder: Path, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines()]
    mismatch = next((line for line in lines if line.startswith("size mismatch")), None)
    if mismatch is not None:
        return (
            f"the adapter {str(folder)!r} does not fit its base: {mismatch} "
            f"It was made for another base: correct base_model_name_or_path in its adapter_config.json"
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
