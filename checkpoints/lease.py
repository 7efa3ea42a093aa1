"""Leases: one process at a time drives a thread, a second one is told who does, and takes over when that one died.

Who keeps the leases is the database's own: a table with heartbeats for SQLite, advisory locks for PostgreSQL.
What they share is here: what this process holds, its heartbeat, and the check before every write.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Lock, Thread
from typing import Protocol

from sqlalchemy import Engine

from ..errors import LeaseLost, ThreadBusy
from .process import this_process

BEAT_EVERY_S = 5.0
STALE_AFTER_S = 30.0


@dataclass(slots=True)
class Lease:
    """A thread that this process drives."""

    thread: str
    token: str
    """The keeper's proof that the lease is still this one."""
    acquired_at: float
    beats_at: float
    """When it was last known to be ours, in seconds of the machine's wall clock."""
    lost: str | None = None
    """Why it is ours no longer."""


class Keeper(Protocol):
    """Where leases are kept. Only ``is_in_doubt`` and ``confirm`` are called from several Python threads at once."""

    def take(self, thread: str, now: float) -> str:
        """The token of a new lease; raises ``ThreadBusy`` if somebody else holds one."""
        ...

    def give_back(self, leases: Sequence[Lease]) -> None:
        """End ``leases``; never raises, for what cannot be given back goes stale."""
        ...

    def beat(self, leases: Sequence[Lease], now: float) -> None:
        """Renew ``leases``, all at once; mark those that are lost."""
        ...

    def is_in_doubt(self, lease: Lease) -> bool:
        """Whether something hints that ``lease`` is lost; costs no round trip."""
        ...

    def confirm(self, lease: Lease) -> None:
        """Ask whether ``lease`` still stands; mark it if it is lost."""
        ...

    def rest(self) -> None:
        """Close what was opened; nothing is held."""
        ...

    def forget(self) -> None:
        """Drop what was inherited by a fork, touching nothing of the parent's."""
        ...


def open_leases(
    engine: Engine, *, beat_every_s: float = BEAT_EVERY_S, stale_after_s: float = STALE_AFTER_S
) -> "Leases":
    """The leases of the threads in the database of ``engine``; opens nothing before the first is taken.

    All processes of a database must agree on ``stale_after_s``: a lease that has not beaten for so long is taken over.
    """
    if engine.dialect.name == "postgresql":
        from .lease_postgres import PostgresKeeper

        return Leases(PostgresKeeper(engine), beat_every_s, stale_after_s)
    from .lease_sqlite import SqliteKeeper

    return Leases(SqliteKeeper(engine, stale_after_s), beat_every_s, stale_after_s)


class Leases:
    """The leases that this process holds; may be used from many Python threads.

    A forked child holds none of its parent's (and must not use the parent's engine either, as SQLAlchemy says).
    """

    def __init__(self, keeper: Keeper, beat_every_s: float, stale_after_s: float) -> None:
        self._keeper = keeper
        self._beat_every_s = beat_every_s
        self._trusted_s = stale_after_s / 2  # so long after a beat nobody can have taken over; half is for the clocks
        self._start_afresh()

    @contextmanager
    def hold(self, thread: str) -> Iterator[None]:
        """Drive ``thread`` alone while the body runs.

        Raises:
            ThreadBusy: somebody else does; at once, and for another Python thread of this process too.
        """
        lease = self._take(thread)
        try:
            yield
        finally:
            self._give_back(lease)

    def check(self, thread: str) -> None:
        """Make sure, before a write and outside its transaction, that nobody took ``thread`` over.

        Nothing happens if this process does not hold it. Asks the database only if the heartbeat is late, as after
        the process was stopped, or if the server hung up.

        Raises:
            LeaseLost
        """
        lease = self._held.get(thread)
        if lease is None or self._pid != os.getpid():
            return
        if lease.lost is None and (
            abs(time.time() - lease.beats_at) > self._trusted_s or self._keeper.is_in_doubt(lease)
        ):
            self._keeper.confirm(lease)
        if lease.lost is not None:
            raise LeaseLost(
                f"thread {thread!r} is no longer driven by this process ({this_process()}): {lease.lost}; nothing is "
                "written any more; let the run end, then look where the thread stands with `threadmill threads show`"
            )

    def close(self) -> None:
        """Stop the heartbeat and give everything back."""
        self._notice_fork()
        self._closing.set()
        if (heartbeat := self._heartbeat) is not None:
            heartbeat.join()
        with self._mutex:
            if self._held:
                self._keeper.give_back(list(self._held.values()))
                self._held.clear()
            self._keeper.rest()
            self._heartbeat = None
            self._closing.clear()

    def _take(self, thread: str) -> Lease:
        self._notice_fork()
        with self._mutex:
            now = time.time()
            if (ours := self._held.get(thread)) is not None:  # even if it is lost: its run has not ended
                raise ThreadBusy(busy_message(thread, str(this_process()), ours.acquired_at, now - ours.beats_at))
            lease = Lease(thread, self._keeper.take(thread, now), now, now)
            self._held[thread] = lease
            if self._heartbeat is None:
                self._heartbeat = Thread(target=self._beat_while_held, name="threadmill leases", daemon=True)
                self._heartbeat.start()
        return lease

    def _give_back(self, lease: Lease) -> None:
        self._notice_fork()
        with self._mutex:
            if self._held.get(lease.thread) is lease:
                del self._held[lease.thread]
                self._keeper.give_back([lease])

    def _beat_while_held(self) -> None:
        """Ends with the first beat that finds nothing held: run after run needs no new Python thread."""
        while not self._closing.wait(self._beat_every_s):
            with self._mutex:
                if not self._held:
                    self._keeper.rest()
                    self._heartbeat = None
                    return
                standing = [lease for lease in self._held.values() if lease.lost is None]
                self._keeper.beat(standing, time.time())

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            self._keeper.forget()
            self._start_afresh()

    def _start_afresh(self) -> None:
        self._pid = os.getpid()
        self._mutex = Lock()
        self._held: dict[str, Lease] = {}
        self._heartbeat: Thread | None = None
        self._closing = Event()


def busy_message(thread: str, holder: str, since: float | None, beat_age_s: float | None) -> str:
    """What the second process is told."""
    told = [f"since {iso_time(since)}"] if since is not None else []
    told += [f"last beat {max(beat_age_s, 0):.0f} s ago"] if beat_age_s is not None else []
    return (
        f"thread {thread!r} is driven by {holder} {', '.join(told)}".rstrip()
        + "; wait until its run ends, or stop that process: the next try takes over"
    )


def iso_time(seconds: float) -> str:
    """A moment of the wall clock, ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
