"""A time limit for work that nobody can stop: it is waited for so long, then left behind.

The work runs in a daemon thread that is used again afterwards, because starting one costs several times what
handing over does. A thread is never shared: it takes the next work only after it has ended the last in time, so
that work which hangs starves nothing and does not keep Python from exiting.
"""

from collections.abc import Callable
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

MAX_IDLE = 16


class OutOfTime(Exception):
    """Apart from the ``TimeoutError`` that the work may raise itself."""


def within(timeout_s: float, work: Callable[[], Any]) -> Any:
    """What ``work`` returns or raises, if it does so in time; it sees the caller's context variables.

    Raises:
        OutOfTime: it did not; it goes on, and what comes of it is lost.
    """
    worker = _idle_worker()
    worker.work.put((copy_context().run, work))
    try:
        result, error = worker.outcomes.get(timeout=timeout_s)
    except BaseException as stop:  # a KeyboardInterrupt, too, leaves the work behind
        worker.work.put(None)
        if isinstance(stop, Empty):
            raise OutOfTime from None
        raise
    if len(_idle) < MAX_IDLE:
        _idle.append(worker)
    else:
        worker.work.put(None)
    if error is not None:
        try:
            raise error
        finally:
            del error  # or its traceback would hold it, and it its traceback
    return result


class _Worker:
    """A thread, the work it is to do (None: it is to end), and what came of it."""

    def __init__(self) -> None:
        self.work: SimpleQueue[Any] = SimpleQueue()
        self.outcomes: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()
        self.thread = Thread(target=_serve, args=(self.work, self.outcomes), daemon=True, name="tool")
        self.thread.start()


_idle: list[_Worker] = []


def _idle_worker() -> _Worker:
    while _idle:
        try:
            worker = _idle.pop()
        except IndexError:  # another thread was faster
            break
        if worker.thread.is_alive():  # in a forked process they are not
            return worker
    return _Worker()


def _serve(work: SimpleQueue[Any], outcomes: SimpleQueue[tuple[Any, BaseException | None]]) -> None:
    while (given := work.get()) is not None:
        run, task = given
        try:
            outcome = (run(task), None)
        except BaseException as error:
            outcome = (None, error)
        outcomes.put(outcome)
        del given, run, task, outcome  # an idle thread keeps nothing alive
