"""Import runs of others as threads: real checkpoints, labelled, one thread a row.

A bad row is set aside with its file, line and reason, and the rest is imported. Importing again adds
only what is missing. No tokens are claimed: such threads are rendered when they are exported.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from langchain_core.messages import AIMessage

from ...errors import BadImport
from ..labels import labels_of
from ..store import Store
from . import intercode, tau_bench
from .record import BadRow, Record, check_storable
from .write import build_replay, write_record

FORMATS: dict[str, ModuleType] = {module.NAME: module for module in (tau_bench, intercode)}


@dataclass(frozen=True)
class ImportReport:
    """What an import did."""

    format: str
    imported: int
    already: int
    """Rows whose thread was complete before, or came earlier in this import."""
    set_aside: list[dict[str, Any]]
    """File, line (from 1) and reason of each bad row."""
    messages: int
    tool_calls: int
    labels: int


def import_files(
    store: Store,
    files: Sequence[Path],
    *,
    format: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Import JSONL files (or .gz of them); ``format`` None looks at the first row of the first file.

    ``progress`` is called with the rows done and the rows in all.

    Raises:
        BadImport: a file cannot be read, or its format is unknown. Nothing is imported then.
    """
    if not files:
        raise BadImport("no file was named; give at least one")
    lines = [(Path(file), number, line) for file in files for number, line in _lines(Path(file))]
    chosen = format or _look(lines)
    if chosen not in FORMATS:
        raise BadImport(f"{chosen!r} is no format; there are {', '.join(FORMATS)}")
    records: list[tuple[Path, int, Record]] = []
    set_aside: list[dict[str, Any]] = []
    for file, number, line in lines:
        try:
            records.append((file, number, _read(FORMATS[chosen], line, file)))
        except BadRow as error:
            set_aside.append({"file": str(file), "line": number, "reason": str(error)})
    complete = set(labels_of(store, [record.thread for _, _, record in records]))
    written: list[Record] = []
    labels = 0
    replay = build_replay(store)
    for done, (file, number, record) in enumerate(records, 1):
        if record.thread not in complete:
            labels += write_record(store, replay, record, f"{file.name}:{number}", chosen)
            complete.add(record.thread)
            written.append(record)
        if progress is not None:
            progress(done, len(records))
    said = [message for record in written for message in record.messages]
    return ImportReport(
        format=chosen,
        imported=len(written),
        already=len(records) - len(written),
        set_aside=set_aside,
        messages=len(said),
        tool_calls=sum(len(message.tool_calls) for message in said if isinstance(message, AIMessage)),
        labels=labels,
    )


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadImport(f"{file} cannot be read: {error}; check the path, or unpack it again") from error
    return ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


def _look(lines: Sequence[tuple[Path, int, str]]) -> str:
    for _, _, line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        for name, module in FORMATS.items():
            if isinstance(row, dict) and module.fits(row):
                return name
    raise BadImport(
        f"no row of {lines[0][0] if lines else 'these files'} is of a format that is known "
        f"({', '.join(FORMATS)}); name one with --format"
    )


def _read(module: ModuleType, line: str, file: Path) -> Record:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRow(f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise BadRow("the row is no JSON object")
    record = module.read(row, file)
    check_storable(record.messages)
    return record
