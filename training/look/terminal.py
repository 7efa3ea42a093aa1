"""Sheets as coloured text for a terminal."""

from collections.abc import Iterable

from rich.text import Text

from .pieces import MEANING, Kind, Sheet
from .texts import TokenTexts, visible

STYLES: dict[Kind, str] = {
    "sampled": "green",
    "human": "bold magenta",
    "tool": "yellow",
    "context": "dim",
    "masked": "green dim italic",
    "rejected": "red strike",
}

MARKS: dict[Kind, tuple[str, str]] = {
    "sampled": ("⟦", "⟧"),
    "human": ("⟦✎", "⟧"),
    "masked": ("⟦–", "⟧"),
    "rejected": ("⟦✗", "⟧"),
}
"""What stands around pieces where there is no colour; the others have none."""


def render_sheets(sheets: Iterable[Sheet], texts: TokenTexts, *, logprobs: bool = False, colours: bool = True) -> Text:
    """All ``sheets`` one below the other, a legend above them; with ``logprobs`` each token's own behind it.

    Without ``colours`` there are ``MARKS`` around what a model or a human wrote.
    """
    text = Text()
    marks = {} if colours else MARKS
    for kind, style in STYLES.items():
        if not colours and kind not in marks:
            continue
        text.append("■ " if colours else f"{''.join(marks[kind])} ", style=style.removesuffix(" strike"))
        text.append(f"{MEANING[kind]}\n")
    for sheet in sheets:
        facts = " · ".join(f"{name} {value}" for name, value in sheet.facts.items())
        text.append(f"\n{visible(sheet.title)}", style="bold")
        text.append(f"{' · ' if facts else ''}{visible(facts)}\n")
        if sheet.note:
            text.append(f"{visible(sheet.note)}\n", style="italic")
        for piece in sheet.pieces:
            known = piece.logprobs if logprobs else ()
            shown = texts.each(piece.ids)
            before, behind = marks.get(piece.kind, ("", ""))
            text.append(before)
            for place, token in enumerate(shown):
                text.append(visible(token), style=STYLES[piece.kind])
                value = known[place] if known else None
                if value is not None:
                    text.append(f"‹{value:.2f}›", style="cyan dim")
            text.append(behind)
        if not text.plain.endswith("\n"):
            text.append("\n")
    return text
