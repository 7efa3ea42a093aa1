"""States of many checkpoints as PostgreSQL keeps them: numbers and text in the checkpoint, other values apart."""

from collections.abc import Sequence
from functools import partial

from .bulk_rows import WANTED, BulkRows, Cell, Place, Seed, State
from .prune import CHANNEL
from .stored_messages import load

_STATES = f"""
    SELECT own.thread_id, own.checkpoint_ns, own.checkpoint_id, own.metadata,
        own.checkpoint -> 'channel_versions' ? '{CHANNEL}', name,
        coalesce(own.checkpoint -> 'channel_values' ? name, false), own.checkpoint -> 'channel_values' -> name,
        apart.type, apart.blob
    FROM {{given}}
    LEFT JOIN unnest(ARRAY[{", ".join(f"'{name}'" for name in WANTED)}]) AS name
        ON own.checkpoint -> 'channel_versions' ? name OR own.checkpoint -> 'channel_values' ? name
    LEFT JOIN checkpoint_blobs AS apart
        ON apart.thread_id = own.thread_id AND apart.checkpoint_ns = own.checkpoint_ns
        AND apart.channel = name AND apart.version = own.checkpoint -> 'channel_versions' ->> name
        AND apart.type <> 'empty'
"""
_STANDING = f"""
    SELECT own.thread_id, own.checkpoint_ns, own.checkpoint_id
    FROM {{given}}
    WHERE coalesce(jsonb_typeof(own.checkpoint -> 'channel_values' -> '{CHANNEL}'), 'null') <> 'null' OR EXISTS (
        SELECT FROM checkpoint_blobs AS apart
        WHERE apart.thread_id = own.thread_id AND apart.checkpoint_ns = own.checkpoint_ns
        AND apart.channel = '{CHANNEL}' AND apart.version = own.checkpoint -> 'channel_versions' ->> '{CHANNEL}'
        AND apart.type <> 'empty'
    )
"""


class PostgresRows(BulkRows):
    """The rows of a PostgreSQL database."""

    given = (
        "jsonb_array_elements(CAST(:places AS jsonb)) AS given JOIN {own} AS own ON own.thread_id = given ->> 0 "
        "AND own.checkpoint_ns = given ->> 1 AND own.checkpoint_id = given ->> 2"
    )

    def states(self, places: Sequence[Place]) -> dict[Place, State | Exception]:
        found: dict[Place, State | Exception] = {}
        cells: dict[Place, dict[str, Cell]] = {}
        statement = _STATES.format(given=self.given.format(own="checkpoints"))
        for *place, noted, written, name, inline, value, kind, content in self.tables.read(
            self.query(statement, places)
        ):
            here = Place(*place)
            own = cells.setdefault(here, {})
            found[here] = State(noted or {}, own, bool(written))
            if kind is not None:
                own[name] = partial(load, self.serde, (kind, bytes(content)))
            elif inline:
                own[name] = partial(_itself, value)
        return found

    def seeds(self, chains: Sequence[Sequence[Place]]) -> list[Seed | Exception | None]:
        everywhere = list({place for chain in chains for place in chain})
        statement = _STANDING.format(given=self.given.format(own="checkpoints"))
        standing = {Place(*row) for row in self.tables.read(self.query(statement, everywhere))}
        first = [next((at for at, place in enumerate(chain) if place in standing), None) for chain in chains]
        states = self.states([chain[at] for chain, at in zip(chains, first, strict=True) if at is not None])
        return [self._seed(chain, at, states) for chain, at in zip(chains, first, strict=True)]

    def _seed(
        self, chain: Sequence[Place], at: int | None, states: dict[Place, State | Exception]
    ) -> Seed | Exception | None:
        state = None if at is None else states.get(chain[at])
        if at is None or state is None or isinstance(state, Exception):
            return state if isinstance(state, Exception) else None
        return Seed(at, state.cells[CHANNEL])


def _itself(value: object) -> object:
    return value
