"""Which files of a folder are its model, whether an adapter needs a base, and what is refused: pickles, broken links.

A model is what lies at the top of its folder; loaders read no deeper, but for further chat templates.
"""

import json
from pathlib import Path

from ..errors import BadAdapter, BadModelFolder

DESCRIBING = ("*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt", "additional_chat_templates/*.jinja")
"""The files beside the weights that decide what a model reads and says: config, tokenizer, template."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
LEFTOVERS = ("training_args.bin", "optimizer.*", "scheduler.pt", "scaler.pt", "rng_state*.pth")
"""What trainers leave beside the weights, as pickles that only they open: no part of a version."""
ADAPTER = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"


def model_files(folder: Path) -> list[Path]:
    """The safetensors in ``folder`` and the files that describe them, by name; empty if it holds none of them.

    Raises:
        BadModelFolder: there are pickled weights, also beside safetensors: another loader would take them, and no
            digest covers them. Or a file is a link that leads nowhere.
    """
    _refuse_pickles(folder)
    found = sorted({file for pattern in ("*.safetensors", *DESCRIBING) for file in folder.glob(pattern)})
    for file in found:
        if not file.is_file():
            raise BadModelFolder(f"{str(file)!r} is no file, or a link that leads nowhere; save the model again")
        if file.suffix == ".safetensors" and _is_pickle(file):
            raise BadModelFolder(
                f"{str(file)!r} is called safetensors but is a pickle, which can run code when it is opened; "
                "save the model with save_pretrained(folder, safe_serialization=True)"
            )
    return found


def base_of(folder: Path) -> str | None:
    """What the adapter in ``folder`` is made for, an absolute folder or a hub name; None for full weights.

    Raises:
        BadAdapter: it lacks its weights, does not say what its base is, or names a folder that is not there.
    """
    config = folder / ADAPTER
    if not config.is_file():
        return None
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise BadAdapter(f"{str(folder)!r} has {ADAPTER} but no {ADAPTER_WEIGHTS}; save the adapter again")
    try:
        name = json.loads(config.read_text("utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError) as error:
        raise BadAdapter(f"{str(config)!r} cannot be read: {error!r}; save the adapter again") from error
    if not isinstance(name, str) or not name:
        raise BadAdapter(f"{str(config)!r} names no base; write its folder or hub name into base_model_name_or_path")
    for place in (Path(name).expanduser(), folder / name):
        if place.is_dir():
            return str(place.resolve())
    if Path(name).is_absolute() or name.startswith((".", "~")):
        raise BadAdapter(
            f"the base of the adapter {str(folder)!r} is {name!r}, which does not exist; put it back, or correct "
            f"base_model_name_or_path in its {ADAPTER}"
        )
    return name


def folders_of(folder: Path) -> list[Path]:
    """``folder`` and, if it holds an adapter, the folder of its base, and so on; a hub name ends it.

    Raises:
        BadAdapter: as ``base_of``, or an adapter that is its own base.
    """
    line = [folder]
    while (base := base_of(line[-1])) is not None and Path(base).is_dir():
        if Path(base) in line:
            raise BadAdapter(f"the adapter {base!r} is its own base; correct base_model_name_or_path in its {ADAPTER}")
        line.append(Path(base))
    return line


def _refuse_pickles(folder: Path) -> None:
    left = {file for pattern in LEFTOVERS for file in folder.glob(pattern)}
    pickled = sorted({file for pattern in PICKLES for file in folder.glob(pattern)} - left)
    if not pickled:
        return
    names = ", ".join(file.name for file in pickled)
    if any(folder.glob("*.safetensors")):
        advice = "the safetensors beside it are what is loaded, so remove it"
    else:
        advice = "open it where you trust it and save it with save_pretrained(folder, safe_serialization=True)"
    raise BadModelFolder(
        f"{str(folder)!r} holds {names}: a pickle, which can run code when it is opened, and is refused; {advice}"
    )


def _is_pickle(file: Path) -> bool:
    """Whether ``file`` begins as a pickle or as torch's archive of one; safetensors have a brace after eight bytes."""
    with file.open("rb") as content:
        start = content.read(9)
    return start.startswith(b"PK\x03\x04") or (start[:1] == b"\x80" and start[8:9] != b"{")
