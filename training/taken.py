"""Which turns are trained already: keys that stay the same in every process, and the memory that holds them.

An export of millions of turns gives the makers of rows a memory of its own, such as a table beside the rows.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

from .branches import Branch
from .trajectory import Span


class Taken(Protocol):
    """Remembers keys of 16 bytes."""

    def add(self, keys: Sequence[bytes]) -> list[bool]:
        """Remember ``keys``, and say of each whether it is new; a key that stands twice among them is so once."""
        ...


@dataclass
class TakenInMemory:
    """A set: about 90 bytes a turn."""

    _keys: set[bytes] = field(default_factory=set)

    def add(self, keys: Sequence[bytes]) -> list[bool]:
        """As ``Taken.add``."""
        new = []
        for key in keys:
            new.append(key not in self._keys)
            self._keys.add(key)
        return new


def span_keys(branch: Branch, spans: Sequence[Span]) -> list[bytes | None]:
    """A key for each span of a trajectory of ``branch``, None for what was given.

    Keys are equal for the same turn in two branches, and in a thread and its copy: a recorded turn is known by its
    message, tokens and exact logprobs. Rendered messages may have the ids of an import, which repeat between threads.
    """
    keys: list[bytes | None] = []
    counts: dict[str, int] = {}
    tokens = 0
    for span in spans:
        if span.origin == "given":
            keys.append(None)
        else:
            # several spans of one message are told apart by their number, turns without an id by their place
            place = tokens if span.message is None else counts.get(span.message, 0)
            thread = "" if branch.tokens == "recorded" and span.message else branch.thread
            keys.append(_key(thread, span, place))
            if span.message is not None:
                counts[span.message] = place + 1
        tokens += len(span.tokens)
    return keys


def digest_of(tokens: Sequence[int]) -> bytes:
    """16 bytes that stand for ``tokens``."""
    return blake2b(array("q", tokens).tobytes(), digest_size=16).digest()


def _key(thread: str, span: Span, place: int) -> bytes:
    about = f"{thread}\0{span.message}\0{span.origin}\0{place}\0{len(span.tokens)}\0".encode(errors="surrogatepass")
    key = blake2b(about, digest_size=16)
    key.update(array("q", span.tokens).tobytes())
    key.update(array("d", span.logprobs).tobytes())
    return key.digest()
