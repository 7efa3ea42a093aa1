"""Where to look closer: the surroundings of hints in a text, so that slow patterns need not read all of it."""

import re
from collections.abc import Iterator


def windows(text: str, hint: re.Pattern[str], reach: int) -> Iterator[tuple[int, str]]:
    """Pieces of ``text`` and where they begin: ``reach`` characters on either side of a hint, those that touch as one.

    >>> list(windows("-----7--8---------7", re.compile("[0-9]"), 2))
    [(3, '--7--8--'), (16, '--7')]
    """
    low = high = 0
    for match in hint.finditer(text):
        if match.start() - reach > high:
            if high > low:
                yield low, text[low:high]
            low = match.start() - reach
        high = min(len(text), match.end() + reach)
    if high > low:
        yield low, text[low:high]
