"""Pieces of a grammar in xgrammar's EBNF, each with the shortest text that fits it.

Characters are Unicode's without the surrogates: no text that is stored can hold half a character.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Ranges = tuple[tuple[int, int], ...]
"""Inclusive ranges of code points, sorted, not touching each other."""

ENDLESS = "\0"
"""In the shortest text of a part that contains itself, while that text is not known."""
ANY: Ranges = ((0, 0xD7FF), (0xE000, 0x10FFFF))


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a grammar."""

    rule: str
    """In EBNF; may stand in any sequence."""
    least: str
    """The shortest text that it lets through, or one of them."""


def literal(text: str) -> Part:
    """Exactly ``text``."""
    return Part('"' + "".join(map(_escaped, text)) + '"', text)


def sequence(*parts: Part) -> Part:
    """One after the other."""
    return Part("(" + " ".join(part.rule for part in parts) + ")", "".join(part.least for part in parts))


def choice(parts: Sequence[Part]) -> Part:
    """One of ``parts``, of which there is at least one."""
    least = min((part.least for part in parts), key=lambda text: (ENDLESS in text, len(text.encode())))
    return parts[0] if len(parts) == 1 else Part("(" + " | ".join(part.rule for part in parts) + ")", least)


def optional(part: Part) -> Part:
    """``part`` or nothing."""
    return repeat(part, 0, 1)


def repeat(part: Part, low: int, high: int | None = None) -> Part:
    """``low`` to ``high`` times, both included; None is as often as one likes."""
    if high == 0:
        return literal("")
    return Part(f"({part.rule}){{{low},{'' if high is None else high}}}", part.least * low)


def one_of(ranges: Ranges) -> Part:
    """One character out of ``ranges``, which are not empty."""
    likely = next((chr(c) for c in b"a0A -" if contains(ranges, c)), chr(ranges[0][0]))
    spelled = (_escaped(chr(low)) + ("" if low == high else "-" + _escaped(chr(high))) for low, high in ranges)
    return Part("[" + "".join(spelled) + "]", likely)


def contains(ranges: Ranges, code: int) -> bool:
    """Whether a code point lies in ``ranges``."""
    return any(low <= code <= high for low, high in ranges)


def union(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """The same characters, sorted and joined."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    return tuple(joined)


def without(ranges: Ranges, taken: Iterable[tuple[int, int]]) -> Ranges:
    """What is in ``ranges`` and not in ``taken``."""
    left = list(ranges)
    for low, high in taken:
        left = [
            piece
            for begin, end in left
            for piece in ((begin, min(end, low - 1)), (max(begin, high + 1), end))
            if piece[0] <= piece[1]
        ]
    return union(left)


def _escaped(character: str) -> str:
    if character.isascii() and character.isalnum():
        return character
    return f"\\U{ord(character):08x}"
