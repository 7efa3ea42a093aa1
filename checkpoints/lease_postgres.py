"""Leases as PostgreSQL's advisory locks, all on one connection of their own that the heartbeat watches.

The server lets go of a lock when the connection of its holder ends, so a killed process is replaced at once and a
stopped one is not replaced at all. A host that vanishes is noticed on both ends: ours gives up before the server's.
Needs a connection that stays ours: PgBouncer must pool by session.
"""

import select
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import uuid4

import psycopg
from sqlalchemy import Engine

from ..errors import ThreadBusy
from .lease import Lease, busy_message
from .process import this_process

APPLICATION = "threadmill "
LONGEST_NAME = 63
"""Bytes of an ``application_name``; the server cuts off what follows."""
OUR_END = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,  # ms
}
SERVERS_END = (
    "SELECT set_config('tcp_keepalives_idle', '10', false), set_config('tcp_keepalives_interval', '5', false), "
    "set_config('tcp_keepalives_count', '4', false), set_config('tcp_user_timeout', '30000', false)"
)
HOLDER = (
    "SELECT coalesce(a.application_name, ''), l.pid, extract(epoch FROM a.backend_start)::float8, "
    "extract(epoch FROM clock_timestamp() - a.state_change)::float8 "
    "FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.classid::bigint = %s AND l.objid::bigint = %s "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@dataclass(frozen=True, slots=True)
class Session:
    """A connection whose end is the end of its locks."""

    connection: psycopg.Connection[Any]
    socket: int
    token: str

    def is_in_doubt(self) -> bool:
        """Whether the connection is closed, or the server sent something unasked: that it hangs up, most likely."""
        if self.connection.closed:
            return True
        if not hasattr(select, "poll"):
            return bool(select.select([self.socket], [], [], 0)[0])
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(0))

    def answers(self) -> bool:
        """Whether the connection still stands; if not, it is closed."""
        try:
            self.connection.execute("SELECT 1")
        except psycopg.Error:
            self.connection.close()
        return not self.connection.closed


class PostgresKeeper:
    """Keeps leases as locks of one session."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._session: Session | None = None
        self._inherited: list[Session] = []

    def take(self, thread: str, now: float) -> str:
        """Lock ``thread``; the locks of a session that broke are lost, a new one is opened."""
        if self._session is None or not self._session.answers():
            self._session = open_session(self._engine)
        execute = self._session.connection.execute
        key = lock_key(thread)
        while execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone() != (True,):
            high, low = divmod(key % 2**64, 2**32)
            holder = execute(HOLDER, [high, low]).fetchone()
            if holder is not None:  # it did not let go in between
                name, backend, since, beat_age_s = holder
                who = name.removeprefix(APPLICATION) or f"server process {backend}"
                raise ThreadBusy(busy_message(thread, who, since, beat_age_s))
        return self._session.token

    def give_back(self, leases: Sequence[Lease]) -> None:
        """Unlock what this session locked."""
        session = self._session
        keys = [lock_key(lease.thread) for lease in leases if session and lease.token == session.token]
        if session is None or not keys:
            return
        try:
            session.connection.execute("SELECT pg_advisory_unlock(key) FROM unnest(%s::bigint[]) AS key", [keys])
        except psycopg.Error:
            session.connection.close()  # the server gives back all that it held; the others of its leases are lost

    def beat(self, leases: Sequence[Lease], now: float) -> None:
        """Ask the session for a sign of life."""
        alive = self._session is not None and self._session.answers()
        for lease in leases:
            _mark(lease, self._session if alive else None, now)

    def is_in_doubt(self, lease: Lease) -> bool:
        """Whether the session is not the one that locked, or may have ended."""
        session = self._session
        return session is None or session.token != lease.token or session.is_in_doubt()

    def confirm(self, lease: Lease) -> None:
        """Ask the session for a sign of life."""
        session = self._session
        now = time.time()
        _mark(lease, session if session is not None and session.answers() else None, now)

    def rest(self) -> None:
        """Hang up."""
        if self._session is not None:
            self._session.connection.close()
            self._session = None

    def forget(self) -> None:
        """Keep the parent's session as it is: to close it, or to let it be collected, could end it there too."""
        if self._session is not None:
            self._inherited.append(self._session)
            self._session = None


def lock_key(thread: str) -> int:
    """The key of a thread's advisory lock: 64 bits, signed."""
    return int.from_bytes(sha256(f"threadmill:{thread}".encode()).digest()[:8], signed=True)


def _mark(lease: Lease, session: Session | None, now: float) -> None:
    if session is not None and session.token == lease.token:
        lease.beats_at = now
    else:
        lease.lost = "the connection to the server that held it broke"


def open_session(engine: Engine) -> Session:
    """A connection to where ``engine`` goes, of our own: its pool may lend and reset its connections as it likes."""
    pooled = engine.raw_connection()
    try:
        info = pooled.driver_connection.info  # pyright: ignore[reportOptionalMemberAccess]
        place, password = info.get_parameters(), info.password
    finally:
        pooled.close()
    settings = {**place, **OUR_END, "application_name": application_name(str(this_process()))}
    connection = psycopg.connect(**settings, password=password or None, autocommit=True, prepare_threshold=None)
    try:
        connection.execute(SERVERS_END)
    except psycopg.Error:
        connection.close()
        raise
    return Session(connection, connection.fileno(), uuid4().hex)


def application_name(process: str) -> str:
    """What the server shows of ``user@host pid 1``: cut where it is too long, but never in the pid.

    >>> application_name("root@host pid 1")
    'threadmill root@host pid 1'
    >>> application_name("root@" + "h" * 80 + " pid 12345")
    'threadmill root@hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh pid 12345'
    """
    who, _, pid = process.rpartition(" pid ")
    end = f" pid {pid}"
    name = (APPLICATION + who).encode("ascii", "replace").decode()
    return name[: LONGEST_NAME - len(end)] + end
