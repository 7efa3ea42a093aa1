"""Open a model folder or hub name: weights, tokenizer and chat template, or say which one is missing."""

import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ...errors import BadModelFolder


def load_model(name_or_path: str, *, device: str | None = None) -> tuple[Any, Any]:
    """The model, in ``eval`` mode, and its tokenizer. A LoRA adapter is merged into its base.

    Weights load in float32 on a CPU and in the type they were saved in on a GPU; ``device`` None takes
    a GPU if there is one.

    Raises:
        BadModelFolder: something is missing or cannot be read.
    """
    # PEFT and TRL still ask for a name that transformers has renamed.
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
    folder = Path(name_or_path).expanduser()
    if folder.is_dir():
        _look_at(folder)
    chosen = device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.float32 if chosen == "cpu" else "auto"
    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path)
        if (folder / "adapter_config.json").is_file():
            from peft import AutoPeftModelForCausalLM

            adapted: Any = AutoPeftModelForCausalLM.from_pretrained(name_or_path, dtype=dtype)
            model = adapted.merge_and_unload()
        else:
            model = AutoModelForCausalLM.from_pretrained(name_or_path, dtype=dtype)
    except (OSError, ValueError, KeyError) as error:
        raise BadModelFolder(f"cannot open the model {name_or_path!r}: {error}") from error
    if not tokenizer.chat_template:
        raise BadModelFolder(
            f"the model {name_or_path!r} has no chat template; add chat_template.jinja, or use an "
            "instruction-tuned model"
        )
    placed: Any = model
    return placed.to(chosen).eval(), tokenizer


def end_token_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a turn, from the generation config and the tokenizer."""
    named = model.generation_config.eos_token_id if model.generation_config else None
    named = named if isinstance(named, list) else [named]
    return frozenset(token for token in (*named, tokenizer.eos_token_id) if token is not None)


def _look_at(folder: Path) -> None:
    needed = {
        "weights (*.safetensors)": any(folder.glob("*.safetensors")),
        "a config (config.json or adapter_config.json)": any(
            (folder / name).is_file() for name in ("config.json", "adapter_config.json")
        ),
        "a tokenizer (tokenizer.json or tokenizer_config.json)": any(
            (folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")
        ),
    }
    missing = [what for what, there in needed.items() if not there]
    if missing:
        raise BadModelFolder(
            f"the model folder {str(folder)!r} lacks {' and '.join(missing)}; "
            "save model and tokenizer into it with save_pretrained"
        )
