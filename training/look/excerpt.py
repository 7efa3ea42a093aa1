"""A few tokens around a place as aligned lines: their text over what is trained of them."""

from collections.abc import Sequence

from .texts import TokenTexts, visible

BEFORE, AFTER = 10, 14
"""Tokens shown on either side."""


def token_excerpt(ids: Sequence[int], trained: Sequence[bool], low: int, high: int, texts: TokenTexts | None) -> str:
    """The tokens around ``low`` to ``high``; without ``texts`` their ids instead.

    A ``1`` stands under what is trained, a ``^`` under the place itself.
    """
    from rich.cells import cell_len

    first, last = max(0, low - BEFORE), min(len(ids), low + AFTER)
    if texts is None:
        shown = [f" {token}" for token in ids[first:last]]
    else:
        shown = [visible(text.replace("\n", "⏎")) for text in texts.each(ids[first:last])]
    widths = [cell_len(text) for text in shown]
    marks = [("1" if on else " ") * width for on, width in zip(trained[first:last], widths, strict=True)]
    signs = [("^" if low <= at < high else " ") * width for at, width in enumerate(widths, first)]
    lines = (("text   " if texts else "ids    ", shown), ("trained", marks), ("       ", signs))
    return "\n".join(f"{name} {''.join(parts)}".rstrip() for name, parts in lines)


def text_excerpt(text: str, low: int, high: int) -> str:
    """The characters around ``low`` to ``high``, a ``^`` under each of them."""
    from rich.cells import cell_len

    first = max(0, low - 40)
    before, place, after = (
        visible(part.replace("\n", "⏎")) for part in (text[first:low], text[low:high], text[high : high + 40])
    )
    return f"text    {before}{place}{after}\n        {' ' * cell_len(before)}{'^' * cell_len(place)}".rstrip()
