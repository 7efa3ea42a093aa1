"""Which version the next run of a thread gets, and which ones a process that serves a slot should have at hand.

A pinned thread stays on its version; every other one gets the version that answers. Asked once per run, so it is one
small query. Whatever else gives a thread a version of its own has its place between these two.
"""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from .registry import aliases_of
from .store import Store
from .tables import PinRow, VersionRow

PINNED = select(VersionRow.number).join(PinRow, PinRow.version_id == VersionRow.id)
KEPT = ("live", "previous")
"""The aliases whose versions stay in memory: a rollback then takes effect at once."""


def assign_from(store: Store, slot: str) -> Callable[[str, str | None, str], str]:
    """What a ``Slot`` asks: from a thread, its version before and the one that answers now to that of its next run."""

    def assign(thread: str, before: str | None, answering: str) -> str:
        return pinned_version(store, slot, thread) or answering

    return assign


def pinned_version(store: Store, slot: str, thread: str) -> str | None:
    """The version that ``thread`` is pinned to in ``slot``; None if it is not."""
    with Session(store.engine) as session:
        number = session.scalar(PINNED.where(PinRow.slot == slot, PinRow.thread == thread))
    return None if number is None else f"{slot}@{number:04d}"


def versions_at_hand(store: Store, slot: str) -> set[str]:
    """The versions of ``slot`` that a process should keep in memory even if no run asks for them."""
    aliases = aliases_of(store, slot)
    return {aliases[alias] for alias in KEPT if alias in aliases}
