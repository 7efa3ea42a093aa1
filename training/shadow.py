"""Shadow mode: at each decision of the live model a candidate is asked too; what it would have done is kept, not done.

It is asked behind the answer, in a thread of its own; when it cannot keep up, decisions are passed over and counted.
"""

import logging
from collections.abc import Mapping
from queue import Empty, Full, Queue
from threading import Event, Thread
from time import monotonic
from typing import Any

from langchain_core.messages import AIMessage
from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from ..checkpoints.canaries import Canary, running_canary
from ..checkpoints.store import Store
from ..checkpoints.tables import ProposalRow
from ..nodes.models.slot import Heard, Slot

WAITING = 64
"""Decisions that may wait for the candidate."""
LOOK_S = 0.5
"""How long what is known of the trial in a slot is taken for true."""

log = logging.getLogger("threadmill.shadow")


class Shadow:
    """Asks the candidate of the shadow that runs in ``slot``, while this is open; without one it rests.

    Use it in ``with``; ``close`` waits for the decision in work and drops the others.
    """

    def __init__(self, store: Store, slot: Slot) -> None:
        self.passed_over = 0
        """Decisions that the candidate was not asked about because too many waited."""
        self._store = store
        self._slot = slot
        self._waiting: Queue[tuple[Canary, Heard]] = Queue(WAITING)
        self._known: tuple[float, Canary | None] = (float("-inf"), None)
        self._closed = Event()
        self._thread = Thread(target=self._ask_on, daemon=True, name=f"shadow {slot.name}")
        slot.overhear = self._heard
        self._thread.start()

    def __enter__(self) -> "Shadow":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ask no more."""
        self._slot.overhear = None
        self._closed.set()
        self._thread.join()

    def drain(self) -> None:
        """Wait until every decision that was heard is asked about."""
        self._waiting.join()

    def _heard(self, heard: Heard) -> None:
        try:
            canary = self._running()
        except Exception as error:  # called within the run of a thread, which must not fail for this
            log.error(
                "shadow %s: a decision of thread %s could not be overheard: %s", self._slot.name, heard.thread, error
            )
            return
        if canary is None or not canary.takes_part(heard.thread):
            return
        try:
            self._waiting.put_nowait((canary, heard))
        except Full:
            self.passed_over += 1

    def _running(self) -> Canary | None:
        looked_at, canary = self._known
        if monotonic() - looked_at > LOOK_S:
            canary = running_canary(self._store, (self._slot.alias or self._slot.name).partition("@")[0])
            canary = canary if canary is not None and canary.mode == "shadow" else None
            self._known = monotonic(), canary
        return canary

    def _ask_on(self) -> None:
        while not self._closed.is_set():
            try:
                canary, heard = self._waiting.get(timeout=0.1)
            except Empty:
                continue
            try:
                self._ask(canary, heard)
            except Exception as error:  # the live model has answered; nothing here may disturb it
                log.error("shadow %s: %s could not be noted: %s", self._slot.name, canary.version, error)
            finally:
                self._waiting.task_done()

    def _ask(self, canary: Canary, heard: Heard) -> None:
        live = words_of(heard.answer)
        proposed, why = None, None
        try:
            model = self._slot.model(canary.version)
            settings = dict(heard.settings)
            said = (model.bind_tools(heard.tools) if heard.tools else model).invoke(heard.prompt, **settings)
            proposed = words_of(said)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
        with Session(self._store.engine) as session, session.begin():
            session.execute(
                insert(ProposalRow).values(
                    canary_id=canary.id,
                    thread=heard.thread,
                    message=heard.answer.id,
                    live=live,
                    proposed=proposed,
                    agrees=proposed is not None and agree(live, proposed),
                    error=why,
                )
            )


def words_of(message: AIMessage) -> dict[str, Any]:
    """What a decision was: its ``text`` and its ``calls``, each with ``name`` and ``args``."""
    calls = [{"name": call["name"], "args": call["args"]} for call in message.tool_calls]
    calls += [{"name": call["name"], "args": call["args"]} for call in message.invalid_tool_calls]
    return {"text": message.text, "calls": calls}


def agree(live: Mapping[str, Any], proposed: Mapping[str, Any]) -> bool:
    """Whether both call the same with the same arguments; two answers without calls agree, whatever their words.

    >>> agree({"text": "Yes.", "calls": []}, {"text": "Indeed!", "calls": []})
    True
    """
    return list(live["calls"]) == list(proposed["calls"])


def proposals_of(store: Store, canary: Canary) -> list[dict[str, Any]]:
    """What the shadow proposed so far, oldest first: thread, message, live, proposed, agrees, error, created_at."""
    names = ("thread", "message", "live", "proposed", "agrees", "error", "created_at")
    query = select(ProposalRow).where(ProposalRow.canary_id == canary.id).order_by(ProposalRow.id)
    with Session(store.engine) as session:
        return [{name: getattr(row, name) for name in names} for row in session.scalars(query)]
