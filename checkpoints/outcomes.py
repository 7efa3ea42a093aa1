"""How served runs ended: what the live failure rate of a version is counted from."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from .labels import labels_of
from .store import Store
from .tables import OutcomeRow


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """One run of a served thread."""

    slot: str
    version: str
    thread: str
    failed: bool
    why: str
    """Why it failed; empty if it did not."""
    created_at: str


def record_outcomes(store: Store, thread: str, versions: dict[str, str], *, why: str) -> None:
    """Note that a run of ``thread`` ended, for each slot's version in it; ``why`` it failed, empty if it did not."""
    with Session(store.engine) as session, session.begin():
        session.add_all(
            OutcomeRow(slot=slot, version=version, thread=thread, failed=bool(why), why=why)
            for slot, version in versions.items()
        )


def outcomes_of(store: Store, slot: str, version: str, *, since: str = "", last: int = 200) -> list[RunOutcome]:
    """The ``last`` runs on ``version`` since then (ISO 8601), oldest first.

    A run that ended well failed all the same if its thread was labelled as a failure (``success`` 0) since.
    """
    query = (
        select(OutcomeRow)
        .where(OutcomeRow.slot == slot, OutcomeRow.version == version, OutcomeRow.created_at >= since)
        .order_by(OutcomeRow.id.desc())
        .limit(last)
    )
    with Session(store.engine) as session:
        rows = [*session.scalars(query)][::-1]
    said = labels_of(store, [row.thread for row in rows])
    found = []
    for row in rows:
        bad = [label for label in said.get(row.thread, ()) if label.kind == "success" and label.value == 0]
        why = row.why or (f"labelled a failure by {bad[-1].source}" if bad else "")
        found.append(RunOutcome(row.slot, row.version, row.thread, bool(why), why, row.created_at))
    return found
