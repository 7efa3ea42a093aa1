"""What a label of kind ``preference`` says: this one over that one, or a grade among its like.

``over THREAD``, ``over THREAD@CHECKPOINT`` and ``over THREAD@CHECKPOINT#MESSAGE`` name what the labelled thread,
branch or message is preferred over; ``@``, ``#`` and ``%`` inside an id are written ``%40``, ``%23`` and ``%25``. A
number is a grade: of two branches of a thread, or two trials of a task, the one with the higher grade is preferred.
The words ``chosen`` and ``rejected`` are the grades 1 and 0.
"""

from dataclasses import dataclass
from math import isfinite

OVER = "over "
GRADES = {"chosen": 1.0, "rejected": 0.0}
_SIGNS = {"%": "%25", "@": "%40", "#": "%23"}


@dataclass(frozen=True, slots=True)
class Place:
    """A thread, the branches through one of its checkpoints, or a message in it."""

    thread: str
    checkpoint: str | None = None
    message: str | None = None


def write_over(place: Place) -> str:
    """The value of a label whose subject is preferred over ``place``.

    >>> write_over(Place("a@b", "1f0c", "m1")), write_over(Place("t"))
    ('over a%40b@1f0c#m1', 'over t')
    """
    checkpoint = f"@{_escape(place.checkpoint)}" if place.checkpoint else ""
    message = f"#{_escape(place.message)}" if place.message else ""
    return f"{OVER}{_escape(place.thread)}{checkpoint}{message}"


def read_over(value: float | str) -> Place | None:
    """What the subject of a label with this value is preferred over; None if the value does not say so.

    >>> read_over("over a%40b@1f0c")
    Place(thread='a@b', checkpoint='1f0c', message=None)
    """
    if not isinstance(value, str) or not value.startswith(OVER):
        return None
    rest, _, message = value.removeprefix(OVER).partition("#")
    thread, _, checkpoint = rest.partition("@")
    return Place(_restore(thread), _restore(checkpoint) or None, _restore(message) or None)


def read_grade(value: float | str) -> float | None:
    """The grade that a label with this value gives, or None.

    >>> read_grade(2), read_grade("chosen"), read_grade("over t")
    (2.0, 1.0, None)
    """
    if isinstance(value, str):
        return GRADES.get(value)
    return float(value) if isfinite(value) else None


def _escape(text: str) -> str:
    return "".join(_SIGNS.get(sign, sign) for sign in text)


def _restore(text: str) -> str:
    for sign in ("@", "#", "%"):  # the percent sign last: it begins the others
        text = text.replace(_SIGNS[sign], sign)
    return text
