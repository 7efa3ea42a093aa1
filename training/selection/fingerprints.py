"""Short hashes of what people said, so that texts can be compared that are kept nowhere.

Facts of a branch are stored beside the rows before any redaction; hashes of whole texts and of 13 words in a row give
nothing of them away.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

from .words import runs, words

RUN = 13
"""Words in a row that are compared: as many as for GPT-3 (Brown et al. 2020, appendix C)."""
WIDTH = 6
"""Bytes of a hash: among 10¹¹ comparisons fewer than one in a thousand is wrong."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Some texts, JSON-safe."""

    texts: str
    """The hash of each text's words, base64; of texts without words none."""
    runs: str
    """The hash of every 13 words in a row, each once."""


def fingerprint(texts: Iterable[str]) -> Fingerprint:
    """The fingerprint of ``texts``."""
    said = [found for text in texts if (found := words(text))]
    whole = dict.fromkeys(_hash(" ".join(found)) for found in said)
    parts = dict.fromkeys(_hash(run) for found in said for run in runs(found, RUN))
    return Fingerprint(_pack(whole), _pack(parts))


def hashes(packed: str) -> Iterator[bytes]:
    """The hashes in ``texts`` or ``runs`` of a fingerprint.

    >>> one, other = fingerprint(["Cancel my ORDER!"]), fingerprint(["Hello.", "cancel my order"])
    >>> [*hashes(one.texts)][0] == [*hashes(other.texts)][1], [*hashes(other.runs)]
    (True, [])
    """
    found = b64decode(packed)
    return (found[start : start + WIDTH] for start in range(0, len(found), WIDTH))


def _hash(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=WIDTH).digest()


def _pack(found: Iterable[bytes]) -> str:
    return b64encode(b"".join(found)).decode()
