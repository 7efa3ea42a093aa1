"""A folder that nothing leads out of: files in it are opened part by part, and no link is ever followed.

A path is checked twice. Its spelling must be plain (``notes/today.txt``); then each folder on the way is opened from
the one above it without following links, so that a link put there between two steps is refused as well, and nothing
that was checked by name is opened by name again. Needs an operating system that can open files relative to a folder
(Linux, macOS). Hard links are files like others: what is linked into the folder by hand can be read.
"""

import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

from ...errors import BadToolSetting

_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
MAX_NAME_BYTES = 200
"""Of one name on a path; file systems stop at 255, and a temporary name needs some room."""
MAX_DEPTH = 32
MAX_PATH = 4_000
_HIDDEN = frozenset("Cc Cf Cs Co Cn Zl Zp".split())
"""Kinds of characters that nobody sees, or that break a line."""


class Refused(Exception):
    """A path that cannot be used; the text says why and shows nothing of where the folder lies."""


class Entry(NamedTuple):
    """What stands in a folder under a name: ``kind`` is file, folder, link or other."""

    name: str
    kind: str
    size: int


class Jail:
    """A folder, looked at through paths relative to it."""

    def __init__(self, folder: str | Path) -> None:
        """Use ``folder``.

        Raises:
            BadToolSetting: it is no folder, or this system cannot keep anybody in it.
        """
        if os.open not in os.supports_dir_fd or not hasattr(os, "O_NOFOLLOW"):
            raise BadToolSetting("this system cannot open files relative to a folder; use Linux, macOS or WSL")
        self._root = os.path.realpath(folder)
        if not Path(self._root).is_dir():
            raise BadToolSetting(f"{str(folder)!r} is no folder; make it, or name another one")

    def read(self, parts: tuple[str, ...], max_bytes: int) -> bytes:
        """The content of a regular file of at most ``max_bytes``.

        Raises:
            Refused: there is none, it is something else, or it is too large.
        """
        with self._folder(parts[:-1]) as folder, _told(parts):
            _check_regular(os.stat(_last(parts), dir_fd=folder, follow_symlinks=False), parts)
            handle = os.open(_last(parts), _FILE, dir_fd=folder)
            with open(handle, "rb") as file:
                _check_regular(found := os.fstat(handle), parts)  # it may be another one than a moment ago
                content = b"" if found.st_size > max_bytes else file.read(max_bytes + 1)
        if found.st_size > max_bytes or len(content) > max_bytes:
            raise Refused(f"{'/'.join(parts)} is larger than the {max_bytes:,} bytes that may be read")
        return content

    def entries(self, parts: tuple[str, ...]) -> list[Entry]:
        """What stands in a folder, by name; names that no path may have are left out.

        Raises:
            Refused: it is no folder.
        """
        with self._folder(parts) as folder, _told(parts), os.scandir(folder) as found:
            return sorted(_entry(one) for one in found if problem_of(one.name) is None)

    def files(self, parts: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
        """Path and size of every regular file in a folder and those below it, folder by folder."""
        waiting = [parts]
        while waiting:
            here = waiting.pop()
            try:
                entries = self.entries(here)
            except Refused:
                if here == parts:
                    raise
                continue  # it is gone, or closed to us
            yield from (((*here, one.name), one.size) for one in entries if one.kind == "file")
            if len(here) < MAX_DEPTH:
                waiting += [(*here, one.name) for one in reversed(entries) if one.kind == "folder"]

    def write(self, parts: tuple[str, ...], content: bytes) -> None:
        """Put a file there as a whole or not at all; folders on the way are made, an older file is replaced.

        Raises:
            Refused: something other than a regular file stands there, or the system does not allow it.
        """
        temporary = f".threadmill-{token_hex(8)}"
        with self._folder(parts[:-1], make=True) as folder, _told(parts):
            mode = 0o666
            with suppress(FileNotFoundError):
                _check_regular(older := os.stat(_last(parts), dir_fd=folder, follow_symlinks=False), parts)
                mode = older.st_mode & 0o777
            handle = os.open(temporary, _NEW, mode, dir_fd=folder)
            try:
                with open(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(handle)
                os.replace(temporary, _last(parts), src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise

    def remove(self, parts: tuple[str, ...]) -> None:
        """Delete a regular file.

        Raises:
            Refused: there is none, or it is something else.
        """
        with self._folder(parts[:-1]) as folder, _told(parts):
            _check_regular(os.stat(_last(parts), dir_fd=folder, follow_symlinks=False), parts)
            os.unlink(_last(parts), dir_fd=folder)

    @contextmanager
    def _folder(self, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
        with _told(()):
            handle = os.open(self._root, _FOLDER)
        try:
            for depth, part in enumerate(parts, start=1):
                with _told(parts[:depth]):
                    if make:
                        with suppress(FileExistsError):
                            os.mkdir(part, dir_fd=handle)
                    below = os.open(part, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = below
            yield handle
        finally:
            os.close(handle)


def parts_of(path: str) -> tuple[str, ...]:
    """The names on a path as a model writes it; none for the folder itself.

    >>> parts_of("./notes/today.txt")
    ('notes', 'today.txt')

    Raises:
        Refused: it is absolute, goes up, or is spelt in a way that could mean two things.
    """
    if len(path) > MAX_PATH:
        raise Refused(f"a path may have at most {MAX_PATH:,} characters, this one has {len(path):,}")
    if path.startswith(("/", "~")) or path[1:2] == ":":
        raise Refused(f"{_shown(path)} is not relative to the folder; write it as in 'notes/today.txt'")
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    for part in parts:
        if problem := problem_of(part):
            raise Refused(f"{_shown(path)}: {problem}")
    if len(parts) > MAX_DEPTH:
        raise Refused(f"a path may have at most {MAX_DEPTH} names, this one has {len(parts)}")
    return parts


def problem_of(name: str) -> str | None:
    """Why a file or folder of this name is left alone; None: it is not.

    >>> problem_of(".env")
    "names that begin with '.' are not available"
    """
    read = unicodedata.normalize("NFKC", name)  # as other systems may read it
    if name == "..":
        return "'..' is not allowed; write the path from the top of the folder"
    if "\\" in read or "/" in read:
        return "a name may have no backslash and nothing that looks like a slash; put '/' between names"
    if read.startswith("."):
        return "names that begin with '.' are not available"
    if any(unicodedata.category(letter) in _HIDDEN for letter in name):
        return "a name may have no control characters"
    if len(name.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
        return f"a name may have at most {MAX_NAME_BYTES} bytes"
    return None


def _last(parts: tuple[str, ...]) -> str:
    if not parts:
        raise Refused("a file's path is needed, this is the folder itself")
    return parts[-1]


def _entry(found: "os.DirEntry[str]") -> Entry:
    if found.is_symlink():
        return Entry(found.name, "link", 0)
    if found.is_dir(follow_symlinks=False):
        return Entry(found.name, "folder", 0)
    if not found.is_file(follow_symlinks=False):
        return Entry(found.name, "other", 0)
    try:
        return Entry(found.name, "file", found.stat(follow_symlinks=False).st_size)
    except FileNotFoundError:  # gone since
        return Entry(found.name, "other", 0)


def _check_regular(found: os.stat_result, parts: tuple[str, ...]) -> None:
    if stat.S_ISREG(found.st_mode):
        return
    kinds = ((stat.S_ISLNK, "a link, and links are not followed"), (stat.S_ISDIR, "a folder"))
    kind = next((words for is_kind, words in kinds if is_kind(found.st_mode)), "no regular file")
    raise Refused(f"{'/'.join(parts)} is {kind}")


@contextmanager
def _told(parts: tuple[str, ...]) -> Iterator[None]:
    """Errors of the system, with relative names alone."""
    try:
        yield
    except OSError as error:
        name = "/".join(parts) or "the folder"
        reason = (error.strerror or type(error).__name__).lower()
        if isinstance(error, NotADirectoryError) or reason.startswith("too many levels"):
            reason = "not a folder, or a link, and links are not followed"
        raise Refused(f"{name}: {reason}") from None


def _shown(path: str) -> str:
    return repr(path if len(path) <= 80 else f"{path[:80]}…")
