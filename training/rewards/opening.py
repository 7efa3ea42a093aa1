"""Opens the folder of a reward model, with the checks that models get here; imports torch and transformers."""

from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification

from ...errors import BadModelFolder
from ...nodes.models.folder import find_folder, read_tokenizer, refuse_broken
from ...nodes.models.placement import choose_device


def open_scoring_model(source: str, device: str | None) -> tuple[Any, Any]:
    """The sequence classifier of ``source``, in ``eval`` mode, and its tokenizer.

    Raises:
        BadModelFolder: something is missing, cannot be read, is damaged, or scores otherwise than at the last token.
    """
    folder, place = find_folder(source), choose_device(device)
    try:
        named = AutoConfig.from_pretrained(folder).architectures or ["nothing"]
        if not named[0].endswith("ForSequenceClassification"):
            raise BadModelFolder(
                f"{source!r} is no reward model: its config.json names {named[0]}; "
                "make one of it with `threadmill train reward --base`"
            )
        opened: Any = AutoModelForSequenceClassification.from_pretrained(
            folder,
            dtype=torch.float32 if place.type == "cpu" else "auto",
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        if isinstance(error, BadModelFolder):
            raise
        raise BadModelFolder(f"cannot open the reward model {source!r}: {error}; train it again") from error
    model, found = opened
    if found["missing_keys"] or not isinstance(getattr(model, "score", None), nn.Linear):
        lacking = sorted(found["missing_keys"]) or ["a layer named score"]
        raise BadModelFolder(f"the reward model {source!r} lacks {lacking[0]}; save it with save_pretrained")
    refuse_broken(model.named_parameters(), source)
    return model.to(place).eval(), read_tokenizer([folder])[0]
