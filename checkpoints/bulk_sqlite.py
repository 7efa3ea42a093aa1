"""States of many checkpoints as SQLite keeps them: everything in one value of msgpack."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from .bulk_rows import WANTED, BulkRows, Cell, Place, Seed, State
from .prune import CHANNEL
from .stored_messages import load
from .typed import Typed, bare, pack, unpack


class SqliteRows(BulkRows):
    """The rows of an SQLite database."""

    given = (  # CROSS JOIN lets SQLite look up each place by its key, whatever it thinks of the sizes
        "json_each(:places) AS given CROSS JOIN {own} AS own ON own.thread_id = json_extract(given.value, '$[0]') "
        "AND own.checkpoint_ns = json_extract(given.value, '$[1]') "
        "AND own.checkpoint_id = json_extract(given.value, '$[2]')"
    )

    def states(self, places: Sequence[Place]) -> dict[Place, State | Exception]:
        found: dict[Place, State | Exception] = {}
        for *place, kind, content, noted in self._stored(places, ", own.metadata"):
            try:
                versions, cells = self._cells((kind, content))
                found[Place(*place)] = State(json.loads(noted or b"{}"), cells, CHANNEL in versions)
            except Exception as error:  # whatever it is, the other checkpoints can be read
                found[Place(*place)] = error
        return found

    def seeds(self, chains: Sequence[Sequence[Place]]) -> list[Seed | Exception | None]:
        rows = self._stored(list({place for chain in chains for place in chain}))
        stored = {Place(*place): (kind, content) for *place, kind, content in rows}
        return [self._seed(chain, stored) for chain in chains]

    def _seed(self, chain: Sequence[Place], stored: Mapping[Place, Typed]) -> Seed | Exception | None:
        for at, place in enumerate(chain):
            if place not in stored:
                return None
            try:
                _, cells = self._cells(stored[place])
            except Exception as error:
                return error
            if CHANNEL in cells:
                return Seed(at, cells[CHANNEL])
        return None

    def _stored(self, places: Sequence[Place], also: str = "") -> Sequence[Any]:
        what = f"own.thread_id, own.checkpoint_ns, own.checkpoint_id, own.type, own.checkpoint{also}"
        statement = f"SELECT {what} FROM {self.given.format(own='checkpoints')}"
        return self.tables.read(self.query(statement, places))

    def _cells(self, content: Typed) -> tuple[Mapping[str, Any], dict[str, Cell]]:
        """The versions of all channels, and the wanted values, of one checkpoint."""
        kind, data = bare(self.serde, content)
        if kind != "msgpack":
            whole = self.serde.loads_typed((kind, data))
            values = whole["channel_values"]
            return whole["channel_versions"], {name: partial(values.get, name) for name in WANTED if name in values}
        whole = unpack(data)
        values = whole["channel_values"]
        cells = {name: partial(self._load, values[name]) for name in WANTED if name in values}
        return whole["channel_versions"], cells

    def _load(self, value: Any) -> Any:
        return load(self.serde, ("msgpack", pack(value)))
