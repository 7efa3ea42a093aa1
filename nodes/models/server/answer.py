"""What both ways of asking a model server read from its answers: tokens, usage, why it stopped.

The tokens of an answer count only if every one is accounted for: an id and a logprob each, and as many as
the server says that it sampled (vLLM before 0.12 lost ids of streamed calls).
"""

from collections.abc import Sequence
from typing import Any, Protocol

from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata

from ..streaming import SpokenChunk
from ..trace import TRACE_KEY, Trace, write_trace
from .request import REASONING_FIELD

TOKENS_KEY = "tokens"
"""Key in ``response_metadata``: ``none`` if the message's tokens are not known. Absent where there is a trace."""
_BROKEN = (None, "error", "abort")
_NO_LOGPROB = -9999.0
"""What vLLM sends where it has no logprob."""
_ROUNDING = 1e-3
"""More than this above 0 is no logprob: the server tells logits."""


class Turn(Protocol):
    """One turn with a server: what is sent, and what is made of what comes back, whole or in parts."""

    heard: "Heard"

    def resource(self, client: Any) -> Any:
        """What of the client is asked."""
        ...

    def fields(self, tokens: bool) -> dict[str, Any]:
        """What is sent, the model apart; ``tokens`` asks for ids. May raise the library's errors."""
        ...

    def hear(self, response: Any) -> list[SpokenChunk]:
        """Take in a whole answer or one part of a streamed one; gives what is new."""
        ...

    def last(self, version: str, settings: dict[str, Any]) -> list[SpokenChunk]:
        """The chunks that end the finished answer, its message among them."""
        ...


class Heard:
    """What came in of one answer besides its text."""

    def __init__(self) -> None:
        self.finish: str | None = None
        self.prompt_ids: tuple[int, ...] | None = None
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.usage: Any = None
        self.reasoning_field: str | None = None
        self._model = ""
        self._stop: Any = None

    def hear(self, response: Any) -> Any:
        """Take in a response. Gives its choice, or None if it has none."""
        self._model = getattr(response, "model", None) or self._model
        self.usage = getattr(response, "usage", None) or self.usage
        self._hear_prompt(response)
        if not response.choices:
            return None
        choice = response.choices[0]
        self._hear_prompt(choice)  # plain completions tell it there
        self.finish = choice.finish_reason or self.finish
        self._stop = getattr(choice, "stop_reason", None) or self._stop
        names, logprobs = _named(getattr(choice, "logprobs", None))
        ids = getattr(choice, "token_ids", None)
        self.ids += list(ids) if ids is not None else _numbered(names)
        self.logprobs += logprobs
        return choice

    def _hear_prompt(self, told: Any) -> None:
        if (ids := getattr(told, "prompt_token_ids", None)) is not None:
            self.prompt_ids = tuple(ids)

    @property
    def broken(self) -> str:
        """Why this is no whole answer; empty if it is one."""
        return str(self.finish or "no end came") if self.finish in _BROKEN else ""

    @property
    def ended_by(self) -> str:
        """Why sampling ended, in the words of a trace."""
        return "length" if self.finish == "length" else "stop_text" if isinstance(self._stop, str) else "stop"

    @property
    def complete(self) -> bool:
        """Whether the sampled tokens are known, every one."""
        count = getattr(self.usage, "completion_tokens", None)
        whole = len(self.ids) == len(self.logprobs) and count in (None, len(self.ids))
        return whole and bool(self.ids) and all(_NO_LOGPROB < logprob <= _ROUNDING for logprob in self.logprobs)

    def metadata(self, trace: Trace | None) -> dict[str, Any]:
        """The message's ``response_metadata``."""
        found: dict[str, Any] = {"model_name": self._model, "finish_reason": self.finish}
        found |= {TOKENS_KEY: "none"} if trace is None else {TRACE_KEY: write_trace(trace)}
        return found | ({REASONING_FIELD: self.reasoning_field} if self.reasoning_field else {})

    def usage_metadata(self) -> UsageMetadata | None:
        """How many tokens were read and sampled, as the server counts."""
        if self.usage is None:
            return None
        read, made = self.usage.prompt_tokens or 0, self.usage.completion_tokens or 0
        total = self.usage.total_tokens or read + made
        counted = UsageMetadata(input_tokens=read, output_tokens=made, total_tokens=total)
        cached = getattr(getattr(self.usage, "prompt_tokens_details", None), "cached_tokens", None)
        thought = getattr(getattr(self.usage, "completion_tokens_details", None), "reasoning_tokens", None)
        if cached is not None:
            counted["input_token_details"] = InputTokenDetails(cache_read=cached)
        if thought is not None:
            counted["output_token_details"] = OutputTokenDetails(reasoning=thought)
        return counted


def _named(logprobs: Any) -> tuple[list[str], list[float]]:
    """Names and logprobs of sampled tokens, in the form of chats or of plain completions."""
    if logprobs is None:
        return [], []
    content = getattr(logprobs, "content", None)
    if content is not None:
        return [token.token for token in content], [token.logprob for token in content]
    return list(getattr(logprobs, "tokens", None) or ()), list(getattr(logprobs, "token_logprobs", None) or ())


def _numbered(names: Sequence[str]) -> list[int]:
    """The ids in names like ``token_id:17``, which servers tell that do not know ``return_token_ids``."""
    return [int(name[9:]) for name in names] if all(name.startswith("token_id:") for name in names) else []
