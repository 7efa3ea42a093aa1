"""From a growing text to message chunks whose sum is the finished message.

LangChain sums the chunks of tool calls as text and then repairs that text (``{"id": 1`` becomes
``{"id": 1}``), so that a call that was never finished would look like a good one. Here the last chunk
brings the finished calls along, and a sum that does not know them still finds a broken call broken.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessageChunk
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.utils.json import parse_partial_json
from pydantic import PrivateAttr

from .families.family import Family, Said, SpokenCall, fresh_id

_ENDS = ("", "]", "}", '"]', '"}', '\\"]', '\\"}')
"""One of these, after any text, makes a bracket that closes nothing; JSON with that is never repaired."""


class SpokenChunk(AIMessageChunk):
    """A part of an answer. Summed up to the last one, the calls are those of the finished message."""

    _finished: AIMessage | None = PrivateAttr(None)

    @classmethod
    def ending(cls, message: AIMessage) -> "SpokenChunk":
        """The last chunk: all of ``message`` but text, reasoning and calls, which were told before."""
        kwargs = {key: value for key, value in message.additional_kwargs.items() if key != "reasoning_content"}
        last = cls(
            content="",
            additional_kwargs=kwargs,
            usage_metadata=message.usage_metadata,
            response_metadata=message.response_metadata,
            id=message.id,
            chunk_position="last",
        )
        last._finished = message
        return last

    @property
    def finished(self) -> AIMessage | None:
        """The whole message; None except on the last chunk."""
        return self._finished

    def __add__(self, other: Any) -> BaseMessageChunk:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _with_finished_calls(super().__add__(other), other if isinstance(other, list | tuple) else [other])

    def __radd__(self, other: Any) -> BaseMessageChunk:
        """Python asks here first when a plain chunk stands on the left."""
        return SpokenChunk(**_fields(other)) + self


class Teller:
    """Tells one answer in chunks while it is being written.

    ``stop`` are the caller's stop strings: text that may be the beginning of one is held back.
    """

    def __init__(
        self,
        family: Family,
        opening: str = "",
        *,
        stop: Sequence[str] = (),
        new_id: Callable[[int], str] = fresh_id,
    ) -> None:
        self._family = family
        self._opening = opening
        self._stop = (*stop, *family.stop)
        self._new_id = new_id
        self._ids: dict[int, str] = {}
        self._content = ""
        self._reasoning = ""
        self._args: dict[int, str] = {}
        """What was told of each call that has been announced."""
        self._silent = True

    def id_of(self, place: int) -> str:
        """The id of the call at ``place``, the same in chunks and message: give this to ``read_calls``."""
        return self._ids.setdefault(place, self._new_id(place))

    def tell(self, text: str) -> list[SpokenChunk]:
        """What is new in ``text``, all that has been sampled so far; empty if nothing is certain yet."""
        return self._news(self._family.read(self._opening, settled(text, self._family.markers, self._stop)))

    def finish(self, text: str, message: AIMessage) -> list[SpokenChunk]:
        """The rest of ``text``, all that was sampled, and at the end the chunk that carries ``message``.

        Never fewer than two chunks: LangChain takes a lone chunk for the message itself.
        """
        said = self._family.read(self._opening, text)
        chunks = self._news(said)
        if broken := self._break(said, {call["id"] for call in message.invalid_tool_calls}):
            chunks.append(SpokenChunk(content="", tool_call_chunks=broken))
        if self._silent and not chunks:
            chunks.append(SpokenChunk(content=""))
        return [*chunks, SpokenChunk.ending(message)]

    def _news(self, said: Said) -> list[SpokenChunk]:
        """Reasoning, text and calls in chunks of their own: LangChain's events take no mixed ones."""
        chunks: list[SpokenChunk] = []
        if reasoning := _grown(self._reasoning, said.reasoning):
            self._reasoning = said.reasoning
            chunks.append(SpokenChunk(content="", additional_kwargs={"reasoning_content": reasoning}))
        if content := _grown(self._content, said.content):
            self._content = said.content
            chunks.append(SpokenChunk(content=content))
        calls = [part for place, call in enumerate(said.calls) for part in self._call(place, call)]
        if calls:
            chunks.append(SpokenChunk(content="", tool_call_chunks=calls))
        self._silent = self._silent and not chunks
        return chunks

    def _call(self, place: int, call: SpokenCall) -> Iterable[ToolCallChunk]:
        if not call.name or call.error:
            return
        announced = place in self._args
        told = self._args.setdefault(place, "")
        args = _grown(told, call.args)
        self._args[place] = told + args
        if not announced:
            yield tool_call_chunk(name=call.name, args=args, id=self.id_of(place), index=place)
        elif args:
            yield tool_call_chunk(args=args, index=place)

    def _break(self, said: Said, broken: set[str | None]) -> list[ToolCallChunk]:
        """For each call whose id is in ``broken``, what keeps its text from being repaired into a call."""
        parts: list[ToolCallChunk] = []
        for place, call in enumerate(said.calls):
            if self.id_of(place) not in broken:
                continue
            if place in self._args:
                parts.append(tool_call_chunk(args=unrepairable(self._args[place]), index=place))
            else:
                args = call.raw + unrepairable(call.raw)
                parts.append(tool_call_chunk(name=call.name, args=args, id=self.id_of(place), index=place))
        return parts


def settled(text: str, markers: Sequence[str], stop: Sequence[str] = ()) -> str:
    """``text`` without an end that may still become a marker, a stop string or another character.

    >>> settled("Look.<tool_", ["<tool_call>"])
    'Look.'
    """
    ended = min((at for end in stop if (at := text.find(end)) >= 0), default=None)
    if ended is not None:
        return text[:ended]
    text = text.rstrip("\ufffd")  # bytes of a character that is not complete yet
    begun = (
        length for marker in (*markers, *stop) for length in range(1, len(marker)) if text.endswith(marker[:length])
    )
    return text[: len(text) - max(begun, default=0)]


def unrepairable(text: str) -> str:
    """What must follow ``text`` so that LangChain does not repair it into the arguments of a call."""
    return next(end for end in _ENDS if not _repaired(text + end))


def _repaired(text: str) -> bool:
    try:
        return not text or isinstance(parse_partial_json(text), dict)
    except Exception:  # LangChain, too, takes any exception for a broken call
        return False


def _grown(told: str, found: str) -> str:
    return found[len(told) :] if found.startswith(told) else ""


def _with_finished_calls(total: BaseMessageChunk, added: Sequence[Any]) -> BaseMessageChunk:
    finished = next((c.finished for c in added if isinstance(c, SpokenChunk) and c.finished is not None), None)
    if finished is None:
        return total
    whole = AIMessageChunk(**_fields(total))
    whole.tool_calls, whole.invalid_tool_calls = list(finished.tool_calls), list(finished.invalid_tool_calls)
    return whole


def _fields(chunk: BaseMessageChunk) -> dict[str, Any]:
    return {key: value for key, value in chunk.__dict__.items() if key != "type"}
