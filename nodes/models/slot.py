"""A slot: the place where a node's model plugs in. It says which version speaks and keeps it loaded.

When the alias moves, the new version is loaded beside the one that answers, in a thread of its own;
runs that begin meanwhile are answered by the old one. One that cannot be loaded changes nothing.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from time import monotonic

from langchain_core.language_models import BaseChatModel

Assign = Callable[[str, str | None, str], str]
"""From a thread, the version that its last run began with (None: it is new) and the one that answers now, to the
version of the thread's next run: another one for a pinned thread, or for one that a canary takes part in."""
RETRY_S = 30.0
"""After so many seconds a version that could not be loaded is tried again."""

log = logging.getLogger("threadmill.slot")


class Slot:
    """Where a node finds its model: ``resolve`` names the live version, ``load`` opens one.

    Threads share a slot, so both may be called from any thread. ``load`` is called once per version;
    whoever asks meanwhile waits for it. A version that failed to load is tried again when asked again.
    ``assign`` may give a thread another version than the others have.
    """

    def __init__(
        self,
        name: str,
        resolve: Callable[[], str],
        load: Callable[[str], BaseChatModel],
        clock: Callable[[], float] = monotonic,
        assign: Assign | None = None,
    ) -> None:
        self.name = name
        self._resolve = resolve
        self._load = load
        self._assign = assign
        self._clock = clock
        self._lock = Lock()
        self._models: dict[str, Future[BaseChatModel]] = {}
        self._answering: str | None = None
        self._live: str | None = None
        """What the alias named when it was last looked at."""
        self._failed: dict[str, tuple[float, str]] = {}
        """The versions that could not be loaded: when that was, and why."""

    @classmethod
    def fixed(cls, name: str, model: BaseChatModel, version: str) -> "Slot":
        """A slot that always answers with ``model``, called ``version``."""
        return cls(name, lambda: version, lambda _: model)

    def version_now(self) -> str:
        """The version a run that begins now should stay on: the live one, or the last while that one is loading.

        If the last could not be loaded or is not there yet either, the live one: its run waits for it.

        Raises:
            UnknownSlot, UnknownVersion: the alias names nothing.
        """
        live = self._live = self._resolve()
        answering = self._answering
        if answering is None or live == answering or self._is_loaded(live) or not self._is_loaded(answering):
            self._answering = answering = live
        elif not self._failed_lately(live):
            with self._lock:
                begun = live in self._models
            if not begun:
                Thread(target=self._load_beside, args=(live,), daemon=True, name=f"load {live}").start()
        return answering

    def version_for(self, thread: str, before: str | None) -> str:
        """The version that the next run of ``thread`` should stay on; ``before`` is its last run's, if there was one.

        Raises:
            UnknownSlot, UnknownVersion: the alias names nothing.
        """
        answering = self.version_now()
        return answering if self._assign is None else self._assign(thread, before, answering)

    def catch_up(self) -> str:
        """Wait until the live version is loaded, and answer with it from now on; its name.

        Raises:
            Exception: what loading it raised; the version before still answers.
        """
        live = self._live = self._resolve()
        self.model(live)
        self._answering = live
        return live

    @property
    def trouble(self) -> str:
        """Why the live version does not answer; empty if it does or is being loaded."""
        live = self._live
        failed = self._failed.get(live or "")
        return f"{live} could not be loaded: {failed[1]}" if failed else ""

    def model(self, version: str) -> BaseChatModel:
        """The model of ``version``, loaded on first use."""
        with self._lock:
            model = self._models.get(version)
            first = model is None
            if model is None:
                model = self._models[version] = Future()
        if first:
            try:
                model.set_result(self._load(version))
            except BaseException as error:
                with self._lock:
                    del self._models[version]
                    self._failed[version] = self._clock(), str(error)
                model.set_exception(error)
            else:
                with self._lock:
                    self._failed.pop(version, None)
        return model.result()

    def close(self) -> None:
        """Let go of every model; whoever opened the slot calls it when nobody uses it any more."""
        with self._lock:
            held = [model for model in self._models.values() if model.done() and model.exception() is None]
            self._models.clear()
        for model in held:
            if (close := getattr(model.result(), "close", None)) is not None:
                close()

    @property
    def loaded(self) -> tuple[str, ...]:
        """The versions held in memory, oldest first."""
        with self._lock:
            return tuple(version for version, model in self._models.items() if model.done())

    def _is_loaded(self, version: str) -> bool:
        with self._lock:
            model = self._models.get(version)
        return model is not None and model.done()

    def _failed_lately(self, version: str) -> bool:
        failed = self._failed.get(version)
        return failed is not None and self._clock() - failed[0] < RETRY_S

    def _load_beside(self, version: str) -> None:
        try:
            self.model(version)
        except BaseException as error:
            log.error("slot %s stays on %s: %s could not be loaded: %s", self.name, self._answering, version, error)
