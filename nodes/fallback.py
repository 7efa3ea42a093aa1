"""Who answers when a model fails: the same model once more, if the failure may pass, then that of the next slot."""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig

from ..errors import EndpointFailed, QueueFull
from .models.slot import Slot
from .step import Request

LONGEST_WAIT_S = 30.0

log = logging.getLogger("threadmill.think")

_PASSING = frozenset({408, 409, 425, 429})
"""HTTP statuses below 500 that say nothing against asking again."""
_BROKEN_OFF = ("Connect", "Timeout", "NetworkError", "RemoteProtocolError", "ClientPayloadError", "ChunkedEncoding")
"""In the names of the errors of HTTP libraries: a connection that failed, now or in the middle of an answer."""


Bind = Callable[[Slot, str], Runnable[Any, AIMessage]]
"""From a slot and a version to its model as it is to be asked; the model is loaded if it was not."""


class Ask(NamedTuple):
    """The request for the answer of a version's model."""

    slot: Slot
    version: str
    bind: Bind
    prompt: Sequence[BaseMessage]
    settings: Mapping[str, Any]
    config: RunnableConfig

    def run(self) -> AIMessage:
        """The answer."""
        return self.bind(self.slot, self.version).invoke(self.prompt, self.config, **self.settings)

    async def arun(self) -> AIMessage:
        """The answer; a model that must be loaded is loaded in a thread."""
        if self.version not in self.slot.loaded:
            await asyncio.to_thread(self.slot.model, self.version)
        return await self.bind(self.slot, self.version).ainvoke(self.prompt, self.config, **self.settings)


class Pause(NamedTuple):
    """The request to wait."""

    seconds: float

    def run(self) -> None:
        """Wait."""
        time.sleep(self.seconds)

    async def arun(self) -> None:
        """Wait."""
        await asyncio.sleep(self.seconds)


class Answered(NamedTuple):
    """An answer and how it came about."""

    slot: Slot
    version: str
    message: AIMessage
    fell_back_from: list[dict[str, str]]
    """The slots that were asked before in vain, with their versions and why."""


def ask_in_turn(
    slots: Sequence[Slot],
    versions: Mapping[str, str],
    bind: Bind,
    prompt: Sequence[BaseMessage],
    settings: Mapping[str, Any],
    config: RunnableConfig,
    *,
    retries: int,
    wait_s: float,
) -> Generator[Request, Any, Answered]:
    """Ask the model of each slot until one answers: each up to ``retries`` times more while its failure may pass.

    Raises:
        Exception: of the last one asked, if none answers.
    """
    failed: list[dict[str, str]] = []
    for place, slot in enumerate(slots):
        version = versions[slot.name]
        for attempt in range(retries + 1):
            try:
                message = yield Ask(slot, version, bind, prompt, settings, config)
            except Exception as error:
                if attempt < retries and may_pass(error):
                    waited_s = min(max(wait_s * 2**attempt, _asked_to_wait(error)), LONGEST_WAIT_S)
                    log.warning("%s is asked again in %g s: %s", version, waited_s, error)
                elif place + 1 < len(slots):
                    failed.append({"slot": slot.name, "version": version, "why": f"{type(error).__name__}: {error}"})
                    log.warning("%s does not answer, %s is asked: %s", version, slots[place + 1].name, error)
                    break
                else:
                    for one in failed:
                        error.add_note(f"before that, {one['version']} failed: {one['why']}")
                    raise
            else:
                return Answered(slot, version, message, failed)
            yield Pause(waited_s)
    raise AssertionError("the last slot answers or raises")


def may_pass(error: BaseException) -> bool:
    """Whether the same call may succeed a moment later: connections, time limits, servers that are busy or broken.

    >>> may_pass(ConnectionResetError("gone")), may_pass(ValueError("no such model"))
    (True, False)
    """
    status = next((status for one in _causes(error) if (status := _status(one)) is not None), None)
    if status is not None:
        return status in _PASSING or status >= 500
    return any(
        isinstance(one, ConnectionError | TimeoutError | EndpointFailed | QueueFull)
        or any(sign in kind.__name__ for kind in type(one).__mro__ for sign in _BROKEN_OFF)
        for one in _causes(error)
    )


def _asked_to_wait(error: BaseException) -> float:
    """The seconds that a server named in ``Retry-After``; 0 if it named none, or a date."""
    responses = [getattr(one, "response", None) for one in _causes(error)]
    headers = next((found for response in responses if (found := getattr(response, "headers", None))), {})
    asked = str(headers.get("retry-after", ""))
    return float(asked) if re.fullmatch(r"\d{1,6}(\.\d+)?", asked, re.ASCII) else 0.0


def _causes(error: BaseException) -> list[BaseException]:
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    return causes


def _status(error: BaseException) -> int | None:
    """The HTTP status, where libraries put it: on the error, or on the response that it carries."""
    for holder in (error, getattr(error, "response", None)):
        for name in ("status_code", "code"):
            status = getattr(holder, name, None)
            if isinstance(status, int) and 100 <= status < 600:
                return status
    return None
