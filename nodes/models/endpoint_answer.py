"""What comes back from a model server: text, reasoning, calls and tokens, at once or in parts.

The trace is written only if every token is accounted for: the prompt's ids, the sampled ids, one logprob
for each, and as many as the server says that it sampled (vLLM before 0.12 lost ids of streamed calls).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk

from .endpoint_request import REASONING_FIELD
from .families.family import Said, SpokenCall, fresh_id, read_calls
from .render import recorded_ids
from .streaming import SpokenChunk, unrepairable
from .trace import EDIT_KEY, TRACE_KEY, Trace, read_trace, write_trace

TOKENS_KEY = "tokens"
"""Key in ``response_metadata``: ``none`` if the message's tokens are not known. Absent where there is a trace."""
BROKEN = ("error", "abort")
"""Finish reasons of answers that were not finished."""
_NO_LOGPROB = -9999.0
"""What vLLM sends where it has no logprob."""


@dataclass(slots=True)
class _Call:
    id: str
    name: str = ""
    args: str = ""


class Heard:
    """One answer of ``/chat/completions`` while it comes in."""

    def __init__(self) -> None:
        self.content = ""
        self.reasoning = ""
        self.reasoning_field: str | None = None
        self.finish: str | None = None
        """The server's finish reason; None while the answer goes on."""
        self._calls: dict[int, _Call] = {}
        self._stop: Any = None
        self._prompt_ids: tuple[int, ...] | None = None
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._usage: Any = None
        self._model = ""

    def hear(self, response: Any) -> list[SpokenChunk]:
        """Take in a whole answer or one part of a streamed one. Gives what is new."""
        self._model = getattr(response, "model", None) or self._model
        self._usage = getattr(response, "usage", None) or self._usage
        if (prompt := getattr(response, "prompt_token_ids", None)) is not None:
            self._prompt_ids = tuple(prompt)
        if not response.choices:
            return []
        choice = response.choices[0]
        self.finish = choice.finish_reason or self.finish
        self._stop = getattr(choice, "stop_reason", None) or self._stop
        tokens = (getattr(choice, "logprobs", None) and choice.logprobs.content) or []
        self._ids += _sampled_ids(choice, tokens)
        self._logprobs += [token.logprob for token in tokens]
        said = getattr(choice, "delta", None) or getattr(choice, "message", None)
        if said is None:
            return []
        return [*self._hear_reasoning(said), *self._hear_content(said), *self._hear_calls(said)]

    def _hear_reasoning(self, said: Any) -> list[SpokenChunk]:
        for field in ("reasoning", "reasoning_content"):  # some servers send both, with the same text
            if text := getattr(said, field, None):
                self.reasoning_field = field
                self.reasoning += text
                return [SpokenChunk(content="", additional_kwargs={"reasoning_content": text})]
        return []

    def _hear_content(self, said: Any) -> list[SpokenChunk]:
        self.content += said.content or ""
        return [SpokenChunk(content=said.content)] if said.content else []

    def _hear_calls(self, said: Any) -> list[SpokenChunk]:
        chunks: list[ToolCallChunk] = []
        for position, part in enumerate(said.tool_calls or []):
            place = getattr(part, "index", None)
            place = position if place is None else place
            begun = self._calls.get(place)
            call = begun or _Call(part.id or fresh_id())
            self._calls[place] = call
            name, args = (part.function.name, part.function.arguments) if part.function else (None, None)
            call.name, call.args = call.name or name or "", call.args + (args or "")
            if begun is None:
                chunks.append(tool_call_chunk(name=call.name, args=call.args, id=call.id, index=place))
            elif args:
                chunks.append(tool_call_chunk(args=args, index=place))
        return [SpokenChunk(content="", tool_call_chunks=chunks)] if chunks else []

    def message(self, asked: Sequence[BaseMessage], *, version: str, constrained: bool, settings: Any) -> AIMessage:
        """The finished answer to the messages ``asked``."""
        calls = list(self._calls.values())
        said = Said(self.content, self.reasoning, tuple(_spoken(call) for call in calls))
        good, bad = read_calls(said, lambda place: calls[place].id)
        metadata: dict[str, Any] = {"model_name": self._model, "finish_reason": self.finish}
        trace = self._trace(asked, version, constrained, settings)
        metadata |= {TOKENS_KEY: "none"} if trace is None else {TRACE_KEY: write_trace(trace)}
        metadata |= {REASONING_FIELD: self.reasoning_field} if self.reasoning_field else {}
        return AIMessage(
            content=self.content,
            additional_kwargs={"reasoning_content": self.reasoning} if self.reasoning else {},
            tool_calls=good,
            invalid_tool_calls=bad,
            usage_metadata=_usage(self._usage),
            response_metadata=metadata,
        )

    def last(self, message: AIMessage) -> list[SpokenChunk]:
        """The chunks that end the answer; never fewer than two, or LangChain takes one for the message."""
        bad = {call["id"] for call in message.invalid_tool_calls}
        breaks = [
            tool_call_chunk(args=unrepairable(call.args), index=place)
            for place, call in self._calls.items()
            if call.id in bad
        ]
        last = SpokenChunk(
            content="",
            usage_metadata=message.usage_metadata,
            response_metadata=message.response_metadata,
            chunk_position="last",
        )
        last._finished = message
        return [SpokenChunk(content="", tool_call_chunks=breaks), last]

    def _trace(self, asked: Sequence[BaseMessage], version: str, constrained: bool, settings: Any) -> Trace | None:
        ids, logprobs = self._ids, self._logprobs
        count = getattr(self._usage, "completion_tokens", None)
        if not self._prompt_ids or len(ids) != len(logprobs) or count not in (None, len(ids)):
            return None
        if not ids or any(logprob <= _NO_LOGPROB for logprob in logprobs):
            return None
        added, human, restart = continued(asked, self._prompt_ids)
        ends = "length" if self.finish == "length" else "stop_text" if isinstance(self._stop, str) else "stop"
        return Trace(
            version=version,
            prompt_ids=added,
            sampled_ids=tuple(ids),
            logprobs=tuple(logprobs),
            human=human,
            restart=restart,
            constrained=constrained,
            finish=ends,
            settings=settings,
        )


def continued(
    asked: Sequence[BaseMessage], prompt_ids: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...], bool]:
    """What a prompt adds to the recorded ids, its human ranges, and whether it starts anew instead."""
    traced = [(message, trace) for message in asked if (trace := read_trace(message)) is not None]
    before = recorded_ids(traced)
    if not traced:
        return prompt_ids, (), False
    if prompt_ids[: len(before)] != before:
        return prompt_ids, (), True
    added = prompt_ids[len(before) :]
    message, trace = traced[-1]
    if EDIT_KEY in message.response_metadata and trace.finish == "stop" and trace.sampled_ids[-1] in added:
        return added, ((0, added.index(trace.sampled_ids[-1]) + 1),), False
    return added, (), False


def _sampled_ids(choice: Any, tokens: Sequence[Any]) -> list[int]:
    ids = getattr(choice, "token_ids", None)
    if ids is not None:
        return list(ids)
    named = [token.token for token in tokens]  # servers that know only ``return_tokens_as_token_ids``
    return [int(name[9:]) for name in named] if all(name.startswith("token_id:") for name in named) else []


def _spoken(call: _Call) -> SpokenCall:
    return SpokenCall(name=call.name or None, args=call.args.strip() or "{}", raw=call.args)


def _usage(usage: Any) -> UsageMetadata | None:
    if usage is None:
        return None
    read, made = usage.prompt_tokens or 0, usage.completion_tokens or 0
    counted = UsageMetadata(input_tokens=read, output_tokens=made, total_tokens=usage.total_tokens or read + made)
    cached = getattr(getattr(usage, "prompt_tokens_details", None), "cached_tokens", None)
    thought = getattr(getattr(usage, "completion_tokens_details", None), "reasoning_tokens", None)
    if cached is not None:
        counted["input_token_details"] = InputTokenDetails(cache_read=cached)
    if thought is not None:
        counted["output_token_details"] = OutputTokenDetails(reasoning=thought)
    return counted
