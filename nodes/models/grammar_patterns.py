"""Regular expressions and named formats of strings, as grammar parts.

An expression means what Python's ``re.search`` finds, as in the check of the arguments; what is let through
may be less than it allows (``\\w`` only ASCII, say), never more. Look-around, back references, word
boundaries and flags cannot be written as a grammar.
"""

import re
from collections.abc import Callable, Sequence
from importlib import import_module
from math import inf
from typing import Any, NamedTuple

from .grammar_parts import ANY, Part, Ranges, choice, literal, repeat, sequence, union, without

_parser = import_module("re._parser")

_BEGINS, _ENDS = ("AT_BEGINNING", "AT_BEGINNING_STRING"), ("AT_END", "AT_END_STRING")
_CHARACTERS = ("LITERAL", "NOT_LITERAL", "ANY", "IN")
_DIGIT: Ranges = ((48, 57),)
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SPACE: Ranges = ((9, 13), (32, 32))
_WIDE_SPACE: Ranges = (
    *((9, 13), (28, 32), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680)),
    *((0x2000, 0x200A), (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)),
)
_CATEGORIES: dict[str, tuple[Ranges, Ranges]] = {
    # surely of this kind, perhaps of this kind
    "CATEGORY_DIGIT": (_DIGIT, union([*_DIGIT, (0x660, 0x10FFFF)])),
    "CATEGORY_WORD": (_WORD, union([*_WORD, (0x80, 0x10FFFF)])),
    "CATEGORY_SPACE": (_SPACE, _WIDE_SPACE),
}

_LEAP_YEAR = r"([1-9]\d(0[48]|[2468][048]|[13579][26])|([2468][048]|[13579][26])00)"
_MONTH_DAY = (
    r"((0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])"  # what every month has
    r"|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
)
_DATE = rf"([1-9]\d\d\d-{_MONTH_DAY}|{_LEAP_YEAR}-02-29)"
_TIME = r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?"
_ZONE = r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
_BYTE = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_NAME = r"[A-Za-z0-9]([A-Za-z0-9-]{0,20}[A-Za-z0-9])?"
FORMATS = {
    "date": _DATE,
    "time": _TIME + _ZONE,
    "date-time": _DATE + "T" + _TIME + _ZONE,
    "uuid": r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
    "email": rf"[A-Za-z0-9_+-]{{1,30}}(\.[A-Za-z0-9_+-]{{1,20}}){{0,4}}@{_NAME}(\.{_NAME}){{1,4}}",
    "ipv4": rf"{_BYTE}\.{_BYTE}\.{_BYTE}\.{_BYTE}",
}
"""Formats that are held to, each as the whole text; the others say nothing here, as in JSON Schema."""


class CannotWrite(Exception):
    """The expression has something that a grammar has not."""


class Pattern(NamedTuple):
    """A pattern as a grammar part, and how many characters its texts have."""

    part: Part
    shortest: int
    longest: float
    leasts: tuple[str, ...]
    """The shortest text of each alternative."""


def pattern(expression: str, one_of: Callable[[Ranges], Part], least: int = 0, most: int | None = None) -> Pattern:
    """The texts in which ``expression`` is found; ``one_of`` writes one character out of some.

    A repetition of one kind of character, such as ``^[a-z]+$``, is kept to ``least`` and ``most`` characters.

    Raises:
        CannotWrite: it cannot be written as a grammar, or is no regular expression.
    """
    try:
        tree = _parser.parse(expression)
    except (re.error, RecursionError) as error:
        raise CannotWrite(f"no regular expression: {error}") from error
    if tree.state.flags & ~re.UNICODE.value:
        raise CannotWrite("flags")
    items = list(tree)
    anchored = len(items) > 1 and _anchor(items[0]) in _BEGINS and _anchor(items[-1]) in _ENDS
    low, high = tree.getwidth()
    if anchored and len(items) == 3 and _is_repeated_character(items[1]):
        kind, (few, many, inner) = items[1]
        many = inf if many is _parser.MAXREPEAT else many
        low, high = max(few, least), min(many, inf if most is None else most)
        if low <= high:
            items[1] = (kind, (low, _parser.MAXREPEAT if high == inf else high, inner))
    longest = inf if not anchored or high >= _parser.MAXREPEAT else high
    writer = _Writer(one_of)
    part = writer.anywhere(items)
    return Pattern(part, low, longest, tuple(writer.leasts))


def _is_repeated_character(item: Any) -> bool:
    name, about = str(item[0]), item[1]
    return name in ("MAX_REPEAT", "MIN_REPEAT") and len(about[2]) == 1 and str(about[2][0][0]) in _CHARACTERS


class _Writer:
    """Writes the parsed tree of one expression."""

    def __init__(self, one_of: Callable[[Ranges], Part]) -> None:
        self.one_of = one_of
        self.leasts: list[str] = []

    def anywhere(self, items: list[Any]) -> Part:
        """The items at any place of the text, unless they are anchored."""
        if len(items) == 1 and str(items[0][0]) == "BRANCH":
            return choice([self.anywhere(list(option)) for option in items[0][1][1]])
        begins = bool(items) and _anchor(items[0]) in _BEGINS
        items = items[1:] if begins else items
        ends = bool(items) and _anchor(items[-1]) in _ENDS
        items = items[:-1] if ends else items
        around = repeat(self.one_of(ANY), 0)
        inner = self.items(items)
        self.leasts.append(inner.least)
        return sequence(*([] if begins else [around]), inner, *([] if ends else [around]))

    def items(self, items: Sequence[Any]) -> Part:
        return sequence(*map(self.item, items)) if items else literal("")

    def item(self, item: Any) -> Part:
        name, about = str(item[0]), item[1]
        match name:
            case "LITERAL":
                return self.one_of(((about, about),))
            case "NOT_LITERAL":
                return self.one_of(without(ANY, [(about, about)]))
            case "ANY":
                return self.one_of(without(ANY, [(10, 10)]))
            case "IN":
                return self.one_of(_set(about))
            case "BRANCH":
                return choice([self.items(list(option)) for option in about[1]])
            case "SUBPATTERN" if not about[1] and not about[2]:
                return self.items(list(about[3]))
            case "MAX_REPEAT" | "MIN_REPEAT":
                low, high, inner = about
                return repeat(self.items(list(inner)), low, None if high is _parser.MAXREPEAT else high)
            case _:
                raise CannotWrite(name.lower().replace("_", " "))


def _anchor(item: Any) -> str:
    return str(item[1]) if str(item[0]) == "AT" else ""


def _set(items: Sequence[Any]) -> Ranges:
    """The characters of a set in brackets."""
    negated = str(items[0][0]) == "NEGATE"
    found: list[tuple[int, int]] = []
    for kind, about in items[negated:]:
        match str(kind):
            case "LITERAL":
                found.append((about, about))
            case "RANGE":
                found.append(about)
            case _:
                found += _category(str(about), perhaps=negated)
    ranges = without(ANY, found) if negated else without(union(found), [(0xD800, 0xDFFF)])
    if not ranges:
        raise CannotWrite("an empty set of characters")
    return ranges


def _category(name: str, *, perhaps: bool) -> Ranges:
    """Characters surely of a kind, or all that are perhaps of it."""
    turned = "CATEGORY_NOT_" in name
    sure, maybe = _CATEGORIES[name.replace("NOT_", "")]
    if turned:
        return without(ANY, sure if perhaps else maybe)
    return maybe if perhaps else sure
