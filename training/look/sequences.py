"""The token sequences of one row, in whatever columns it keeps them: ids, what is trained of them, logprobs.

``input_ids`` with ``labels``, ``assistant_masks``, ``completion_mask`` or ``mask``; ``prompt_ids`` with
``completion_ids``, or with ``chosen_ids`` and ``rejected_ids`` and a mask for each; ``chosen_input_ids`` with
``chosen_labels``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import index
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
        return [
            _whole(
                row,
                "",
                row["input_ids"],
                row.get("labels"),
                next((row[m] for m in MASKS if row.get(m) is not None), None),
            )
        ]
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
    logprobs = _logprobs(row.get("logprobs")) if not name else ()
    labels = None if labels is None else _ints(f"{name} labels".strip(), labels)
    mask = None if mask is None else _list(f"{name} mask".strip(), mask)
    for column, values in (("labels", labels), ("mask", mask), ("logprobs", logprobs or None)):
        if values is not None and len(values) != len(ids):
            raise NotAligned(f"{len(ids)} input_ids but {len(values)} {f'{name} {column}'.strip()}")
    labels = labels or ()
    trained = tuple(label != IGNORED for label in labels) or (True,) * len(ids)
    if mask is not None:
        trained = tuple(t and bool(m) for t, m in zip(trained, mask, strict=True))
    return Tokens(name, ids, trained, logprobs, labels)


def _continued(row: Mapping[str, Any], name: str) -> Tokens:
    prompt, ids = _ints("prompt_ids", row["prompt_ids"]), _ints(f"{name}_ids", row[f"{name}_ids"])
    mask = row.get(f"{name}_mask")
    mask = [1] * len(ids) if mask is None else _list(f"{name}_mask", mask)
    if len(mask) != len(ids):
        raise NotAligned(f"{len(ids)} {name}_ids but {len(mask)} {name}_mask")
    trained = (False,) * len(prompt) + tuple(bool(m) for m in mask)
    return Tokens(name, prompt + ids, trained, prompt=len(prompt))


def _ints(column: str, values: Any) -> tuple[int, ...]:
    try:
        return tuple(index(value) for value in _list(column, values))
    except TypeError:
        raise NotAligned(f"{column} is no list of whole numbers") from None


def _logprobs(values: Any) -> tuple[float | None, ...]:
    try:
        return tuple(None if value is None else value + 0.0 for value in _list("logprobs", values or []))
    except TypeError:
        raise NotAligned("logprobs is no list of numbers") from None


def _list(column: str, values: Any) -> Sequence[Any]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise NotAligned(f"{column} is no list but {values!r:.40}")
    return values


def runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """The half-open ranges in which ``flags`` hold.

    >>> runs([False, True, True, False, True])
    [(1, 3), (4, 5)]
    """
    edges = [at for at in range(len(flags) + 1) if (at > 0 and flags[at - 1]) != (at < len(flags) and flags[at])]
    return list(zip(edges[::2], edges[1::2], strict=True))
