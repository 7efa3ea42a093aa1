"""Which threads are exported at once: those of one task, and those that a preference links. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...checkpoints.where import Head

Unit = tuple[str, int, str]


class Place(NamedTuple):
    """A thread to export."""

    unit: Unit
    """The same for all that are exported at once."""
    db: int
    """Which of the databases, from 0."""
    head: Head


def in_units(
    heads: Iterable[tuple[int, Head]], *, together: bool, links: Sequence[tuple[str, str]] = ()
) -> list[Place]:
    """The threads in the order of task, database and thread, those of one unit behind the first of them.

    Without ``together`` each is a unit of its own. ``links`` are pairs of threads; their whole tasks are one unit.
    """
    ordered = sorted(heads, key=_place)
    if not together:
        return [Place(_place(found), *found) for found in ordered]
    first: dict[str, Unit] = {}
    own = [first.setdefault(_name(db, head), _place((db, head))) for db, head in ordered]
    leads = {unit: unit for unit in own}
    units_of: dict[str, list[Unit]] = {}
    for unit, (_, head) in zip(own, ordered, strict=True):
        units_of.setdefault(head.thread, []).append(unit)
    for one, other in links:
        if one in units_of and other in units_of:
            joined = [_lead(unit, leads) for unit in (*units_of[one], *units_of[other])]
            leads.update(dict.fromkeys(joined, min(joined)))
    places = (Place(_lead(unit, leads), *found) for unit, found in zip(own, ordered, strict=True))
    return sorted(places, key=lambda place: (place.unit, _place((place.db, place.head))))


def _place(found: tuple[int, Head]) -> Unit:
    db, head = found
    return head.task or "", db, head.thread


def _name(db: int, head: Head) -> str:
    return f"thread {db} {head.thread}" if head.task is None else f"task {head.task}"


def _lead(unit: Unit, leads: dict[Unit, Unit]) -> Unit:
    while leads[unit] != unit:
        unit = leads[unit]
    return unit
