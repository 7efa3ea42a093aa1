"""Which claims of an agent's answers trace to something it was told? A heuristic over text, and nothing more. Pure.

A claim is a number, an id (letters and digits), a date, a time, an address (e-mail, web) or quoted words, in a message
of the agent to the user. It is grounded if an observation, the user or the system prompt said so before. Words that
are not quoted are no claims, and neither are numbers of list items. What the agent counted or added up by itself, and
names, are beyond this: a sum without a calculator is not grounded.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from langchain_core.messages import AIMessage

from ...checkpoints.importers.record import CANNED_KEY
from ...nodes.bound_tools import system_at
from ..rewards.finished import Finished

Kind = Literal["number", "id", "date", "time", "address", "quote"]

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?P<{{0}}>{'|'.join(_MONTHS)})[a-z]*\.?"
_DAY = r"(?P<{0}>\d{{1,2}})(?:st|nd|rd|th)?"
_PATTERNS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("address", re.compile(r"https?://[^\s<>\"')\]]+[^\s<>\"')\].,;:!?]|[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
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
    ("time", re.compile(r"(?<![\d:])(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::\d{2})?(?:\s*(?P<half>[ap])\.?m\b)?", re.I)),
    ("id", re.compile(r"(?<!\w)(?=\w*[^\W\d])(?=\w*\d)(?!\d+(?:[a-z]{1,3})?(?!\w))\w+(?:-\w+)*", re.IGNORECASE)),
    ("number", re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?")),
)
_ITEM = re.compile(r"^\s*(?:[-*]\s+)?\d{1,2}[.)]\s", re.MULTILINE)
_SMALL = "zero one two three four five six seven eight nine ten eleven twelve".split()
_WRITTEN = re.compile(rf"\b(?:{'|'.join(_SMALL)})\b")


@dataclass(frozen=True, slots=True)
class Claim:
    """Something an answer claims."""

    kind: Kind
    words: str
    """As it was written."""
    value: str
    """The same for what means the same: ``1,200.00`` and ``1200`` are one number."""
    message: str | None
    """Id of the answer."""
    grounded: bool


@dataclass
class _Told:
    """What the agent was told so far."""

    texts: list[str] = field(default_factory=list)
    values: set[tuple[Kind, str]] = field(default_factory=set)

    def add(self, text: str) -> None:
        self.texts.append(text)
        self.values |= _values_in(text)

    def holds(self, kind: Kind, words: str, value: str) -> bool:
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


def find_claims(finished: Finished) -> list[Claim]:
    """The claims of the episode's answers (messages of the agent without calls), in order, each once an answer.

    >>> from langchain_core.messages import HumanMessage, ToolMessage
    >>> said = (HumanMessage("And O7?"), ToolMessage("amount 1200", tool_call_id="c1"), AIMessage("O7 is $1,250."))
    >>> [(claim.words, claim.grounded) for claim in find_claims(Finished("t1", said))]
    [('O7', True), ('1,250', False)]
    """
    told, claims = _Told(), []
    told.add(system_at(finished.messages))
    told.add(finished.text)
    for message in finished.messages:
        if not isinstance(message, AIMessage) or message.response_metadata.get(CANNED_KEY):
            told.add(message.text)
        elif not message.tool_calls and not message.invalid_tool_calls:
            found: dict[tuple[Kind, str], str] = {
                (kind, value): words for kind, words, value in _claims(_ITEM.sub("\n", message.text))
            }
            claims += [
                Claim(kind, words, value, message.id, told.holds(kind, words, value))
                for (kind, value), words in found.items()
            ]
    return claims


def groundedness(claims: Sequence[Claim]) -> float | None:
    """The share of ``claims`` that are grounded; None without claims."""
    return sum(claim.grounded for claim in claims) / len(claims) if claims else None


@lru_cache(maxsize=1024)
def _values_in(text: str) -> frozenset[tuple[Kind, str]]:
    """What ``text`` tells; the trials of a task are told much the same."""
    found: set[tuple[Kind, str]] = {(kind, value) for kind, _, value in _claims(text.replace('"', " "))}
    found |= {("date", value[-5:]) for kind, value in found if kind == "date"}
    found |= {("number", str(_SMALL.index(word))) for word in _WRITTEN.findall(text.casefold())}
    return frozenset(found)


def _claims(text: str) -> Iterator[tuple[Kind, str, str]]:
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
        if parts["half"]:
            hour = hour % 12 + (12 if parts["half"].lower() == "p" else 0)
        return f"{hour:02}:{parts['minute']}"
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
