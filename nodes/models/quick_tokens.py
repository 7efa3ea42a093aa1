"""Tokens of plain English and code, by words that were seen before: several times as quick as the tokenizer itself.

A byte-level tokenizer cuts a text into words by a pattern, and tokenizes each word on its own. Here the words of ASCII
texts are cut by the same pattern and looked up; the tokenizer is asked for new words and for all other texts. It is
asked to begin with, too: a pattern that cuts otherwise than the tokenizer in any of many texts is not used.
"""

import json
import random
import re
from collections.abc import Sequence
from itertools import chain
from typing import Any

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What ``ByteLevel`` cuts by if it is given no pattern."""
MOST = 65_536
"""Words that are remembered."""
LONGEST = 64
"""Longer words are hardly seen twice."""
_OTHER = re.compile(r"[^\t\n\r -~]")
_CLASSES = {"L": "A-Za-z", "N": "0-9", "Lu": "A-Z", "Ll": "a-z", "Lt": "", "Lm": "", "Lo": "", "M": ""}


class QuickTokens:
    """Does for one tokenizer what its ``encode_batch`` does, without special tokens of its own at the ends."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._words: dict[str, list[int]] = {}
        self._added: dict[str, int] = {}
        self._split: re.Pattern[str] | None = None
        self._cut: re.Pattern[str] | None = None
        pattern = _pattern_of(backend)
        tokens = backend.get_added_tokens_decoder()
        plain = not any(one.lstrip or one.rstrip or one.single_word or one.normalized for one in tokens.values())
        if pattern is not None and plain:
            self._added = {one.content: id_ for id_, one in tokens.items()}
            longest_first = sorted(self._added, key=len, reverse=True)
            self._split = re.compile(f"({'|'.join(map(re.escape, longest_first)) or '(?!)'})")
            self._cut = pattern
            if not self._agrees():
                self._cut = None

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text."""
        if self._cut is None:
            return self._ask(texts)
        found = [self._quick(text) for text in texts]
        asked = iter(self._ask([text for text, ids in zip(texts, found, strict=True) if ids is None]))
        return [next(asked) if ids is None else ids for ids in found]

    def _ask(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        return [one.ids for one in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def _quick(self, text: str) -> list[int] | None:
        """The tokens; None if the tokenizer is to be asked."""
        if self._cut is None or self._split is None or _OTHER.search(text):
            return None
        ids: list[int] = []
        for place, part in enumerate(self._split.split(text)):
            if place % 2:
                ids.append(self._added[part])
            elif part:
                words = self._cut.findall(part)
                try:
                    ids += chain.from_iterable([*map(self._words.__getitem__, words)])
                except KeyError:
                    known = self._words_of(self._cut, words, part)
                    if known is None:
                        return None
                    ids += chain.from_iterable(known)
        return ids

    def _words_of(self, cut: re.Pattern[str], words: Sequence[str], text: str) -> list[list[int]] | None:
        """The tokens of each word, new ones asked for; None if any should not be remembered, or is cut when alone."""
        new = list(dict.fromkeys(word for word in words if word not in self._words))
        if "".join(words) != text or any(len(word) > LONGEST or cut.findall(word) != [word] for word in new):
            return None
        if len(self._words) + len(new) > MOST:
            self._words = {}  # another Python thread may look in the old ones
            new = list(dict.fromkeys(words))
        known = self._words
        known.update(zip(new, self._ask(new), strict=True))
        return [known[word] for word in words]

    def _agrees(self) -> bool:
        """Whether many texts of all kinds have the same tokens either way."""
        texts = _many_texts([text for text in self._added if not _OTHER.search(text)])
        agrees = [self._quick(text) for text in texts] == self._ask(texts)
        self._words = {}
        return agrees


def _pattern_of(backend: Any) -> re.Pattern[str] | None:
    """What the tokenizer cuts ASCII texts by; None if it works in another way."""
    if _rules(backend.normalizer).get("type", "NFC") != "NFC" or getattr(backend.model, "dropout", None):
        return None
    cutting = _rules(backend.pre_tokenizer)
    *splits, last = cutting["pretokenizers"] if cutting.get("type") == "Sequence" else [cutting]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    if not splits:
        return _in_ascii(GPT2) if last.get("use_regex", True) else None
    (split, *others) = splits
    known = split.get("type") == "Split" and split["behavior"] == "Isolated" and not split["invert"]
    if others or not known or last.get("use_regex", True) or "Regex" not in split["pattern"]:
        return None
    return _in_ascii(split["pattern"]["Regex"])


def _rules(part: Any) -> dict[str, Any]:
    """What a part of a tokenizer does, as it is stored."""
    return {} if part is None else json.loads(part.__getstate__())


def _in_ascii(pattern: str) -> re.Pattern[str] | None:
    r"""The same pattern for ASCII texts, in Python's words; None if there is anything else in it.

    >>> _in_ascii(r" ?\p{L}+|[^\s\p{N}]")
    re.compile(' ?[A-Za-z]+|[^\\s0-9]', re.ASCII)
    """
    parts: list[str] = []
    inside = False
    for token in re.findall(r"\\p\{\w+\}|\\.|.", pattern, re.DOTALL):
        if token.startswith("\\p"):
            letters = _CLASSES.get(token[3:-1])
            if letters is None or not (letters or inside):
                return None
            parts.append(letters if inside else f"[{letters}]")
            continue
        if token.startswith("\\P"):
            return None
        inside = token == "[" or (inside and token != "]")
        parts.append(token)
    try:
        compiled = re.compile("".join(parts), re.ASCII)
    except re.error:
        return None
    return compiled if compiled.groups == 0 else None


def _many_texts(tokens: Sequence[str]) -> list[str]:
    """Texts of letters, digits, signs and white space in all sorts of neighbourhoods, the same each time."""
    dice = random.Random(0)
    signs = [chr(code) for code in range(32, 127)]
    parts = ["\n", "\r\n", "\t", "  ", " \n ", "'s", "'LL", "don't", "A1", "123456", "camelCase", "word", *tokens[:8]]
    return ["".join(dice.choices(signs + parts * 4, k=dice.randint(1, 60))) for _ in range(400)]
