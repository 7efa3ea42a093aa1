"""Model folders of a few bytes, and a slot with versions of them."""

import json
from pathlib import Path

from threadmill.checkpoints.registry import register_version
from threadmill.checkpoints.store import Store

SLOT = "bank.think"


def weights(folder: Path, content: bytes = b"1234") -> Path:
    """A folder of full weights."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(content)
    (folder / "config.json").write_text("{}")
    return folder


def adapter(folder: Path, base: Path | str, content: bytes = b"12") -> Path:
    """A folder of an adapter for ``base``."""
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(content)
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    return folder


def register(store: Store, place: Path, count: int) -> None:
    """Versions 0001, 0002 … of the slot, in folders m1, m2 …"""
    for number in range(1, count + 1):
        register_version(store, SLOT, weights(place / f"m{number}", b"x" * number), lineage={})
