"""Move an alias: one row of history for each move, and no move that was decided against what is gone by now."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from ..errors import PromotionConflict
from .canaries import end_with_move
from .changing import tell_followers
from .tables import AliasRow, MoveRow, VersionRow
from .versions import find, name_of, refuse_gone

NOTHING = "none"
"""As what an alias was expected to name: no version."""


@dataclass(frozen=True)
class Move:
    """One move of an alias. When ``live`` moves, ``previous`` follows to where it stood, without a move of its own."""

    slot: str
    alias: str
    action: str
    """``promote``, ``rollback`` or ``point``."""
    from_version: str | None
    to_version: str
    because: str
    by: str | None
    """Who moved it, if that was said."""
    created_at: str


def move_alias(
    session: Session, alias: str, row: VersionRow, action: str, because: str, by: str | None, expecting: str | None
) -> None:
    """Point ``alias`` at ``row`` and note it; ``live`` leaves ``previous`` where it stood.

    Raises:
        BadModelFolder: the version's files are gone.
        UnknownVersion: ``expecting`` is no version. PromotionConflict: the alias names another one.
    """
    refuse_gone(row)
    slot = row.slot
    at = session.get(AliasRow, (slot, alias))
    before = None if at is None else session.get_one(VersionRow, at.version_id)
    if expecting is not None:
        _refuse_conflict(session, alias, row, before, expecting)
    if alias == "live" and (before is None or before.id != row.id):  # else the way back and a trial stay as they are
        if before is not None:
            session.merge(AliasRow(slot=slot, alias="previous", version_id=before.id))
        end_with_move(session, slot, row, because)
    session.merge(AliasRow(slot=slot, alias=alias, version_id=row.id))
    session.add(
        MoveRow(
            slot=slot,
            alias=alias,
            action=action,
            from_number=None if before is None else before.number,
            to_number=row.number,
            because=because,
            by=by,
        )
    )
    tell_followers(session, slot)


def moves_of(session: Session, slot: str, alias: str | None = None) -> list[Move]:
    """All moves of the slot's aliases, or of one, oldest first."""
    query = select(MoveRow).where(MoveRow.slot == slot).order_by(MoveRow.id)
    if alias is not None:
        query = query.where(MoveRow.alias == alias)
    return [
        Move(
            slot=row.slot,
            alias=row.alias,
            action=row.action,
            from_version=None if row.from_number is None else f"{slot}@{row.from_number:04d}",
            to_version=f"{slot}@{row.to_number:04d}",
            because=row.because,
            by=row.by,
            created_at=row.created_at,
        )
        for row in session.scalars(query)
    ]


def _refuse_conflict(session: Session, alias: str, row: VersionRow, before: VersionRow | None, expecting: str) -> None:
    slot = row.slot
    expected = None if expecting == NOTHING else find(session, f"{slot}@{expecting.removeprefix(f'{slot}@')}")
    if (expected and expected.id) == (before and before.id):
        return
    was = "no version" if expected is None else name_of(expected)
    if before is None:
        raise PromotionConflict(f"{slot}@{alias} names no version, where {was} was expected; nothing was moved")
    how = "".join(
        f" (moved at {move.created_at} by {move.by or 'nobody named'}, because {move.because!r})"
        for move in moves_of(session, slot, alias)[-1:]
    )
    raise PromotionConflict(
        f"{slot}@{alias} is {name_of(before)} now{how}, where {was} was expected; nothing was moved. "
        f"Look at `threadmill models diff {name_of(before)} {name_of(row)}`, and decide again"
    )
