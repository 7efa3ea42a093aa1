"""Why the files of a version are needed: who names it, who runs on it, and whose folder lies in its own.

Leaves out what no database tells: other databases that have the same folder, and training that reads it right now.
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..errors import BadModelFolder
from .model_files import folders_of, model_files
from .store import Store
from .tables import AliasRow, CanaryRow, EvaluationRow, PinRow, VersionRow
from .threads import status_of
from .versions import name_of

PACKAGE = [
    root / name
    for root in (Path(__file__).parents[1], Path(__file__).resolve().parents[1])  # an editable install has both
    for name in ("checkpoints", "cli", "graphs", "nodes", "training")
]
"""The folders that were installed, the seed policy's among them."""

Reasons = dict[int, list[str]]
"""Id of a version to why its files are needed, in words; versions that nobody needs are missing."""


def unfinished_threads(store: Store, versions: Collection[str]) -> dict[str, list[str]]:
    """Which threads are paused, failed or running on each of ``versions``: they stay on it until their run ends."""
    tables = store.tables
    table, latest, noted = tables.checkpoints, tables.latest(), tables.noted("versions")
    query = (
        select(table.c.thread_id, table.c.checkpoint_id, noted)
        .join(latest, (table.c.thread_id == latest.c.thread_id) & (table.c.checkpoint_id == latest.c.checkpoint_id))
        .where(table.c.checkpoint_ns == "", noted.is_not(None))
        .order_by(table.c.thread_id)
    )
    found: dict[str, list[str]] = {}
    for thread, checkpoint, spoken in tables.read(query) if versions else ():
        names = {name for name in json.loads(spoken).values() if name in versions}
        if names and status_of(store, thread, checkpoint) != "done":
            for name in names:
                found.setdefault(name, []).append(thread)
    return found


def reasons_to_keep(session: Session, unfinished: Mapping[str, Sequence[str]], newest: int) -> Reasons:
    """Why each version is kept; ``newest`` of every slot are kept in any case."""
    rows = session.scalars(select(VersionRow).order_by(VersionRow.slot, VersionRow.number.desc())).all()
    reasons: Reasons = {}

    def keep(version: int, why: str) -> None:
        reasons.setdefault(version, []).append(why)

    for alias in session.scalars(select(AliasRow).order_by(AliasRow.alias)):
        keep(alias.version_id, f"it is {alias.alias}")
    for pin in session.scalars(select(PinRow).order_by(PinRow.thread)):
        keep(pin.version_id, f"thread {pin.thread!r} is pinned to it")
    for canary in session.scalars(select(CanaryRow).where(CanaryRow.status == "running")):
        keep(canary.version_id, f"a {canary.mode} runs with it")
    running = session.scalars(select(EvaluationRow).where(EvaluationRow.status == "running")).all()
    kept_of: dict[str, int] = {}
    for row in rows:
        if row.gone_at is not None:
            continue
        name = name_of(row)
        kept_of[row.slot] = kept_of.get(row.slot, 0) + 1
        if kept_of[row.slot] <= newest:
            keep(row.id, f"it is one of the {newest} newest of its slot")
        for thread in unfinished.get(name, ()):
            keep(row.id, f"thread {thread!r} has not finished its run with it")
        for evaluation in running:
            if name in evaluation.versions.values():
                keep(row.id, f"evaluation {evaluation.id} of it has not finished")
    _keep_by_folder(rows, reasons)
    return reasons


def _keep_by_folder(rows: Sequence[VersionRow], reasons: Reasons) -> None:
    """Add versions whose folder is, holds or lies in one that is needed, until there are no more."""
    open_rows = {row.id: row for row in rows}
    needing = dict.fromkeys(PACKAGE, "it is part of the installed package")
    while needing:
        holding = {above: why for place, why in needing.items() for above in place.parents}
        found = []
        for row in open_rows.values():
            here = Path(row.folder).resolve()
            why = next((needing[at] for at in (here, *here.parents) if at in needing), holding.get(here))
            if why is not None:
                reasons.setdefault(row.id, [why])
            if row.id in reasons:
                found.append(row)
        needing = {}
        for row in found:
            del open_rows[row.id]
            if row.gone_at is None:
                needing |= {place: f"{name_of(row)} needs the files in {place}" for place in _places(row)}


def _places(row: VersionRow) -> Iterable[Path]:
    """The folders that a version is read from, an adapter's bases included, and the targets of links in them."""
    folders = {Path(folder) for folder in row.files or {row.folder: {}}}
    try:
        folders |= {*folders_of(Path(row.folder))}
        links = {file.resolve() for folder in folders for file in model_files(folder) if file.is_symlink()}
    except BadModelFolder:  # whoever loads it is told; what was noted of it is kept
        links = set()
    return {folder.resolve() for folder in folders} | links
