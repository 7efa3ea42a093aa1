"""What an answer does, by its words, in Korean or English: asks, declines, tells what a tool gave back.

Rules that see words and numbers and understand nothing.
"""

import ast
import json
import re
from collections.abc import Iterator, Sequence
from decimal import ROUND_DOWN, ROUND_HALF_UP, Context, Decimal
from typing import Any

ASKS = re.compile(
    r"[?？]|(알려|말씀해?|입력해?|제공해?|선택해?)\s*주|필요(합니다|해요)|부탁"
    r"|\bplease\b|\btell me\b|\blet me know\b|\bI('ll)? (would |also )?need\b|\bprovide\b",
    re.IGNORECASE,
)
DECLINES = re.compile(
    r"수(는|가)?\s*없|기능(은|이)?\s*없|(제공|지원)(하지|되지)는?\s*않|불가능|못\s?(합니다|해요)"
    r"|\bcan('t|not| not)\b|\bunable\b|\bnot able\b|\bsorry\b|\b(no|not have a) (function|tool|feature)\b",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?:(?<!\w)-)?\d+(?:,\d{3})*(?:\.\d+)?")
_TENS_OF_THOUSANDS = re.compile(r"(?<![\d,])(\d[\d,]*)\s*만\s*(\d[\d,]*)?")
_ONLY_NUMBERS = re.compile(r"(?=\D*\d)[-\d.,\s:TZ]+")
"""Numbers, dates and times."""
_SENTENCE = re.compile(r"[^.!?？\n]+[.!?？]*")
_LIST_MARK = re.compile(r"^[ \t]*\d+[.)]\s", re.MULTILINE)

_EXACT, _CUT = Context(prec=100_000, rounding=ROUND_HALF_UP), Context(prec=100_000, rounding=ROUND_DOWN)
"""A model may write any number of digits."""

Fact = str | Decimal


def asks(text: str) -> bool:
    """Does it ask for something?"""
    return ASKS.search(text) is not None


def tells(text: str) -> bool:
    """Is there a sentence that asks for nothing?"""
    return any(re.search(r"\w", sentence) and not asks(sentence) for sentence in _SENTENCE.findall(text))


def declines(text: str) -> bool:
    """Does it say that something cannot be done?"""
    return DECLINES.search(text.replace("’", "'")) is not None


def numbers_in(text: str) -> list[Decimal]:
    """The numbers that are written in digits, in their order.

    >>> [str(number) for number in numbers_in("61,500원, -3도, 50만, 13만 3,096원, 2024-05-19")]
    ['61500', '-3', '500000', '133096', '2024', '5', '19']
    """
    text = _TENS_OF_THOUSANDS.sub(_written_out, text)
    return [Decimal(number.replace(",", "")) for number in _NUMBER.findall(text)]


def new_facts(results: Sequence[str], before: str, told: str) -> list[Fact]:
    """What ``results`` of tools say that ``told`` says too and nobody had said ``before``: texts and numbers.

    >>> new_facts(['{"city": "Seoul", "high": 11.4, "low": 2}'], "How warm is Seoul?", "It is up to 11 degrees.")
    [Decimal('11.4')]
    """
    found: dict[Fact, None] = {}
    for leaf in (leaf for result in results for leaf in _leaves(_read(result))):
        facts: list[Fact] = [*numbers_in(leaf)] if _ONLY_NUMBERS.fullmatch(leaf) else _names(leaf)
        found |= {fact: None for fact in facts if says(told, fact) and not says(before, fact)}
    return [*found]


def says(text: str, fact: Fact) -> bool:
    """Does ``text`` say ``fact``? A number may be rounded or cut off."""
    if isinstance(fact, str):
        return fact in _plain(text)
    return any(_may_stand_for(number, fact) for number in numbers_in(text))


def stray_numbers(text: str, sources: Sequence[str]) -> list[Decimal]:
    """The numbers in ``text`` that none of ``sources`` says; those of a list do not count, nor does 1 (1인당: each).

    >>> stray_numbers("1. It is 11 or 12 degrees.", ["11.4"])
    [Decimal('12')]
    """
    known = {number for source in sources for number in numbers_in(source)}
    return [
        number
        for number in numbers_in(_LIST_MARK.sub("", text))
        if number != 1 and not any(_may_stand_for(number, source) for source in known)
    ]


def _may_stand_for(number: Decimal, fact: Decimal) -> bool:
    if number == fact:
        return True
    places = Decimal(1).scaleb(int(number.as_tuple().exponent))
    return places <= 1 and number in (_EXACT.quantize(fact, places), _CUT.quantize(fact, places))


def _written_out(found: re.Match[str]) -> str:
    high, low = (Decimal((part or "0").replace(",", "")) for part in found.groups())
    return f"{_EXACT.add(_EXACT.multiply(high, Decimal(10_000)), low):f} "


def _read(result: str) -> Any:
    for read in (json.loads, ast.literal_eval):
        try:
            return read(result)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return result


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _names(leaf: str) -> list[Fact]:
    """``leaf`` as it is compared; nothing if it is a sentence, which may be put otherwise, or a mere sign."""
    plain = _plain(leaf)
    return [plain] if len(plain) > 1 + plain.isascii() and not leaf.rstrip().endswith((".", "!", "?")) else []


def _plain(text: str) -> str:
    return re.sub(r"[\W_]", "", text).casefold()
