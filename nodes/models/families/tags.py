"""The grammar of an answer with calls, as a structural tag of xgrammar.

xgrammar's own tags of model families are not used: they forbid what some models write, and allow what nobody reads.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from . import thinking

Format = dict[str, Any]
Choice = Literal["auto", "none", "required", "one"]
"""``required``: one call or more; ``one``: exactly one. Neither allows text."""


@dataclass(frozen=True, slots=True)
class ToolForm:
    """A tool as the grammar sees it."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tag:
    """The grammar of an answer."""

    format: Format
    hints: tuple[str, ...]
    """Texts that lead to its end: they close thinking, or write a whole call. Empty ones do not count."""
    begun: tuple[str, ...] = ()
    """Texts that have to be written once they are begun, besides ``hints``."""


class Speech(Protocol):
    """How a family speaks."""

    def thinks(self, opening: str) -> bool:
        """Whether an answer behind ``opening``, the end of a prompt, begins within thinking."""
        ...

    def tag(self, tools: Sequence[ToolForm], choice: Choice, *, thinks: bool) -> Tag:
        """The grammar of an answer. A call stands in it whole or not at all."""
        ...


def sequence(*elements: Format) -> Format:
    return {"type": "sequence", "elements": list(elements)}


def either(*elements: Format) -> Format:
    return elements[0] if len(elements) == 1 else {"type": "or", "elements": list(elements)}


def many(content: Format, *, least: int) -> Format:
    return {"type": "plus" if least else "star", "content": content}


def constant(value: str) -> Format:
    return {"type": "const_string", "value": value}


def any_text(*banned: str) -> Format:
    return {"type": "any_text", "excludes": list(banned)}


def tagged(begin: str, content: Format, end: str) -> Format:
    return {"type": "tag", "begin": begin, "content": content, "end": end}


def regex(pattern: str) -> Format:
    return {"type": "regex", "pattern": pattern}


SPACE = regex(r"[ \n]{0,4}")


@dataclass(frozen=True, slots=True)
class Calls:
    """What stands between the markers of calls."""

    format: Format
    least: str
    """The shortest."""
    hints: tuple[str, ...] = ()
    """Pieces of short ones."""
    begun: tuple[str, ...] = ()
    """As in ``Tag``."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Calls in blocks that have a beginning and an end, anywhere in the text; thinking in front of all."""

    open: str
    close: str
    calls: Callable[[Sequence[ToolForm], bool], Calls]
    """From the tools, and whether there must be one call only: what stands in a block."""
    banned: tuple[str, ...] = ()
    """Markers, besides these, that free text must not hold."""
    think: tuple[str, str] = (thinking.OPEN, thinking.CLOSE)
    between: str = r"[ \n]{0,4}"
    """What may stand behind a block where text may not, as a regular expression."""
    besides: tuple[Format, ...] = ()
    """Other tags that ``open`` may begin in free text."""

    def thinks(self, opening: str) -> bool:
        """Whether thinking was opened and not closed."""
        begin, end = self.think
        return opening.rfind(begin) > opening.rfind(end)

    def tag(self, tools: Sequence[ToolForm], choice: Choice, *, thinks: bool) -> Tag:
        """The grammar of an answer."""
        begin, end = self.think
        calls = self.calls(tools, choice == "one") if tools and choice != "none" else None
        blocks = [tagged(self.open, calls.format, self.close)] if calls else []
        if choice in ("auto", "none"):
            answer = self._free([*blocks, *self.besides])
        else:
            block = sequence(*blocks, regex(self.between))
            answer = sequence(SPACE, many(block, least=1) if choice == "required" else block)
        hints = (end, self.close, self.open + calls.least + self.close, calls.least, *calls.hints) if calls else (end,)
        if thinks:
            whole = sequence(tagged("", any_text(), end), answer)
        else:
            whole = either(sequence(SPACE, tagged(begin, any_text(), end), answer), answer)
        return Tag(whole, hints, calls.begun if calls else ())

    def _free(self, tags: Sequence[Format]) -> Format:
        """Text, and ``tags`` in it."""
        banned = [marker for marker in (*self.think, self.close, *self.banned) if marker and marker != "}"]
        if not tags:
            return any_text(self.open, *banned)
        return {"type": "triggered_tags", "triggers": [self.open], "tags": list(tags), "excludes": banned}
