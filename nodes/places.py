"""How many calls of one tool may run at the same time in this process, whoever makes them.

A call takes a place before it begins and gives it back when its work has truly ended. Work that was left behind
because it was late still holds its place: the promise is about what runs, not about who waits for it.
"""

import asyncio
from collections import deque
from concurrent.futures import Future
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary


class NoPlace(Exception):
    """All places stayed taken for as long as one was waited for."""


class Places:
    """``number`` places, taken in the order of asking, by threads and coroutines alike."""

    def __init__(self, number: int, of: object = None) -> None:
        self.number = number
        self.of = of
        """What they are places of; kept, so that its id names nothing else."""
        self._free = number
        self._waiting: deque[Future[None]] = deque()
        self._lock = Lock()

    def take(self, timeout_s: float | None) -> None:
        """Wait for a place.

        Raises:
            NoPlace: there was none for ``timeout_s`` seconds.
        """
        place = self._ask()
        try:
            place.result(timeout_s)
        except BaseException as stop:
            self._leave(place)
            if isinstance(stop, TimeoutError):
                raise NoPlace from None
            raise

    async def take_unblocked(self, timeout_s: float | None) -> None:
        """``take``, while the event loop goes on."""
        place = self._ask()
        try:
            await asyncio.wait_for(asyncio.wrap_future(place), timeout_s)
        except BaseException as stop:
            self._leave(place)
            if isinstance(stop, TimeoutError):
                raise NoPlace from None
            raise

    def give_back(self, *_: Any) -> None:
        """The next who waits has the place."""
        with self._lock:
            while self._waiting:
                place = self._waiting.popleft()
                if place.set_running_or_notify_cancel():
                    place.set_result(None)
                    return
            self._free += 1

    def _ask(self) -> Future[None]:
        place: Future[None] = Future()
        with self._lock:
            if self._free:
                self._free -= 1
                place.set_running_or_notify_cancel()
                place.set_result(None)
            else:
                self._waiting.append(place)
        return place

    def _leave(self, place: Future[None]) -> None:
        """Wait no longer; a place that was given at the last moment goes back."""
        if not place.cancel() and not place.cancelled():
            self.give_back()


_PLACES: WeakValueDictionary[tuple[int, int, int], Places] = WeakValueDictionary()
_LOCK = Lock()


def places_of(function: Any, number: int) -> Places:
    """The places of ``function`` (or whatever it is that runs): the same for all who ask for as many."""
    inner, owner = getattr(function, "__func__", function), getattr(function, "__self__", None)
    key = (id(inner), id(owner), number)
    with _LOCK:
        places = _PLACES.get(key)
        if places is None:
            places = _PLACES[key] = Places(number, of=function)
        return places
