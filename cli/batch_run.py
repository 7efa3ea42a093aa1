"""Running the inputs of a batch: many threads at a time, each taken up where it stands.

A turn's message has an id made of its line, so the thread itself tells what was said already, whatever stopped the
run that said it.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

from ..errors import OutOfMemory, StoreFull, UnknownThread

if TYPE_CHECKING:
    from ..graphs.run import Outcome
    from ..training.live import Watched
    from .batch_input import Input
    from .batch_results import Results

NOT_OF_ONE_LINE = (StoreFull, OutOfMemory, MemoryError)
"""Failures that the next line would meet as well."""


@dataclass
class Counts:
    """What came of the lines."""

    done: int = 0
    already: int = 0
    """Done before."""
    paused: int = 0
    failed: int = 0


def run_inputs(
    watched: "Watched",
    inputs: "Sequence[Input]",
    results: "Results",
    *,
    begin: Callable[[str], dict[str, Any]],
    concurrency: int,
    progress: Callable[[int, int], None],
) -> Counts:
    """Run what is not done, ``concurrency`` threads at a time; each result is added as soon as it is there.

    Ctrl-C lets the turns in flight end and keeps their results.
    """
    left = [one for one in inputs if one.thread not in results.done]
    counts = Counts(already=len(inputs) - len(left))
    stop, writing = threading.Event(), threading.Lock()
    waiting: set[Future[dict[str, Any] | None]] = set()

    def run(one: "Input") -> dict[str, Any] | None:
        record = _record(watched, one, begin, stop)
        if record is not None:
            with writing:  # before this Python thread takes the next line
                results.add(record)
        return record

    def note(future: Future[dict[str, Any] | None]) -> None:
        waiting.discard(future)
        record = None if future.cancelled() else future.result()
        if record is not None:
            setattr(counts, record["status"], getattr(counts, record["status"]) + 1)
            progress(sum(vars(counts).values()), len(inputs))

    progress(counts.already, len(inputs))
    with ThreadPoolExecutor(concurrency, thread_name_prefix="batch") as pool:
        try:
            waiting |= {pool.submit(run, one) for one in left}
            for future in as_completed(list(waiting)):
                note(future)
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            for future in [one for one in waiting if one.cancelled() or one.exception() is None]:
                note(future)
            raise
    return counts


def _record(
    watched: "Watched", one: "Input", begin: Callable[[str], dict[str, Any]], stop: threading.Event
) -> dict[str, Any] | None:
    """The result of ``one``; None if the batch was stopped before it was there."""
    about = {"id": one.id, "input": one.digest, "thread": one.thread}
    try:
        outcome = _run(watched, one, begin, stop)
    except NOT_OF_ONE_LINE:
        raise
    except Exception as error:
        nothing = {"answer": None, "questions": [], "versions": {}}
        return {**about, "status": "failed", **nothing, "error": f"{type(error).__name__}: {error}"}
    return None if outcome is None else {**about, **asdict(outcome), "thread": one.thread, "error": None}


def _run(
    watched: "Watched", one: "Input", begin: Callable[[str], dict[str, Any]], stop: threading.Event
) -> "Outcome | None":
    from langchain_core.messages import HumanMessage

    if stop.is_set():
        return None
    outcome = _standing(watched, one.thread)
    if outcome is not None and outcome.status == "failed":
        outcome = watched.go_on(one.thread)
    said = _said(watched, one.thread) if outcome is not None else set()
    for place, text in enumerate(one.turns):
        message = HumanMessage(text, id=str(uuid5(NAMESPACE_OID, f"{one.thread}:{one.digest}:{place}")))
        if message.id in said:
            continue
        if outcome is not None and outcome.status != "done":
            break
        if stop.is_set():
            return None
        settings = begin(one.thread)
        outcome = watched.run(
            one.thread,
            message,
            metadata={**settings.get("metadata", {}), **one.metadata},
            configurable={**settings.get("configurable", {}), **one.configurable},
        )
    return outcome


def _standing(watched: "Watched", thread: str) -> "Outcome | None":
    from ..graphs.run import read_outcome

    try:
        return read_outcome(watched.graph, thread)
    except UnknownThread:
        return None


def _said(watched: "Watched", thread: str) -> set[str | None]:
    values = watched.graph.get_state({"configurable": {"thread_id": thread}}).values
    return {message.id for message in values.get("messages", [])}
