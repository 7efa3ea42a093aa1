"""Find a model's folder, say what it lacks, and read its weights and its tokenizer.

Weights are safetensors: a pickle can run code when it is opened, so it is refused.
"""

import json
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import snapshot_download
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from ...errors import BadAdapter, BadModelFolder
from .adapters import CONFIG, base_name, is_adapter, merge_adapter
from .placement import choose_device, choose_dtype, loaded_bytes, room_for, saved_bytes

_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "tekken.json")
_LONG = 1 << 28
"""Bytes of weights from which on loading them shows transformers' progress bar."""
_ABOUT_TOKENS = (*_TOKENIZERS, "special_tokens_map.json", "added_tokens.json", "merges.txt")


def load_model(
    name_or_path: str, *, device: str | torch.device | None = None, dtype: str | torch.dtype | None = None
) -> tuple[Any, Any]:
    """The model, in ``eval`` mode and ready to be trained, and its tokenizer. Adapters are merged into their base.

    Weights load in float32 on a CPU and in the type they were saved in on a GPU; ``device`` None takes
    a GPU if there is one.

    Raises:
        BadModelFolder: something is missing or cannot be read.
        BadAdapter: an adapter that cannot be merged, or whose base cannot be opened.
        OutOfMemory: the weights do not fit on the device.
    """
    line = find_line(name_or_path)
    tokenizer, _ = read_tokenizer(line)
    if not tokenizer.chat_template:
        raise BadModelFolder(
            f"the model {name_or_path!r} has no chat template; add chat_template.jinja, or use an "
            "instruction-tuned model"
        )
    full = name_or_path if len(line) == 1 else str(line[-1])
    model = read_weights(line[-1], full, choose_device(device), choose_dtype(dtype))
    for adapter in reversed(line[:-1]):
        model = merge_adapter(model, adapter)
    model.name_or_path = model.config._name_or_path = name_or_path  # what adapters trained on it will name
    return model.requires_grad_(True), tokenizer


def find_line(source: str, base: str | None = None) -> list[Path]:
    """The folder of ``source`` and, if that is an adapter, of its base, and so on down to full weights.

    ``base`` replaces what the adapter's config says.

    Raises:
        BadModelFolder: there is no such folder or hub name, or it lacks something.
        BadAdapter: the base of an adapter cannot be opened.
    """
    line = [find_folder(source)]
    while is_adapter(line[-1]):
        name = base or base_name(line[-1])
        base = None
        try:
            line.append(find_folder(name))
        except BadModelFolder as error:
            raise BadAdapter(
                f"the adapter {str(line[-1])!r} is made for the base {name!r}, which cannot be opened: {error}. "
                f"If the base is elsewhere, correct base_model_name_or_path in {str(line[-1] / CONFIG)!r}"
            ) from error
        if line[-1] in line[:-1]:
            raise BadAdapter(
                f"the adapter {str(line[-1])!r} is its own base; correct base_model_name_or_path in its {CONFIG}"
            )
    _look_at(line)
    return line


def find_folder(source: str) -> Path:
    """The folder that ``source`` names, or where the hub's copy of that name lies on this machine.

    Raises:
        BadModelFolder: there is neither.
    """
    folder = Path(source).expanduser()
    if folder.is_dir():
        return folder.resolve()
    kinds = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt"]
    try:
        return Path(snapshot_download(source, allow_patterns=kinds, ignore_patterns=["*/*", "consolidated*"]))
    except Exception as error:  # no network, no such name, no right to it, or no name at all
        raise BadModelFolder(
            f"cannot open the model {source!r}: no folder here has that name, and the hub gave nothing: "
            f"{_short(error)}; check the name, or download it first and give its folder"
        ) from error


def weights_key(folder: Path) -> str:
    """Says which weights lie in ``folder`` now: it changes when the files do."""
    files = sorted(folder.glob("*.safetensors"))
    return "|".join([str(folder), *(f"{f.name} {f.stat().st_size} {f.stat().st_mtime_ns}" for f in files)])


@contextmanager
def _bar_if_long(size: int) -> Iterator[None]:
    shown = transformers.logging.is_progress_bar_enabled()
    if size < _LONG:
        transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.logging.enable_progress_bar()


def read_weights(folder: Path, source: str, device: torch.device, dtype: torch.dtype | None) -> Any:
    """The causal LM in ``folder``, in ``eval`` mode on ``device``.

    Raises:
        BadModelFolder: it cannot be read, is no causal LM, lacks tensors, or has some that are not finite.
        OutOfMemory: it does not fit on the device.
    """
    # PEFT and TRL still ask for a name that transformers has renamed.
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*", FutureWarning)
    wanted = torch.float32 if dtype is None and device.type == "cpu" else dtype
    try:
        saved = saved_bytes(folder)
        config = AutoConfig.from_pretrained(folder)
    except Exception as error:
        raise BadModelFolder(f"cannot open the model {source!r}: {_short(error)}") from error
    _refuse_other_kinds(config, source)
    called = max(saved, key=lambda kind: saved[kind], default="").replace("BF", "bfloat").replace("F", "float")
    named = str(wanted).removeprefix("torch.") if wanted else called
    with room_for(f"the model {source!r}", loaded_bytes(saved, wanted), named, device):
        try:
            with _bar_if_long(sum(saved.values())):
                opened: Any = AutoModelForCausalLM.from_pretrained(
                    folder, dtype=wanted or "auto", use_safetensors=True, output_loading_info=True
                )
            model, found = opened
            model = model.to(device)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever transformers makes of damaged files
            raise BadModelFolder(f"cannot open the model {source!r}: {_short(error)}") from error
    if found["missing_keys"]:
        missing = sorted(found["missing_keys"])
        raise BadModelFolder(
            f"the weights of {source!r} lack {len(missing)} tensors that its config.json promises, such as "
            f"{missing[0]!r}; save model and config together with save_pretrained"
        )
    refuse_broken(model.named_parameters(), source)
    model.name_or_path = model.config._name_or_path = source
    return model.eval()


def refuse_broken(tensors: Iterable[tuple[str, torch.Tensor]], source: str) -> None:
    """Look at every number.

    Raises:
        BadModelFolder: one is NaN or infinite.
    """
    for name, tensor in tensors:
        if tensor.is_floating_point() and tensor.itemsize > 1 and not torch.isfinite(tensor).all():
            raise BadModelFolder(
                f"the weights of {source!r} are damaged: {name!r} holds numbers that are not finite (NaN or inf); "
                "train it again with a lower learning rate, or take an earlier checkpoint"
            )


def read_tokenizer(line: Sequence[Path], known: tuple[Any, str] = (None, "")) -> tuple[Any, str]:
    """The tokenizer of the first folder that has one, with the first chat template, and a digest of both.

    ``known`` is a tokenizer with its digest: it is given back if it is the same, because reading a large one
    takes long and nobody else runs meanwhile.

    Raises:
        BadModelFolder: it cannot be read.
    """
    own = next(folder for folder in line if _has_tokenizer(folder))
    try:
        templates = {folder: found for folder in line if (found := _template(folder))}
        told = next(iter(templates), own)
        template = templates.get(told)
        files = [own / name for name in _ABOUT_TOKENS if (own / name).is_file()]
        digest = sha256("".join(sha256(file.read_bytes()).hexdigest() for file in files).encode())
        digest.update(str(template).encode())
        if digest.hexdigest() == known[1]:
            return known
        tokenizer: Any = AutoTokenizer.from_pretrained(own)
    except Exception as error:  # whatever transformers makes of damaged files
        raise BadModelFolder(f"the tokenizer in {str(own)!r} cannot be read: {_short(error)}") from error
    if told != own:
        tokenizer.chat_template = template
    return tokenizer, digest.hexdigest()


def end_token_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """The tokens that end a turn, from the generation config and the tokenizer."""
    named = model.generation_config.eos_token_id if model.generation_config else None
    named = named if isinstance(named, list) else [named]
    return frozenset(token for token in (*named, tokenizer.eos_token_id) if token is not None)


def _look_at(line: Sequence[Path]) -> None:
    full = line[-1]
    missing = []
    if not any(full.glob("*.safetensors")):
        missing.append("weights (*.safetensors)")
    if not (full / "config.json").is_file():
        missing.append("a config (config.json or adapter_config.json)")
    if not any(_has_tokenizer(folder) for folder in line):
        missing.append("a tokenizer (tokenizer.json or tokenizer_config.json)")
    if not missing:
        return
    advice = "save model and tokenizer into it with save_pretrained"
    pickled = next((file.name for kind in ("*.bin", "*.pt", "*.pth") for file in sorted(full.glob(kind))), None)
    if pickled and missing[0].startswith("weights"):
        advice = f"{pickled} is a pickle, which can run code when it is opened: save the model with safetensors"
    raise BadModelFolder(f"the model folder {str(full)!r} lacks {' and '.join(missing)}; {advice}")


def _refuse_other_kinds(config: Any, source: str) -> None:
    kinds = [getattr(transformers, name, None) for name in config.architectures or ()]
    other = bool(kinds) and all(kind is not None and not kind.can_generate() for kind in kinds)
    if other or getattr(config, "is_encoder_decoder", False):
        raise BadModelFolder(
            f"the model {source!r} is no causal language model: its config.json names "
            f"{', '.join(config.architectures or [config.model_type])}; take a model whose class ends in ForCausalLM"
        )


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in _TOKENIZERS)


def _template(folder: Path) -> Any:
    """The chat template in ``folder``, today's or the older kind, if there is one."""
    if (folder / "chat_template.jinja").is_file():
        return (folder / "chat_template.jinja").read_text("utf-8")
    config = folder / "tokenizer_config.json"
    return json.loads(config.read_text("utf-8")).get("chat_template") if config.is_file() else None


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or repr(error)
    return text if len(text) <= 400 else f"{text[:400]}…"
