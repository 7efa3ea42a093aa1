"""Find a text or a regular expression in a line, within a time, whatever the expression and the line are.

Two things would otherwise fill the memory: counted repeats inside each other, which the library writes out when it
reads the expression (``((a{1000}){1000}){1000}``), and an expression that calls itself. Both are refused, and the flag
``x`` with them: spaces between the digits would hide a count.
"""

import re
from collections.abc import Callable
from math import prod

from langchain_core.tools import ToolException

MAX_REPEATS = 10_000
"""The most that the counts of an expression may come to, multiplied."""
MAX_SEARCHED = 10_000
"""Characters of a line that an expression is held against."""
_COUNT = re.compile(r"\{\s*(\d*)\s*,?\s*(\d*)")
_CALLS_ITSELF = re.compile(r"\(\?(R|&|P[>&]|[+-]?\d)")
_SPACED = re.compile(r"\(\?[a-zA-Z0-9]*x")


def make_finder(text: str, *, is_regex: bool) -> Callable[[str, float], int | None]:
    """A function from a line and the seconds left to the place where ``text`` begins there, None if it does not.

    Small and capital letters count alike. The function raises ``TimeoutError`` when the seconds are over.

    >>> make_finder("b+c", is_regex=True)("aBbc", 1.0)
    1

    Raises:
        ToolException: the expression is none, or one that could take all memory.
    """
    import regex

    if is_regex:
        _refuse_what_grows(text)
    try:
        pattern = regex.compile(text if is_regex else regex.escape(text), regex.IGNORECASE)
    except (regex.error, RecursionError) as error:
        raise ToolException(f"{text!r} is no regular expression that can be used: {error}") from None

    def find(line: str, left_s: float) -> int | None:
        if left_s <= 0:
            raise TimeoutError
        hit = pattern.search(line[:MAX_SEARCHED] if is_regex else line, timeout=left_s)
        return None if hit is None else hit.start()

    return find


def _refuse_what_grows(expression: str) -> None:
    if _SPACED.search(expression):
        raise ToolException(f"{expression!r} is not read with spaces in it; leave out the flag x")
    counts = (max(int(one or 0), int(other or 0), 1) for one, other in _COUNT.findall(expression))
    if prod(counts) > MAX_REPEATS:
        raise ToolException(f"the repeats in {expression!r} come to more than {MAX_REPEATS:,}; use * or + instead")
    if _CALLS_ITSELF.search(expression):
        raise ToolException(f"{expression!r} calls itself, which is not available; write it without (?R) and (?1)")
