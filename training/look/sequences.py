"""The token sequences of one row, in whatever columns it keeps them: ids, what is trained of them, logprobs.

``input_ids`` with ``labels``, ``assistant_masks``, ``completion_mask`` or ``mask``; ``prompt_ids`` with
``completion_ids``, or with ``chosen_ids`` and ``rejected_ids`` and a mask for each; ``chosen_input_ids`` with
``chosen_labels``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..rows import IGNORED

MASKS = ("assistant_masks", "assistant_mask", "completion_mask", "loss_mask", "mask")


@dataclass(frozen=True, slots=True)
class Tokens:
    """One sequence of a row."""

    name: str
    """``chosen``, ``rejected`` or ``completion``; empty if the row has only one."""
    ids: tuple[int, ...]
    trained: tuple[bool, ...]
    logprobs: tuple[float | None, ...] = ()
    """One each, or none at all."""
    labels: tuple[int, ...] = ()
    """One each, or none at all."""
    prompt: int = 0
    """How many tokens are the prompt by the row's own columns; 0 if these do not say."""


class NotAligned(ValueError):
    """Columns of a row that should have the same length and have not."""


def sequences_of(row: Mapping[str, Any]) -> list[Tokens]:
    """The sequences of a row; none if it keeps no tokens.

    Raises:
        NotAligned: its columns contradict each other in length or type.
    """
    if "input_ids" in row:
        return [_whole(row, "", row["input_ids"], row.get("labels"), next((row[m] for m in MASKS if row.get(m)), None))]
    if "chosen_input_ids" in row and "rejected_input_ids" in row:
        return [
            _whole(row, name, row[f"{name}_input_ids"], row.get(f"{name}_labels"), row.get(f"{name}_mask"))
            for name in ("chosen", "rejected")
        ]
    if "prompt_ids" in row:
        names = [name for name in ("chosen", "rejected", "completion") if f"{name}_ids" in row]
        return [_continued(row, name) for name in names]
    return []


def _whole(row: Mapping[str, Any], name: str, ids: Any, labels: Any, mask: Any) -> Tokens:
    ids = _ints(f"{name} input_ids".strip(), ids)
    logprobs = row.get("logprobs") if not name else None
    for column, values in (("labels", labels), ("mask", mask), ("logprobs", logprobs)):
        if values is not None and len(values) != len(ids):
            raise NotAligned(f"{len(ids)} input_ids but {len(values)} {f'{name} {column}'.strip()}")
    if labels is not None:
        labels = _ints("labels", labels)
        trained = tuple(label != IGNORED for label in labels)
        if mask is not None:
            trained = tuple(t and bool(m) for t, m in zip(trained, mask, strict=True))
    else:
        trained = tuple(bool(m) for m in mask) if mask is not None else (True,) * len(ids)
    return Tokens(name, ids, trained, tuple(logprobs or ()), labels or ())


def _continued(row: Mapping[str, Any], name: str) -> Tokens:
    prompt, ids = _ints("prompt_ids", row["prompt_ids"]), _ints(f"{name}_ids", row[f"{name}_ids"])
    mask = row.get(f"{name}_mask")
    if mask is not None and len(mask) != len(ids):
        raise NotAligned(f"{len(ids)} {name}_ids but {len(mask)} {name}_mask")
    trained = tuple(bool(m) for m in mask) if mask is not None else (True,) * len(ids)
    return Tokens(name, prompt + ids, (False,) * len(prompt) + trained, prompt=len(prompt))


def _ints(column: str, values: Any) -> tuple[int, ...]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise NotAligned(f"{column} is no list of whole numbers")
    try:
        return tuple(int(value) for value in values)
    except (TypeError, ValueError):
        raise NotAligned(f"{column} is no list of whole numbers") from None


def runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """The half-open ranges in which ``flags`` hold.

    >>> runs([False, True, True, False, True])
    [(1, 3), (4, 5)]
    """
    edges = [at for at in range(len(flags) + 1) if (at > 0 and flags[at - 1]) != (at < len(flags) and flags[at])]
    return list(zip(edges[::2], edges[1::2], strict=True))
