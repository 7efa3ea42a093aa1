"""Leases in a table of the SQLite file: a row per thread, renewed by the holder's heartbeat.

A lease is stale if it has not beaten for long, or at once if its process is gone from this machine. Ages are told
by the machine's wall clock: processes on several machines need clocks that agree to within a few seconds.
"""

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Engine, Row, and_, bindparam, delete, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.exc import DBAPIError

from ..errors import ThreadBusy
from .lease import Lease, busy_message, iso_time
from .process import Process, is_gone, this_process
from .tables import LeaseRow

# Built once: building a statement takes longer than SQLite takes to run it.
_OURS = LeaseRow.token.in_(bindparam("tokens", expanding=True))
_UNCHANGED = and_(LeaseRow.token == bindparam("seen_token"), LeaseRow.beats_at == bindparam("seen_beats_at"))
_ROW = insert(LeaseRow).values({column.name: bindparam(column.name) for column in LeaseRow.__table__.columns})
PUT = _ROW.on_conflict_do_nothing().returning(LeaseRow.thread)
PUT_INSTEAD = _ROW.on_conflict_do_update(
    index_elements=["thread"], set_=dict(_ROW.excluded.items()), where=_UNCHANGED
).returning(LeaseRow.thread)
BEAT = update(LeaseRow).where(_OURS).values(beats_at=bindparam("now")).returning(LeaseRow.token)
GIVE_BACK = delete(LeaseRow).where(_OURS)
LOOK = select(LeaseRow.__table__).where(LeaseRow.thread == bindparam("name"))


class SqliteKeeper:
    """Keeps leases in the table ``leases``."""

    def __init__(self, engine: Engine, stale_after_s: float) -> None:
        self._engine = engine
        self._stale_after_s = stale_after_s

    def take(self, thread: str, now: float) -> str:
        """Put our row where there is none, or in the place of one that was seen to be stale and has not changed."""
        token = uuid4().hex
        seen: Row[Any] | None = None
        while not self._put(thread, token, now, seen):
            seen = self._row_of(thread)
            if seen is not None and not self._is_stale(seen, now):
                holder = f"{seen.holder} pid {seen.pid}"
                raise ThreadBusy(busy_message(thread, holder, seen.acquired_at, now - seen.beats_at))
        return token

    def give_back(self, leases: Sequence[Lease]) -> None:
        """Delete our rows."""
        tokens = [lease.token for lease in leases]
        try:
            with self._engine.begin() as connection:
                connection.execute(GIVE_BACK, {"tokens": tokens})
        except DBAPIError:
            pass  # a full disk must not hide how the run ended; the row goes stale

    def beat(self, leases: Sequence[Lease], now: float) -> None:
        """Renew our rows in one statement; those that are not there any more are lost."""
        tokens = [lease.token for lease in leases]
        try:
            with self._engine.begin() as connection:
                ours = set(connection.scalars(BEAT, {"tokens": tokens, "now": now}))
        except DBAPIError:
            return  # the next beat tries again; checks ask for themselves meanwhile
        for lease in leases:
            if lease.token in ours:
                lease.beats_at = now
            else:
                self.confirm(lease)

    def is_in_doubt(self, lease: Lease) -> bool:
        """Never: only time can take a lease away."""
        return False

    def confirm(self, lease: Lease) -> None:
        """Look our row up."""
        row = self._row_of(lease.thread)
        if row is None:
            lease.lost = f"after its last beat at {iso_time(lease.beats_at)} another took it over, and is done with it"
        elif row.token != lease.token:
            taken = iso_time(row.acquired_at)
            lease.lost = (
                f"{row.holder} pid {row.pid} took it over at {taken}, after our last beat at {iso_time(lease.beats_at)}"
            )

    def rest(self) -> None:
        """Nothing is open."""

    def forget(self) -> None:
        """Nothing is open."""

    def _put(self, thread: str, token: str, now: float, seen: Row[Any] | None) -> bool:
        me = this_process()
        row = {
            "thread": thread,
            "token": token,
            "holder": me.holder,
            "host": me.machine,
            "pid": me.pid,
            "started": me.started,
            "acquired_at": now,
            "beats_at": now,
        }
        stale = {} if seen is None else {"seen_token": seen.token, "seen_beats_at": seen.beats_at}
        with self._engine.begin() as connection:  # one statement: it waits for other writers and is never half done
            return connection.scalar(PUT if seen is None else PUT_INSTEAD, row | stale) is not None

    def _row_of(self, thread: str) -> Row[Any] | None:
        with self._engine.begin() as connection:
            return connection.execute(LOOK, {"name": thread}).one_or_none()

    def _is_stale(self, row: Row[Any], now: float) -> bool:
        holder = Process(row.holder, row.host, row.pid, row.started)
        # A beat of the future is as stale: the clock was set back since.
        return abs(now - row.beats_at) > self._stale_after_s or is_gone(holder)
