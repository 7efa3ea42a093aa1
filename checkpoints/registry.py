"""The registry: versions of a slot, immutable; aliases that name them; and the history of their moves.

Promoting moves ``live``, remembers where it stood as ``previous``, and adds a row to the history, in
one transaction. Weights stay where they were trained; the registry keeps their digest.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from ..errors import BadModelFolder, UnknownSlot, UnknownVersion
from .runs import note_runs
from .store import Store
from .tables import AliasRow, MoveRow, VersionRow

DESCRIBING = ("*.json", "*.jinja", "*.model", "merges.txt", "vocab.txt")
"""The files beside the weights that decide what a model reads and says: config, tokenizer, template."""


@dataclass(frozen=True)
class Version:
    """Immutable weights and where they came from."""

    name: str
    """Such as ``helpdesk.think@0003``."""
    slot: str
    number: int
    folder: str
    digest: str
    """SHA-256 over the names and contents of the folder's weights, configs, tokenizer and template."""
    size_bytes: int
    """Of the safetensors files."""
    base: str | None
    lineage: dict[str, Any]
    created_at: str


@dataclass(frozen=True)
class Move:
    """One move of the alias ``live``."""

    slot: str
    action: str
    from_version: str | None
    to_version: str
    because: str
    created_at: str


def register_version(
    store: Store, slot: str, folder: Path | str, *, lineage: Mapping[str, Any], base: str | None = None
) -> Version:
    """Make ``folder``, which must stay as it is, the next version of ``slot``.

    Raises:
        BadModelFolder: the folder is missing or holds no safetensors.
        UnknownSlot, UnknownVersion: ``base`` (a version, or an alias of one) is not in the registry.
    """
    place = Path(folder).expanduser().resolve()
    digest, size = digest_folder(place)
    with _changing(store) as session:
        if base is not None:  # an alias would name another version once it has moved, this one even
            row = _find(session, *_parts(base))
            base = _name(row.slot, row.number)
        last = session.scalar(select(func.max(VersionRow.number)).where(VersionRow.slot == slot)) or 0
        row = VersionRow(
            slot=slot,
            number=last + 1,
            folder=str(place),
            digest=digest,
            size_bytes=size,
            base=base,
            lineage=dict(lineage),
        )
        session.add(row)
        session.flush()
        note_runs(session, row.id, lineage)
        return _version(row)


def resolve(store: Store, spec: str, *, verify: bool = False) -> Version:
    """The version that ``slot@alias`` or ``slot@0003`` names.

    Raises:
        UnknownSlot: the slot has no versions. UnknownVersion: it has, but not this one.
        BadModelFolder: with ``verify``, the files are not those that were registered.
    """
    with Session(store.engine) as session:
        row = _find(session, *_parts(spec))
    version = _version(row)
    if verify and digest_folder(Path(version.folder))[0] != version.digest:
        raise BadModelFolder(
            f"the files of {version.name} in {version.folder} are not those that were registered; restore them"
        )
    return version


def list_versions(store: Store, slot: str | None = None) -> list[Version]:
    """All versions, or those of ``slot``, oldest first; empty if there are none."""
    query = select(VersionRow).order_by(VersionRow.slot, VersionRow.number)
    if slot is not None:
        query = query.where(VersionRow.slot == slot)
    with Session(store.engine) as session:
        return [_version(row) for row in session.scalars(query)]


def aliases_of(store: Store, slot: str) -> dict[str, str]:
    """Alias to the name of the version that it stands for."""
    query = select(AliasRow.alias, VersionRow.number).join(VersionRow).where(AliasRow.slot == slot)
    with Session(store.engine) as session:
        return {alias: _name(slot, number) for alias, number in session.execute(query)}


def promote(store: Store, slot: str, version: str, *, because: str) -> Version:
    """Point ``live`` at ``version`` (its full name, or its number as in ``0003``) and ``previous`` at what was live.

    Raises:
        UnknownSlot, UnknownVersion
    """
    with _changing(store) as session:
        row = _find(session, slot, version.removeprefix(f"{slot}@"))
        _move(session, slot, row, "promote", because)
        return _version(row)


def rollback(store: Store, slot: str, *, because: str) -> Version:
    """Point ``live`` back at ``previous``; doing it twice returns to where it began.

    Raises:
        UnknownSlot: the slot has no versions. UnknownVersion: nothing was live before.
    """
    with _changing(store) as session:
        row = _find(session, slot, "previous")
        _move(session, slot, row, "rollback", because)
        return _version(row)


def history(store: Store, slot: str) -> list[Move]:
    """All moves of the slot's ``live``, oldest first."""
    query = select(MoveRow).where(MoveRow.slot == slot).order_by(MoveRow.id)
    with Session(store.engine) as session:
        return [
            Move(
                slot=row.slot,
                action=row.action,
                from_version=None if row.from_number is None else _name(slot, row.from_number),
                to_version=_name(slot, row.to_number),
                because=row.because,
                created_at=row.created_at,
            )
            for row in session.scalars(query)
        ]


def lineage(store: Store, spec: str) -> list[Version]:
    """The version that ``spec`` names and those that it was trained from, newest first.

    Raises:
        UnknownSlot, UnknownVersion
    """
    line = [resolve(store, spec)]
    while (base := line[-1].base) is not None:
        line.append(resolve(store, base))
    return line


def digest_folder(folder: Path) -> tuple[str, int]:
    """SHA-256 of a model folder's files, and the bytes of its weights.

    Raises:
        BadModelFolder: the folder is missing or holds no safetensors.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise BadModelFolder(f"{str(folder)!r} holds no *.safetensors; register a folder that was trained or saved")
    digest = hashlib.sha256()
    for file in sorted({*weights, *(file for pattern in DESCRIBING for file in folder.glob(pattern))}):
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest(), sum(file.stat().st_size for file in weights)


@contextmanager
def _changing(store: Store) -> Iterator[Session]:
    """One transaction that holds the write lock from its first read, so that no one else moves in between."""
    with Session(store.engine) as session, session.begin():
        if store.engine.dialect.name == "sqlite":
            session.execute(text("BEGIN IMMEDIATE"))  # by itself SQLite would begin at the first write
        else:
            session.execute(text("LOCK TABLE versions, aliases, alias_history IN EXCLUSIVE MODE"))
        yield session


def _parts(spec: str) -> tuple[str, str]:
    slot, _, name = spec.partition("@")
    return slot, name


def _find(session: Session, slot: str, name: str) -> VersionRow:
    query = select(VersionRow).where(VersionRow.slot == slot)
    if name.isdecimal() and len(name) < 10:
        query = query.where(VersionRow.number == int(name))
    else:
        query = query.join(AliasRow, AliasRow.version_id == VersionRow.id).where(AliasRow.alias == name)
    row = session.scalars(query).first()
    if row is None:
        raise _unknown(session, slot, name)
    return row


def _unknown(session: Session, slot: str, name: str) -> UnknownSlot | UnknownVersion:
    numbers = session.scalars(
        select(VersionRow.number).where(VersionRow.slot == slot).order_by(VersionRow.number)
    ).all()
    if not numbers:
        slots = session.scalars(select(VersionRow.slot).distinct().order_by(VersionRow.slot)).all()
        return UnknownSlot(f"no slot {slot!r} is registered; there is {', '.join(slots) or 'none yet'}")
    aliases = session.scalars(select(AliasRow.alias).where(AliasRow.slot == slot).order_by(AliasRow.alias))
    there = [*aliases, *(f"{number:04d}" for number in numbers)]
    return UnknownVersion(f"slot {slot!r} has no version or alias {name!r}; there is {', '.join(there)}")


def _move(session: Session, slot: str, row: VersionRow, action: str, because: str) -> None:
    live = session.get(AliasRow, (slot, "live"))
    before = None if live is None else session.get_one(VersionRow, live.version_id)
    if before is not None and before.id != row.id:  # promoting what is live must not lose the way back
        session.merge(AliasRow(slot=slot, alias="previous", version_id=before.id))
    session.merge(AliasRow(slot=slot, alias="live", version_id=row.id))
    number = None if before is None else before.number
    session.add(MoveRow(slot=slot, action=action, from_number=number, to_number=row.number, because=because))


def _version(row: VersionRow) -> Version:
    return Version(
        name=_name(row.slot, row.number),
        slot=row.slot,
        number=row.number,
        folder=row.folder,
        digest=row.digest,
        size_bytes=row.size_bytes,
        base=row.base,
        lineage=dict(row.lineage),
        created_at=row.created_at,
    )


def _name(slot: str, number: int) -> str:
    return f"{slot}@{number:04d}"
