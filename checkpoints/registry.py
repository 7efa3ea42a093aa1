"""The registry: versions of a slot, immutable; aliases that name them; and the history of their moves.

Promoting moves ``live``, remembers where it stood as ``previous``, and adds a row to the history, in
one transaction. Weights stay where they were trained; the registry keeps the digest of every file.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ..errors import BadModelFolder, BadName
from .changing import changing
from .digest import digest_folder, state_of
from .model_files import base_of, folders_of
from .moves import NOTHING, Move, move_alias, moves_of
from .runs import note_runs
from .store import Store
from .tables import AliasRow, SlotRow, VersionRow
from .versions import Version, find, name_of, verify_files, version_of

_NAME = re.compile(r"[^\W_][\w.-]*")


def register_version(
    store: Store, slot: str, folder: Path | str, *, lineage: Mapping[str, Any], base: str | None = None
) -> Version:
    """Make ``folder``, which must stay as it is, the next version of ``slot``.

    Raises:
        BadModelFolder: the folder is missing, holds no safetensors or holds pickles, changed meanwhile, or it or an
            adapter's base was written over since a version was registered there.
        BadAdapter: an adapter whose base cannot be told.
        BadName: no slot can be called so.
        UnknownSlot, UnknownVersion: ``base`` (a version, or an alias of one) is not in the registry.
    """
    if not _NAME.fullmatch(slot):
        raise BadName(f"no slot can be called {slot!r}; name it agent.node: letters, digits, '.', '-' and '_'")
    place = Path(folder).expanduser().resolve()
    before = state_of(place)
    below = {str(folder): digest_folder(folder) for folder in folders_of(place)}
    base_folder = base_of(place)
    with changing(store) as session:
        if state_of(place) != before:
            raise BadModelFolder(f"{str(place)!r} was changed while it was read; register it when nobody writes there")
        _refuse_written_over(session, {folder: there.digest for folder, there in below.items()})
        if base is not None:  # an alias would name another version once it has moved, this one even
            base = name_of(find(session, base))
        if session.get(SlotRow, slot) is None:
            session.add(SlotRow(slot=slot))
        last = session.scalar(select(func.max(VersionRow.number)).where(VersionRow.slot == slot)) or 0
        row = VersionRow(
            slot=slot,
            number=last + 1,
            folder=str(place),
            digest=below[str(place)].digest,
            size_bytes=below[str(place)].size_bytes,
            base=base,
            kind="full" if base_folder is None else "adapter",
            base_folder=base_folder,
            files={folder: dict(there.files) for folder, there in below.items()},
            lineage=dict(lineage),
        )
        session.add(row)
        session.flush()
        note_runs(session, row.id, lineage)
        return version_of(row)


def resolve(store: Store, spec: str, *, verify: bool = False) -> Version:
    """The version that ``slot@alias`` or ``slot@0003`` names.

    Raises:
        UnknownSlot: the slot has no versions. UnknownVersion: it has, but not this one.
        BadModelFolder: with ``verify``, the files are gone or not those that were registered, or there are pickles.
    """
    with Session(store.engine) as session:
        row = find(session, spec)
    if verify:
        verify_files(row)
    return version_of(row)


def verified_folder(store: Store, spec: str) -> str:
    """The folder of the version that ``spec`` names, its files and those of an adapter's bases as registered.

    Raises:
        UnknownSlot, UnknownVersion, BadModelFolder: as ``resolve`` with ``verify``.
    """
    return resolve(store, spec, verify=True).folder


def list_versions(store: Store, slot: str | None = None) -> list[Version]:
    """All versions, or those of ``slot``, oldest first; empty if there are none."""
    query = select(VersionRow).order_by(VersionRow.slot, VersionRow.number)
    if slot is not None:
        query = query.where(VersionRow.slot == slot)
    with Session(store.engine) as session:
        return [version_of(row) for row in session.scalars(query)]


def aliases_of(store: Store, slot: str) -> dict[str, str]:
    """Alias to the name of the version that it stands for."""
    query = select(AliasRow.alias, VersionRow).join(VersionRow).where(AliasRow.slot == slot)
    with Session(store.engine) as session:
        return {alias: name_of(row) for alias, row in session.execute(query)}


def promote(
    store: Store, slot: str, version: str, *, because: str, expecting: str | None = None, by: str | None = None
) -> Version:
    """Point ``live`` at ``version`` (its full name, or its number as in ``0003``) and ``previous`` at what was live.

    ``expecting`` is the version that was live when this was decided, or ``NOTHING``: if another one is by now, nothing
    is moved.

    Raises:
        UnknownSlot, UnknownVersion
        BadModelFolder: the version's files are gone.
        PromotionConflict: another version than ``expecting`` is live.
    """
    with changing(store) as session:
        row = find(session, f"{slot}@{version.removeprefix(f'{slot}@')}")
        move_alias(session, "live", row, "promote", because, by, expecting)
        return version_of(row)


def rollback(store: Store, slot: str, *, because: str, expecting: str | None = None, by: str | None = None) -> Version:
    """Point ``live`` back at ``previous``; doing it twice returns to where it began. ``expecting``: as ``promote``.

    Raises:
        UnknownSlot: the slot has no versions. UnknownVersion: nothing was live before.
        BadModelFolder, PromotionConflict
    """
    with changing(store) as session:
        row = find(session, f"{slot}@previous")
        move_alias(session, "live", row, "rollback", because, by, expecting)
        return version_of(row)


def point(
    store: Store,
    slot: str,
    alias: str,
    version: str,
    because: str,
    *,
    expecting: str | None = None,
    by: str | None = None,
) -> Version:
    """Point ``alias``, such as ``candidate`` or a name of your own, at ``version``; ``live`` takes ``previous`` along.

    Raises:
        BadName: no alias can be called so.
        UnknownSlot, UnknownVersion, BadModelFolder, PromotionConflict: as ``promote``.
    """
    if not _NAME.fullmatch(alias) or alias.isdecimal() or alias == NOTHING:
        raise BadName(f"no alias can be called {alias!r}; use letters, digits, '.', '-' and '_', not digits alone")
    with changing(store) as session:
        row = find(session, f"{slot}@{version.removeprefix(f'{slot}@')}")
        move_alias(session, alias, row, "point", because, by, expecting)
        return version_of(row)


def history(store: Store, slot: str, alias: str | None = None) -> list[Move]:
    """All moves of the slot's aliases, or of one, oldest first."""
    with Session(store.engine) as session:
        return moves_of(session, slot, alias)


def lineage(store: Store, spec: str) -> list[Version]:
    """The version that ``spec`` names and those that it was trained from, newest first.

    Raises:
        UnknownSlot, UnknownVersion
    """
    line = [resolve(store, spec)]
    while (base := line[-1].base) is not None:
        line.append(resolve(store, base))
    return line


def _refuse_written_over(session: Session, digests: Mapping[str, str]) -> None:
    """Raise BadModelFolder if another version was registered in one of the folders and is no longer what lies there."""
    query = select(VersionRow).where(VersionRow.folder.in_(digests), VersionRow.gone_at.is_(None))
    for row in session.scalars(query.order_by(VersionRow.id)):
        if row.digest != digests[row.folder]:
            raise BadModelFolder(
                f"{row.folder!r} is the folder of {name_of(row)}, and its files are other ones by now; versions never "
                "change: move these to a folder of their own and register that"
            )
