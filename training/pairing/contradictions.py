"""Pairs that contradict each other: of the same prefix, what one prefers to the other another prefers the other way.

Pure. A pair is known by 48 bytes, so that an export of any size can remember all of its pairs.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import groupby

from ..taken import digest_of

SIZE = 16


def edge_of(prompt: Sequence[int], chosen: Sequence[int], rejected: Sequence[int]) -> bytes:
    """Three digests, of 16 bytes each, that stand for a pair."""
    return digest_of(prompt) + digest_of(chosen) + digest_of(rejected)


def name_of(edge: bytes) -> str:
    """The name of a pair, as in the ``pair`` of its row."""
    return blake2b(edge, digest_size=SIZE).hexdigest()


def find_contradictions(edges: Iterable[bytes]) -> set[str]:
    """The names of all pairs that lie on a circle: A before B and B before A, or over any number of others."""
    found = set()
    for _, same_prefix in groupby(sorted(edges), key=lambda edge: edge[:SIZE]):
        names = {(edge[SIZE : 2 * SIZE], edge[2 * SIZE :]): name_of(edge) for edge in same_prefix}
        worse: defaultdict[bytes, set[bytes]] = defaultdict(set)
        for chosen, rejected in names:
            worse[chosen].add(rejected)
        below = {start: _reached(start, worse) for start in list(worse)} if len(names) > 1 else {}
        found |= {name for (chosen, rejected), name in names.items() if chosen in below.get(rejected, ())}
    return found


def _reached(start: bytes, worse: Mapping[bytes, set[bytes]]) -> set[bytes]:
    reached: set[bytes] = set()
    waiting = [start]
    while waiting:
        for other in worse.get(waiting.pop(), ()):
            if other not in reached:
                reached.add(other)
                waiting.append(other)
    return reached
