"""The numbers in a text, however their digits are grouped: 1,250.00 and 1.250,00 and 1 250 and 1.25e3 are the same."""

import re
from collections.abc import Iterator

_GROUPED = r"\d(?:[\d.,'_]*\d)?"
_SPACED = r"\d{1,3}(?: \d{3})+(?:[.,]\d+)?"
_SCIENTIFIC = r"\d+(?:\.\d+)?e[-+]?\d{1,3}"
_ANY = tuple(map(re.compile, (rf"[-+]?{_GROUPED}", rf"[-+]?{_SPACED}(?!\d)", rf"[-+]?{_SCIENTIFIC}(?!\w)")))
_NO_NAME = r"(?<![\w.])(?<!\w[-+])"
_APART = tuple(re.compile(rf"{_NO_NAME}{kind.pattern}(?!\w)") for kind in _ANY)
_ENGLISH = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{2,3})*,\d{3}|\d+)(?:\.\d+)?(?:e[-+]?\d+)?")
_EUROPEAN = re.compile(r"[-+]?(?:\d{1,3}(?:\.\d{3})+(?:,\d+)?|\d+,\d+)")


def numbers_of(value: str | float) -> set[float]:
    """What ``value`` may mean as a number; nothing if it is none. A text that begins with a nought is a name.

    >>> sorted(numbers_of("1,250")), numbers_of("0042")
    ([1.25, 1250.0], set())
    """
    if isinstance(value, str):
        text = " ".join(value.casefold().split())
        is_name = re.match(r"[-+]?0\d", text) or not any(kind.fullmatch(text) for kind in _ANY)
        return set() if is_name else {*_readings(text)}
    try:
        return {float(value)}
    except OverflowError:
        return set()


def sizes_in(plain: str) -> frozenset[float]:
    """The numbers in ``plain``, also those right beside letters, without their signs: a dash may be a hyphen."""
    return frozenset(abs(number) for kind in _ANY for token in kind.findall(plain) for number in _readings(token))


def numbers_apart(plain: str) -> frozenset[float]:
    """The numbers in ``plain`` that are no part of a name."""
    return frozenset(number for kind in _APART for token in kind.findall(plain) for number in _readings(token))


def _readings(token: str) -> Iterator[float]:
    token = token.replace("'", "").replace("_", "").replace(" ", "")
    if _ENGLISH.fullmatch(token):
        yield float(token.replace(",", ""))
    if _EUROPEAN.fullmatch(token):
        yield float(token.replace(".", "").replace(",", "."))
