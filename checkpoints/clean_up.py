"""Remove the files of versions that nobody needs. Their rows stay: lineage, history and verdicts name them.

A version is marked as gone before its first file goes, so that a clean-up that is killed is finished by the next one.
Only files that were registered and have not changed are removed, never through a link.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..errors import BadModelFolder
from .changing import changing
from .digest import differences, digest_folder
from .needed import Reasons, reasons_to_keep, unfinished_threads
from .store import Store
from .tables import VersionRow, now
from .versions import name_of

NEWEST = 5
"""So many versions of every slot are kept in any case."""
BESIDE = ("curves.png",)
"""What our recipes write beside a model, in no digest because nothing depends on it."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A version whose files are removed, or (dry run) would be."""

    version: str
    folder: str
    size_bytes: int
    """Of its weights."""
    stays: tuple[str, ...]
    """What else lies in the folder: not the version's, so it stays."""


@dataclass(slots=True)
class Cleaned:
    """What a clean-up did, or (dry run) would do."""

    removed: list[Removed] = field(default_factory=list)
    kept: dict[str, list[str]] = field(default_factory=dict)
    """Version to who needs it."""
    left_alone: dict[str, str] = field(default_factory=dict)
    """Version that nobody needs to why its files were not touched."""


@dataclass(frozen=True, slots=True)
class _Found:
    """The files of a version as they lie there now."""

    files: tuple[Path, ...]
    stays: tuple[str, ...]


def collect_garbage(store: Store, slot: str | None = None, *, dry_run: bool, newest: int = NEWEST) -> Cleaned:
    """Remove the files of all versions, or of those of ``slot``, that nobody needs; the ``newest`` are kept.

    Needed is what an alias or a pin names, what a canary, an unfinished evaluation or an unfinished thread runs with,
    the base of an adapter that is needed, and what shares a folder with any of these.
    """
    done = Cleaned()
    with Session(store.engine) as session:
        reasons = reasons_to_keep(session, {}, newest)
        rows = _rows(session, slot)
        doubtful = {name_of(row) for row in rows if row.id not in reasons and row.gone_at is None}
        unfinished = unfinished_threads(store, doubtful)
        if unfinished:
            reasons = reasons_to_keep(session, unfinished, newest)
    done.kept = {name_of(row): reasons[row.id] for row in rows if row.id in reasons and row.gone_at is None}
    found = _look(rows, reasons, done)
    if not dry_run:
        with changing(store) as session:
            reasons = reasons_to_keep(session, unfinished, newest)  # somebody may have come to need one meanwhile
            for row in _rows(session, slot):
                if row.id in found and row.id not in reasons and row.gone_at is None:
                    row.gone_at = now()
    for row in rows:
        if row.id in found and (dry_run or _remove(store, row.id, unfinished, newest, done)):
            done.removed.append(Removed(name_of(row), row.folder, row.size_bytes, found[row.id].stays))
    return done


def _rows(session: Session, slot: str | None) -> Sequence[VersionRow]:
    query = select(VersionRow).order_by(VersionRow.slot, VersionRow.number)
    return session.scalars(query if slot is None else query.where(VersionRow.slot == slot)).all()


def _look(rows: Sequence[VersionRow], reasons: Reasons, done: Cleaned) -> dict[int, _Found]:
    """The files of versions that may go, by the version's id; those that must be left alone are noted."""
    found: dict[int, _Found] = {}
    for row in rows:
        if row.id in reasons:
            continue
        folder = Path(row.folder)
        if row.gone_at is not None and not folder.is_dir():
            continue
        try:
            here = _own_files(row, folder)
        except BadModelFolder as error:
            here = str(error)
        if isinstance(here, str):
            if row.gone_at is None:  # of one that is gone, others have used the folder since
                done.left_alone[name_of(row)] = here
        elif here.files or row.gone_at is None:
            found[row.id] = here
    return found


def _own_files(row: VersionRow, folder: Path) -> _Found | str:
    """What of ``folder`` belongs to the version, or why it must not be touched."""
    if not folder.is_dir():
        return _Found((), ())  # somebody has removed it by hand
    if folder.resolve() != folder:
        return f"{folder} is a link by now"
    if row.files is not None:
        registered = row.files[row.folder]
    elif digest_folder(folder).digest == row.digest:  # registered before there were digests of files
        registered = digest_folder(folder).files
    else:
        return f"the files in {folder} are not those that were registered"
    changes = [change for change in differences(folder, registered) if not change.endswith("is missing")]
    if changes:
        return f"the files in {folder} are not those that were registered: {'; '.join(changes)}"
    files = [folder / name for name in (*registered, *BESIDE) if (folder / name).exists()]
    if any(file.is_symlink() or file.parent.is_symlink() for file in files):
        return f"the files in {folder} are links to somewhere else"
    tops = {file.relative_to(folder).parts[0] for file in files}
    return _Found(tuple(files), tuple(sorted(there.name for there in folder.iterdir() if there.name not in tops)))


def _remove(store: Store, version: int, unfinished: dict[str, list[str]], newest: int, done: Cleaned) -> bool:
    """Remove the files if nobody needs them now; nobody can register, promote or pin meanwhile."""
    with changing(store) as session:
        row = session.get_one(VersionRow, version)
        if row.gone_at is None or version in reasons_to_keep(session, unfinished, newest):
            done.left_alone[name_of(row)] = "somebody came to need it meanwhile"
            return False
        try:
            found = _own_files(row, Path(row.folder))
            if isinstance(found, str):
                raise BadModelFolder(found)
            for file in found.files:
                file.unlink()
            for folder in sorted({file.parent for file in found.files}, reverse=True):
                if not any(folder.iterdir()):
                    folder.rmdir()
        except (OSError, BadModelFolder) as error:
            done.left_alone[name_of(row)] = f"{error}; the next clean-up tries again"
            return False
    return True
