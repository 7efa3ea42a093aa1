"""Import runs of others as threads: real checkpoints, labelled, one thread a run.

A bad row is set aside with its file, line and reason, and the rest is imported. Importing again adds
only what is missing. No tokens are claimed: such threads are rendered when they are exported.

A format is a module with a line in ``formats.py``. It has

- ``NAME``, for ``--format``;
- ``fits(row) -> bool``: is this object (a dict) of this format, and of no other one that is known;
- ``read(row, file)``: a ``Record``, or an iterable of records if a row holds several runs. ``BadRow`` sets the row
  aside; where a row holds several runs, a ``BadRow`` among the records sets that run aside and keeps the others;
- for files that are neither JSON lines, nor a JSON document (an array is a row for each element), nor Parquet:
  ``SUFFIXES`` and ``rows(file) -> Iterator[(line, row)]``.

What the rows of all formats need is in ``record.py`` (numbers, ids, arguments, the keys of what is noted on messages)
and ``schemas.py`` (tools). Results are paired with calls by their position, and every message and call gets an id
of its own. What a row holds beyond what is expected is left alone; what it lacks is said. Results carry
``additional_kwargs["kind"]``: ``result``, ``failed`` (with ``status="error"``) or ``invalid``.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from langchain_core.messages import AIMessage

from ...errors import BadImport
from ..store import Store
from .files import find_files, parse, rows_of, suffix_of
from .formats import FORMATS
from .record import BadRow, Record, check_record
from .write import write_record

LOOKED_AT = 20
"""How many rows of a file are looked at to find its format."""
MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError)
"""What a format may run into that did not expect so odd a row."""


@dataclass
class ImportReport:
    """What an import did."""

    format: str = ""
    """Several if the files are of several."""
    imported: int = 0
    already: int = 0
    """Runs whose thread was complete before, or came earlier in this import."""
    set_aside: list[dict[str, Any]] = field(default_factory=list)
    """File, line (from 1) and reason of each bad row."""
    messages: int = 0
    tool_calls: int = 0
    labels: int = 0


def import_files(
    store: Store,
    files: Sequence[Path],
    *,
    format: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Import files, and what is in folders; ``format`` None or ``auto`` looks at the first rows of each file.

    ``progress`` is called with the rows done and the rows in all. An import that was interrupted goes on where it
    stopped when it is run again.

    Raises:
        BadImport: a file cannot be read, or its format is unknown or ambiguous. Nothing is imported then.
    """
    if not files:
        raise BadImport("no file was named; give at least one")
    report = ImportReport()
    chosen = [found for named in files for found in _choose(Path(named), format, report)]
    report.format = ", ".join(dict.fromkeys(module.NAME for _, module, _ in chosen))
    in_all = sum(count for *_, count in chosen)
    done = 0
    for file, module, _ in chosen:
        for line, row in _rows(file, module):
            for record in _read(module, row, file):
                reason = str(record) if isinstance(record, BadRow) else None
                if not isinstance(record, BadRow):
                    reason = _keep(store, record, f"{file.name}:{line}", module.NAME, report)
                if reason is not None:
                    report.set_aside.append({"file": str(file), "line": line, "reason": reason})
            done += 1
            if progress is not None:
                progress(done, in_all)
    return report


def _choose(named: Path, format: str | None, report: ImportReport) -> list[tuple[Path, ModuleType, int]]:
    """The file, or those of the folder, each with its format and how many rows it has.

    In a folder what cannot be read or is of no known format is set aside; of a file that is named it is an error.
    """
    if not named.is_dir():
        return [(named, *_look(named, format))]
    chosen: list[tuple[Path, ModuleType, int]] = []
    for file in find_files(named):
        try:
            chosen.append((file, *_look(file, format)))
        except BadImport as error:
            report.set_aside.append({"file": str(file), "line": 1, "reason": str(error)})
    if not chosen:
        raise BadImport(report.set_aside[-1]["reason"])
    return chosen


def _keep(store: Store, record: Record, source: str, format: str, report: ImportReport) -> str | None:
    """Write one record and count it; why it is set aside, or None."""
    try:
        labels = write_record(store, record, source, format)
    except BadRow as error:
        return str(error)
    if labels is None:
        report.already += 1
        return None
    report.imported += 1
    report.messages += len(record.messages)
    report.tool_calls += sum(len(m.tool_calls) for m in record.messages if isinstance(m, AIMessage))
    report.labels += labels
    return None


def _rows(file: Path, module: ModuleType) -> Iterator[tuple[int, Any]]:
    return module.rows(file) if hasattr(module, "rows") else rows_of(file)


def _look(file: Path, format: str | None) -> tuple[ModuleType, int]:
    """The format of ``file`` and how many rows it has; all of it is read, so that it can be."""
    if format not in (None, "auto"):
        if format not in FORMATS:
            raise BadImport(f"{format!r} is no format; there are {', '.join(FORMATS)}")
        return FORMATS[format], sum(1 for _ in _rows(file, FORMATS[format]))
    for module in FORMATS.values():
        if suffix_of(file) in getattr(module, "SUFFIXES", ()):
            fitting = [module.fits(row) for _, row in module.rows(file)]
            if any(fitting):
                return module, len(fitting)
    candidates: list[set[str]] = []
    count = 0
    for _, raw in rows_of(file):
        count += 1
        if count <= LOOKED_AT:
            candidates.append(_candidates(raw))
    named = [names for names in candidates if names]
    if not named:
        raise BadImport(f"no row of {file} is of a format that is known ({', '.join(FORMATS)}); name one with --format")
    shared = set.intersection(*named)
    if len(shared) != 1:
        names = ", ".join(name for name in FORMATS if name in (shared or set.union(*named)))
        raise BadImport(f"the rows of {file} could be of several formats: {names}; name one with --format")
    chosen = FORMATS[shared.pop()]
    return chosen, sum(1 for _ in chosen.rows(file)) if hasattr(chosen, "rows") else count


def _candidates(raw: Any) -> set[str]:
    try:
        row = parse(raw)
    except BadRow:
        return set()
    return {name for name, module in FORMATS.items() if isinstance(row, dict) and _fits(module, row)}


def _fits(module: ModuleType, row: dict[str, Any]) -> bool:
    try:
        return module.fits(row)
    except MALFORMED:
        return False


def _read(module: ModuleType, raw: Any, file: Path) -> Iterator[Record | BadRow]:
    try:
        row = parse(raw)
        if not isinstance(row, dict):
            raise BadRow("the row is no JSON object")
        found = module.read(row, file)
        for record in [found] if isinstance(found, Record) else found:
            yield record if isinstance(record, BadRow) else check_record(record)
    except BadRow as error:
        yield error
    except MALFORMED as error:
        yield BadRow(f"the row is not what {module.NAME} writes: {error!r:.200}")
