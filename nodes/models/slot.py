"""A slot: the place where a node's model plugs in. It says which version speaks and keeps it loaded.

When the alias moves, the new version is loaded beside the one that answers, in a thread of its own;
runs that begin meanwhile are answered by the old one. One that cannot be loaded changes nothing.
Versions that nobody asked for lately can be let go; asked for again, they are loaded again.
"""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock, Thread
from time import monotonic
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.tools import BaseTool

from ...errors import CannotServe

Assign = Callable[[str, str | None, str], tuple[str, bool]]
"""From a thread, the version that its last run began with (None: it is new) and the one that answers now, to the
version of the thread's next run, and whether no other will do: so for a pinned thread. For one that takes part in a
canary, the version that answers will do if it is loaded and the candidate is not, or cannot be."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One decision that a model has made."""

    thread: str
    prompt: Sequence[BaseMessage]
    tools: Sequence[BaseTool]
    settings: Mapping[str, Any]
    """Of the call, such as seed and temperature."""
    answer: AIMessage


RETRY_S = 30.0
"""After so many seconds a version that could not be loaded is tried again."""

log = logging.getLogger("threadmill.slot")


class Slot:
    """Where a node finds its model: ``resolve`` names the live version, ``load`` opens one.

    Threads share a slot, so both may be called from any thread. ``load`` is called once per version;
    whoever asks meanwhile waits for it. A version that failed to load is tried again when asked again.
    ``assign`` may give a thread another version than the others have. ``alias`` is what ``resolve`` follows, such as
    ``helpdesk.think@live``; None if it always names the same. ``release`` frees what a version that was let go held.
    """

    def __init__(
        self,
        name: str,
        resolve: Callable[[], str],
        load: Callable[[str], BaseChatModel],
        clock: Callable[[], float] = monotonic,
        assign: Assign | None = None,
        *,
        alias: str | None = None,
        release: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self.alias = alias
        self._resolve = resolve
        self._load = load
        self._assign = assign
        self._release = release
        self.overhear: Callable[[Heard], None] | None = None
        """Told every decision after it was made; must return at once and raise nothing."""
        self._clock = clock
        self._lock = Lock()
        self._models: dict[str, Future[BaseChatModel]] = {}
        self._asked_at: dict[str, float] = {}
        """When each version in memory was last asked for."""
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
        else:
            self._begin_to_load(live)
        return answering

    def version_for(self, thread: str, before: str | None) -> str:
        """The version that the next run of ``thread`` should stay on; ``before`` is its last run's, if there was one.

        Raises:
            UnknownSlot, UnknownVersion: the alias names nothing.
            CannotServe: the thread has a version of its own, which cannot be loaded.
        """
        answering = self.version_now()
        version, only = (answering, True) if self._assign is None else self._assign(thread, before, answering)
        if version == answering:
            return answering
        # In a process that has loaded neither yet, the run waits for one of them in any case.
        if not only and not self._is_loaded(version) and (self._is_loaded(answering) or self._failed_lately(version)):
            self._begin_to_load(version)
            return answering
        try:
            self.model(version)
        except Exception as error:
            if not only:
                log.error("slot %s stays on %s: %s could not be loaded: %s", self.name, answering, version, error)
                return answering
            raise CannotServe(
                f"thread {thread!r} is to be answered by {version}, which cannot be loaded: {error}; restore its "
                f"files, or let the thread follow the others again: threadmill models unpin {thread} {self.name}"
            ) from error
        return version

    def look(self) -> str:
        """Look where the alias is and begin to load what it names, without waiting; the version that answers.

        Raises:
            UnknownSlot, UnknownVersion: the alias names nothing.
        """
        answering = self.version_now()
        self._begin_to_load(answering)  # the very first one
        return answering

    def catch_up(self) -> str:
        """Wait until the live version is loaded, and answer with it from now on; its name.

        Raises:
            Exception: what loading it raised; the version before still answers.
        """
        while not self._is_loaded(live := self._resolve()):  # it may move on meanwhile
            self._live = live
            self.model(live)
        self._live = self._answering = live
        return live

    @property
    def answering(self) -> str | None:
        """The version that new runs were last given; None before the first."""
        return self._answering

    @property
    def live(self) -> str | None:
        """What the alias named when it was last looked at."""
        return self._live

    @property
    def trouble(self) -> str:
        """Why the live version does not answer; empty if it does or is being loaded."""
        live = self._live
        failed = self._failed.get(live or "")
        return f"{live} could not be loaded: {failed[1]}" if failed else ""

    def model(self, version: str) -> BaseChatModel:
        """The model of ``version``, loaded on first use."""
        with self._lock:
            self._asked_at[version] = self._clock()
            model = self._models.get(version)
            first = model is None
            if model is None:
                model = self._models[version] = Future()
        if first:
            try:
                model.set_result(self._load(version))
            except BaseException as error:
                with self._lock:
                    self._models.pop(version, None)
                    self._failed[version] = self._clock(), str(error)
                model.set_exception(error)
            else:
                with self._lock:
                    self._failed.pop(version, None)
        return model.result()

    def let_go(self, keep: Collection[str], idle_s: float) -> list[str]:
        """Let go of the versions that nobody asked for within ``idle_s``, but not those in ``keep`` and the live one.

        Whoever is being answered by one is answered; asked for again, it is loaded again.
        """
        kept, since = {*keep, self._answering, self._live}, self._clock() - idle_s
        with self._lock:
            idle = [
                version
                for version, model in self._models.items()
                if model.done() and version not in kept and self._asked_at[version] <= since
            ]
            for version in idle:
                del self._models[version], self._asked_at[version]
        if self._release is not None:
            for version in idle:
                self._release(version)
        return idle

    def close(self) -> None:
        """Let go of every model; whoever opened the slot calls it when nobody uses it any more."""
        with self._lock:
            held = [model for model in self._models.values() if model.done() and model.exception() is None]
            self._models.clear()
            self._answering = None
        for model in held:
            if (close := getattr(model.result(), "close", None)) is not None:
                close()

    @property
    def loaded(self) -> tuple[str, ...]:
        """The versions held in memory, oldest first."""
        with self._lock:
            return tuple(version for version, model in self._models.items() if model.done())

    @property
    def is_loading(self) -> bool:
        """Whether a version is being loaded."""
        with self._lock:
            return not all(model.done() for model in self._models.values())

    def _is_loaded(self, version: str) -> bool:
        with self._lock:
            model = self._models.get(version)
        return model is not None and model.done()

    def _failed_lately(self, version: str) -> bool:
        failed = self._failed.get(version)
        return failed is not None and self._clock() - failed[0] < RETRY_S

    def _begin_to_load(self, version: str) -> None:
        """Load ``version`` in a thread of its own, unless that has begun or just failed."""
        with self._lock:
            begun = version in self._models
        if not begun and not self._failed_lately(version):
            Thread(target=self._load_beside, args=(version,), daemon=True, name=f"load {version}").start()

    def _load_beside(self, version: str) -> None:
        try:
            self.model(version)
        except BaseException as error:
            log.error("slot %s stays on %s: %s could not be loaded: %s", self.name, self._answering, version, error)
