"""Which version the next run of a thread gets, and which ones a process that serves a slot should have at hand.

A pinned thread stays on its version, a share of the new ones takes part in a canary, every other one gets the version
that answers. Asked once per run: two small queries.
"""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.orm import Session

from .canaries import running_canary
from .registry import aliases_of
from .store import Store
from .tables import PinRow, VersionRow

PINNED = select(VersionRow.number).join(PinRow, PinRow.version_id == VersionRow.id)
KEPT = ("live", "previous")
"""The aliases whose versions stay in memory: a rollback then takes effect at once."""


def assign_from(store: Store, slot: str) -> Callable[[str, str | None, str], tuple[str, bool]]:
    """What a ``Slot`` asks: from a thread, its version before and the one that answers now to that of its next run.

    With it comes whether no other version will do.
    """

    def assign(thread: str, before: str | None, answering: str) -> tuple[str, bool]:
        pinned = pinned_version(store, slot, thread)
        if pinned is not None:
            return pinned, True
        return _on_trial(store, slot, thread, before) or answering, False

    return assign


def _on_trial(store: Store, slot: str, thread: str, before: str | None) -> str | None:
    """The candidate of a canary that ``thread`` takes part in: as a new thread, or since its last run."""
    canary = running_canary(store, slot)
    if canary is None or canary.mode != "canary":
        return None
    return canary.version if before == canary.version or (before is None and canary.takes_part(thread)) else None


def pinned_version(store: Store, slot: str, thread: str) -> str | None:
    """The version that ``thread`` is pinned to in ``slot``; None if it is not."""
    with Session(store.engine) as session:
        number = session.scalar(PINNED.where(PinRow.slot == slot, PinRow.thread == thread))
    return None if number is None else f"{slot}@{number:04d}"


def versions_at_hand(store: Store, slot: str) -> set[str]:
    """The versions of ``slot`` that a process should keep in memory even if no run asks for them."""
    aliases = aliases_of(store, slot)
    canary = running_canary(store, slot)
    return {aliases[alias] for alias in KEPT if alias in aliases} | ({canary.version} if canary else set())
