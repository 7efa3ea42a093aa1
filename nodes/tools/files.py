"""Files in one folder, for a model to list, read and search, and to write where that is allowed.

What keeps it in that folder is ``jail.py``. Every refusal is a ``ToolException`` with names relative to the folder.
"""

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import wraps
from pathlib import Path
from threading import Lock
from time import monotonic
from typing import Annotated, Any

from langchain_core.tools import BaseTool, ToolException
from langchain_core.tools import tool as make_langchain_tool
from pydantic import Field

from ...errors import BadToolSetting
from ..traits import with_traits
from .jail import Jail, Refused, parts_of
from .line_finder import make_finder

MAX_ENTRIES = 500
MAX_HITS = 100
MAX_PATTERN = 500
MAX_LINE = 2_000
"""Characters of one line that are shown."""
MAX_PAGE = 20_000
"""Characters of one page of lines."""


def make_file_tools(
    folder: str | Path,
    *,
    write: bool = False,
    max_bytes: int = 5_000_000,
    quota_bytes: int | None = None,
    search_s: float = 5,
) -> list[BaseTool]:
    """The tools list_files, read_file and search_files for ``folder``; with ``write`` also those that change files.

    Files of more than ``max_bytes`` are neither read nor written; with ``quota_bytes`` all files together may hold no
    more. A search stops after ``search_s`` seconds and says so.

    Raises:
        BadToolSetting: ``folder`` is none, or a limit is not above 0.
    """
    for limit in (max_bytes, quota_bytes, search_s):
        if limit is not None and limit <= 0:
            raise BadToolSetting(f"limits of the file tools must be above 0, not {limit}")
    jail, changing = Jail(folder), Lock()  # calls of one step run at once

    def list_files(
        folder: Annotated[str, "The folder to look into, such as 'notes'; empty: the top."] = "",
        pattern: Annotated[
            str, Field(max_length=100, description="If given, list all files below whose name matches, such as '*.md'.")
        ] = "",
    ) -> str:
        """List the files and folders in a folder, or find files by name."""
        parts = parts_of(folder)
        if pattern:
            found = (("/".join(path), size) for path, size in jail.files(parts) if _matches(path, pattern))
            lines = [f"{name}  {size:,} bytes" for name, size in found]
        else:
            shown = {"folder": "/", "link": "  (link, not followed)", "other": "  (not a regular file)"}
            lines = [f"{one.name}{shown.get(one.kind) or f'  {one.size:,} bytes'}" for one in jail.entries(parts)]
        if len(lines) > MAX_ENTRIES:
            lines[MAX_ENTRIES:] = [f"[{len(lines) - MAX_ENTRIES} more; give a folder or a pattern]"]
        return "\n".join(lines) or "[no files]"

    def read_file(
        path: Annotated[str, "The file, such as 'notes/today.txt'."],
        first_line: Annotated[int, Field(ge=1, description="Where to begin; lines count from 1.")] = 1,
        lines: Annotated[int, Field(ge=1, le=2000, description="How many lines to read.")] = 200,
    ) -> str:
        """Read lines of a text file."""
        every = _text(jail, parts_of(path), max_bytes).split("\n")
        if first_line > len(every):
            raise ToolException(f"{path} has {len(every)} lines; there is no line {first_line}")
        page, room = [], MAX_PAGE
        for line in every[first_line - 1 : first_line - 1 + lines]:
            shown = _cut(line)
            if page and len(shown) > room:
                break
            page.append(shown)
            room -= len(shown) + 1
        last = first_line + len(page) - 1
        if first_line == 1 and last == len(every):
            return "\n".join(page)
        more = f"; go on with first_line={last + 1}" if last < len(every) else ""
        return "\n".join([*page, f"[lines {first_line} to {last} of {len(every)}{more}]"])

    def search_files(
        text: Annotated[str, Field(min_length=1, max_length=MAX_PATTERN, description="What to look for.")],
        folder: Annotated[str, "Where to look, with all folders below; empty: everywhere."] = "",
        regex: Annotated[bool, "Whether the text is a regular expression."] = False,
    ) -> str:
        """Find the lines of text files that contain a text; small and capital letters count alike."""
        find, until = make_finder(text, is_regex=regex), monotonic() + search_s
        hits: list[str] = []
        skipped = 0
        try:
            for path, _ in jail.files(parts_of(folder)):
                if monotonic() >= until:
                    raise TimeoutError
                try:
                    lines = _text(jail, path, max_bytes).split("\n")
                except (Refused, ToolException):
                    skipped += 1  # too large, no text, or gone
                    continue
                for number, line in enumerate(lines, start=1):
                    at = find(line, until - monotonic())
                    if at is not None:
                        start = max(at - 80, 0)
                        hits.append(f"{'/'.join(path)}:{number}: {_cut(line[start:].strip(), 200)}")
                    if len(hits) == MAX_HITS:
                        return "\n".join([*hits, f"[the first {MAX_HITS}; there may be more]"])
        except TimeoutError:
            return "\n".join([*hits, f"[stopped after {search_s:g} s; search one folder or a plainer text]"])
        left_out = [f"[{skipped} files left out: too large, or no text]"] if skipped else []
        return "\n".join([*(hits or ["[nothing found]"]), *left_out])

    def write_file(
        path: Annotated[str, "The file, such as 'notes/today.txt'; one that is there is replaced."],
        content: Annotated[str, "The whole text of the file."],
    ) -> str:
        """Write a text file; folders on the way are made."""
        with changing:
            written = _save(parts_of(path), content)
        return f"wrote {written:,} bytes to {path}"

    def edit_file(
        path: Annotated[str, "The file, such as 'notes/today.txt'."],
        old: Annotated[str, Field(min_length=1, description="The exact text to replace; it must stand there once.")],
        new: Annotated[str, "What to put in its place."],
    ) -> str:
        """Replace a text that stands exactly once in a file."""
        parts = parts_of(path)
        with changing:
            before = _text(jail, parts, max_bytes)
            if (times := before.count(old)) != 1:
                wish = "give the text exactly as it stands" if not times else "give more of what stands around it"
                raise ToolException(f"the text stands {times} times in {path}; {wish}")
            _save(parts, before.replace(old, new))
        return f"replaced it in {path}, line {before[: before.index(old)].count(chr(10)) + 1}"

    def delete_file(path: Annotated[str, "The file, such as 'notes/today.txt'."]) -> str:
        """Delete a file."""
        with changing:
            jail.remove(parts_of(path))
        return f"deleted {path}"

    def _save(parts: tuple[str, ...], text: str) -> int:
        try:
            content = text.encode()
        except UnicodeEncodeError as error:
            raise ToolException(f"the text cannot be written as UTF-8: {error.reason} at {error.start}") from None
        if len(content) > max_bytes:
            raise ToolException(f"a file may have at most {max_bytes:,} bytes, this one would have {len(content):,}")
        if quota_bytes is not None:
            others = sum(size for path, size in jail.files(()) if path != parts)
            if others + len(content) > quota_bytes:
                raise ToolException(f"the folder may hold {quota_bytes:,} bytes; {others:,} are used by other files")
        jail.write(parts, content)
        return len(content)

    reading = [_tool(one, acts=False, idempotent=True) for one in (list_files, read_file, search_files)]
    writing = [_tool(one, acts=True) for one in (write_file, edit_file, delete_file)] if write else []
    return reading + writing


def _tool(function: Callable[..., str], **traits: Any) -> BaseTool:
    @wraps(function)
    def told(*args: Any, **kwargs: Any) -> str:
        try:
            return function(*args, **kwargs)
        except Refused as refusal:
            raise ToolException(str(refusal)) from None

    return with_traits(make_langchain_tool(told), **traits)


def _text(jail: Jail, parts: tuple[str, ...], max_bytes: int) -> str:
    content = jail.read(parts, max_bytes)
    if b"\0" in content:
        raise ToolException(f"{'/'.join(parts)} is no text file")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ToolException(f"{'/'.join(parts)} is no UTF-8 text (byte {error.start})") from None


def _matches(path: tuple[str, ...], pattern: str) -> bool:
    return fnmatchcase(path[-1], pattern) or fnmatchcase("/".join(path), pattern)


def _cut(line: str, longest: int = MAX_LINE) -> str:
    return line if len(line) <= longest else f"{line[:longest]}[… {len(line) - longest:,} characters more]"
