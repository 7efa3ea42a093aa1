"""Where weights go: on which device, in which type, and whether they fit there."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ...errors import BadModelSpec, OutOfMemory

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Bytes of a number of each floating point type, as safetensors calls them."""


def choose_device(device: str | torch.device | None) -> torch.device:
    """The device that was asked for; None takes a GPU if there is one.

    Raises:
        BadModelSpec: torch does not know the device, or has no such device here.
    """
    here = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    if device is None:
        device = "cuda" if len(here) > 1 else "cpu"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise BadModelSpec(f"{device!r} is no device; this torch sees {', '.join(here)}") from error
    if chosen.type == "cuda" and len(here) > 1 and chosen.index is None:
        chosen = torch.device("cuda", torch.cuda.current_device())
    if chosen.type == "cuda" and str(chosen) not in here:
        raise BadModelSpec(f"the device {str(device)!r} is not here; this torch sees {', '.join(here)}")
    return chosen


def choose_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """The type of that name; None stays None, which means float32 on a CPU and as saved on a GPU.

    Raises:
        BadModelSpec: no type that weights can be loaded in.
    """
    if dtype is None:
        return None
    chosen = DTYPES.get(str(dtype).removeprefix("torch."))
    if chosen is None:
        raise BadModelSpec(f"weights cannot be loaded as {str(dtype)!r}; give one of {', '.join(DTYPES)}, or nothing")
    return chosen


def saved_bytes(folder: Path) -> dict[str, int]:
    """The bytes of the weights in ``folder`` by the type that they are saved in, as safetensors calls it.

    Read from the headers of the files, so nothing is loaded.
    """
    found: dict[str, int] = {}
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as stored:
            header: dict[str, Any] = json.loads(stored.read(int.from_bytes(stored.read(8), "little")))
        header.pop("__metadata__", None)
        for tensor in header.values():
            begin, end = tensor["data_offsets"]
            found[tensor["dtype"]] = found.get(tensor["dtype"], 0) + end - begin
    return found


def loaded_bytes(saved: Mapping[str, int], dtype: torch.dtype | None) -> int:
    """What weights saved like that take in memory as ``dtype``, which changes only floating point numbers.

    >>> loaded_bytes({"F32": 4000, "I8": 10}, torch.bfloat16)
    2010
    """
    return sum(
        size * dtype.itemsize // _FLOATS[kind] if dtype and kind in _FLOATS else size for kind, size in saved.items()
    )


def memory_advice(needed_bytes: int, free_bytes: int, dtype: str) -> str:
    """What was asked for, what is free, and what would fit.

    >>> memory_advice(32 * 2**30, 20 * 2**30, "float32")
    '32.0 GiB were asked for in float32 but 20.0 GiB are free; in bfloat16 it takes 16.0 GiB, which fits'
    """
    asked = f"{_gib(needed_bytes)} were asked for in {dtype} but {_gib(free_bytes)} are free; "
    halved = needed_bytes // 2
    if dtype == "float32" and halved <= free_bytes:
        return f"{asked}in bfloat16 it takes {_gib(halved)}, which fits"
    if dtype == "float32":
        asked += f"even in bfloat16 it takes {_gib(halved)}; "
    if needed_bytes <= free_bytes:
        return f"{asked}it is in too many pieces, or something else grows at this moment: drop a version and try again"
    return f"{asked}drop a version that is no longer needed, or take a smaller model or one behind an endpoint"


def free_bytes(device: torch.device) -> int | None:
    """What a GPU could still give, what torch keeps in reserve included; None for a CPU."""
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


@contextmanager
def room_for(what: str, needed_bytes: int, dtype: str, device: torch.device) -> Iterator[None]:
    """Refuse at the door what does not fit, so that nothing else on the device runs out of memory.

    Raises:
        OutOfMemory: before the block, or in place of torch's error in it.
    """
    free = free_bytes(device)
    if free is not None and needed_bytes > free:
        raise OutOfMemory(f"{what} does not fit on {device}: {memory_advice(needed_bytes, free, dtype)}")
    try:
        yield
    except torch.OutOfMemoryError as error:
        free = _told(error) if free is None else free
        raise OutOfMemory(f"{what} does not fit on {device}: {memory_advice(needed_bytes, free, dtype)}") from error


def _told(error: torch.OutOfMemoryError) -> int:
    """The free memory that torch's message names."""
    found = re.search(r"([\d.]+) ([KMG])iB is free", str(error))
    return int(float(found[1]) * 2 ** {"K": 10, "M": 20, "G": 30}[found[2]]) if found else 0


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**29 else f"{size / 2**20:.1f} MiB"
