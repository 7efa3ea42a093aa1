"""Where a text holds personal data or secrets: detectors of two libraries, patterns of the user's, what is allowed.

A text is also looked at as JSON would read it, because arguments of calls stand in tokens with their escapes:
``jo\\u0040example.com``. Nothing here asks the network.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from ...errors import BadRedaction
from .credentials import SECRETS, secret_finder
from .personal import PERSONAL, personal_finder

KINDS = (*PERSONAL, *SECRETS)
"""What is looked for unless something else is chosen."""
OPTIONAL = ("HIGH_ENTROPY", "ARTIFACTORY_CREDENTIALS")
"""What is looked for only when chosen, because ordinary ids and words look like it."""
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")
_ESCAPE = re.compile(r"""\\(?:u([0-9a-fA-F]{4})|(["'\\/bfnrt]))""")
_FOREIGN = re.compile(r"[^\W\x00-\x7f]")
_LETTERS = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ROUNDS = 2
"""How often escapes are read: JSON, and JSON within JSON."""


class Found(NamedTuple):
    """Characters ``[start, end)`` of a text, and what they are."""

    start: int
    end: int
    kind: str


Finder = Callable[[str], Iterable[tuple[int, int]]]


class Detectors:
    """Finds what is to be redacted; the same text always gives the same result."""

    def __init__(
        self, kinds: Iterable[str] | None = None, also: Mapping[str, str] | None = None, allow: Iterable[str] = ()
    ) -> None:
        """``kinds`` None is ``KINDS``; ``also``: further regular expressions by name; ``allow``: never redacted.

        Raises:
            BadRedaction: an unknown kind, or a name or pattern that cannot be used.
            MissingLibrary: the detectors are not installed.
        """
        self.kinds = KINDS if kinds is None else tuple(dict.fromkeys(kinds))
        self._finders = {kind: _finder(kind) for kind in self.kinds}
        for name, pattern in (also or {}).items():
            if not _NAME.fullmatch(name) or name in self._finders:
                raise BadRedaction(f"{name!r} cannot name a pattern; use new capitals, such as ORDER_NUMBER")
            self._finders[name] = _pattern_finder(name, pattern)
        self._ranks = {kind: rank for rank, kind in enumerate(self._finders)}
        literals = sorted({literal for literal in allow if literal}, key=lambda literal: (-len(literal), literal))
        self._allowed = re.compile("|".join(map(re.escape, literals)), re.IGNORECASE) if literals else None

    def find(self, text: str) -> tuple[Found, ...]:
        """What ``text`` holds, in order, nothing overlapping.

        Where detections overlap they are one, of the kind of the longest.
        """
        found = self._look(text)
        places = range(len(text) + 1)  # where each character of the view begins in the text
        view = text
        for _ in range(_ROUNDS if "\\" in text else 0):
            view, inner = read_escapes(view)
            if len(inner) == len(places):
                break
            places = [places[at] for at in inner]
            allowed = [(places[low], places[high]) for low, high in self._allowances(view)]
            found = [one for one in found if not _inside(_past_escape(text, one.start), one.end, allowed)]
            found += [Found(places[low], places[high], kind) for low, high, kind in self._look(view)]
        # the n of a newline's escape that was taken for a letter goes with its backslash
        found = [one._replace(start=one.start - (_past_escape(text, one.start) > one.start)) for one in found]
        return self._merged(found)

    def _look(self, text: str) -> list[Found]:
        allowed = self._allowances(text)
        # patterns want the end of a word: 4111…1111번 and jo@example.comに have none where the find ends
        views = dict.fromkeys([text] if text.isascii() else [text, _FOREIGN.sub(" ", text)])
        return [
            Found(start, end, kind)
            for view in views
            for kind, finder in self._finders.items()
            for start, end in finder(view)
            if start < end and not _inside(start, end, allowed)
        ]

    def _allowances(self, text: str) -> list[tuple[int, int]]:
        return [match.span() for match in self._allowed.finditer(text)] if self._allowed else []

    def _merged(self, found: Iterable[Found]) -> tuple[Found, ...]:
        merged: list[Found] = []
        longest = 0
        for one in sorted(found, key=lambda one: (one.start, -one.end, self._ranks[one.kind])):
            if merged and one.start < merged[-1].end:
                last = merged[-1]
                kind = one.kind if one.end - one.start > longest else last.kind
                merged[-1] = Found(last.start, max(last.end, one.end), kind)
                longest = max(longest, one.end - one.start)
            else:
                merged.append(one)
                longest = one.end - one.start
        return tuple(merged)


def read_escapes(text: str) -> tuple[str, Sequence[int]]:
    r"""``text`` with JSON's escapes read, and where each of its characters began, the end as one more.

    >>> read_escapes(r"a\nb")
    ('a\nb', [0, 1, 3, 4])
    """
    pieces: list[str] = []
    lengths: list[int] = []
    at = 0
    for match in _ESCAPE.finditer(text):
        code, letter = match.groups()
        pieces += text[at : match.start()], chr(int(code, 16)) if code else _LETTERS.get(letter, letter)
        lengths += [1] * (match.start() - at) + [match.end() - match.start()]
        at = match.end()
    pieces.append(text[at:])
    lengths += [1] * (len(text) - at)
    return "".join(pieces), list(accumulate(lengths, initial=0))


def _finder(kind: str) -> Finder:
    if kind in PERSONAL:
        return personal_finder(kind)
    if kind in SECRETS or kind in OPTIONAL:
        return secret_finder(kind)
    raise BadRedaction(f"{kind!r} is no kind to redact; there are {', '.join((*KINDS, *OPTIONAL))}")


def _pattern_finder(name: str, pattern: str) -> Finder:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise BadRedaction(f"the pattern {pattern!r} of {name} cannot be used: {error}") from error

    def find(text: str) -> Iterator[tuple[int, int]]:
        return (match.span() for match in compiled.finditer(text))

    return find


def _inside(start: int, end: int, ranges: Sequence[tuple[int, int]]) -> bool:
    """Does one of the ``ranges``, which are in order, hold all of it?"""
    at = bisect_right(ranges, start, key=lambda one: one[0])
    return at > 0 and end <= ranges[at - 1][1]


def _past_escape(text: str, start: int) -> int:
    r"""Where a detection begins if the letter of ``\n`` before it is none of its own."""
    return start + 1 if text[start - 1 : start] == "\\" and text[start] in _LETTERS else start
