"""Rows as tables: how columns are stored in Parquet and in ``datasets`` folders, and how rows are read again."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import BadDataset

ROWS_AT_ONCE = 256
"""In memory while writing, and in a row group."""
CHATS = ("openai", "anthropic", "sharegpt")
"""Kinds whose rows hold JSON of any shape, which a table has no types for."""

_INTS = ("input_ids", "labels", "prompt_ids", "completion_ids", "chosen_ids", "rejected_ids")
_MASKS = ("mask", "completion_mask", "chosen_mask", "rejected_mask")
_TEXTS = ("threads", "checkpoints", "messages", "versions", "nodes")
_TEXT = ("tokens", "source", "thread", "checkpoint", "task", "agent", "why", "pair", "group", "db", "split_key")
_OBJECTS = ("facts", "sampling", "components")
_FLAGS = ("label", "success", "varies")


def schema_of(row: Mapping[str, Any]) -> Any:
    """The Arrow schema of rows like this one, by the names of their columns.

    Raises:
        BadDataset: a column has no known type.
    """
    import pyarrow as pa

    kinds: dict[str, Any] = {
        **dict.fromkeys(_INTS, pa.list_(pa.int32())),
        **dict.fromkeys(_MASKS, pa.list_(pa.int8())),
        **dict.fromkeys(_TEXTS, pa.list_(pa.string())),
        **dict.fromkeys(_TEXT, pa.string()),
        **dict.fromkeys(_FLAGS, pa.bool_()),
        **dict.fromkeys(("logprobs", "step_values", "step_advantages"), pa.list_(pa.float64())),
        "reward": pa.float64(),
        "redacted": pa.int32(),
        **dict.fromkeys(_OBJECTS, pa.string()),
        **dict.fromkeys(("size", "part", "parts", "prompt_length"), pa.int32()),
    }
    unknown = [name for name in row if name not in kinds]
    if unknown:
        raise BadDataset(f"the column {unknown[0]!r} has no type in a table; write jsonl instead")
    return pa.schema([(name, kinds[name]) for name in row])


def write_table(folder: Path, split: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write ``split.parquet``; without rows there is no file.

    Raises:
        BadDataset: a column has no known type, or not every row has it.
    """
    import pyarrow as pa
    import pyarrow.parquet as parquet

    waiting = iter(rows)
    first = list(islice(waiting, 1))
    if not first:
        return
    schema = schema_of(first[0])
    with parquet.ParquetWriter(folder / f"{split}.parquet", schema, compression="zstd") as writer:
        while part := [*first, *islice(waiting, ROWS_AT_ONCE - len(first))]:
            first = []
            for row in part:
                _refuse_other_columns(row, schema.names)
            writer.write_table(pa.Table.from_pylist([_packed(row) for row in part], schema=schema))


def _refuse_other_columns(row: Mapping[str, Any], names: Sequence[str]) -> None:
    if row.keys() != {*names}:
        differing = ", ".join(sorted(row.keys() ^ {*names}))
        raise BadDataset(f"some rows have {differing} and some do not, which a table cannot say; write jsonl instead")


def join_splits(folder: Path, splits: Sequence[str], digest: str) -> None:
    """Make the Parquet files of ``splits`` a folder for ``datasets.load_from_disk``, with the digest as fingerprint."""
    import datasets

    bars = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    cache = folder / ".cache"
    try:
        files = {split: str(folder / f"{split}.parquet") for split in splits}
        read = {
            split: datasets.Dataset.from_parquet(file, cache_dir=str(cache))
            for split, file in files.items()
            if Path(file).exists()
        }
        if read:
            datasets.DatasetDict(read).save_to_disk(str(folder))  # type: ignore[arg-type]
        for split in read:
            state = folder / split / "state.json"
            said = {**json.loads(state.read_text(encoding="utf-8")), "_fingerprint": digest[:16]}
            state.write_text(json.dumps(said, indent=2, sort_keys=True), encoding="utf-8")
            info = folder / split / "dataset_info.json"
            known = json.loads(info.read_text(encoding="utf-8"))
            info.write_text(json.dumps({"features": known["features"]}, indent=2, sort_keys=True), encoding="utf-8")
            Path(files[split]).unlink()
    finally:
        shutil.rmtree(cache, ignore_errors=True)
        if bars:
            datasets.enable_progress_bars()


def _read_lines(folder: Path, split: str) -> Iterator[Any]:
    with (folder / f"{split}.jsonl").open("rb") as lines:
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError as error:
                yield error


def _read_parquet(folder: Path, split: str) -> Iterator[Any]:
    import pyarrow.parquet as parquet

    file = folder / f"{split}.parquet"
    if file.exists():
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(ROWS_AT_ONCE):
                yield from (_unpacked(row) for row in batch.to_pylist())


def _read_datasets(folder: Path, split: str) -> Iterator[Any]:
    import datasets

    if (folder / split).is_dir():
        rows: Any = datasets.load_from_disk(str(folder / split))
        yield from map(_unpacked, rows)


READERS: dict[str, Callable[[Path, str], Iterator[Any]]] = {
    "jsonl": _read_lines,
    "parquet": _read_parquet,
    "datasets": _read_datasets,
}
"""A line that is no JSON comes as the error that says so."""


def _packed(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """``row`` with its JSON objects as text: their keys differ from row to row."""
    return {**row, **{name: json.dumps(row[name]) for name in _OBJECTS if row.get(name) is not None}}


def _unpacked(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, **{name: json.loads(row[name]) for name in _OBJECTS if row.get(name) is not None}}
