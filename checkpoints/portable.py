"""One thread as one file, for any other database: ``docs/thread-file.md`` says what is in it.

The same thread gives the same bytes, whether it comes from SQLite or from PostgreSQL. The content is in the clear
in the file, from an encrypted database too; a database with a key encrypts it again.
"""

import gzip
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from sqlalchemy.exc import OperationalError, StatementError

from ..errors import BadImport, StoreFull
from .copies import refuse_existing, require_thread, snapshot
from .record_writer import RecordWriter
from .records import read_records
from .store import Store

FORMAT = "threadmill.thread"
VERSION = 1
COUNTED = {"checkpoint": "checkpoints", "write": "writes", "label": "labels"}
LONGEST_HEADER = 2**16
GZIP = b"\x1f\x8b"
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


@dataclass(frozen=True, slots=True)
class ThreadFile:
    """What a file holds."""

    thread: str
    checkpoints: int
    writes: int
    labels: int
    size_bytes: int
    digest: str
    """SHA-256 of all lines but the last, before compression; the last line names it."""


def export_thread(store: Store, thread: str, file: Path) -> ThreadFile:
    """Write ``thread`` to ``file``, compressed if its name ends in ``.gz``; a file that is there is replaced.

    The thread is taken as it is at this moment, even while it runs. The file is not encrypted, even if the
    database is: whoever can read it reads everything.

    Raises:
        UnknownThread
        BadKey: the database is encrypted, and the key is missing or another one.
    """
    counts = dict.fromkeys(COUNTED.values(), 0)
    digest = sha256()
    with snapshot(store) as connection:
        require_thread(store, connection, thread)
        with _fresh(file) as lines:
            header = _line({"format": FORMAT, "version": VERSION, "thread": thread})
            digest.update(header)
            lines.write(header)
            with closing(read_records(store, connection, thread)) as records:
                for record in records:
                    line = _line(record)
                    digest.update(line)
                    lines.write(line)
                    counts[COUNTED[record["record"]]] += 1
            lines.write(_end(counts, digest.hexdigest()))
    return ThreadFile(thread, **counts, size_bytes=file.stat().st_size, digest=digest.hexdigest())


def import_thread(store: Store, file: Path, *, thread: str | None = None) -> ThreadFile:
    """Write the thread in ``file`` into the database, all or nothing; under another id if ``thread`` is given.

    Nothing in the file is made into an object. With a key in ``THREADMILL_KEY`` the content is encrypted.

    Raises:
        BadImport: the file is damaged or no thread file, the thread exists already, or this database cannot hold it.
        ThreadBusy: somebody drives a thread of this id.
        ReadOnly, StoreFull
    """
    store.saver.check_may_write({"configurable": {"thread_id": thread or ""}})
    held = _check(file)
    target = held.thread if thread is None else thread
    with store.leases.hold(target), snapshot(store, to_write=True) as connection:
        refuse_existing(store, connection, target, "import this one under another id, as in thread='new-id'")
        writer = RecordWriter(store, connection, target)
        number = 1
        try:
            for line in islice(_lines(file), 1, 1 + held.checkpoints + held.writes + held.labels):
                number += 1
                writer.add(json.loads(line))
            writer.flush()
        except MALFORMED as error:
            reason = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise BadImport(
                f"line {number} of {file} cannot be kept in {store.name}: {reason}; nothing was imported"
            ) from error
        except OperationalError as error:
            if "disk is full" not in str(error) and "No space left" not in str(error):
                raise
            raise StoreFull(f"no room for {file} in {store.name}; nothing was imported, make room") from error
        except StatementError as error:
            reason = str(error.orig).partition("\n")[0]
            raise BadImport(f"{file} cannot be kept in {store.name}: {reason}; nothing was imported") from error
    return replace(held, thread=target)


def _check(file: Path) -> ThreadFile:
    """What the last line of ``file`` says that it holds; nothing is read before that is known to be true."""
    digest = sha256()
    lines = _lines(file)
    last = header = next(lines)
    thread = _read_header(header, file)
    count = 0
    for line in lines:
        digest.update(last)
        last = line
        count += 1
    try:
        end = json.loads(last)
        counts = {name: int(end[name]) for name in COUNTED.values()}
    except MALFORMED:
        raise _damaged(file) from None
    if last != _end(counts, digest.hexdigest()) or sum(counts.values()) != count - 1:
        raise _damaged(file)
    return ThreadFile(thread, **counts, size_bytes=file.stat().st_size, digest=digest.hexdigest())


def _damaged(file: Path) -> BadImport:
    return BadImport(
        f"{file} is damaged or cut off: it does not fit its last line; nothing was imported, export the thread again"
    )


def _read_header(line: bytes, file: Path) -> str:
    try:
        header = json.loads(line)
        kind, version, thread = header["format"], header["version"], header["thread"]
    except MALFORMED:
        kind = version = thread = None
    if kind != FORMAT or not isinstance(thread, str):
        raise BadImport(
            f"{file} is no thread file: it does not begin as those that `threadmill threads export-file` writes; "
            "other formats are read by `threadmill threads import`"
        )
    if version != VERSION:
        raise BadImport(f"{file} is a thread file of version {version!r}, and this Threadmill reads {VERSION}; upgrade")
    return thread


def _lines(file: Path) -> Iterator[bytes]:
    """The lines of ``file``, whatever its name says about compression; the first one only in part if it is endless."""
    try:
        with file.open("rb") as raw, gzip.open(raw) if raw.peek(2).startswith(GZIP) else raw as stream:
            yield stream.readline(LONGEST_HEADER)
            yield from stream
    except (OSError, EOFError, zlib.error) as error:
        raise BadImport(f"{file} cannot be read: {error}; check the path, or export the thread again") from error


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _end(counts: dict[str, int], digest: str) -> bytes:
    return _line({"record": "end", **counts, "sha256": digest})


@contextmanager
def _fresh(file: Path) -> Iterator[IO[bytes]]:
    """A file beside ``file`` that takes its place when it is complete; the same content gives the same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{uuid4().hex}.new")
    try:
        with beside.open("xb") as raw:
            if file.suffix == ".gz":
                with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
                    yield packed  # pyright: ignore[reportReturnType]
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        beside.replace(file)
    finally:
        beside.unlink(missing_ok=True)
