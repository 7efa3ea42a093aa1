"""Data set folders: ``data.jsonl`` with one row a line, and ``manifest.json`` that says what they are.

A folder is written beside its place and moved there when complete, so nobody reads half of one. The
same rows give the same bytes and the same digest.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from ..errors import BadDataset

DATA = "data.jsonl"
MANIFEST = "manifest.json"
LIBRARIES = ("threadmill", "langgraph", "langchain-core", "transformers")
NEEDED = {
    "sft": ("input_ids", "labels", "logprobs"),
    "pairs": ("prompt_ids", "chosen_ids", "chosen_mask", "rejected_ids", "rejected_mask"),
}
ALIGNED = {
    "sft": (("input_ids", "labels"), ("input_ids", "logprobs")),
    "pairs": (("chosen_ids", "chosen_mask"), ("rejected_ids", "rejected_mask")),
}
Kind = Literal["sft", "pairs"]


def write_dataset(out: Path, rows: Iterable[Mapping[str, Any]], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Write the folder ``out`` in one step and return the manifest, its ``digest`` filled in.

    A data set that is already there is replaced.

    Raises:
        BadDataset: ``out`` exists and is not a data set.
    """
    if out.exists() and not _may_replace(out):
        raise BadDataset(f"{out} exists and holds no {MANIFEST}; choose a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_name(f".{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    try:
        digest = hashlib.sha256()
        with (fresh / DATA).open("wb") as file:
            for row in rows:
                line = json.dumps(row, separators=(",", ":")).encode() + b"\n"
                digest.update(line)
                file.write(line)
        whole = {
            **manifest,
            "digest": digest.hexdigest(),
            "created_by": {name: _version(name) for name in LIBRARIES},
        }
        (fresh / MANIFEST).write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        _move(fresh, out)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return whole


def _version(library: str) -> str:
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
    return manifest


def read_rows(folder: Path, kind: Kind | None = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """All rows and the manifest of the data set in ``folder``, the rows checked for shape and digest.

    Raises:
        BadDataset: not a data set, not of ``kind``, without rows, changed since its export, or a bad row.
    """
    manifest = read_manifest(folder)
    if kind is not None and manifest["kind"] != kind:
        raise BadDataset(f"{folder} holds {manifest['kind']}, not {kind}; try `threadmill export {kind}`")
    file = Path(folder) / DATA
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BadDataset(f"{file} cannot be read: {error}; export the data set again") from error
    if hashlib.sha256(content).hexdigest() != manifest.get("digest"):
        raise BadDataset(f"{file} is not what its manifest describes; export the data set again")
    rows = [_row(file, number, line, manifest["kind"]) for number, line in enumerate(content.splitlines(), 1)]
    if not rows:
        left_out = ", ".join(f"{reason}: {count}" for reason, count in manifest.get("left_out", {}).items())
        raise BadDataset(f"{folder} holds no row (left out: {left_out or 'nothing'}); export more threads")
    return rows, manifest


def _row(file: Path, number: int, line: bytes, kind: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise BadDataset(f"{file}:{number}: not JSON ({error}); export the data set again") from error
    if missing := [key for key in NEEDED[kind] if key not in row]:
        raise BadDataset(f"{file}:{number}: {', '.join(missing)} missing; export the data set again")
    for ids, other in ALIGNED[kind]:
        if len(row[ids]) != len(row[other]):
            raise BadDataset(f"{file}:{number}: {len(row[ids])} {ids} but {len(row[other])} {other}; export again")
    return row
