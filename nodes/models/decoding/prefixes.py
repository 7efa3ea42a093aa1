"""Keys and values kept between the turns of a thread, found again by the exact ids that made them.

A new prompt takes over the longest beginning that it shares with anything kept: its own thread's
last turn, or the instructions that all threads of an agent begin with.
"""

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from .columns import KeysAndValues

SHORTEST = 16
"""Shared tokens below which copying isn't worth it."""


@dataclass(frozen=True, eq=False)
class Kept:
    """Ids and what the model made of them."""

    ids: np.ndarray
    layers: KeysAndValues

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(t.numel() * t.element_size() for pair in self.layers for t in pair)


class Prefixes:
    """At most ``max_bytes`` of keys and values; what was not used for longest goes first."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.bytes = 0
        self._kept: OrderedDict[int, Kept] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, prompt: np.ndarray) -> tuple[Kept | None, int]:
        """What shares the longest beginning with ``prompt``, and its length: at most all but the last token."""
        best, longest = None, SHORTEST - 1
        if len(prompt) <= SHORTEST:
            return None, 0
        for kept in reversed(self._kept.values()):
            if len(kept.ids) <= longest or kept.ids[longest] != prompt[longest]:
                continue  # it cannot share more than the best so far: most are told apart by this one look
            length = shared(kept.ids, prompt[:-1])
            if length > longest:
                best, longest = kept, length
                if longest == len(prompt) - 1:
                    break
        if best is None:
            return None, 0
        self._kept.move_to_end(id(best))
        return best, longest

    def keep(self, kept: Kept, instead_of: Kept | None = None) -> None:
        """Keep it, and no longer ``instead_of``, which it continues."""
        if instead_of is not None:
            self._forget(instead_of)
        size = kept.size
        if size > self.max_bytes:
            return
        self._kept[id(kept)] = kept
        self.bytes += size
        while self.bytes > self.max_bytes:
            self._forget(next(iter(self._kept.values())))

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self.bytes = 0

    def _forget(self, kept: Kept) -> None:
        if self._kept.pop(id(kept), None) is not None:
            self.bytes -= kept.size


def shared(a: np.ndarray, b: np.ndarray) -> int:
    """How many ids two sequences share at their beginning."""
    n = min(len(a), len(b))
    differ = a[:n] != b[:n]
    return int(differ.argmax()) if differ.any() else n
