"""What a version is, how its row is found by a SPEC, and whether its files are still those that were registered."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..errors import BadAdapter, BadModelFolder, UnknownSlot, UnknownVersion
from .digest import differences, digest_folder
from .model_files import base_of
from .tables import AliasRow, VersionRow


@dataclass(frozen=True)
class Version:
    """Immutable weights and where they came from."""

    name: str
    """Such as ``helpdesk.think@0003``."""
    slot: str
    number: int
    kind: str
    """``full`` or ``adapter``."""
    folder: str
    digest: str
    """SHA-256 over the names and contents of the folder's weights, configs, tokenizer and template."""
    size_bytes: int
    """Of the safetensors files."""
    base: str | None
    """The version that it was trained from."""
    base_folder: str | None
    """What an adapter is merged into: an absolute folder, or a hub name, whose files nobody verifies."""
    lineage: dict[str, Any]
    created_at: str
    gone_at: str | None
    """When a clean-up removed its files; None while they are kept."""


def find(session: Session, spec: str) -> VersionRow:
    """The row of the version that ``slot@alias`` or ``slot@0003`` names.

    Raises:
        UnknownSlot, UnknownVersion
    """
    slot, _, name = spec.partition("@")
    query = select(VersionRow).where(VersionRow.slot == slot)
    if name.isdecimal() and len(name) < 10:
        query = query.where(VersionRow.number == int(name))
    else:
        query = query.join(AliasRow, AliasRow.version_id == VersionRow.id).where(AliasRow.alias == name)
    row = session.scalars(query).first()
    if row is None:
        raise _unknown(session, slot, name)
    return row


def refuse_gone(row: VersionRow) -> None:
    """Raise BadModelFolder if a clean-up removed the version's files."""
    if row.gone_at is not None:
        raise BadModelFolder(
            f"the files of {name_of(row)} were removed by a clean-up at {row.gone_at}; choose another version, or put "
            f"them back into {row.folder!r} and register that folder again"
        )


def name_of(row: VersionRow) -> str:
    """Such as ``helpdesk.think@0003``."""
    return f"{row.slot}@{row.number:04d}"


def version_of(row: VersionRow) -> Version:
    """The version that a row tells of."""
    return Version(
        name=name_of(row),
        slot=row.slot,
        number=row.number,
        kind=row.kind,
        folder=row.folder,
        digest=row.digest,
        size_bytes=row.size_bytes,
        base=row.base,
        base_folder=row.base_folder,
        lineage=dict(row.lineage),
        created_at=row.created_at,
        gone_at=row.gone_at,
    )


def verify_files(row: VersionRow) -> None:
    """Look at the version's files and at those of an adapter's bases; a base that only a hub name tells is not seen.

    Raises:
        BadModelFolder: they are gone, there are pickles, or they are not those that were registered; says which.
        BadAdapter: its base is found elsewhere from here than where it was registered.
    """
    refuse_gone(row)
    for folder in row.files or (row.folder,):
        if not Path(folder).is_dir():
            _refuse(row, folder, "the folder does not exist")
    if row.files is None:
        if digest_folder(Path(row.folder)).digest != row.digest:
            _refuse(row, row.folder, "some file was changed")
        return
    for folder, files in row.files.items():
        if found := differences(Path(folder), files):
            _refuse(row, folder, "; ".join(found))
    if row.kind == "adapter" and (base := base_of(Path(row.folder))) != row.base_folder:
        raise BadAdapter(
            f"{name_of(row)} was registered with the base {row.base_folder!r}, which is {base!r} when looked for from "
            "here; write the whole path into base_model_name_or_path of its adapter_config.json and register it again"
        )


def _refuse(row: VersionRow, folder: str, how: str) -> None:
    whose = name_of(row) if folder == row.folder else f"the base of {name_of(row)}"
    raise BadModelFolder(
        f"the files of {whose} in {folder} are not those that were registered: {how}; restore them, or move "
        "them to a folder of their own and register that"
    )


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
