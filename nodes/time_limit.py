"""A time limit for work that nobody can stop: it is waited for so long, then left behind.

The work runs in a daemon thread that is used again afterwards, because starting one costs several times what
handing over does. A thread is never shared: it takes the next work only after it has ended the last in time, so
that work which hangs starves nothing and does not keep Python from exiting. Coroutines are cancelled, and not waited
for either.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

MAX_IDLE = 16

Outcome = tuple[Any, BaseException | None]


class OutOfTime(Exception):
    """Apart from the ``TimeoutError`` that the work may raise itself."""


class Cancelled(Exception):
    """The work cancelled itself; a ``CancelledError`` would look as if the caller were to stop."""


def within(timeout_s: float | None, work: Callable[[], Any]) -> Any:
    """What ``work`` returns or raises, if it does so in time; it sees the caller's context variables.

    Raises:
        OutOfTime: it did not; it goes on, and what comes of it is lost.
    """
    worker = _idle_worker()
    worker.work.put((copy_context().run, work, worker.outcomes.put))
    try:
        outcome = worker.outcomes.get(timeout=timeout_s)
    except BaseException as stop:  # a KeyboardInterrupt, too, leaves the work behind
        worker.work.put(None)
        if isinstance(stop, Empty):
            raise OutOfTime from None
        raise
    _keep(worker)
    return _result(*outcome)


async def within_unblocked(timeout_s: float | None, work: Callable[[], Any]) -> Any:
    """``within``, while the event loop goes on; whoever cancels this leaves the work behind."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Outcome] = loop.create_future()

    def deliver(come: Outcome) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(_settle, outcome, come)

    worker = _idle_worker()
    worker.work.put((copy_context().run, work, deliver))
    try:
        await asyncio.wait_for(outcome, timeout_s)
    except BaseException as stop:
        worker.work.put(None)
        if isinstance(stop, TimeoutError):
            raise OutOfTime from None
        raise
    _keep(worker)
    return _result(*outcome.result())


async def awaited(
    timeout_s: float | None, work: Callable[[], Coroutine[Any, Any, Any]], ended: Callable[..., None] | None = None
) -> Any:
    """What the coroutine of ``work`` returns or raises, if it does so in time; ``ended`` is called when it has ended.

    Raises:
        OutOfTime: it did not; it was cancelled, and not waited for.
        Cancelled: it raised ``CancelledError`` of its own accord.
    """
    task = asyncio.create_task(_outcome(work))
    if ended is not None:
        task.add_done_callback(ended)
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        raise OutOfTime
    return _result(*task.result())


async def _outcome(work: Callable[[], Coroutine[Any, Any, Any]]) -> Outcome:
    try:
        return await work(), None
    except asyncio.CancelledError:
        return None, Cancelled()
    except Exception as error:
        return None, error


def _result(result: Any, error: BaseException | None) -> Any:
    if error is not None:
        try:
            raise error
        finally:
            del error  # or its traceback would hold it, and it its traceback
    return result


def _settle(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


class _Worker:
    """A thread, the work it is to do (None: it is to end), and what came of it."""

    def __init__(self) -> None:
        self.work: SimpleQueue[Any] = SimpleQueue()
        self.outcomes: SimpleQueue[Outcome] = SimpleQueue()
        self.thread = Thread(target=_serve, args=(self.work,), daemon=True, name="tool")
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


def _keep(worker: _Worker) -> None:
    if len(_idle) < MAX_IDLE:
        _idle.append(worker)
    else:
        worker.work.put(None)


def _serve(work: SimpleQueue[Any]) -> None:
    while (given := work.get()) is not None:
        run, task, deliver = given
        try:
            outcome = (run(task), None)
        except BaseException as error:
            outcome = (None, error)
        deliver(outcome)
        del given, run, task, deliver, outcome  # an idle thread keeps nothing alive
