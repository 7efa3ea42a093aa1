"""Rows that are the same, or nearly: of each such set the best one stays.

Nearly the same are texts that share most of their runs of five words: their Jaccard similarity, estimated by MinHash
(Broder 1997, "On the resemblance and containment of documents"). Locality-sensitive hashing by datasketch finds
the few texts that may be alike, so that not all pairs are compared. Of a text only 128 bytes and its keys are kept.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any
from zlib import crc32

from langchain_core.messages import AIMessage, HumanMessage

from ..branches import Branch
from .entry import Entry, best_first
from .words import runs, words

SHINGLE = 5
"""Words in a row."""
PERMUTATIONS = 128
_AT_ONCE = 5_000
"""Runs hashed together; each takes half a kilobyte meanwhile."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """What is kept of a text."""

    keys: bytes
    """Eight bytes for each band of minimums; two texts that share one may be alike."""
    values: bytes
    """The lowest byte of each minimum."""

    def likeness(self, other: "Sketch") -> float:
        """The estimated part of runs that the texts share; bytes that agree by chance are taken off.

        Li and König 2010, "b-bit minwise hashing", say why one byte of each is enough.
        """
        equal = sum(map(int.__eq__, self.values, other.values)) / len(self.values)
        return max(0.0, (equal - 1 / 256) / (1 - 1 / 256))


class Sketcher:
    """Makes sketches for one threshold."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold

    def sketch(self, text: str) -> Sketch | None:
        """The sketch of ``text``; None if it has no words."""
        said = words(text)
        if not said:
            return None
        shingles = [run.encode("utf-8", "surrogatepass") for run in runs(said, min(SHINGLE, len(said)))]
        minimums, bands = self._fresh
        found = minimums.copy()
        for start in range(0, len(shingles), _AT_ONCE):
            found.update_batch(shingles[start : start + _AT_ONCE])
        keys = (_digest(bytes([at]) + found.hashvalues[low:high].tobytes()) for at, (low, high) in enumerate(bands))
        return Sketch(b"".join(keys), (found.hashvalues & 255).astype("uint8").tobytes())

    @cached_property
    def _fresh(self) -> tuple[Any, list[tuple[int, int]]]:
        from datasketch import MinHash, MinHashLSH

        # Every hit is looked at again, so that a pair missed is worse than one found in vain.
        index = MinHashLSH(min(self.threshold, 0.95), PERMUTATIONS, weights=(0.1, 0.9))
        return MinHash(PERMUTATIONS, hashfunc=crc32, scheme="affine32"), index.hashranges


def branch_text(branch: Branch) -> str:
    """What people and the agent said and called; system prompts and results, which many threads share, are left out."""
    said = []
    for message in branch.messages:
        if isinstance(message, HumanMessage | AIMessage):
            said.append(str(message.text))
        if isinstance(message, AIMessage):
            said += [f"{call['name']} {_arguments(call['args'])}" for call in message.tool_calls]
    return "\n".join(text for text in said if text)


def exact_duplicates(entries: Sequence[Entry]) -> dict[int, str]:
    """The places to leave out so that every digest is there once."""
    left_out = {}
    seen = set()
    for entry in best_first(entries):
        if entry.digest in seen:
            left_out[entry.place] = "duplicate"
        seen.add(entry.digest)
    return left_out


def near_duplicates(entries: Sequence[Entry], sketches: Mapping[int, Sketch], threshold: float) -> dict[int, str]:
    """The places to leave out so that no two texts have a likeness of ``threshold`` or more.

    ``sketches`` are by place. A row is compared with those that stay, so that a chain of likenesses does not fall as
    a whole.
    """
    left_out = {}
    shared = _shared_keys([sketches[entry.place].keys for entry in entries if entry.place in sketches])
    staying: dict[bytes, list[Sketch]] = defaultdict(list)
    for entry in best_first(entries):
        sketch = sketches.get(entry.place)
        if sketch is None:
            continue
        keys = [key for key in _each(sketch.keys) if key in shared]
        alike = {id(other): other for key in keys for other in staying[key]}
        if any(sketch.likeness(other) >= threshold for other in alike.values()):
            left_out[entry.place] = "near duplicate"
            continue
        for key in keys:
            staying[key].append(sketch)
    return left_out


def _shared_keys(rows: Sequence[bytes]) -> set[bytes]:
    """The keys that more than one of ``rows`` has; most texts are like no other and need no further room."""
    import numpy as np

    values, counts = np.unique(np.frombuffer(b"".join(rows), dtype="<u8"), return_counts=True)
    return {int(value).to_bytes(8, "little") for value in values[counts > 1]}


def _each(keys: bytes) -> list[bytes]:
    return [keys[start : start + 8] for start in range(0, len(keys), 8)]


def _arguments(args: Any) -> str:
    return json.dumps(args, sort_keys=True, ensure_ascii=False, default=str)


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=8).digest()
