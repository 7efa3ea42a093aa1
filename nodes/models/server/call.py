"""One call of a model server, made again where that is safe: after a pause, with its adapter loaded anew,
or without the fields that only vLLM knows.
"""

from typing import Any

from ....errors import EndpointFailed
from .adapters import Served, ServedVersions
from .answer import Turn
from .request import TOKEN_FIELDS
from .server import Server, status_of, words_of


class Call:
    """What is asked of which version, and what its failures so far allow. ``live`` asks for a stream."""

    def __init__(self, server: Server, versions: ServedVersions, served: Served, turn: Turn, *, live: bool) -> None:
        self._server = server
        self._versions = versions
        self._served = served
        self._turn = turn
        self._live = live
        self._tokens = server.gives_tokens
        self._failed = 0
        self._reloaded = False

    def request(self) -> dict[str, Any]:
        """All fields of the request as it should be made now."""
        streamed = {"stream": True, "stream_options": {"include_usage": True}} if self._live else {}
        return {"model": self._served.name, **self._turn.fields(self._tokens), **streamed}

    def mend(self, error: Exception) -> float:
        """Make it likelier that the next attempt succeeds, and say how long to wait before it.

        Raises:
            EndpointFailed, ContextOverflow: there is no next attempt.
        """
        status, words = status_of(error), words_of(error)
        if status in (400, 422) and self._tokens and any(field in words for field in (*TOKEN_FIELDS, "logprobs")):
            self._tokens = False
            return 0.0
        if status == 404 and self._served.path is not None and not self._reloaded:
            self._reloaded = True
            self._versions.reload(self._served)
            return 0.0
        self._failed += 1
        return self._server.wait_s(error, self._failed)

    def checked(self, response: Any) -> Any:
        """``response``, if it is one of the protocol's. The server is not asked again for what it refused.

        Raises:
            EndpointFailed: another kind of server answered.
        """
        if self._live or hasattr(response, "choices"):
            self._server.gives_tokens = self._server.gives_tokens and self._tokens
            return response
        raise EndpointFailed(
            f"{self._server.url} answered, but not as a model server does; does its address end in /v1?"
        )
