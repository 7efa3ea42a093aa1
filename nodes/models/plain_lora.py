"""Add a plain LoRA adapter to its base: ``W + scale · B A`` for every layer it names, and nothing else.

Most adapters are plain. Adding them up here takes a tenth of the time of building PEFT's layers first, and
needs no import of PEFT. Whatever is not plain, or does not fit, is left to PEFT, which also says what is wrong.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from .placement import room_for

_HALVES = (".lora_A.weight", ".lora_B.weight")
_OF_NO_CONSEQUENCE = {
    *("auto_mapping", "base_model_name_or_path", "inference_mode", "lora_dropout", "megatron_core", "peft_version"),
    *("qalora_group_size", "revision", "task_type"),
}
_READ = {"peft_type", "r", "lora_alpha", "use_rslora", "target_modules", "bias", "init_lora_weights"}


def merge_plain(
    model: Any, file: Path, settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], what: str
) -> bool:
    """Give each layer that the adapter names a weight of its own; False, and nothing done, if it is not plain.

    ``shapes`` has the shape of each of its tensors by their name in the model.
    """
    layers = _layers(model, settings, shapes)
    if layers is None:
        return False
    needed = sum(layer.weight.numel() * layer.weight.element_size() for layer in layers.values())
    with room_for(what, needed, str(model.dtype).removeprefix("torch."), model.device):
        stored = {name.removeprefix("base_model.model."): tensor for name, tensor in load_file(file).items()}
        rank = settings["r"]
        scale = settings["lora_alpha"] / (rank**0.5 if settings.get("use_rslora") else rank)
        merged = {}
        for path, layer in layers.items():
            low, high = (stored[path + half].to(model.device, torch.float32) for half in _HALVES)
            added = (high @ low) * scale
            merged[path] = layer.weight.detach() + added.to(layer.weight.dtype)
            if not torch.isfinite(merged[path]).all():
                return False
    for path, layer in layers.items():
        layer.weight = nn.Parameter(merged[path], requires_grad=False)
    return True


def _layers(
    model: Any, settings: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, nn.Linear] | None:
    """The linear layers that a plain adapter changes by their path; None if it is not plain or does not fit."""
    targets, rank = settings.get("target_modules"), settings.get("r")
    unusual = [key for key, value in settings.items() if value and key not in _OF_NO_CONSEQUENCE | _READ]
    if (
        unusual
        or settings.get("peft_type") != "LORA"
        or settings.get("bias", "none") != "none"
        or settings.get("init_lora_weights", True) not in (True, False, "gaussian")
        or not isinstance(targets, list)
        or not isinstance(rank, int)
        or not isinstance(settings.get("lora_alpha"), int | float)
    ):
        return None
    found = {
        path: module
        for path, module in model.named_modules()
        if path in targets or path.endswith(tuple(f".{target}" for target in targets))
    }
    if set(shapes) != {path + half for path in found for half in _HALVES}:
        return None
    for path, module in found.items():
        if type(module) is not nn.Linear or module.weight.dtype not in (torch.float32, torch.bfloat16, torch.float16):
            return None
        wide, narrow = (rank, module.in_features), (module.out_features, rank)
        if (shapes[path + _HALVES[0]], shapes[path + _HALVES[1]]) != (wide, narrow):
            return None
    return found
