"""Follow the alias: a process that serves slots notices every move and has the new version ready before a run asks.

Without it a slot still follows: every new run asks the registry. But then the first run after a promotion finds the
new version unloaded and is answered by the old one, nothing is freed, and nobody sees the process in ``status``.
"""

import atexit
import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

from ..checkpoints.alias_watch import POLL_S, watch_aliases
from ..checkpoints.assignment import versions_at_hand
from ..checkpoints.store import Store
from ..checkpoints.workers import BEAT_EVERY_S, Serving, beat, retire, worker_id
from ..errors import ReadOnly, ThreadmillError
from ..nodes.models.slot import Slot

LOOK_EVERY_S = 5.0
"""So often one looks unasked: a version that failed is tried again, and idle ones are let go."""
IDLE_S = 60.0
"""A version that is neither live nor previous, and that nobody asked for so long, leaves the memory."""
LONGEST_PATIENCE_S = 5.0

log = logging.getLogger("threadmill.follow")


@contextmanager
def follow(store: Store, slots: Iterable[Slot], *, idle_s: float = IDLE_S) -> Iterator["Follower"]:
    """Follow the aliases of ``slots`` while the body runs; slots that stay on one version are left alone.

    Loading begins at once and in the background. ``idle_s``: see ``IDLE_S``.

    Raises:
        ReadOnly: ``store`` was opened to be read.
    """
    follower = Follower(store, slots, idle_s=idle_s)
    try:
        yield follower
    finally:
        follower.close()


class Follower:
    """Two threads: one watches the aliases, one says in the table of workers what is served here.

    A process that is forked off does not follow: it calls ``follow`` itself, on a store of its own.
    """

    def __init__(self, store: Store, slots: Iterable[Slot], *, idle_s: float = IDLE_S) -> None:
        if store.read_only:
            raise ReadOnly("this database was opened to be read; open it with open_store(url) to serve from it")
        self._store = store
        self._ids = {slot: worker_id() for slot in slots if slot.alias is not None}
        self._idle_s = idle_s
        self._pid = os.getpid()
        self._started_at = time.time()
        self._closing = Event()
        self._news = Event()
        self._told: list[Serving] = []
        self._trouble = ""
        """Why the aliases cannot be watched at this moment."""
        self._troubles: dict[Slot, str] = {}
        self._threads = [
            Thread(target=work, daemon=True, name=f"threadmill {name}")
            for name, work in (("follow", self._follow), ("beat", self._beat))
            if self._ids
        ]
        for thread in self._threads:
            thread.start()
        atexit.register(self.close)  # or the interpreter would end beneath them

    @property
    def trouble(self) -> str:
        """Why the aliases cannot be watched at this moment; empty if they are."""
        return self._trouble

    def close(self) -> None:
        """Stop following and remove this process from the table of workers; the slots stay open."""
        atexit.unregister(self.close)
        if self._pid != os.getpid() or self._closing.is_set():
            return
        self._closing.set()
        self._news.set()
        for thread in self._threads:
            thread.join()
        if self._ids:
            try:
                retire(self._store, list(self._ids.values()))
            except Exception as error:  # a database out of reach must not hide how the body ended; the rows go stale
                log.warning("could not sign off from %s: %s", self._store.name, error)

    def _follow(self) -> None:
        patience = POLL_S
        while not self._closing.is_set():
            try:
                with watch_aliases(self._store) as watch:
                    looked_at = 0.0
                    while not self._closing.is_set():
                        moved = watch.wait(POLL_S)
                        if moved or self._is_on_its_way() or time.monotonic() - looked_at > LOOK_EVERY_S:
                            looked_at = time.monotonic()
                            self._look()
                            self._trouble, patience = "", POLL_S
                        self._tell_news()
            except Exception as error:  # whatever it was, the way on is to connect again, and look
                if not self._trouble:
                    log.warning("cannot watch %s, trying again: %s", self._store.name, error)
                self._trouble = f"cannot watch {self._store.name}: {error}"
                self._tell_news()
                self._closing.wait(patience)
                patience = min(2 * patience, LONGEST_PATIENCE_S)

    def _look(self) -> None:
        for slot in self._ids:
            try:
                slot.look()
                self._troubles[slot] = ""
            except ThreadmillError as error:  # an alias that names nothing
                self._troubles[slot] = str(error)
            if not slot.is_loading:
                slot.let_go(versions_at_hand(self._store, _slot_of(slot)), self._idle_s)

    def _is_on_its_way(self) -> bool:
        """Whether a live version does not answer yet, and nothing is wrong."""
        return any(slot.answering != slot.live and not slot.trouble for slot in self._ids)

    def _servings(self) -> list[Serving]:
        return [
            Serving(
                id=id,
                slot=_slot_of(slot),
                alias=slot.alias or "",
                answering=slot.answering,
                live=slot.live,
                loaded=slot.loaded,
                trouble="; ".join(filter(None, (slot.trouble, self._troubles.get(slot), self._trouble))),
            )
            for slot, id in self._ids.items()
        ]

    def _tell_news(self) -> None:
        if self._servings() != self._told:
            self._news.set()

    def _beat(self) -> None:
        """Apart from the watching, for in SQLite a write may have to wait long for others."""
        while not self._closing.is_set():
            self._news.clear()
            servings = self._servings()
            try:
                beat(self._store, servings, self._started_at)
                self._told = servings
            except Exception as error:  # the next beat tries again; the row goes stale meanwhile
                log.warning("could not say in %s what is served here: %s", self._store.name, error)
            self._news.wait(BEAT_EVERY_S)


def _slot_of(slot: Slot) -> str:
    """The slot in the registry that ``slot`` follows."""
    return (slot.alias or slot.name).partition("@")[0]
