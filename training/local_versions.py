"""The versions of one slot's model in this process: one ``LocalChatModel`` holds them all, beside each other."""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel

if TYPE_CHECKING:
    from ..nodes.models.local import LocalChatModel


class LocalVersions:
    """Opens versions when they are asked for, and lets them go; may be used from many threads."""

    def __init__(self, find: Callable[[str], str], live: Callable[[], str], settings: Mapping[str, Any]) -> None:
        """``find`` gives the folder of a version, ``live`` the name of the one that answers new runs.

        ``settings`` are those of ``LocalChatModel.from_folder``.
        """
        self._find = find
        self._live = live
        self._settings = settings
        self._opening = Lock()
        self._model: LocalChatModel | None = None
        self._folders: dict[str, str] = {}

    def load(self, version: str) -> BaseChatModel:
        """``version``, opened beside the others; after ``close`` of what this gave, opened anew.

        Raises:
            UnknownVersion, BadModelFolder, OutOfMemory
        """
        from ..nodes.models.local import LocalChatModel  # torch takes seconds to import

        folder = self._find(version)
        with self._opening:
            model = self._model
            if model is None or model.is_closed:
                self._folders.clear()
                model = self._model = LocalChatModel.from_folder(folder, version=version, **self._settings)
            else:
                before = model.version
                model.take(version, folder)
                if version != self._live() and before in model.versions:
                    model.take(before, self._folders[before])  # the current one is never let go: a pinned one may be
            self._folders[version] = folder
            return model.at(version)

    def release(self, version: str) -> None:
        """Free the weights of ``version``; who still has the model it gave opens it again by asking."""
        with self._opening:
            model = self._model
            if model is None or model.is_closed:
                return
            others = [other for other in model.versions if other != version]
            if model.version == version and others:
                model.take(others[-1], self._folders[others[-1]])
            model.let_go(version)
