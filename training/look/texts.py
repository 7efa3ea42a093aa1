"""The text of single tokens, and text that is safe to show: nothing in it steers a terminal or reorders a page."""

from collections.abc import Sequence
from typing import Any

_MOVING = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C, 0x2028, 0x2029, 0xFEFF, 0x200B}
"""Characters that nobody sees and that reorder or break what stands around them."""
_AT_MOST = 4
"""Bytes of a character, and so the most tokens of which one character is made."""


class TokenTexts:
    """The texts of a tokenizer's tokens, and which of them are special."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.added = {int(i): str(token) for i, token in tokenizer.added_tokens_decoder.items()}
        """Tokens that stand outside of the vocabulary that was learnt, with their texts."""
        self.special = frozenset(int(i) for i, token in tokenizer.added_tokens_decoder.items() if token.special)
        self.size = max(tokenizer.get_vocab().values(), default=-1) + 1
        """All ids are below."""
        self._known: dict[int, str] = {}

    def one(self, token: int) -> str:
        """The text of a token by itself; of a piece of a character, the sign U+FFFD."""
        if token not in self._known:
            self._known[token] = self._decode(token)
        return self._known[token]

    def each(self, ids: Sequence[int]) -> list[str]:
        """One text a token. A character that several tokens make up stands at the last of them."""
        texts = [""] * len(ids)
        waiting: list[int] = []
        for place, token in enumerate(ids):
            if not waiting and "\ufffd" not in self.one(token):
                texts[place] = self.one(token)
                continue
            waiting.append(token)
            text = self._tokenizer.decode([t for t in waiting if self.has(t)], clean_up_tokenization_spaces=False)
            if not text.endswith("\ufffd") or len(waiting) == _AT_MOST or place + 1 == len(ids):
                texts[place] = text
                waiting = []
        return texts

    def has(self, token: int) -> bool:
        """Whether the vocabulary has it."""
        return 0 <= token < self.size

    def _decode(self, token: int) -> str:
        if not self.has(token):
            return f"⟨no token {token}⟩"
        text = self._tokenizer.decode([token], clean_up_tokenization_spaces=False)
        stored = self._tokenizer.convert_ids_to_tokens(token)
        spaced = isinstance(stored, str) and stored.startswith("▁") and not text.startswith(" ")
        return f" {text}" if spaced else text


def is_hidden(sign: str) -> bool:
    """Whether a character steers what shows it: a control character, or one that reorders text."""
    return (sign < " " and sign not in "\n\t") or "\x7f" <= sign < "\xa0" or ord(sign) in _MOVING or is_half(sign)


def is_half(sign: str) -> bool:
    """Whether it is half of a character, which no file can hold."""
    return "\ud800" <= sign <= "\udfff"


def visible(text: str) -> str:
    """``text`` with such characters written out.

    >>> visible("a\\x1b[2J\\u202eb")
    'a⟨1B⟩[2J⟨202E⟩b'
    """
    return "".join(f"⟨{ord(sign):02X}⟩" if is_hidden(sign) else sign for sign in text)
