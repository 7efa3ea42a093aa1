"""The versions that one model server holds for us: adapters are loaded, named, counted and unloaded here.

A server keeps its weights; what can be exchanged while it runs are LoRA adapters, loaded beside each other
under names of their own (vLLM: ``/load_lora_adapter`` with ``VLLM_ALLOW_RUNTIME_LORA_UPDATING=1``). A call
stays on the version it began with, so that nothing is mixed and nothing waits.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from threading import Lock, Thread

from ....errors import BadModelFolder, BadModelSpec, EndpointFailed, UnknownVersion
from .server import Server, status_of, words_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """A version and what the server calls it."""

    version: str
    name: str
    path: str | None = None
    """The adapter's folder, as the server sees it; None for what the server was started with."""


class ServedVersions:
    """Which version answers, and which others the server holds for this process."""

    def __init__(self, server: Server, first: Served) -> None:
        self._server = server
        self._lock = Lock()
        self._held = {first.version: first}
        self._live = first
        self._calls: Counter[str] = Counter()
        self._leaving: dict[str, Served] = {}

    @property
    def live(self) -> str:
        """The version of new calls."""
        return self._live.version

    @property
    def held(self) -> tuple[str, ...]:
        """The versions that may be asked, oldest first."""
        with self._lock:
            return tuple(self._held)

    def find(self, version: str | None) -> Served:
        """What is held as ``version``; None is the live one."""
        with self._lock:
            if version is None:
                return self._live
            if version not in self._held:
                raise UnknownVersion(
                    f"version {version!r} is not loaded at {self._server.url}; there is {', '.join(self._held)}"
                )
            return self._held[version]

    @contextmanager
    def answering(self, version: str | None) -> Iterator[Served]:
        """Hold a version for one call: it is not unloaded before the call is done."""
        with self._lock:
            served = self._live if version is None else self._held.get(version)
            if served is not None:
                self._calls[served.name] += 1
        if served is None:
            served = self.find(version)  # says what there is
        try:
            yield served
        finally:
            with self._lock:
                self._calls[served.name] -= 1
                idle = not self._calls[served.name] and self._leaving.pop(served.version, None) is not None
            if idle:  # not in the caller's thread: that may be an event loop
                Thread(target=self._unload_quietly, args=(served,), name="unload-adapter").start()

    def take(self, version: str, source: str) -> None:
        """Load the adapter in the folder ``source`` and let it answer new calls as ``version``.

        A version that is held already answers at once: that is how a rollback goes.

        Raises:
            BadModelFolder: ``source`` holds full weights.
            BadModelSpec: the version is known, from another source.
            EndpointFailed: the server refused; who answered before still does.
        """
        path = str(Path(source).expanduser().absolute()) if Path(source).expanduser().exists() else source
        with self._lock:
            known = self._held.get(version)
            if known is not None and known.path in (None, path):
                self._live = known
                return
            before = self._live.version
        if known is not None:
            raise BadModelSpec(
                f"version {version!r} was taken from {known.path!r} before, now from {source!r}; a version never "
                "changes, give other weights another name"
            )
        if Path(path).is_dir() and not (Path(path) / "adapter_config.json").is_file():
            raise BadModelFolder(
                f"{source} holds full weights; the running server {self._server.url} takes LoRA adapters only: start "
                f"a server with these weights. {before} keeps answering"
            )
        served = Served(version, _name(version, path), path)
        try:
            self._load(served)
        except self._server.openai.OpenAIError as error:
            raise self._refused(served, error, f"{before} keeps answering") from error
        with self._lock:
            self._held[version] = self._live = served
            self._leaving.pop(version, None)

    def drop(self, version: str) -> None:
        """Forget a version. The server unloads it now, or when its last call is done.

        Raises:
            UnknownVersion: it is not held, or it is the one that answers.
            EndpointFailed: the server did not unload it.
        """
        served = self.find(version)
        with self._lock:
            if served == self._live:
                raise UnknownVersion(f"{version!r} answers new calls; take another version before dropping it")
            self._held.pop(version, None)
            if served.path is None:
                return
            if self._calls[served.name]:
                self._leaving[version] = served
                return
        try:
            self._unload(served)
        except self._server.openai.OpenAIError as error:
            raise self._server.explain(error) from error

    def reload(self, served: Served) -> None:
        """Load an adapter that the server has forgotten, as it does when it is started anew."""
        try:
            self._load(served)
        except self._server.openai.OpenAIError as error:
            raise self._refused(served, error, "the server seems to have been started anew") from error

    def _load(self, served: Served) -> None:
        try:
            self._server.post("/load_lora_adapter", {"lora_name": served.name, "lora_path": served.path})
        except self._server.openai.APIStatusError as error:
            if "already been loaded" not in words_of(error) or not self._has(served):
                raise

    def _has(self, served: Served) -> bool:
        """Whether the server holds this very adapter: another process may have loaded it."""
        return any(card["id"] == served.name and card.get("root") == served.path for card in self._server.cards())

    def _refused(self, served: Served, error: Exception, now: str) -> EndpointFailed:
        hint = ""
        if status_of(error) in (404, 405) and "adapter" not in words_of(error).lower():
            hint = " (vLLM takes adapters with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1)"
        return EndpointFailed(
            f"{self._server.url} did not load {served.version} from {served.path}: {words_of(error)}{hint}; {now}"
        )

    def _unload(self, served: Served) -> None:
        try:
            self._server.post("/unload_lora_adapter", {"lora_name": served.name})
        except self._server.openai.NotFoundError:  # it is gone, as after a restart
            _log.info("%s had forgotten %s already", self._server.url, served.version)

    def _unload_quietly(self, served: Served) -> None:
        try:
            self._unload(served)
        except self._server.openai.OpenAIError as error:
            _log.warning("%s did not unload %s: %s", self._server.url, served.version, words_of(error))


def _name(version: str, path: str) -> str:
    """A name of fixed width behind the version: two projects may both have a ``helpdesk.think@0003``."""
    return f"{version}-{sha256(path.encode()).hexdigest()[:8]}"
