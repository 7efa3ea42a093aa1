"""Rewards of the final answer: is it the one that was expected, is it the data that was asked for?"""

import json
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Literal
from unicodedata import normalize

from jsonschema import Draft202012Validator

from ...errors import BadReward
from .finished import Finished

Mode = Literal["exact", "number", "contains"]

_NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>[-+]?)(?P<whole>\d{1,3}(?:,\d{3})+(?!\d)|\d*)(?P<part>\.\d+)?(?P<ten>e[-+]?\d{1,3})?"
    r"(?:\s*/\s*(?P<under>\d+))?(?!\w)",
    re.IGNORECASE,
)
_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL | re.IGNORECASE)
_AROUND = " \t\n*_`\"'“”‘’.,;:!?"


def answer_match(episode: Finished, *, mode: Mode = "exact", tolerance: float = 0.0) -> float:
    """1 if the answer is the expected one, else 0; 0 for an empty answer.

    ``exact``: equal once case, spaces, full-width forms, and punctuation, quotes or emphasis around it are put aside.
    ``number``: the last number in it equals the last one of what is expected, as a value: `1,200.0`, `1200` and `12e2`
    are equal, `3/4` is 0.75, units and `%` are passed over; with a ``tolerance`` it may be off by that share.
    ``contains``: the expected words occur in it, whole and in order. An answer that lists everything contains it too.

    >>> said = Finished("t1", answer="So the total is **$1,200.00**.", expected="1200")
    >>> [answer_match(said, mode=mode) for mode in ("exact", "number", "contains")]
    [0.0, 1.0, 0.0]

    Raises:
        BadReward: nothing is expected, or (``number``) what is expected holds no number.
    """
    if episode.expected is None:
        if episode.status == "failed":
            return 0.0
        raise BadReward(
            f"thread {episode.thread!r} (task {episode.task!r}) has no expected answer, which reward 'answer_match' "
            "needs; use 'end_state' for suites that judge the world"
        )
    answer, expected = _plain(episode.answer), _plain(episode.expected)
    if mode == "exact":
        return float(answer == expected != "")
    if mode == "contains":
        return float(bool(expected) and re.search(rf"(?<!\w){re.escape(expected)}(?!\w)", answer) is not None)
    wanted, found = last_number(episode.expected), last_number(episode.answer)
    if wanted is None:
        raise BadReward(
            f"task {episode.task!r} expects {episode.expected!r}, which holds no number; use mode 'exact' or 'contains'"
        )
    return float(found is not None and abs(found - wanted) <= Fraction(tolerance) * abs(wanted))


def json_answer(episode: Finished, *, schema: Mapping[str, Any] | None = None, fenced: bool = True) -> float:
    """1 if the answer is JSON that fits ``schema`` (None: any JSON), else 0; 0 for an empty answer.

    It must be the whole answer; with ``fenced`` it may stand in one code fence.

    >>> said = Finished("t1", answer='```json\\n{"order": 7}\\n```')
    >>> json_answer(said), json_answer(said, fenced=False), json_answer(said, schema={"type": "array"})
    (1.0, 0.0, 0.0)
    """
    found = _FENCE.match(episode.answer) if fenced else None
    try:
        value = json.loads(found[1] if found else episode.answer, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return 0.0
    return float(schema is None or Draft202012Validator(schema).is_valid(value))


def last_number(text: str) -> Fraction | None:
    """The last number that ``text`` holds, exactly; None if it holds none.

    >>> [str(last_number(said)) for said in ("about -1,234.5 or so", "1/2", "17e-1 m", "room 12b", "5 - 3")]
    ['-2469/2', '1/2', '17/10', 'None', '3']
    """
    last = None
    for found in _NUMBER.finditer(text.replace("−", "-")):
        whole, under = found["whole"].replace(",", ""), int(found["under"] or 1)
        if (whole or found["part"]) and under:
            last = Fraction(f"{found['sign']}{whole or 0}{found['part'] or ''}{found['ten'] or ''}") / under
    return last


def _plain(text: str) -> str:
    return " ".join(normalize("NFKC", text).casefold().split()).strip(_AROUND)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
