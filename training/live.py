"""Serve threads under watch: note how each run ends, and go back by itself when too many fail.

After every run the version that spoke is judged against its bound: a canary's is taken off trial, a guarded slot goes
back to the version before. Every serving process does so by itself; nothing else has to run.
"""

import logging
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import HumanMessage

from ..checkpoints.canaries import Canary, end_canary, running_canary
from ..checkpoints.guards import guard_of
from ..checkpoints.outcomes import outcomes_of, record_outcomes
from ..checkpoints.registry import history, resolve, rollback, verified_folder
from ..checkpoints.store import Store
from ..errors import (
    BadAnswer,
    BadModelFolder,
    CannotServe,
    NotPaused,
    PromotionConflict,
    StillPaused,
    ThreadBusy,
    UnknownThread,
)
from ..graphs.run import Agent, Outcome, answer_thread, continue_thread, run_thread
from ..graphs.streamed import Event, stream_answers, stream_on, stream_thread
from .failure_bound import LAST, Bound, log_evidence

Judge = Callable[[Outcome], str]
"""Why a run that no exception stopped failed all the same; empty if it did not."""
NOT_OF_THE_MODEL = (StillPaused, NotPaused, ThreadBusy, BadAnswer, UnknownThread, CannotServe)
"""What was asked of a thread that does not allow it, or a run that no version began: none failed."""

log = logging.getLogger("threadmill.live")


def has_the_last_word(outcome: Outcome) -> str:
    """The judge that is taken unless another is given: a run must end with an answer or a question."""
    if outcome.status == "paused" or outcome.answer:
        return ""
    return "no answer" if outcome.status == "done" else outcome.status


@dataclass(frozen=True, slots=True)
class Tally:
    """How a version's runs ended."""

    version: str
    runs: int
    failures: int
    examples: tuple[tuple[str, str], ...] = ()
    """Thread and reason of the last failures."""

    @property
    def rate(self) -> float:
        """Failures per run; 0 without runs."""
        return self.failures / self.runs if self.runs else 0.0


@dataclass(frozen=True)
class Watched:
    """Runs threads of ``graph``, whose saver is the store's, and notes how they end.

    A run whose end cannot be noted, as when the database is locked for long, ends as it would have: the log tells.
    """

    store: Store
    graph: Agent
    judge: Judge = has_the_last_word
    taken_back: list[str] = field(default_factory=list)
    """What this object undid, in sentences."""

    def run(self, thread: str, text: str | HumanMessage, **settings: Any) -> Outcome:
        """As ``run_thread``; what it raises passes through."""
        return self._noted(thread, lambda: run_thread(self.graph, thread, text, **settings))

    def answer(self, thread: str, answers: Sequence[Mapping[str, Any]]) -> Outcome:
        """As ``answer_thread``; what it raises passes through."""
        return self._noted(thread, lambda: answer_thread(self.graph, thread, answers))

    def go_on(self, thread: str) -> Outcome:
        """As ``continue_thread``; what it raises passes through."""
        return self._noted(thread, lambda: continue_thread(self.graph, thread))

    def stream(self, thread: str, text: str | HumanMessage, **settings: Any) -> Generator[Event]:
        """As ``stream_thread``; what it raises passes through."""
        return self._told(thread, lambda: stream_thread(self.graph, thread, text, **settings))

    def stream_answers(self, thread: str, answers: Sequence[Mapping[str, Any]], **settings: Any) -> Generator[Event]:
        """As ``stream_answers`` of ``graphs.streamed``; what it raises passes through."""
        return self._told(thread, lambda: stream_answers(self.graph, thread, answers, **settings))

    def stream_on(self, thread: str, **settings: Any) -> Generator[Event]:
        """As ``stream_on`` of ``graphs.streamed``; what it raises passes through."""
        return self._told(thread, lambda: stream_on(self.graph, thread, **settings))

    def _told(self, thread: str, go: Callable[[], Generator[Event]]) -> Generator[Event]:
        """What ``go`` tells, its end noted; a run that somebody stopped has not ended."""
        try:
            outcome = yield from _last(go())
        except NOT_OF_THE_MODEL:
            raise
        except Exception as error:
            self._note(thread, None, f"{type(error).__name__}: {error}")
            raise
        if outcome.status == "done":
            self._note(thread, outcome.versions, self._judged(outcome))
        yield outcome

    def _noted(self, thread: str, go: Callable[[], Outcome]) -> Outcome:
        try:
            outcome = go()
        except NOT_OF_THE_MODEL:
            raise
        except Exception as error:
            self._note(thread, None, f"{type(error).__name__}: {error}")
            raise
        if outcome.status != "paused":
            self._note(thread, outcome.versions, self._judged(outcome))
        return outcome

    def _judged(self, outcome: Outcome) -> str:
        try:
            return self.judge(outcome)
        except Exception as error:  # the answer is there, whatever the judge makes of it
            log.error("the run of thread %s could not be judged: %s", outcome.thread, error)
            return ""

    def _note(self, thread: str, versions: dict[str, str] | None, why: str) -> None:
        """``versions`` None: those that the thread is on."""
        try:
            versions = self._versions(thread) if versions is None else versions
            record_outcomes(self.store, thread, versions, why=why)
            if why:
                for slot in versions:
                    self.taken_back.extend(take_back(self.store, slot))
        except Exception as error:  # the run has ended; whoever waits for it needs its answer, or its own error
            log.error("how a run of thread %s ended could not be noted: %s", thread, error)

    def _versions(self, thread: str) -> dict[str, str]:
        state = self.graph.get_state({"configurable": {"thread_id": thread}})
        return dict(state.values.get("versions", {}))


def _last(events: Generator[Event]) -> Generator[Event, None, Outcome]:
    """All ``events`` but the last, which is returned."""
    with closing(events):
        for event in events:
            if isinstance(event, Outcome):
                return event
            yield event
    raise AssertionError("a run ends with its outcome")


def take_back(store: Store, slot: str) -> list[str]:
    """Undo what crossed its bound in ``slot``: end the canary, or roll ``live`` back; what was done, in sentences.

    Live is rolled back only if a promotion was its last move: going back and forth would help nobody.
    """
    done = []
    canary = running_canary(store, slot)
    if canary is not None and canary.mode == "canary":
        tally = tally_of_canary(store, canary)
        if is_crossed(canary.bound, tally):
            ended = end_canary(store, slot, "rolled_back", because=_because(canary.bound, tally), id=canary.id)
            if ended is not None:
                done.append(f"{canary.version} is off trial: {ended.ended_because}")
    guard = guard_of(store, slot)
    moved = [move for move in history(store, slot, "live") if move.from_version != move.to_version]
    last = moved[-1] if moved else None
    if guard is not None and last is not None and last.action == "promote" and last.from_version is not None:
        tally = tally_of(store, slot, last.to_version, since=last.created_at)
        if is_crossed(guard.bound, tally):
            because = f"by its guard: {_because(guard.bound, tally)}"
            try:
                verified_folder(store, f"{slot}@previous")
                back = rollback(store, slot, because=because, expecting=last.to_version)
            except PromotionConflict:  # another process was faster
                return done
            except BadModelFolder as error:  # what could not be loaded would answer nobody
                log.error("%s stays on %s, though %s; there is no way back: %s", slot, last.to_version, because, error)
                return done
            done.append(f"{slot} is back on {back.name}: {because}")
    return done


def tally_of(store: Store, slot: str, version: str, *, since: str = "") -> Tally:
    """How the last runs on ``version`` ended since then (ISO 8601)."""
    outcomes = outcomes_of(store, slot, version, since=since, last=LAST)
    failed = [outcome for outcome in outcomes if outcome.failed]
    examples = tuple((outcome.thread, outcome.why) for outcome in failed[-3:])
    return Tally(version, len(outcomes), len(failed), examples)


def tally_of_canary(store: Store, canary: Canary) -> Tally:
    """How the candidate's runs ended since its trial began."""
    return tally_of(store, canary.slot, canary.version, since=canary.created_at)


def tally_of_live(store: Store, slot: str, *, since: str = "") -> Tally:
    """How the live version's runs ended since then."""
    return tally_of(store, slot, resolve(store, f"{slot}@live").name, since=since)


def is_crossed(bound: dict[str, Any], tally: Tally) -> bool:
    """Whether the failures of ``tally`` are too many; never without a bound."""
    return bool(bound) and Bound.from_dict(bound).is_crossed(tally.failures, tally.runs)


def _because(bound: dict[str, Any], tally: Tally) -> str:
    allowed = Bound.from_dict(bound)
    evidence = log_evidence(tally.failures, tally.runs, allowed.max_failure_rate)
    thread, why = tally.examples[-1]
    return (
        f"{tally.failures} of {tally.runs} runs failed, where {allowed.max_failure_rate:.0%} may "
        f"(evidence e^{evidence:.1f}, level {allowed.level:g}); the last was thread {thread}: {why}"
    )
