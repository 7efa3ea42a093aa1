"""A report as Markdown. What models, tools and strangers wrote cannot break out of its place in it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from .parts import Command, Curve, Items, Part, Report, Table, Text, visible

_SIGNS = re.compile(r"([\\`*_\[\]|#~<>&])")


def render_markdown(report: Report, folder: Path) -> str:
    """The report for a file in ``folder``."""
    lines = [f"# {escaped(report.title)}", ""]
    for section in report.sections:
        lines += [f"## {escaped(section.title)}", ""]
        for part in section.parts:
            lines += [*_part(part, folder), ""]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """``text`` on one line, in which no sign means anything to Markdown or HTML.

    >>> escaped("<b>|`x`_y")
    '\\\\<b\\\\>\\\\|\\\\`x\\\\`\\\\_y'
    """
    return _SIGNS.sub(r"\\\1", visible(text))


def _part(part: Part, folder: Path) -> Iterator[str]:
    if isinstance(part, Text):
        yield f"**{escaped(part.text)}**" if part.loud else escaped(part.text)
    elif isinstance(part, Items):
        yield from (f"- {escaped(item)}" for item in part.items)
    elif isinstance(part, Command):
        yield from ("```sh", visible(part.text.replace("```", "")), "```")
    elif isinstance(part, Table):
        yield _row(part.head)
        yield _row(["---" if column < part.left else "---:" for column in range(len(part.head))], plain=True)
        yield from map(_row, part.rows)
    elif isinstance(part, Curve):
        place = os.path.relpath(Path(part.folder) / "curves.png", folder)
        yield f"![{escaped(part.title)}](<{place.replace('<', '%3C').replace('>', '%3E')}>)"


def _row(cells: object, plain: bool = False) -> str:
    texts = [str(cell) for cell in cells]  # type: ignore[attr-defined]
    return f"| {' | '.join(texts if plain else map(escaped, texts))} |"
