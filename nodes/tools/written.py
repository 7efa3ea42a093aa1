"""Which files of a folder were written: compared by size and time, and never through a link."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

MAX_LISTED = 50
MAX_FOUND = 100_000


def sizes(folder: str | Path | None) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file and folder below ``folder``, links as links; nothing of None."""
    found: dict[str, tuple[int, int]] = {}
    open_folders = [] if folder is None else [str(folder)]
    while open_folders and len(found) < MAX_FOUND:
        with suppress(OSError), os.scandir(open_folders.pop()) as entries:
            for entry in entries:
                known = entry.stat(follow_symlinks=False)
                inner = entry.is_dir(follow_symlinks=False)
                found[os.path.relpath(entry.path, folder)] = (0, 0) if inner else (known.st_size, known.st_mtime_ns)
                if inner:
                    open_folders.append(entry.path)
    return found


def too_full(folder: str | Path | None, *, max_files: int, max_mb: int) -> str:
    """Why code that writes to ``folder`` as its ``/work`` must be stopped, or nothing."""
    found = sizes(folder)
    if len(found) > max_files:
        return f"more than {max_files} files are in /work"
    if sum(size for size, _ in found.values()) > max_mb << 20:
        return f"/work holds more than {max_mb} MB"
    return ""


def changes(before: Mapping[str, tuple[int, int]], after: Mapping[str, tuple[int, int]]) -> tuple[str, ...]:
    """A line for each file that is new, changed or gone.

    >>> changes({"a": (1, 1), "b": (1, 1)}, {"a": (2, 5), "c": (7, 5)})
    ('a (2 bytes)', 'c (7 bytes)', 'b (gone)')
    """
    lines = [f"{_shown(name)} ({after[name][0]} bytes)" for name in sorted(after) if before.get(name) != after[name]]
    lines += [f"{_shown(name)} (gone)" for name in sorted(set(before) - set(after))]
    more = len(lines) - MAX_LISTED
    return (*lines[:MAX_LISTED], f"and {more} more") if more > 0 else tuple(lines)


def _shown(name: str) -> str:
    return name if name.isprintable() else ascii(name)
