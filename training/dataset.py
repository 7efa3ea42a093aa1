"""Data set folders: rows in JSONL, Parquet or a ``datasets`` folder, and ``manifest.json`` that says what they are.

A folder is written beside its place and moved there when complete, so nobody reads half of one. The
same rows give the same bytes and the same digest.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import orjson

from ..errors import BadDataset
from . import tabular

MANIFEST = "manifest.json"
LIBRARIES = ("threadmill", "langgraph", "langchain-core", "transformers")
NEEDED = {
    "sft": ("input_ids", "labels", "logprobs"),
    "pairs": ("prompt_ids", "chosen_ids", "chosen_mask", "rejected_ids", "rejected_mask"),
    "kto": ("prompt_ids", "completion_ids", "completion_mask", "label"),
    "groups": ("group", "input_ids", "mask", "logprobs", "reward"),
    "openai": ("messages",),
    "anthropic": ("messages",),
    "sharegpt": ("conversations",),
}
"""Kinds of data sets, and the columns that every row has."""
ALIGNED = {
    "sft": (("input_ids", "labels"), ("input_ids", "logprobs")),
    "pairs": (("chosen_ids", "chosen_mask"), ("rejected_ids", "rejected_mask")),
    "kto": (("completion_ids", "completion_mask"),),
    "groups": (("input_ids", "mask"), ("input_ids", "logprobs")),
}
Kind = Literal["sft", "pairs", "kto", "groups", "openai", "anthropic", "sharegpt"]
Format = Literal["jsonl", "parquet", "datasets"]
Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = ("train", "test")
Row = Mapping[str, Any]


def write_dataset(
    out: Path,
    rows: Iterable[Row],
    manifest: Mapping[str, Any],
    *,
    test: Iterable[Row] | None = None,
    format: Format = "jsonl",
    beside: Mapping[str, Iterable[Row]] | None = None,
    finish: Callable[[], Row] = dict,
) -> dict[str, Any]:
    """Write the folder ``out`` in one step and return the manifest, ``digest``, ``splits`` and ``files`` filled in.

    ``rows`` are of the split ``train``; ``beside`` gives further JSONL files by name, and ``finish`` what the
    manifest can only tell when all rows are written. A data set that is already there is replaced.

    Raises:
        BadDataset: ``out`` exists and is not a data set, or ``format`` cannot hold these rows.
    """
    refuse_place(out, manifest["kind"], format)
    out = out.resolve() if out.is_symlink() else out
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        digest = hashlib.sha256()
        splits = {"train": _write_split(fresh, "train", rows, format, digest)}
        if test is not None:
            splits["test"] = _write_split(fresh, "test", test, format, digest)
        if format == "datasets":
            tabular.join_splits(fresh, list(splits), digest.hexdigest())
        for name, lines in (beside or {}).items():
            _write_lines(fresh / name, map(line_of, lines))
        whole = {
            **manifest,
            **finish(),
            "format": format,
            "splits": splits,
            "digest": digest.hexdigest(),
            "files": {path.relative_to(fresh).as_posix(): _sha256(path) for path in _files(fresh)},
            "created_by": {name: version_of(name) for name in LIBRARIES},
        }
        (fresh / MANIFEST).write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        _move(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return whole


def refuse_place(out: Path, kind: str, format: Format) -> None:
    """Nothing, if rows of ``kind`` can be written to ``out`` in ``format``.

    Raises:
        BadDataset: ``out`` exists and is not a data set, or ``format`` cannot hold these rows.
    """
    if out.exists() and not _may_replace(out):
        raise BadDataset(f"{out} exists and holds no {MANIFEST}; choose a new folder")
    if format != "jsonl" and kind in tabular.CHATS:
        raise BadDataset(f"{kind} rows hold JSON of any shape, which {format} has no types for; write jsonl instead")


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the data set in ``folder`` says about itself.

    Raises:
        BadDataset: there is none, or it cannot be read.
    """
    file = Path(folder) / MANIFEST
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadDataset(f"{folder} holds no {MANIFEST}; try `threadmill export sft --out`") from None
    except (OSError, ValueError) as error:
        raise BadDataset(f"{file} cannot be read: {error}; export the data set again") from error
    if not isinstance(manifest, dict) or manifest.get("kind") not in NEEDED:
        raise BadDataset(f"{file} names no kind out of {', '.join(NEEDED)}; export the data set again")
    if not isinstance(manifest.get("files"), dict) or not isinstance(manifest.get("splits"), dict):
        raise BadDataset(f"{file} names no files; export the data set again")
    return manifest


def read_rows(
    folder: Path, kind: Kind | None = None, *, split: Split = "train"
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All rows of a split and the manifest of the data set in ``folder``, the rows checked for shape and digest.

    Raises:
        BadDataset: not a data set, not of ``kind``, without such rows, changed since its export, or a bad row.
    """
    manifest = read_manifest(folder)
    if kind is not None and manifest["kind"] != kind:
        raise BadDataset(f"{folder} holds {manifest['kind']}, not {kind}; try `threadmill export {kind}`")
    rows = list(iterate_rows(folder, manifest, split))
    if not rows:
        left_out = ", ".join(f"{reason}: {count}" for reason, count in manifest.get("left_out", {}).items())
        raise BadDataset(f"{folder} holds no {split} row (left out: {left_out or 'nothing'}); export more threads")
    return rows, manifest


def iterate_rows(folder: Path, manifest: Mapping[str, Any], split: Split = "train") -> Iterator[dict[str, Any]]:
    """The rows of a split one after another, checked as in ``read_rows``; none if there is no such split.

    Raises:
        BadDataset: changed since its export, or a bad row.
    """
    for name, digest in manifest["files"].items():
        file = Path(folder) / name
        if not _is_of(name, split):
            continue
        try:
            found = _sha256(file)
        except OSError as error:
            raise BadDataset(f"{file} cannot be read: {error}; export the data set again") from error
        if found != digest:
            raise BadDataset(f"{file} is not what its manifest describes; export the data set again")
    if split in manifest["splits"]:
        rows = tabular.READERS[manifest.get("format", "jsonl")](Path(folder), split)
        for number, row in enumerate(rows, 1):
            yield _checked(Path(folder), number, row, manifest["kind"])


def _write_split(fresh: Path, split: str, rows: Iterable[Row], format: Format, digest: Any) -> int:
    """How many rows; ``digest`` is told the rows as JSON, whatever the format."""
    count = 0

    def told() -> Iterator[tuple[Row, bytes]]:
        nonlocal count
        for row in rows:
            line = line_of(row)
            digest.update(line)
            count += 1
            yield row, line

    if format == "jsonl":
        _write_lines(fresh / f"{split}.jsonl", (line for _, line in told()))
    else:
        tabular.write_table(fresh, split, (row for row, _ in told()))
    return count


def _write_lines(file: Path, lines: Iterable[bytes]) -> None:
    with file.open("wb") as written:
        written.writelines(lines)


def line_of(row: Row) -> bytes:
    """``row`` as a line of JSON, always the same."""
    try:
        return orjson.dumps(row) + b"\n"
    except TypeError:  # halves of characters, integers beyond 64 bits
        return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _is_of(name: str, split: str) -> bool:
    return name.startswith((f"{split}.", f"{split}/"))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def version_of(library: str) -> str:
    """The version of a library that is installed."""
    try:
        return version(library)
    except PackageNotFoundError:  # run from a source tree
        return "source"


def _may_replace(out: Path) -> bool:
    return out.is_dir() and ((out / MANIFEST).exists() or not any(out.iterdir()))


def _move(fresh: Path, out: Path) -> None:
    old = out.with_name(f".{out.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)


def _checked(folder: Path, number: int, row: Any, kind: str) -> dict[str, Any]:
    place = f"{folder}, row {number}"
    if isinstance(row, ValueError) or not isinstance(row, dict):
        raise BadDataset(f"{place}: not JSON ({row}); export the data set again")
    if missing := [key for key in NEEDED[kind] if key not in row]:
        raise BadDataset(f"{place}: {', '.join(missing)} missing; export the data set again")
    for ids, other in ALIGNED.get(kind, ()):
        if len(row[ids]) != len(row[other]):
            raise BadDataset(f"{place}: {len(row[ids])} {ids} but {len(row[other])} {other}; export again")
    return row
