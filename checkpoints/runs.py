"""The training runs that versions came out of, as rows: so that who learnt from a data set can be asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from .store import Store
from .tables import RunRow, VersionRow


@dataclass(frozen=True, slots=True)
class Run:
    """One training run."""

    version: str
    """Name of the version that came out of it, alone or as one of several stages."""
    position: int
    """Among the runs of that version, from 0, oldest first."""
    recipe: str
    data: str | None
    """Digest of its data set."""
    seed: int | None
    steps: int | None
    settings: dict[str, Any]
    libraries: dict[str, str]


def note_runs(session: Session, version_id: int, lineage: Mapping[str, Any]) -> None:
    """Add a row for each of the runs that ``lineage`` tells of, as ``training.recipes.lineage.lineage_of`` made it."""
    for position, run in enumerate(lineage.get("runs", ())):
        data = run.get("data")
        session.add(
            RunRow(
                version_id=version_id,
                position=position,
                recipe=str(run.get("recipe", "")),
                data_digest=data.get("digest") if isinstance(data, Mapping) else None,
                seed=run.get("seed"),
                steps=run.get("steps"),
                settings={key: value for key, value in run.items() if key not in ("recipe", "steps", "seed")},
                libraries=dict(lineage.get("libraries", {})),
            )
        )


def list_runs(store: Store) -> list[Run]:
    """All runs, by version and position."""
    query = select(RunRow, VersionRow.slot, VersionRow.number).join(VersionRow, VersionRow.id == RunRow.version_id)
    with Session(store.engine) as session:
        return [
            Run(
                version=f"{slot}@{number:04d}",
                position=row.position,
                recipe=row.recipe,
                data=row.data_digest,
                seed=row.seed,
                steps=row.steps,
                settings=dict(row.settings),
                libraries=dict(row.libraries),
            )
            for row, slot, number in session.execute(
                query.order_by(VersionRow.slot, VersionRow.number, RunRow.position)
            )
        ]
