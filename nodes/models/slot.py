"""A slot: the place where a node's model plugs in. It says which version speaks and keeps it loaded."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock

from langchain_core.language_models import BaseChatModel


class Slot:
    """Where a node finds its model: ``resolve`` names the live version, ``load`` opens one.

    Threads share a slot, so both may be called from any thread. ``load`` is called once per version;
    whoever asks meanwhile waits for it. A version that failed to load is tried again when asked again.
    """

    def __init__(self, name: str, resolve: Callable[[], str], load: Callable[[str], BaseChatModel]) -> None:
        self.name = name
        self._resolve = resolve
        self._load = load
        self._lock = Lock()
        self._models: dict[str, Future[BaseChatModel]] = {}

    @classmethod
    def fixed(cls, name: str, model: BaseChatModel, version: str) -> "Slot":
        """A slot that always answers with ``model``, called ``version``."""
        return cls(name, lambda: version, lambda _: model)

    def version_now(self) -> str:
        """The version a run that begins now should stay on."""
        return self._resolve()

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
                model.set_exception(error)
        return model.result()

    @property
    def loaded(self) -> tuple[str, ...]:
        """The versions held in memory, oldest first."""
        with self._lock:
            return tuple(version for version, model in self._models.items() if model.done())
