"""What rows do to each other: duplicates, contradictory pairs, and what leaks from the training split into others."""

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from .finding import Finding
from .sequences import Tokens, runs


class SplitCheck:
    """Remembers the rows of a data set by their digests, and compares each new one; training rows come first.

    A trained prefix is a trained turn with all that stands before it. A test row that shares one asks for what
    was taught word for word.
    """

    def __init__(self, splits: Sequence[str]) -> None:
        self._others = len(splits) > 1
        self._rows: dict[int, tuple[str, int]] = {}
        self._pairs: dict[int, int] = {}
        self._prefixes: set[int] = set()
        self._threads: set[str] = set()

    def findings(
        self, split: str, number: int, row: Mapping[str, Any], sequences: Sequence[Tokens]
    ) -> Iterator[Finding]:
        """What is wrong with a row in view of those before it."""
        at, place = self._rows.setdefault(_row_digest(row, sequences), (split, number))
        if at != split:
            what = f"the row is also {at} row {place}: what is tested was trained"
            yield Finding("leaked-row", "error", what, "split by thread or by task, and export again")
        elif place != number and "group" not in row:  # trials may turn out the same
            what = f"the row is the same as row {place}: it counts twice"
            yield Finding("duplicate", "warning", what, "leave one of them out")
        yield from _contradictions(self._pairs, number, row.get("label"), sequences)
        if self._others:
            yield from self._leaks(split, row, sequences, leaked=at != split)

    def _leaks(
        self, split: str, row: Mapping[str, Any], sequences: Sequence[Tokens], *, leaked: bool
    ) -> Iterator[Finding]:
        prefixes = {prefix for tokens in sequences for prefix in _trained_prefixes(tokens)}
        several = row.get("threads")
        threads = {str(thread) for thread in (several if isinstance(several, list) else [row.get("thread")]) if thread}
        if split == "train":
            self._prefixes |= prefixes
            self._threads |= threads
            return
        if prefixes & self._prefixes and not leaked:
            what = "a turn of this row is trained in a training row, behind exactly the same tokens"
            yield Finding("leaked-prefix", "error", what, "keep threads with a common beginning in one split")
        if shared := sorted(threads & self._threads):
            what = f"the training split holds rows of its thread {shared[0]}"
            yield Finding("leaked-thread", "error", what, "split by thread or by task, and export again")


def _row_digest(row: Mapping[str, Any], sequences: Sequence[Tokens]) -> int:
    if sequences:
        return _digest(repr([(t.name, t.ids, t.trained) for t in sequences] + [row.get("label")]).encode())
    shown = {name: value for name, value in row.items() if name in _SAID} or row
    return _digest(json.dumps(shown, sort_keys=True, default=str).encode())


_SAID = ("messages", "conversations", "prompt", "completion", "chosen", "rejected", "text", "label")


def _contradictions(seen: dict[int, int], number: int, label: Any, sequences: Sequence[Tokens]) -> Iterator[Finding]:
    by_name = {tokens.name: tokens.ids for tokens in sequences}
    if "completion" in by_name and isinstance(label, bool):
        seen.setdefault(_digest(repr((by_name["completion"], label)).encode()), number)
        other = seen.get(_digest(repr((by_name["completion"], not label)).encode()))
        if other is not None:
            what = f"row {other} has the same completion with the other label"
            yield Finding("contradiction", "warning", what, "decide for one of them, or leave both out")
    if "chosen" not in by_name or "rejected" not in by_name:
        return
    chosen, rejected = by_name["chosen"], by_name["rejected"]
    seen.setdefault(_digest(repr((chosen, rejected)).encode()), number)
    other = seen.get(_digest(repr((rejected, chosen)).encode()))
    if other is not None and other != number:
        what = f"row {other} prefers what this row rejects"
        yield Finding("contradiction", "warning", what, "decide for one of them, or leave both out")


def _trained_prefixes(tokens: Tokens) -> Iterator[int]:
    state, at = blake2b(digest_size=8), 0
    for _, high in runs(tokens.trained):
        state.update(array("q", tokens.ids[at:high]).tobytes())
        at = high
        yield int.from_bytes(state.digest(), "little")


def _digest(content: bytes) -> int:
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "little")
