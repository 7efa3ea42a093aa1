"""An index of text files in one SQLite file: passages that can be searched by words (FTS5, bm25) and cited by id.

A passage is a part of a file of about ``MAX_CHARS`` characters that ends where a paragraph ends; its id, such as
``guide.md#3``, is the file's name and its place in the file. Only files that changed are read into the index again.
"""

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from ...errors import BadIndex

MAX_CHARS = 1000
SUFFIXES = (".md", ".markdown", ".txt", ".rst", ".adoc", ".org")
"""Of the files that are read in a folder; a file that is named itself may have any."""

_OURS = 0x74686D64
"""SQLite's ``application_id`` of an index, so that no other database is taken for one."""
_TABLES = """
CREATE TABLE IF NOT EXISTS files (name TEXT PRIMARY KEY, digest TEXT NOT NULL);
CREATE VIRTUAL TABLE IF NOT EXISTS passages USING fts5 (
    id UNINDEXED, source UNINDEXED, heading UNINDEXED, text UNINDEXED, title, words,
    tokenize = 'porter unicode61 remove_diacritics 2'
);
"""


class Passage(NamedTuple):
    """A part of a document."""

    id: str
    source: str
    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Indexed:
    """What became of the files."""

    added: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    removed: tuple[str, ...]
    """They were in the index and are no longer among the documents."""
    refused: tuple[tuple[str, str], ...]
    """File and reason."""


def index_documents(path: str | Path, documents: str | Path | Sequence[str | Path]) -> Indexed:
    """Make the index at ``path`` hold ``documents`` and nothing else: files, or folders with all text files in them.

    Files that are no text are left out and named in ``refused``. Whoever searches meanwhile sees the index as it was.

    Raises:
        BadIndex: ``path`` is another kind of file, a document is missing, or two have the same name.
    """
    given = [documents] if isinstance(documents, (str, Path)) else list(documents)
    files = _named(given)
    with closing(_opened_to_write(Path(path))) as database, database:
        database.execute("BEGIN IMMEDIATE")
        known = dict(database.execute("SELECT name, digest FROM files").fetchall())
        outcome: dict[str, list[str]] = {"added": [], "changed": [], "unchanged": []}
        refused = []
        for name, file in files.items():
            try:
                if not name.isprintable() or "[" in name or "]" in name:
                    raise ValueError("its name has brackets or signs that cannot be printed, so it cannot be cited")
                content = file.read_bytes()
                text = content.decode("utf-8-sig")
                if "\0" in text:
                    raise ValueError("it holds zero bytes, so it is no text")
            except (OSError, ValueError) as error:
                refused.append((name, _why(error)))
                continue
            digest = sha256(content).hexdigest()
            if known.get(name) == digest:
                outcome["unchanged"].append(name)
                continue
            outcome["changed" if name in known else "added"].append(name)
            _remove(database, name)
            _write(database, name, digest, text)
        removed = tuple(sorted(known.keys() - {name for names in outcome.values() for name in names}))
        for name in removed:
            _remove(database, name)
        return Indexed(
            **{kind: tuple(names) for kind, names in outcome.items()}, removed=removed, refused=tuple(refused)
        )


def search_documents(path: str | Path, query: str, most: int) -> list[Passage]:
    """At most ``most`` passages that have words of ``query``, the best first; nothing in ``query`` is syntax.

    Raises:
        BadIndex: there is no index at ``path``.
    """
    wanted = _as_fts(query)
    if not wanted:
        return []
    with closing(_opened_to_read(Path(path))) as database:
        rows = database.execute(
            "SELECT id, source, heading, text FROM passages WHERE passages MATCH ? "
            "ORDER BY bm25(passages, 0, 0, 0, 0, 2.0, 1.0), id LIMIT ?",
            (wanted, most),
        )
        return [Passage(*row) for row in rows]


def check_index(path: str | Path) -> None:
    """Nothing, if there is an index at ``path``.

    Raises:
        BadIndex
    """
    _opened_to_read(Path(path)).close()


def passages_of(text: str) -> Iterator[tuple[str, str]]:
    r"""The passages of ``text``, each with the headings (Markdown's) that it stands under.

    >>> list(passages_of("# Shop\n\nWe sell tea.\n\n## Returns\n\nWithin 30 days."))
    [('Shop', 'We sell tea.'), ('Shop > Returns', 'Within 30 days.')]
    """
    headings: list[str] = []
    parts: list[str] = []
    for block in _blocks(text):
        heading = re.fullmatch(r"(#{1,6})\s+(.+?)\s*#*", block)
        if heading is not None or sum(map(len, parts)) + len(block) > MAX_CHARS:
            if parts:
                yield " > ".join(filter(None, headings)), "\n\n".join(parts)
            parts = []
        if heading is None:
            parts.append(block)
        else:
            above = headings[: len(heading[1]) - 1]
            headings = [*above, *[""] * (len(heading[1]) - 1 - len(above)), heading[2]]
    if parts:
        yield " > ".join(filter(None, headings)), "\n\n".join(parts)


def _blocks(text: str) -> Iterator[str]:
    """Headings and paragraphs; a longer one in pieces that end where a sentence, a line or a word ends."""
    lines = re.sub(r"^(#{1,6}\s.*)$", r"\n\1\n", text.replace("\r\n", "\n"), flags=re.MULTILINE)
    for block in re.split(r"\n\s*\n", lines):
        rest = block.strip()
        while len(rest) > MAX_CHARS:
            ends = [rest.rfind(mark, MAX_CHARS // 2, MAX_CHARS) for mark in ("\n", ". ", "。", " ")]
            end = next((end + 1 for end in ends if end >= 0), MAX_CHARS)
            yield rest[:end].strip()
            rest = rest[end:].strip()
        if rest:
            yield rest


_NO_SPACES = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f\U00020000-\U0003ffff]")
"""Letters of scripts that put no spaces between words, or long ones: each is a word of the index."""


def _words(text: str) -> str:
    return _NO_SPACES.sub(lambda letter: f" {letter[0]} ", text)


def _as_fts(query: str) -> str:
    """``query`` in FTS5's language: any of its words, each quoted, so that none is an operator."""
    phrases = dict.fromkeys(" ".join(_words(word).split()) for word in re.findall(r"[^\W_]+", query[:2000]))
    return " OR ".join(f'"{phrase}"' for phrase in list(phrases)[:50])


def _named(documents: Sequence[str | Path]) -> dict[str, Path]:
    """Every file by the name that it is cited by."""
    files: dict[str, Path] = {}
    for document in map(Path, documents):
        if document.is_dir():
            found = {file.relative_to(document).as_posix(): file for file in sorted(_texts_in(document))}
        elif document.is_file():
            found = {document.name: document}
        else:
            raise BadIndex(f"there is no file or folder {str(document)!r} to index")
        for name, file in found.items():
            if name in files:
                raise BadIndex(f"{str(file)!r} and {str(files[name])!r} would both be cited as {name!r}; rename one")
            files[name] = file
    return files


def _texts_in(folder: Path) -> Iterator[Path]:
    """The text files in ``folder`` and below, without hidden ones, links (they may lead anywhere), and pipes."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            file = Path(place, name)
            if file.suffix.lower() in SUFFIXES and not name.startswith(".") and S_ISREG(file.lstat().st_mode):
                yield file


def _write(database: sqlite3.Connection, name: str, digest: str, text: str) -> None:
    database.execute("INSERT INTO files VALUES (?, ?)", (name, digest))
    database.executemany(
        "INSERT INTO passages (id, source, heading, text, title, words) VALUES (?, ?, ?, ?, ?, ?)",
        (
            (f"{name}#{place}", name, heading, passage, _words(heading), _words(passage))
            for place, (heading, passage) in enumerate(passages_of(text), 1)
        ),
    )


def _remove(database: sqlite3.Connection, name: str) -> None:
    database.execute("DELETE FROM files WHERE name = ?", (name,))
    database.execute("DELETE FROM passages WHERE source = ?", (name,))


def _opened_to_write(path: Path) -> sqlite3.Connection:
    if path.exists() and path.stat().st_size:
        check_index(path)
        return sqlite3.connect(path, isolation_level=None, timeout=30)
    try:
        database = sqlite3.connect(path, isolation_level=None, timeout=30)
    except sqlite3.Error as error:
        raise BadIndex(f"no index can be made at {str(path)!r}: {error}; is there such a folder?") from error
    database.executescript(f"PRAGMA application_id = {_OURS}; BEGIN; {_TABLES} COMMIT;")
    return database


def _opened_to_read(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise BadIndex(f"there is no index at {str(path)!r}; make one with index_documents({str(path)!r}, folder)")
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
    try:
        (kind,) = database.execute("PRAGMA application_id").fetchone()
    except sqlite3.Error:
        kind = 0
    if kind != _OURS:
        database.close()
        raise BadIndex(f"{str(path)!r} is no index of documents; give index_documents a file name of its own")
    return database


def _why(error: Exception) -> str:
    return "it is no UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
