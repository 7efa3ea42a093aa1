"""Quantities in a text: numbers in digits or words, in units that can be compared, and what follows from them. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

_SMALL = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
_WRITTEN = {word: float(value) for value, word in enumerate(_SMALL)} | {
    "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60,
    "seventy": 70, "eighty": 80, "ninety": 90, "dozen": 12, "half a dozen": 6, "half an": 0.5, "half a": 0.5,
    "a quarter of an": 0.25, "three quarters of an": 0.75, "an": 1, "a": 1, "once": 1, "twice": 2, "thrice": 3,
}  # fmt: skip
_TIMES = {"hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "mn": 1e6, "m": 1e6, "billion": 1e9, "bn": 1e9}
_UNITS: dict[str, tuple[str, float]] = {
    word: (kind, factor)
    for kind, table in {
        "time": {"seconds sec secs": 1, "minutes min mins": 60, "hours h hr hrs": 3600, "days": 86400,
                 "weeks": 604800, "fortnights": 1209600, "months": 2629800, "years": 31557600, "decades": 315576000,
                 "ms milliseconds": 1e-3},
        "length": {"mm millimetres millimeters": 1e-3, "cm centimetres centimeters": 1e-2, "m metres meters": 1,
                   "km kilometres kilometers": 1e3, "miles": 1609.344, "feet ft foot": 0.3048, "inches inch": 0.0254},
        "mass": {"mg milligrams": 1e-3, "g grams": 1, "kg kilos kilograms": 1e3, "tons tonnes": 1e6, "lb": 453.6},
        "volume": {"ml millilitres milliliters": 1e-3, "l litres liters": 1},
        "data": {"bytes": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12},
        "heat": {"°c degrees": 1},
        "fahrenheit": {"°f": 1},
        "share": {"% percent": 1},
        "power": {"w watts": 1, "kw kilowatts": 1e3, "mw megawatts": 1e6},
    }.items()
    for words, factor in table.items()
    for one in words.split()
    for word in (one, one.removesuffix("s") if len(one) > 3 else one)
}  # fmt: skip
_NUMBER = re.compile(
    r"(?<![\w.])(?:(?P<digits>\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)|"
    rf"(?P<words>\b(?:{'|'.join(sorted(_WRITTEN, key=len, reverse=True))})\b))"
    rf"(?:[ -]?(?P<times>(?:{'|'.join(sorted(_TIMES, key=len, reverse=True))}))\b)?"
    r"(?:[\s-]?(?P<unit>%|°\s?[CF]\b|[a-zA-Zµ]+))?",
    re.IGNORECASE,
)
_BOUND = re.compile(
    r"\b(?:(?P<more>more than|over|above|at least|exceed\w*|beyond|longer than|older than|upwards of)|"
    r"(?P<less>no more than|less than|fewer than|under|below|at most|up to|within|shorter than|younger than)|"
    r"(?P<near>about|around|roughly|approximately|nearly|almost|some|circa))\s+(?:the\s+|an?\s+)?[€$£]?$",
    re.IGNORECASE,
)
_ADDED = re.compile(
    r"\b(?:total|together|altogether|combined|sum|overall|both|in all|later|earlier|before|after|older|younger|longer|"
    r"shorter|more|less|fewer|cheaper|dearer|difference|times|saves?|left|remain\w*|at (?:two|three|four|\d+))\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in a text."""

    words: str
    number: float
    """As it was written."""
    value: float
    """In the smallest unit of its kind."""
    kind: str
    """Of unit; empty if it has none that is known."""
    bound: str
    """``more``, ``less`` or ``near``, if it is said to be so."""
    start: int
    end: int


def quantities_in(text: str) -> Iterator[Quantity]:
    """The quantities of ``text`` in order.

    >>> [(one.words, one.value, one.kind) for one in quantities_in("Two hours, 1,200 crowns, half a litre, 3 kg.")]
    [('Two hours', 7200.0, 'time'), ('1,200', 1200.0, ''), ('half a litre', 0.5, 'volume'), ('3 kg', 3000.0, 'mass')]
    """
    for found in _NUMBER.finditer(text):
        before = text[max(0, found.start() - 24) : found.start()]
        number = float(found["digits"].replace(",", "")) if found["digits"] else _WRITTEN[found["words"].casefold()]
        times, unit = (found["times"] or "").casefold(), re.sub(r"\s", "", found["unit"] or "").casefold()
        kind, factor = _UNITS.get(unit, ("", 1.0))
        if times == "m" and not before.endswith(("$", "€", "£")):
            times, kind, factor = "", "length", 1.0
        weak = found["words"] and found["words"].casefold() in ("a", "an", "one", "once") and not times
        if weak and not (kind and _BOUND.search(before)):
            continue  # an article, or a pronoun
        number *= _TIMES.get(times, 1.0)
        groups = ("digits", "words", "times", "unit") if unit in _UNITS else ("digits", "words", "times")
        end = max(map(found.end, groups))
        bound = _BOUND.search(before)
        said = bound.lastgroup if bound else ""
        yield Quantity(text[found.start() : end], number, number * factor, kind, said or "", found.start(), end)


def follows(one: Quantity, told: Sequence[Quantity]) -> bool:
    """Is ``one`` among ``told``, or bounded by one of them?"""
    return any(_equal(one, other) or (one.bound and _holds(one, other)) for other in told)


def says_worked_out(text: str) -> bool:
    """Does it say that a number was worked out?"""
    return _ADDED.search(text) is not None


def worked_out(one: Quantity, told: Sequence[Quantity]) -> bool:
    """Is ``one`` the sum, difference or product of two of ``told``, or the sum of three?"""
    values = [*dict.fromkeys(value for other in told for value in (other.number, other.value))][:24]
    pairs = [*combinations(values, 2)]
    results = {result for a, b in pairs for result in (a + b, abs(a - b), a * b)} | {2 * value for value in values}
    alike = dict.fromkeys(other.value for other in told if other.kind == one.kind)
    results |= {sum(three) for three in combinations([*alike][:12], 3)}
    return any(_same(one.value, result) or _same(one.number, result) for result in results)


def is_multiple(one: Quantity, told: Sequence[Quantity]) -> bool:
    """Is it twice or three times one of ``told``, or a half or a third?"""
    alike = [other.value for other in told if other.kind == one.kind]
    return any(_same(one.value, value * factor) for value in alike for factor in (2, 3, 1 / 2, 1 / 3))


def _equal(one: Quantity, other: Quantity) -> bool:
    if one.kind and other.kind:
        return one.kind == other.kind and _same(one.value, other.value)
    return _same(one.number, other.number)


def _holds(one: Quantity, other: Quantity) -> bool:
    if one.kind != other.kind or one.bound == other.bound or not one.value:
        return False
    ratio = other.value / one.value
    if one.bound == "near":
        return 0.9 <= ratio <= 1.1
    far = 2 if one.kind else 1.25  # what the number counts is not known without a unit
    return 1 <= ratio <= far if one.bound == "more" else 1 / far <= ratio <= 1


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-6 * max(abs(a), abs(b))
