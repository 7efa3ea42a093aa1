"""The trace: what one model call recorded on its ``AIMessage``, token for token.

Ids and logprobs are stored as base64 of little-endian int32 and float32, 5.3 bytes a number, so a
sampled token costs less than 12 bytes and the whole is JSON-safe. The prompt is a delta: only the
tokens added since the last sampled span, so that a thread of n turns costs O(n).
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from langchain_core.messages import BaseMessage

from ...errors import BadTrace

TRACE_KEY = "trace"
"""Key in ``AIMessage.response_metadata`` under which the trace is stored."""

EDIT_KEY = "edit"
"""Key in ``AIMessage.response_metadata``: who replaced the model's proposal, when, and by what."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What the model saw and sampled in one call."""

    version: str
    """The weights that spoke, e.g. ``helpdesk.think@0003``."""
    prompt_ids: tuple[int, ...]
    """Tokens added since the last sampled span of the thread; the whole prompt if ``restart`` or first."""
    sampled_ids: tuple[int, ...]
    """What was sampled, the end-of-turn token included if it was sampled."""
    logprobs: tuple[float, ...]
    """One per sampled token: natural log over the full vocabulary at the sampling temperature, before any mask."""
    human: tuple[tuple[int, int], ...] = ()
    """Half-open ranges of ``prompt_ids`` that a human wrote in the policy's place (edits)."""
    restart: bool = False
    """True if the prompt does not continue the tokens of the traced message before it."""
    constrained: bool = False
    """True if a grammar masked the sampling."""
    finish: str = "stop"
    """``stop`` (end-of-turn sampled), ``length`` (budget or context used up)."""
    digest: str = ""
    """Of tokenizer and prompt text: equal on a later turn exactly if the recorded tokens still hold."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Sampling settings: temperature, top_p, seed, max_new_tokens."""
    before: int | None = None
    """How many tokens the model saw in front of ``prompt_ids``; traces of old do not say."""

    def __post_init__(self) -> None:
        if len(self.sampled_ids) != len(self.logprobs):
            raise BadTrace(
                f"{len(self.sampled_ids)} sampled tokens but {len(self.logprobs)} logprobs; "
                "record one logprob per sampled token"
            )


def starts_anew(trace: Trace) -> bool:
    """Whether ``prompt_ids`` are all that the model saw, as with a restart."""
    return trace.restart or trace.before == 0


def write_trace(trace: Trace) -> dict[str, Any]:
    """The JSON-safe form of ``trace``, for ``response_metadata[TRACE_KEY]``."""
    return {
        "version": trace.version,
        "prompt": _pack(trace.prompt_ids, "<i4"),
        "sampled": _pack(trace.sampled_ids, "<i4"),
        "logprobs": _pack(trace.logprobs, "<f4"),
        "human": [list(span) for span in trace.human],
        "restart": trace.restart,
        "constrained": trace.constrained,
        "finish": trace.finish,
        "digest": trace.digest,
        "settings": dict(trace.settings),
        **({} if trace.before is None else {"before": trace.before}),
    }


def read_trace(message: BaseMessage) -> Trace | None:
    """The trace of ``message``, or None if it carries none (human, tool, or API model).

    Raises:
        BadTrace: the stored form is damaged.
    """
    stored = message.response_metadata.get(TRACE_KEY)
    if stored is None:
        return None
    try:
        return Trace(
            version=stored["version"],
            prompt_ids=tuple(_unpack(stored["prompt"], "<i4")),
            sampled_ids=tuple(_unpack(stored["sampled"], "<i4")),
            logprobs=tuple(_unpack(stored["logprobs"], "<f4")),
            human=tuple((int(start), int(end)) for start, end in stored["human"]),
            restart=stored["restart"],
            constrained=stored["constrained"],
            finish=stored["finish"],
            digest=stored["digest"],
            settings=stored["settings"],
            before=stored.get("before"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadTrace(f"the trace of message {message.id!r} cannot be read: {error!r}") from error


def _pack(numbers: Sequence[float], dtype: str) -> str:
    return b64encode(np.asarray(numbers, dtype=dtype).tobytes()).decode("ascii")


def _unpack(text: str, dtype: str) -> list[Any]:
    return np.frombuffer(b64decode(text), dtype=dtype).tolist()
