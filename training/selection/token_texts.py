"""What tokens write, byte for byte, so that a place in a text can be traced to the tokens that wrote it.

Decoding piece by piece would not do: a token may hold half a character, and some decoders drop the space in front.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from ...errors import BadRedaction

_PROBE = "Mail jo@ex.com 42, (a_b): é中😀"


@dataclass
class Written:
    """Tokens between two special ones, and their text."""

    start: int
    """Place of the first token."""
    pieces: Sequence[bytes]
    """What each token writes."""

    def __post_init__(self) -> None:
        self.data = b"".join(self.pieces)
        """All that they write."""
        self._decoded = self.data.decode(errors="surrogateescape")
        self.text = self._decoded if self._decoded.isascii() else "".join(map(_visible, self._decoded))
        """With U+FFFD for every byte that belongs to no character."""

    @cached_property
    def byte_at(self) -> Sequence[int]:
        """Where each character of ``text`` begins in ``data``, the end as one more."""
        if self._decoded.isascii():
            return range(len(self._decoded) + 1)
        return list(accumulate(map(_width, self._decoded), initial=0))

    @cached_property
    def token_at(self) -> Sequence[int]:
        """Where each token begins in ``data``, the end as one more."""
        return list(accumulate(map(len, self.pieces), initial=0))

    def tokens_of(self, start: int, end: int) -> tuple[int, int]:
        """The tokens ``[low, high)`` that hold a byte of ``data[start:end]``, which is not empty."""
        return bisect_right(self.token_at, start) - 1, bisect_left(self.token_at, end)


class TokenTexts:
    """The texts of one tokenizer's tokens."""

    def __init__(self, tokenizer: Any) -> None:
        """
        Raises:
            BadRedaction: the tokenizer writes texts in a way that is not known here.
        """
        self.tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.items()
        self._special = {token for token, entry in added if entry.special} | set(tokenizer.all_special_ids)
        self._texts = {token: str(entry.content).encode() for token, entry in added}
        decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
        self._bytes = _byte_alphabet() if decoder and b"ByteLevel" in decoder.__getstate__() else None
        written = b"".join(self._text(token) or b"" for token in self.encode(_PROBE))
        if _PROBE.encode() not in written:
            raise BadRedaction(
                f"the tokens of {type(tokenizer).__name__} write {written!r} for {_PROBE!r}; redaction "
                "needs byte-level or SentencePiece tokens; take another tokenizer, or redact messages only"
            )

    def encode(self, text: str) -> tuple[int, ...]:
        """The tokens of ``text`` alone."""
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def split(self, ids: Sequence[int]) -> Iterator[Written]:
        """The texts between special tokens, in order.

        Raises:
            BadRedaction: the tokenizer has no such token.
        """
        start = 0
        pieces: list[bytes] = []
        for place, token in enumerate(ids):
            text = self._text(token)
            if text is not None:
                pieces.append(text)
                continue
            if pieces:
                yield Written(start, pieces)
            pieces, start = [], place + 1
        if pieces:
            yield Written(start, pieces)

    def tail(self, ids: Sequence[int]) -> int:
        """How many tokens stand behind the last special one."""
        return next((count for count, token in enumerate(reversed(ids)) if token in self._special), len(ids))

    def _text(self, token: int) -> bytes | None:
        """None for special tokens."""
        if token in self._special:
            return None
        text = self._texts.get(token)
        if text is None:
            text = self._texts[token] = self._read(token)
        return text

    def _read(self, token: int) -> bytes:
        name = self.tokenizer.convert_ids_to_tokens(token)
        if name is None:
            raise BadRedaction(
                f"the tokenizer has no token {token}; give --tokenizer the model that recorded these threads"
            )
        if self._bytes is not None:
            return bytes(self._bytes[char] for char in name) if set(name) <= self._bytes.keys() else name.encode()
        if len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
            return bytes([int(name[3:5], 16)])
        return name.replace("▁", " ").encode()


def _byte_alphabet() -> dict[str, int]:
    """The byte for each of the characters with which byte-level tokens are written down."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


def _width(char: str) -> int:
    return 1 if "\udc80" <= char <= "\udcff" else len(char.encode())


def _visible(char: str) -> str:
    return "\ufffd" if "\udc80" <= char <= "\udcff" else char
