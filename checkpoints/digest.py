"""Digests of model folders: what was registered is what is loaded, told file by file.

Reading gigabytes takes seconds, so a process reads a folder once and again only when size or time of a file changed.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..errors import BadModelFolder
from .model_files import model_files

SETTLED_NS = 2 * 10**9
"""A file that changed so shortly ago could change again within one tick of its time, so its digest is not kept."""

State = tuple[tuple[str, int, int, int], ...]
"""Name, size and both times of every file."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a model folder holds."""

    digest: str
    """SHA-256 over the names and contents of the folder's weights, configs, tokenizer and template."""
    size_bytes: int
    """Of the safetensors files."""
    files: Mapping[str, str]
    """Name, relative to the folder, to SHA-256."""


def digest_folder(folder: Path) -> Contents:
    """Digests of a model folder's files, and the bytes of its weights.

    Raises:
        BadModelFolder: the folder is missing, holds no safetensors, or holds pickles.
    """
    contents = _contents(folder)
    if not any(name.endswith(".safetensors") for name in contents.files):
        raise BadModelFolder(f"{str(folder)!r} holds no *.safetensors; register a folder that was trained or saved")
    return contents


def differences(folder: Path, registered: Mapping[str, str]) -> list[str]:
    """How ``folder`` differs from what was ``registered``, in words, file by file; empty if it doesn't.

    Raises:
        BadModelFolder: it holds pickles.
    """
    there = _contents(folder).files
    return [
        *(f"{name} was changed" for name in registered if name in there and there[name] != registered[name]),
        *(f"{name} is missing" for name in registered if name not in there),
        *(f"{name} was added" for name in there if name not in registered),
    ]


def state_of(folder: Path) -> State:
    """Changes when a file of the model in ``folder`` does; quick.

    Raises:
        BadModelFolder: it holds pickles.
    """
    found = ((file, file.stat()) for file in model_files(folder))
    return tuple((file.relative_to(folder).as_posix(), s.st_size, s.st_mtime_ns, s.st_ctime_ns) for file, s in found)


def _contents(folder: Path) -> Contents:
    state = state_of(folder)
    newest = max((max(modified, changed) for _, _, modified, changed in state), default=0)
    settled = time.time_ns() - newest > SETTLED_NS
    return _remembered(folder, state) if settled else _read(folder, state)


@lru_cache(maxsize=256)
def _remembered(folder: Path, state: State) -> Contents:
    return _read(folder, state)


def _read(folder: Path, state: State) -> Contents:
    whole = hashlib.sha256()
    files: dict[str, str] = {}
    for name, *_ in state:
        whole.update(name.encode() + b"\0")
        own = hashlib.sha256()
        try:
            with (folder / name).open("rb") as content:
                while block := content.read(1 << 20):
                    whole.update(block)
                    own.update(block)
        except OSError as error:
            raise BadModelFolder(
                f"{str(folder / name)!r} cannot be read: {error.strerror}; make it readable"
            ) from error
        files[name] = own.hexdigest()
    size = sum(size for name, size, _, _ in state if name.endswith(".safetensors"))
    return Contents(whole.hexdigest(), size, files)
