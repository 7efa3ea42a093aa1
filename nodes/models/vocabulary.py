"""What each token of a vocabulary writes, in bytes, and how to write bytes with tokens."""

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any

_LONGEST = 64
"""Longer tokens are runs of spaces and the like; they are not used to write."""


class Vocabulary:
    """The tokens of one model, as the reader of its answers sees them."""

    def __init__(self, texts: Sequence[bytes], end_ids: frozenset[int]) -> None:
        self.texts = texts
        """By token id; empty for tokens that write nothing."""
        self.end_ids = end_ids
        self.spell = lru_cache(maxsize=8192)(self._spell)
        """The tokens of some bytes, the longest first."""

    @cached_property
    def _ids(self) -> Mapping[bytes, int]:
        usable = [
            (text, token)
            for token, text in enumerate(self.texts)
            if 0 < len(text) <= _LONGEST and token not in self.end_ids
        ]
        return dict(reversed(usable))  # the lowest id of those that write the same

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._ids), default=1)

    def _spell(self, text: bytes) -> tuple[int, ...]:
        ids: list[int] = []
        at = 0
        while at < len(text):
            lengths = range(min(self._longest, len(text) - at), 0, -1)
            length = next((n for n in lengths if text[at : at + n] in self._ids), 0)
            if not length:
                raise ValueError(f"no token writes {text[at : at + 1]!r}")
            ids.append(self._ids[text[at : at + length]])
            at += length
        return tuple(ids)


def read_vocabulary(
    tokenizer: Any, size: int, end_ids: frozenset[int], decoded: Sequence[bytes], markers: Sequence[str]
) -> Vocabulary:
    """The vocabulary of ``size`` tokens, which may be more than the tokenizer has.

    ``decoded`` is what xgrammar makes of the tokens. It takes added ones for ordinary ones, so these are read from
    the tokenizer: special tokens write nothing unless they are among ``markers``.
    """
    texts = [*decoded[:size], *(b"" for _ in range(size - len(decoded)))]
    for token, added in tokenizer.added_tokens_decoder.items():
        if token < size:
            text = str(added.content)
            texts[token] = b"" if added.special and text not in markers else text.encode()
    return Vocabulary(texts, frozenset(token for token in end_ids if token < size))
