"""Long tool output, a page at a time: the model sees the first page and calls ``more`` for others.

The thread keeps all of it, in ``ToolMessage.additional_kwargs["full"]``. A page says itself where it stands and how
to go on, outside of the marks that make its text data.
"""

import re
from collections.abc import Sequence
from hashlib import sha256

from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException

from ..errors import NoSuchPage
from .marking import is_marked, mark_as_data
from .traits import traits_of, with_traits

FULL_KEY = "full"
"""Key in ``ToolMessage.additional_kwargs``: the whole output, where the message holds only its first page."""

MORE = "more"
"""The name of the tool that gives other pages."""

_NOTE = re.compile(
    r"\n\[page 1 of \d+, characters 1 to (?P<end>\d+) of \d+; "
    r'the next one: more\(handle="(?P<handle>[^"\n]+)", page=2\)\]\Z'
)


def handle_of(message_id: str) -> str:
    """A short name for the output that the message ``message_id`` begins to show, no two alike in a long thread.

    >>> handle_of("run-1:0")
    'out-51083ea9'
    """
    return f"out-{sha256(message_id.encode()).hexdigest()[:8]}"


def first_page(text: str, max_chars: int, handle: str, key: str | None = None) -> tuple[str, bool]:
    r"""At most the first ``max_chars`` characters of ``text``, cut where a line ends if one does; whether more follows.

    If so, the page ends with a note that says how to get the next. ``key`` marks the page (and not the note) as data.

    >>> first_page("one\ntwo\nthree\n", 10, "out-1")
    ('one\ntwo\n\n[page 1 of 2, characters 1 to 8 of 14; the next one: more(handle="out-1", page=2)]', True)
    >>> first_page("one\n", 10, "out-1")
    ('one\n', False)
    """
    if len(text) <= max_chars:
        return (text if key is None else mark_as_data(text, key)), False
    size = _cut(text, 0, max_chars)
    return _page(text, _ends(text, size), 1, handle, key), True


def page_of(messages: Sequence[BaseMessage], handle: str, page: int) -> str:
    """Page ``page`` (the first is 1) of the output named ``handle``, marked as data if its first page was.

    Raises:
        NoSuchPage: there is no such output, or it has fewer pages.
    """
    outputs = [_output(message) for message in messages if isinstance(message, ToolMessage)]
    known = {name: (message, size) for message, name, size in filter(None, outputs)}  # the newest of a name
    if handle not in known:
        there = f"there are {', '.join(known)}" if known else "no output of this thread has more pages"
        raise NoSuchPage(f"there is no output {handle!r}; {there}")
    message, size = known[handle]
    full = message.additional_kwargs[FULL_KEY]
    ends = _ends(full, size)
    if not 1 <= page <= len(ends):
        raise NoSuchPage(f"the output {handle!r} has the pages 1 to {len(ends)}, and no page {page}")
    marked = is_marked(_NOTE.sub("", message.text))
    return _page(full, ends, page, handle, f"{message.id}:{page}" if marked else None)


def make_more() -> BaseTool:
    """The tool ``more`` for the model to call; act answers its calls with ``page_of``."""

    def more(handle: str, page: int = 2) -> str:
        """Read another page of a long tool output, by the handle that its first page names."""
        raise ToolException("the pages of an output are read by the act node, which has the thread's messages")

    return with_traits(StructuredTool.from_function(more, name=MORE), acts=False, idempotent=True)


def with_more(tools: Sequence[BaseTool], max_chars: int | None) -> list[BaseTool]:
    """``tools``, and ``more`` if the output of one of them may come in pages."""
    in_pages = max_chars is not None or any(traits_of(tool).max_chars is not None for tool in tools)
    has_more = any(tool.name == MORE for tool in tools)
    return [*tools, make_more()] if tools and in_pages and not has_more else list(tools)


def _output(message: ToolMessage) -> tuple[ToolMessage, str, int] | None:
    """The message with the handle and the page size that its note tells; None if it shows all there is."""
    if FULL_KEY not in message.additional_kwargs:
        return None
    note = _NOTE.search(message.text)
    return None if note is None else (message, note["handle"], int(note["end"]))


def _page(text: str, ends: Sequence[int], page: int, handle: str, key: str | None) -> str:
    begin, end = ends[page - 2] if page > 1 else 0, ends[page - 1]
    shown = text[begin:end] if key is None else mark_as_data(text[begin:end], key)
    note = f"page {page} of {len(ends)}, characters {begin + 1} to {end} of {len(text)}"
    if page < len(ends):
        note += f'; the next one: {MORE}(handle="{handle}", page={page + 1})'
    return f"{shown}\n[{note}]"


def _ends(text: str, size: int) -> list[int]:
    """Where each page ends, the first at ``size`` and none longer."""
    ends = [size]
    while ends[-1] < len(text):
        ends.append(_cut(text, ends[-1], size))
    return ends


def _cut(text: str, begin: int, size: int) -> int:
    """Where a page that begins at ``begin`` ends: behind a line or else a word, if that leaves half a page."""
    end = begin + size
    if end >= len(text):
        return len(text)
    for border in ("\n", " "):
        found = text.rfind(border, begin + (size - 1) // 2, end)
        if found >= 0:
            return found + 1
    return end
