"""A model server as seen from here: its clients, which failures are tried again, and errors in its own words.

Only what cannot have been answered is asked again: a connection that failed, and a server that says that it
is too busy (429, 503). A call that ran out of time is not: it may still be at work over there.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary, finalize

from ....errors import ContextOverflow, EndpointFailed, MissingLibrary, ThreadmillError

LONGEST_WAIT_S = 60.0
"""A server that asks for more patience than this gets this much."""
_BUSY = (429, 503)
_TOO_LONG = ("context length", "context_length_exceeded", "maximum model length", "max_model_len", "context window")


class Server:
    """One address and how it is spoken to. Any thread and any event loop may use it.

    ``waits_s`` are the pauses before each further attempt: as many attempts as pauses, and the first.
    """

    def __init__(self, url: str, *, api_key: str | None, timeout_s: float, waits_s: Sequence[float]) -> None:
        try:
            import openai
        except ImportError as error:
            raise MissingLibrary(
                f"the endpoint {url} needs the library openai; install it with pip install 'threadmill[endpoint]'"
            ) from error
        self.url = url.rstrip("/")
        self.openai: Any = openai
        self.timeout_s = timeout_s
        self.waits_s = tuple(waits_s)
        self.gives_tokens = True
        """False once it has refused the fields that ask for token ids."""
        self.reasoning_field = "reasoning_content"
        """The field in which it was last heard to reason."""
        self._contexts: dict[str, int | None] = {}
        """What the server has told, or that it does not tell."""
        self._settings: dict[str, Any] = {
            "base_url": self.url,
            "api_key": api_key or "none",  # left out, the library would send the key that is meant for OpenAI
            "max_retries": 0,
            "timeout": openai.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
        }
        self.client: Any = openai.OpenAI(**self._settings)
        finalize(self, self.client.close)
        self._by_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = WeakKeyDictionary()

    def async_client(self) -> Any:
        """The client of the running event loop: connections cannot move from one loop to another."""
        loop = asyncio.get_running_loop()
        client = self._by_loop.get(loop)
        if client is None:
            client = self._by_loop[loop] = self.openai.AsyncOpenAI(**self._settings)
        return client

    def close(self) -> None:
        """Close the connections of synchronous calls."""
        self.client.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        client = self._by_loop.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.close()

    def wait_s(self, error: Exception, failed: int) -> float:
        """How long to wait before asking again, after so many failed attempts that may be repeated.

        Raises:
            EndpointFailed, ContextOverflow: it must not be asked again, or was often enough.
        """
        if not self._may_pass(error) or failed > len(self.waits_s):
            raise self.explain(error, failed) from error
        asked = getattr(getattr(error, "response", None), "headers", {}).get("retry-after", "")
        asked_s = float(asked) if asked.isdecimal() else 0.0
        return min(max(self.waits_s[failed - 1], asked_s), max(LONGEST_WAIT_S, self.waits_s[failed - 1]))

    def _may_pass(self, error: Exception) -> bool:
        if isinstance(error, self.openai.APITimeoutError):
            return False
        return isinstance(error, self.openai.APIConnectionError) or status_of(error) in _BUSY

    def explain(self, error: Exception, failed: int = 1) -> ThreadmillError:
        """The error to raise in place of the library's."""
        words, status = words_of(error), status_of(error)
        tried = f", tried {failed} times" if failed > 1 else ""
        if isinstance(error, self.openai.APITimeoutError):
            return EndpointFailed(
                f"{self.url} gave no answer within {self.timeout_s:g} s; allow more with timeout_s, or look at its load"
            )
        if isinstance(error, self.openai.APIConnectionError):
            return EndpointFailed(f"{self.url} cannot be reached ({words}){tried}; is the server running?")
        if status in _BUSY:
            return EndpointFailed(f"{self.url} is too busy ({status}: {words}){tried}; ask less at a time")
        if status in (400, 413, 422) and any(sign in f"{words} {_code(error)}".lower() for sign in _TOO_LONG):
            return ContextOverflow(
                f"{self.url} says: {words}; start a new thread, remove messages, let observe trim what is read with "
                "Budget(tokens=…), or ask for fewer new tokens"
            )
        if status in (401, 403):
            return EndpointFailed(f"{self.url} refuses the key ({words}); set THREADMILL_ENDPOINT_KEY or pass api_key")
        if status == 404:
            return EndpointFailed(f"{self.url} does not serve this ({words}); {self.url}/models says what it serves")
        return EndpointFailed(f"{self.url} answered {status or 'with an error'}: {words}")

    def broken_off(self, words: str) -> EndpointFailed:
        """The error for an answer that began and did not end."""
        return EndpointFailed(f"{self.url} broke off in the middle of its answer ({words}); nothing of it is kept")

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """While an answer comes in, failures of the server are an answer broken off."""
        try:
            yield
        except self.openai.APITimeoutError as error:
            raise self.broken_off(f"nothing came for {self.timeout_s:g} s") from error
        except self.openai.OpenAIError as error:
            raise self.broken_off(words_of(error)) from error

    def post(self, path: str, body: Mapping[str, Any]) -> None:
        """Send one order to the server. Raises the library's errors."""
        self.client.post(path, cast_to=str, body=dict(body))

    def context(self, model: str) -> int | None:
        """Tokens that prompt and answer of ``model`` may have together; None if the server does not tell.

        Raises the library's errors.
        """
        if model not in self._contexts:
            card = next((card for card in self.cards() if card["id"] == model), None)
            if card is None:
                return None
            self._contexts[model] = card.get("max_model_len")
        return self._contexts[model]

    def cards(self) -> list[dict[str, Any]]:
        """What the server says about the models that it serves. Raises the library's errors."""
        return [card.model_dump() for card in self.client.models.list()]


def status_of(error: Exception) -> int | None:
    """The HTTP status of an answer that is an error; None if there was no answer."""
    return getattr(error, "status_code", None)


def words_of(error: Exception) -> str:
    """What the server said, or why nothing came."""
    body = getattr(error, "body", None)
    if isinstance(body, Mapping):
        said = body.get("message") or body.get("detail") or body.get("error")
        return str(said) if said else str(dict(body))
    if body:
        return str(body)
    return str(error.__cause__ or "") or str(error) or type(error).__name__


def _code(error: Exception) -> str:
    return str(getattr(error, "code", "") or "")
