"""Numbers within bounds, as grammar parts.

Whole numbers have at most 18 digits and others at most 15 in front of the point, exponents two, so that nothing
overflows into infinity and no model writes digits without end.
"""

import math
from decimal import Decimal

from .grammar_parts import Part, Ranges, choice, literal, one_of, optional, repeat, sequence

_DIGITS: Ranges = ((48, 57),)
_DIGIT = one_of(_DIGITS)
_TAIL = 6
"""Decimals behind those that a bound has."""
_MOST_WHOLE, _MOST = 10**18 - 1, 10**15 - 1


def number() -> Part:
    """Any number."""
    whole = choice([literal("0"), sequence(one_of(((49, 57),)), repeat(_DIGIT, 0, 14))])
    fraction = sequence(literal("."), repeat(_DIGIT, 1, 17))
    exponent = sequence(choice([literal("e"), literal("E")]), optional(_sign()), repeat(_DIGIT, 1, 2))
    return sequence(optional(literal("-")), whole, optional(fraction), optional(exponent))


def _sign() -> Part:
    return choice([literal("-"), literal("+")])


def integers(low: int | None, high: int | None) -> Part | None:
    """Whole numbers from ``low`` to ``high``, both included; None if there are none.

    >>> integers(7, 12).least
    '7'
    """
    low = -_MOST_WHOLE if low is None else low
    high = _MOST_WHOLE if high is None else high
    options = []
    if low <= high and high >= 0:
        options += _naturals(max(low, 0), high)
    if low <= high and low < 0:
        options += [sequence(literal("-"), part) for part in _naturals(max(1, -high), -low)]
    return choice(options) if options else None


def multiples(low: int | None, high: int | None, step: int) -> Part | None:
    """Multiples of ``step`` from ``low`` to ``high``, if there are any and no more than 1,000."""
    if low is None or high is None:
        return None
    first = -(-low // step) * step
    found = range(first, high + 1, step)
    return choice([literal(str(value)) for value in found]) if 0 < len(found) <= 1000 else None


def _naturals(low: int, high: int) -> list[Part]:
    """Whole numbers from ``low`` to ``high``, neither negative, one part for each length."""
    options = []
    while low <= high:
        last = min(high, 10 ** len(str(low)) - 1)
        options.append(_between(str(low), str(last)))
        low = last + 1
    return options


def _between(low: str, high: str) -> Part:
    """Digits between two strings of them of the same length."""
    if not low:
        return literal("")
    rest = len(low) - 1
    if set(low[1:]) <= {"0"} and set(high[1:]) <= {"9"}:
        return sequence(one_of(((ord(low[0]), ord(high[0])),)), repeat(_DIGIT, rest, rest))
    if low[0] == high[0]:
        return sequence(literal(low[0]), _between(low[1:], high[1:]))
    options = [
        sequence(literal(low[0]), _between(low[1:], "9" * rest)),
        sequence(literal(high[0]), _between("0" * rest, high[1:])),
    ]
    if ord(high[0]) - ord(low[0]) > 1:
        options.insert(1, sequence(one_of(((ord(low[0]) + 1, ord(high[0]) - 1),)), repeat(_DIGIT, rest, rest)))
    return choice(options)


def decimals(low: float | None, high: float | None, *, open_low: bool = False, open_high: bool = False) -> Part | None:
    """Numbers from ``low`` to ``high`` without exponents; an open end is not included. None if there are none."""
    lowest = Decimal(-_MOST) if low is None else Decimal(repr(low))
    highest = Decimal(_MOST) if high is None else Decimal(repr(high))
    options = [
        _positives(max(lowest, Decimal(0)), highest, open_low and lowest >= 0, open_high),
        _positives(max(-highest, Decimal(0)), -lowest, open_high and highest <= 0, open_low),
    ]
    signed = [(literal(""), options[0]), (literal("-"), options[1])]
    found = [sequence(sign, part) for sign, part in signed if part is not None]
    return choice(found) if found else None


def _positives(low: Decimal, high: Decimal, open_low: bool, open_high: bool) -> Part | None:
    """Numbers that are not negative, from ``low`` to ``high``."""
    if high < low or (high == low and (open_low or open_high)):
        return None
    first, last = math.floor(low), math.floor(high)
    above, below = _fraction(low), _fraction(high)
    any_fraction = optional(sequence(literal("."), repeat(_DIGIT, 1, _TAIL)))
    options = []
    if first == last:
        options.append((first, first, _fractions(above, below, open_low, open_high)))
    else:
        options.append((first, first, _fractions(above, None, open_low, False)))
        options.append((first + 1, last - 1, any_fraction))
        options.append((last, last, _fractions("", below, False, open_high)))
    found = []
    for least, most, fraction in options:
        whole = integers(least, most)
        if whole is not None and fraction is not None:
            found.append(sequence(whole, fraction))
    return choice(found) if found else None


def _fraction(value: Decimal) -> str:
    """The digits behind the point, without zeros at the end."""
    return format(value % 1, "f").partition(".")[2].rstrip("0")


def _fractions(low: str, high: str | None, open_low: bool, open_high: bool) -> Part | None:
    """What may stand behind a whole number, for a fraction from ``low`` to ``high``; None has no upper end."""
    options = []
    if not low and not open_low and not (high == "" and open_high):
        options.append(literal(""))
    digits = _digits(low, high, open_low, open_high)
    if digits is not None:
        options.append(sequence(literal("."), digits))
    return choice(options) if options else None


def _digits(low: str, high: str | None, open_low: bool, open_high: bool) -> Part | None:
    """One or more digits of a fraction between two."""
    if high == "":  # nothing but zeros, if it may be reached at all
        return None if open_high or low or open_low else repeat(literal("0"), 1, _TAIL)
    if not low and high is None:
        return repeat(_DIGIT, 1, _TAIL) if not open_low else _not_zero()
    begin, end = int(low[:1] or 0), 9 if high is None else int(high[0])
    options = []
    for digit in range(begin, end + 1):
        lower, upper = low[1:] if digit == begin else "", high[1:] if high is not None and digit == end else None
        opened, closed = open_low and digit == begin, open_high and upper is not None
        more = _digits(lower, upper, opened, closed) if lower or opened or upper is not None else None
        free = not lower and not opened and upper is None
        if free:
            more = repeat(_DIGIT, 1, _TAIL)
        if not lower and not opened and not (upper == "" and closed):
            options.append(sequence(literal(str(digit)), optional(more)) if more else literal(str(digit)))
        elif more is not None:
            options.append(sequence(literal(str(digit)), more))
    return choice(options) if options else None


def _not_zero() -> Part:
    """Digits that are not all zero."""
    return sequence(repeat(literal("0"), 0, _TAIL - 1), one_of(((49, 57),)), repeat(_DIGIT, 0, _TAIL - 1))
