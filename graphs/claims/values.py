"""What can be looked up in a text: numbers, ids, dates, times, addresses and quoted words. Heuristics, pure.

The same value is found whatever it is written as: ``1,200.00`` is ``1200``, ``3 May 2024`` is ``2024-05-03``.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

Kind = Literal["number", "id", "date", "time", "address", "quote"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?P<{{0}}>{'|'.join(_MONTHS)})[a-z]*\.?"
_DAY = r"(?P<{0}>\d{{1,2}})(?:st|nd|rd|th)?"
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("address", re.compile(r"https?://[^\s<>\"')\]]+[^\s<>\"')\].,;:!?]|[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")),
    ("quote", re.compile(r"[\"“«`](?P<words>[^\"“”«»`\n]{2,80})[\"”»`]")),
    ("date", re.compile(r"(?<!\d)(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})(?!\d)")),
    (
        "date",
        re.compile(
            rf"\b(?:{_MONTH.format('named')} {_DAY.format('day')}|"
            rf"{_DAY.format('first')} (?:of )?{_MONTH.format('then')})\b(?:,? (?P<year>\d{{4}}))?",
            re.IGNORECASE,
        ),
    ),
    (
        "time",
        re.compile(
            r"(?<![\d:.,])(?P<hour>\d{1,2})(?::(?P<minute>\d{2})(?::\d{2})?(?:\s*(?P<half>[ap])\.?m\b)?|"
            r"\s*(?P<only>[ap])\.?m\b)",
            re.IGNORECASE,
        ),
    ),
    ("id", re.compile(r"(?<!\w)(?=\w*[^\W\d])(?=\w*\d)(?!\d+(?:[a-z]{1,3})?(?!\w))\w+(?:-\w+)*", re.IGNORECASE)),
    ("number", re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")),
)
_SMALL = "zero one two three four five six seven eight nine ten eleven twelve".split()
_WRITTEN = re.compile(rf"\b(?:{'|'.join(_SMALL)})\b")


@dataclass
class Told:
    """Texts, and whether a value stands in them."""

    texts: list[str] = field(default_factory=list)
    values: set[tuple[Kind, str]] = field(default_factory=set)

    def add(self, text: str) -> None:
        """One text more."""
        self.texts.append(text)
        self.values |= values_in(text)

    def holds(self, kind: Kind, words: str, value: str) -> bool:
        """Does any of the texts say ``value``, here written as ``words``?"""
        if (kind, value) in self.values:
            return True
        if kind == "date":  # the year is left out, or only the source leaves it out
            return False if len(value) == 5 else ("date", value[-5:]) in self.values and not self._other_year(value)
        if kind == "time":
            hour, minute = value.split(":")
            said_half = words.casefold().endswith("m")
            return not said_half and ("time", f"{(int(hour) + 12) % 24:02}:{minute}") in self.values
        long_number = kind == "number" and len(words) >= 4
        return (kind in ("id", "address", "quote") or long_number) and self._says(_plain(words))

    def _says(self, words: str) -> bool:
        return any(words in _plain(text) for text in self.texts)

    def _other_year(self, date: str) -> bool:
        return any(kind == "date" and value[-5:] == date[-5:] and len(value) > 5 for kind, value in self.values)


@lru_cache(maxsize=1024)
def values_in(text: str) -> frozenset[tuple[Kind, str]]:
    """What ``text`` tells; the trials of a task are told much the same."""
    found: set[tuple[Kind, str]] = {(kind, value) for kind, _, value in stated_in(text.replace('"', " "))}
    found |= {("date", value[-5:]) for kind, value in found if kind == "date"}
    found |= {("number", str(_SMALL.index(word))) for word in _WRITTEN.findall(text.casefold())}
    return frozenset(found)


def stated_in(text: str) -> Iterator[tuple[Kind, str, str]]:
    """Kind, words and value of each claim in ``text``; what one pattern takes, the next ones do not see."""
    for kind, pattern in _PATTERNS:
        matches = [*pattern.finditer(text)]
        for found in matches:
            value = _value(kind, found)
            if value:
                yield kind, found["words"] if kind == "quote" else found[0], value
        if matches and kind != "number":
            text = pattern.sub(lambda found: " " * len(found[0]), text)


def _value(kind: Kind, found: re.Match[str]) -> str:
    parts = found.groupdict()
    if kind == "number":
        number = float(found[0].replace(",", ""))
        return str(int(number)) if number.is_integer() else str(number)
    if kind == "time":
        hour = int(parts["hour"])
        if half := parts["half"] or parts["only"]:
            hour = hour % 12 + (12 if half.lower() == "p" else 0)
        return f"{hour:02}:{parts['minute'] or '00'}"
    if kind == "date":
        month, day = parts.get("month"), parts["day"]
        if month is None:
            name = parts["named"] or parts["then"]
            month, day = _MONTHS.index(name.casefold()) + 1, day or parts["first"]
        year = f"{parts['year']}-" if parts["year"] else ""
        return f"{year}{int(month):02}-{int(day):02}"
    return _plain(parts.get("words") or found[0])


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .,;:!?")
