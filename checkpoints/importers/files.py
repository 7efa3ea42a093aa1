"""The rows of a file, one at a time: JSON lines, a JSON document, or Parquet, packed by gzip or not.

A row is not looked at here beyond its JSON; a line that is none is the row's own trouble, not the file's.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from ...errors import BadImport
from .record import BadRow

GZIP = b"\x1f\x8b"
DOCUMENTS = (".json", ".traj")
SUFFIXES = (".jsonl", ".ndjson", ".json", ".traj", ".parquet", ".txt")
"""What is taken of a folder; a file that is named is read whatever its suffix."""
TOOLS = "tools.json"
"""The schemas of the runs beside it, and no runs."""
LONGEST_LINE = 2**28

Row = tuple[int, Any]
"""Line from 1 (in an array or a table its place), and the row: bytes if nobody has parsed it yet, or a ``BadRow``."""


def find_files(folder: Path) -> list[Path]:
    """What can be imported of a folder and those in it, in the order of the names.

    Raises:
        BadImport: there are no such files.
    """
    files = (file for file in folder.rglob("*") if file.is_file() and suffix_of(file) in SUFFIXES)
    found = sorted(file for file in files if file.name != TOOLS)
    if not found:
        raise BadImport(f"{folder} is a directory without files that can be imported ({', '.join(SUFFIXES)})")
    return found


def suffix_of(file: Path) -> str:
    """The last suffix, but for ``.gz``.

    >>> suffix_of(Path("runs.JSON.gz"))
    '.json'
    """
    return (file.with_suffix("") if file.suffix.lower() == ".gz" else file).suffix.lower()


def rows_of(file: Path) -> Iterator[Row]:
    """The rows of ``file``; empty lines are none.

    Raises:
        BadImport: it cannot be read.
    """
    if suffix_of(file) == ".parquet":
        return _table(file)
    return _document(file) if suffix_of(file) in DOCUMENTS else _lines(file)


def text_of(file: Path) -> str:
    """All of a text file, unpacked; what is no UTF-8 in it becomes a replacement character.

    Raises:
        BadImport: it cannot be read.
    """
    return _whole(file).decode("utf-8-sig", "replace")


def parse(raw: Any) -> Any:
    """The row that ``raw`` holds.

    Raises:
        BadRow: it is bytes and no JSON, or cannot be read at all.
    """
    if isinstance(raw, BadRow):
        raise raw
    if not isinstance(raw, bytes):
        return raw
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"not JSON: {error}") from error


def _lines(file: Path) -> Iterator[Row]:
    try:
        with file.open("rb") as packed, _unpacked(packed) as stream:
            number = 0
            while line := stream.readline(LONGEST_LINE):
                number += 1
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                    while (rest := stream.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                        pass
                    yield number, BadRow(f"the line is longer than {LONGEST_LINE} bytes")
                    continue
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(file, error) from error


def _document(file: Path) -> Iterator[Row]:
    """The elements of an array, or the one document there is; JSON lines if the first line is whole by itself."""
    content = _whole(file).removeprefix(b"\xef\xbb\xbf")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        first, _, rest = content.lstrip().partition(b"\n")
        if rest.strip() and _is_json(first):
            yield from _lines(file)
        elif content.strip():
            yield 1, content
        return
    if isinstance(document, list):
        yield from enumerate(document, 1)
    else:
        yield 1, document


def _table(file: Path) -> Iterator[Row]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise BadImport(f"{file} is Parquet, which needs pyarrow; install it, or write JSON lines") from error
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            number = 0
            for batch in table.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (OSError, pyarrow.ArrowException) as error:
        raise _unreadable(file, error) from error


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _whole(file: Path) -> bytes:
    try:
        with file.open("rb") as packed, _unpacked(packed) as stream:
            return stream.read()
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(file, error) from error


def _unpacked(packed: IO[bytes]) -> Any:
    head = packed.read(2)
    packed.seek(0)
    return gzip.open(packed) if head == GZIP else packed


def _unreadable(file: Path, error: Exception) -> BadImport:
    return BadImport(f"{file} cannot be read: {error}; check the path, or unpack it again")
