"""What a report is made of, before it is Markdown or HTML: sections of paragraphs, lists, tables, commands, curves."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..look.texts import is_half, is_hidden


def visible(text: str) -> str:
    """``text`` on one line; characters that cannot be seen, or that reorder a page, are written out.

    >>> visible("a\\n b\\u202ec")
    'a b⟨202E⟩c'
    """
    line = " ".join(text.split())
    return "".join("\ufffd" if is_half(sign) else f"⟨{ord(sign):02X}⟩" if is_hidden(sign) else sign for sign in line)


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str
    loud: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Command:
    """What somebody may want to type."""

    text: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of texts; all columns but the first ``left`` ones hold numbers."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1


@dataclass(frozen=True, slots=True)
class Curve:
    """A loss over steps, and the folder with more curves of its run."""

    title: str
    points: Sequence[tuple[float, float]]
    folder: str


Part = Text | Items | Command | Table | Curve


@dataclass(frozen=True, slots=True)
class Section:
    """A title and what stands below it."""

    title: str
    parts: list[Part] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """The whole."""

    title: str
    verdict: str
    """``promote``, ``hold``, ``reject`` or ``nothing to do``."""
    sections: list[Section]
