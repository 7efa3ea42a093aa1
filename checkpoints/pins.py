"""Pins: a thread that stays on one version of a slot, wherever the alias goes."""

from dataclasses import dataclass

from sqlalchemy import Select, delete, select
from sqlalchemy.orm import Session

from ..errors import UnknownThread
from .changing import changing, tell_followers
from .store import Store
from .tables import PinRow, VersionRow
from .versions import find, name_of, refuse_gone


@dataclass(frozen=True, slots=True)
class Pin:
    """One thread's version in one slot."""

    thread: str
    slot: str
    version: str
    because: str
    created_at: str


def pin_thread(store: Store, thread: str, version: str, *, because: str) -> Pin:
    """Keep ``thread`` on ``version`` (a SPEC; an alias is followed now, once) from its next run on.

    A pin that it has in this slot is replaced. The thread need not exist yet.

    Raises:
        UnknownSlot, UnknownVersion
        BadModelFolder: the version's files are gone.
    """
    with changing(store) as session:
        row = find(session, version)
        refuse_gone(row)
        session.execute(delete(PinRow).filter_by(thread=thread, slot=row.slot))
        pin = PinRow(thread=thread, slot=row.slot, version_id=row.id, because=because)
        session.add(pin)
        session.flush()
        tell_followers(session, row.slot)
        return _pin(pin, row)


def unpin_thread(store: Store, thread: str, slot: str) -> Pin:
    """Let ``thread`` follow the alias again from its next run on; the pin that it had.

    Raises:
        UnknownThread: it has no pin in ``slot``.
    """
    with changing(store) as session:
        found = session.execute(_pins().where(PinRow.thread == thread, PinRow.slot == slot)).first()
        if found is None:
            raise UnknownThread(f"thread {thread!r} is not pinned in slot {slot!r}; see `threadmill models pins`")
        pin, row = found
        session.delete(pin)
        tell_followers(session, slot)
        return _pin(pin, row)


def pins_of(store: Store, slot: str | None = None) -> list[Pin]:
    """All pins, or those in ``slot``, by slot and thread."""
    query = _pins().order_by(PinRow.slot, PinRow.thread)
    if slot is not None:
        query = query.where(PinRow.slot == slot)
    with Session(store.engine) as session:
        return [_pin(pin, row) for pin, row in session.execute(query)]


def _pins() -> Select[PinRow, VersionRow]:
    return select(PinRow, VersionRow).join(VersionRow, VersionRow.id == PinRow.version_id)


def _pin(pin: PinRow, row: VersionRow) -> Pin:
    return Pin(pin.thread, pin.slot, name_of(row), pin.because, pin.created_at)
