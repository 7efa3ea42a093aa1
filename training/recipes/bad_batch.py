"""Keeps the batch of the present step, and writes it down when the loss is not a number any more.

The file is JSON: of every row its token ids, its text, the labels or masks beside it, and the threads it came from.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ORIGIN = ("thread", "threads", "checkpoint", "checkpoints", "task", "source")
"""Columns of a data set's row that say where it came from."""
READ = (("input_ids",), ("prompt_ids", "chosen_ids"), ("prompt_ids", "rejected_ids"), ("prompt_ids", "completion_ids"))
"""Columns that a model reads one after the other, in data sets of any kind."""
Origins = Mapping[tuple[int, ...], Mapping[str, Any]]
"""Token ids to where they came from."""


class KeptBatch:
    """What the model was given in the present step, one entry for each pass."""

    def __init__(self, trainer: Any) -> None:
        self.passes: list[Mapping[str, Any]] = []
        self._step = -1
        prepare = trainer._prepare_inputs

        def keep(inputs: Any) -> Any:
            prepared = prepare(inputs)
            if trainer.state.global_step != self._step:
                self.passes.clear()
                self._step = trainer.state.global_step
            self.passes.append(prepared)
            return prepared

        trainer._prepare_inputs = keep

    def write(self, file: Path, tokenizer: Any, data: Path | None, figures: Mapping[str, Any]) -> None:
        """Write ``figures``, then the rows of each pass, with what the data set in ``data`` says about them."""
        origins = {} if data is None else origins_in(data)
        passes = [rows_of(inputs, tokenizer, origins) for inputs in self.passes]
        file.parent.mkdir(parents=True, exist_ok=True)
        record = {**_json(figures), "passes": passes}
        file.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def origins_in(data: Path) -> Origins:
    """Where the rows of the data set in ``data`` came from, by what a model reads of them."""
    from ..dataset import read_rows

    found = {}
    for row in read_rows(data)[0]:
        origin = {name: row[name] for name in ORIGIN if row.get(name) is not None}
        for columns in READ:
            if all(column in row for column in columns):
                found[tuple(token for column in columns for token in row[column])] = origin
    return found


def rows_of(inputs: Mapping[str, Any], tokenizer: Any, origins: Origins) -> list[dict[str, Any]]:
    """The rows of one pass: every input that has one value, or one list of values, for each row."""
    import torch

    tensors = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor) and value.ndim}
    first = next((tensors[name] for name in ("input_ids", "completion_ids", "prompt_ids") if name in tensors), None)
    if first is None:
        return []
    count = len(first)
    table = {name: value.tolist() for name, value in tensors.items() if len(value) == count}
    found = []
    for number in range(count):
        row = {name: _json(column[number]) for name, column in table.items()}
        ids = _ids(row)
        found.append(
            {"text": tokenizer.decode(ids), "from": [origins[one] for one in _parts(ids, row) if one in origins], **row}
        )
    return found


def _ids(row: Mapping[str, Any]) -> list[int]:
    """The tokens of a row without its padding."""
    if "input_ids" in row:
        mask = row.get("attention_mask") or [1] * len(row["input_ids"])
        return [token for token, real in zip(row["input_ids"], mask, strict=True) if real]
    ids: list[int] = []
    for part in ("prompt", "completion"):
        tokens = row.get(f"{part}_ids", [])
        mask = row.get(f"{part}_mask", [1] * len(tokens))
        ids += [token for token, real in zip(tokens, mask, strict=True) if real]
    return ids


def _parts(ids: list[int], row: Mapping[str, Any]) -> list[tuple[int, ...]]:
    """The rows of the data set in a row of the batch: several where they were packed."""
    positions = row.get("position_ids") or []
    starts = [place for place, position in enumerate(positions) if position == 0] or [0]
    ends = [*starts[1:], len(ids)]
    return [tuple(ids[start:end]) for start, end in zip(starts, ends, strict=True)]


def _json(value: Any) -> Any:
    """``value``, with words for numbers that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _json(one) for name, one in value.items()}
    return [_json(one) for one in value] if isinstance(value, list) else value
