"""The rows of any data set folder, ours or others': JSONL, JSON, Parquet, or what ``datasets`` saves.

Rows come one at a time, numbered from 1 in each split. A file's name says its split; ``train`` if it does not.
"""

import gzip
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import BadDataset
from ..dataset import MANIFEST

_SPLIT = re.compile(r"(?:^|[^a-z])(train|test|validation|valid|val|dev|eval)(?:[^a-z]|$)")
_SAME = {"valid": "validation", "val": "validation", "dev": "validation", "eval": "validation"}
_ROWS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Placed:
    """A row and where it stands; without ``row`` it could not be read, and ``problem`` says why."""

    split: str
    number: int
    row: Mapping[str, Any] | None
    problem: str = ""


@dataclass(frozen=True)
class Folder:
    """A data set on disk."""

    path: Path
    format: str
    """``jsonl``, ``json``, ``parquet`` or ``datasets``."""
    files: Mapping[str, tuple[Path, ...]]
    """By split."""
    manifest: Mapping[str, Any] | None = None
    """Ours, if there is one."""
    problems: tuple[str, ...] = field(default=())
    """What is wrong with the folder itself."""

    def rows(self) -> Iterator[Placed]:
        """All rows, split by split."""
        for split, files in self.files.items():
            number = 0
            for file in files:
                for row in _read(file):
                    number += 1
                    if isinstance(row, Mapping):
                        yield Placed(split, number, row)
                    else:
                        problem = str(row) if isinstance(row, ValueError) else f"a {type(row).__name__}, not an object"
                        yield Placed(split, number, None, problem)


def open_folder(path: Path) -> Folder:
    """The data set at ``path``, a folder or a single file.

    Raises:
        BadDataset: there is none.
    """
    path = Path(path)
    if path.is_file():
        return Folder(path, _format(path), {_split(path.name): (path,)})
    if not path.is_dir():
        raise BadDataset(
            f"{path} is no folder and no file; give a data set, as `threadmill export sft --out` makes one"
        )
    manifest, problems = _manifest(path)
    if (path / "dataset_dict.json").exists():
        names = _json(path / "dataset_dict.json").get("splits", [])
        files = {name: (path / name,) for name in names if (path / name).is_dir()}
        return Folder(path, "datasets", files, manifest, problems)
    if (path / "state.json").exists():
        return Folder(path, "datasets", {"train": (path,)}, manifest, problems)
    if manifest and isinstance(manifest.get("splits"), dict):
        names = {split: [path / f"{split}.{ending}" for ending in ("jsonl", "parquet")] for split in manifest["splits"]}
        ours = {split: tuple(file for file in files if file.exists()) for split, files in names.items()}
        ours = {split: files for split, files in ours.items() if files}
        return Folder(path, str(manifest.get("format", "jsonl")), ours, manifest, problems)
    found = sorted(file for file in path.rglob("*") if file.is_file() and _format(file) and not _beside(file, path))
    if not found:
        raise BadDataset(f"{path} holds no .jsonl, .json or .parquet file, and no folder that `datasets` saved")
    files = {}
    for file in found:
        files.setdefault(_split(file.relative_to(path).as_posix()), []).append(file)
    order = sorted(files, key=lambda split: (split != "train", split))
    return Folder(path, _format(found[0]), {split: tuple(files[split]) for split in order}, manifest, problems)


def _read(file: Path) -> Iterator[Any]:
    if file.is_dir():
        import datasets

        yield from (dict(row) for row in datasets.Dataset.load_from_disk(str(file)))
    elif file.suffix == ".parquet":
        import pyarrow.parquet as parquet

        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(_ROWS_AT_ONCE):
                yield from batch.to_pylist()
    elif file.name.removesuffix(".gz").endswith(".json"):
        content = _json(file)
        rows = content.get("data", content.get("rows")) if isinstance(content, dict) else content
        yield from rows if isinstance(rows, list) else [content]
    else:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as lines:
            for line in lines:
                if line.strip():
                    yield _line(line)


def _line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return ValueError(f"not JSON: {error}")


def _json(file: Path) -> Any:
    try:
        with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as content:
            return json.loads(content.read())
    except (OSError, ValueError) as error:
        raise BadDataset(f"{file} cannot be read: {error}") from error


def _manifest(path: Path) -> tuple[Mapping[str, Any] | None, tuple[str, ...]]:
    file = path / MANIFEST
    if not file.exists():
        return None, ()
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return None, (f"{MANIFEST} cannot be read: {error}",)
    return (manifest, ()) if isinstance(manifest, dict) and "kind" in manifest else (None, ())


def _format(file: Path) -> str:
    name = file.name.removesuffix(".gz")
    return next((ending for ending in ("jsonl", "json", "parquet") if name.endswith(f".{ending}")), "")


def _beside(file: Path, folder: Path) -> bool:
    """Whether a file tells of a data set and is none: manifests, settings, what is hidden."""
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return hidden or file.name in (MANIFEST, "dataset_info.json", "dataset_infos.json", "state.json")


def _split(name: str) -> str:
    found = _SPLIT.search(name.lower())
    return _SAME.get(found[1], found[1]) if found else "train"
