"""The work file of an export: rows made so far, so that an interrupted export goes on, and memory stays flat.

A SQLite file beside the folder that is being written, held by one export at a time. What is in it belongs to one
query over one state of the databases; for any other it is begun anew.
"""

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import BadDataset
from ..dataset import line_of

FILE = "journal.sqlite"
NOTED = "noted: "
"""Counts with this in front tell of something else than rows that were left out."""
_TABLES = """
create table about(fingerprint text, done integer);
create table rows(place integer primary key, line blob, facts text, digest blob, tokens integer,
                  text text, source text, pair text, redacted text);
create table origins(place integer, db integer, thread text, checkpoint text);
create table left_out(db integer, thread text, checkpoint text, reason text, n integer);
create table counts(name text primary key, n integer);
create table taken(key blob primary key) without rowid;
create index origins_place on origins(place);
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row as it is kept, without the row itself."""

    place: int
    facts: dict[str, Any]
    digest: bytes
    tokens: int
    """That a model reads at once."""
    text: str
    source: str
    pair: str | None
    redacted: dict[str, int]


@dataclass(frozen=True, slots=True)
class Origin:
    """A branch that a row was made of."""

    db: int
    """Which of the databases, from 0."""
    thread: str
    checkpoint: str


class Journal:
    """Rows in the order in which they were made."""

    def __init__(self, out: Path, fingerprint: str) -> None:
        self.out = out
        self.folder = out.with_name(f".{out.name}.part")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._open(fingerprint)

    @property
    def done(self) -> int:
        """How many threads are in it; the export goes on behind them."""
        return self._one("select done from about")

    def add(self, row: dict[str, Any], entry: Entry, origins: Sequence[Origin]) -> None:
        """Keep a row; ``entry.place`` is not looked at."""
        place = self._connection.execute(
            "insert into rows(line, facts, digest, tokens, text, source, pair, redacted) "
            "values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                line_of(row),
                json.dumps(entry.facts),
                entry.digest,
                entry.tokens,
                entry.text,
                entry.source,
                entry.pair,
                json.dumps(entry.redacted),
            ),
        ).lastrowid
        self._connection.executemany(
            "insert into origins values (?, ?, ?, ?)", [(place, one.db, one.thread, one.checkpoint) for one in origins]
        )

    def leave_out(self, db: int, thread: str, checkpoint: str | None, reason: str, n: int = 1) -> None:
        """Note a branch that gave no row, or what of a thread gave none, so many times."""
        self._connection.execute("insert into left_out values (?, ?, ?, ?, ?)", (db, thread, checkpoint, reason, n))

    def count(self, counts: Counter[str]) -> None:
        """Add to the numbers that the manifest tells."""
        self._connection.executemany(
            "insert into counts values (?, ?) on conflict(name) do update set n = n + excluded.n", counts.items()
        )

    def commit(self, done: int) -> None:
        """Keep what was added: the first ``done`` threads are finished."""
        self._connection.execute("update about set done = ?", (done,))
        self._connection.commit()

    @property
    def taken(self) -> "_Taken":
        """A memory for makers of rows, which an interruption does not lose."""
        return _Taken(self)

    def take(self, keys: Sequence[bytes]) -> list[bool]:
        """For each key, whether it is new; from now on it is known."""
        insert = "insert or ignore into taken values (?)"
        return [self._connection.execute(insert, (key,)).rowcount == 1 for key in keys]

    def entries(self) -> Iterator[Entry]:
        """All rows without their content, in order."""
        query = "select place, facts, digest, tokens, text, source, pair, redacted from rows order by place"
        for place, facts, digest, tokens, text, source, pair, redacted in self._connection.execute(query):
            yield Entry(place, json.loads(facts), digest, tokens, text, source, pair, Counter(json.loads(redacted)))

    def lines(self, places: Iterable[int]) -> Iterator[bytes]:
        """These rows as JSON lines."""
        for place in places:
            yield self._one("select line from rows where place = ?", place)

    def origins(self, places: Iterable[int]) -> Iterator[list[Origin]]:
        """What each of these rows was made of."""
        query = "select db, thread, checkpoint from origins where place = ? order by rowid"
        for place in places:
            yield [Origin(*found) for found in self._connection.execute(query, (place,))]

    def digests(self, places: Iterable[int]) -> Iterator[str]:
        """What tells the content of each of these rows apart, sixteen hexadecimal digits."""
        for place in places:
            yield self._one("select digest from rows where place = ?", place).hex()[:16]

    def left_out(self) -> Iterator[tuple[int, str, str | None, str, int]]:
        """Database, thread, checkpoint and reason of what gave no row, and how many there are of it."""
        yield from self._connection.execute("select db, thread, checkpoint, reason, n from left_out order by rowid")

    def counts(self) -> Counter[str]:
        """The numbers so far."""
        return Counter(dict(self._connection.execute("select name, n from counts")))

    def close(self) -> None:
        """Stop; the file stays for the next time."""
        self._connection.close()

    def remove(self) -> None:
        """The export is complete."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self, fingerprint: str) -> None:
        """Go on with the file, or begin anew if it is of something else, half made, or damaged."""
        file = self.folder / FILE
        self._connection = sqlite3.connect(file, timeout=1)
        try:
            if self._is_of(fingerprint):
                return
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                self._connection.close()
                busy = f"{self.out} is in use: another export is writing to it; wait for it, or choose another folder"
                raise BadDataset(busy) from error
        self._connection.close()
        for other in self.folder.glob(f"{FILE}*"):
            other.unlink()
        self._connection = sqlite3.connect(file)
        self._hold()
        self._connection.executescript(_TABLES)
        self._connection.execute("insert into about values (?, 0)", (fingerprint,))
        self._connection.commit()

    def _is_of(self, fingerprint: str) -> bool:
        self._hold()
        found = self._connection.execute("select fingerprint from about").fetchone()
        return found == (fingerprint,) and self._one("pragma quick_check") == "ok"

    def _hold(self) -> None:
        """Keep every other process out until the connection is closed, or this process ends."""
        self._connection.execute("pragma locking_mode = exclusive")
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = normal")

    def _one(self, query: str, *values: Any) -> Any:
        return self._connection.execute(query, values).fetchone()[0]


class _Taken:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def add(self, keys: Sequence[bytes]) -> list[bool]:
        return self._journal.take(keys)
