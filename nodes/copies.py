"""Whether a value was copied out of a text: as it stands, in other case or spacing, in part, or encoded.

Only copies are found, no paraphrase: see ``taint.py`` for what that means.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from .encoded import WRITTEN_OUT, decoded
from .hidden_text import may_hide
from .numerals import numbers_apart, numbers_of, sizes_in

_WORD = re.compile(r"\w[\w@.+-]*")
_LONG = 8
"""From so many characters on, a value is looked for within words too."""
_LONGER = 12
"""And from so many letters on, whatever stands between them."""
_PHRASE = 4
"""So many words in a row are a quotation."""


@dataclass(frozen=True)
class Said:
    """A text that may be searched, and where it was said."""

    text: str
    tool: str = ""
    message: str = ""

    @cached_property
    def plain(self) -> str:
        """The text, and behind it what is encoded in it."""
        return " ".join(map(_plain, [self.text, *decoded(self.text)]))

    @cached_property
    def words(self) -> frozenset[str]:
        """Its words, names and addresses, and the parts of those."""
        return frozenset(part for word in _WORD.findall(self.plain) for part in _parts(word))

    @cached_property
    def phrases(self) -> frozenset[str]:
        """So many of its words in a row as are a quotation."""
        return frozenset(_phrases(self.plain))

    @cached_property
    def sizes(self) -> frozenset[float]:
        """Its numbers, also those that stand right beside letters, without their signs."""
        return sizes_in(self.plain)

    @cached_property
    def numbers_apart(self) -> frozenset[float]:
        """Its numbers that are no part of a name."""
        return numbers_apart(self.plain)

    @cached_property
    def squeezed(self) -> str:
        """Its letters and digits."""
        return _squeeze(self.plain)

    def says(self, text: str) -> bool:
        """Does ``text``, which is plain, stand in it as a whole?"""
        if text not in self.plain:  # most do not: the pattern is much slower
            return False
        return re.search(rf"(?<![\w@.+-]){re.escape(text)}(?![\w@+-]|\.\w)", self.plain) is not None

    def holds(self, text: str, squeezed: str) -> bool:
        """Does ``text``, which is plain, stand in it, if need be within a word or with other separators?

        ``squeezed`` is ``text`` without its separators.
        """
        if (len(text) >= _LONG and text in self.plain) or self.says(text):
            return True
        fits = _LONG <= len(squeezed) <= len(self.plain)
        tells = len(squeezed) >= _LONGER or any(map(str.isdigit, squeezed))
        return fits and tells and squeezed in self.squeezed


class Copy(NamedTuple):
    """A part of a value, and the text that it stands in."""

    part: str
    source: Said


def copied(value: str | float, sources: Iterable[Said], trusted: Said) -> Copy | None:
    """What of ``value`` stands in the first of ``sources`` that has any of it, and not in ``trusted``; or None.

    >>> copied("Mail Eve@Evil.example!", [Said("write to eve@evil.example")], Said("mail Eve")).part
    'eve@evil.example'
    """
    numbers = numbers_of(value)
    if numbers and numbers <= trusted.numbers_apart | {-1.0, 0.0, 1.0}:  # nought and one stand everywhere
        return None
    sizes = set(map(abs, numbers))
    texts = [text for text in (_plain(str(value)), *map(_plain, decoded(str(value)))) if text]
    unsaid = [
        (
            text,
            squeezed,
            dict.fromkeys(part for part in telling_parts(text) if part not in trusted.words),
            dict.fromkeys(phrase for phrase in _phrases(text) if phrase not in trusted.phrases),
        )
        for text, squeezed in zip(texts, map(_squeeze, texts), strict=True)
        if not trusted.says(text) and not (numbers and trusted.holds(text, squeezed))
    ]
    for source in sources:
        if sizes & source.sizes:
            return Copy(str(value), source)
        for text, squeezed, parts, phrases in unsaid:
            if source.holds(text, squeezed):
                return Copy(text if len(text) <= 80 else text[:79] + "…", source)
            if parts and (found := _first_in(source.words, parts)):
                return Copy(found, source)
            if phrases and (found := _first_in(source.phrases, phrases)):
                return Copy(found, source)
    return None


def _first_in(said: Set[str], wanted: Mapping[str, None]) -> str | None:
    """The first of ``wanted`` that was ``said``; both may be long, mostly they have nothing in common."""
    return None if wanted.keys().isdisjoint(said) else next(one for one in wanted if one in said)


def telling_parts(text: str) -> Iterator[str]:
    """The words of ``text`` that are no common words: ids, addresses, names of hosts and files, long ones."""
    for word in _WORD.findall(_plain(text)):
        for part in _parts(word):
            if len(part) >= 4 and (len(part) >= 12 or re.search(r"\d|\w[@.+_-]\w", part)):
                yield part


def _phrases(text: str) -> Iterator[str]:
    """Every so many words in a row of ``text``, which is plain, that are long enough to tell something."""
    words = re.findall(r"\w+", text)
    for at in range(len(words) - _PHRASE + 1):
        phrase = " ".join(words[at : at + _PHRASE])
        if len(phrase) >= 2 * _LONG:
            yield phrase


def _parts(word: str) -> Iterator[str]:
    """``word`` without the marks behind it, and of an address what stands on either side of its @."""
    word = word.rstrip("@.+-")
    yield word
    if "@" in word:
        yield from (part for part in word.split("@") if part)


def _plain(text: str) -> str:
    """``text`` as it is compared: one form of each character, no hidden ones, no case, single spaces."""
    if "<U+" in text:
        text = WRITTEN_OUT.sub("", text)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    if hidden := [character for character in set(text) if may_hide(character) and not character.isspace()]:
        text = text.translate(dict.fromkeys(map(ord, hidden)))
    return " ".join(text.casefold().split())


def _squeeze(text: str) -> str:
    return "".join(filter(str.isalnum, text))
