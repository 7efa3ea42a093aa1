"""A turn over ``/chat/completions``: the server renders the messages and takes the answer apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk

from ..families.family import Said, SpokenCall, fresh_id, read_calls
from ..render import recorded_ids
from ..streaming import SpokenChunk, unrepairable
from ..trace import EDIT_KEY, Trace, read_trace
from .answer import Heard
from .request import Asked, chat_request
from .server import Server


@dataclass(slots=True)
class _Call:
    id: str
    name: str = ""
    args: str = ""


class ChatTurn:
    """The answer to ``messages`` while it comes in."""

    def __init__(self, server: Server, messages: Sequence[BaseMessage], asked: Asked) -> None:
        self.heard = Heard()
        self._server = server
        self._messages = messages
        self._asked = asked
        self._content = ""
        self._reasoning = ""
        self._calls: dict[int, _Call] = {}

    def resource(self, client: Any) -> Any:
        """What of the client is asked."""
        return client.chat.completions

    def fields(self, tokens: bool) -> dict[str, Any]:
        """What is sent, the model apart."""
        return chat_request(self._messages, self._asked, tokens=tokens, reasoning_field=self._server.reasoning_field)

    def hear(self, response: Any) -> list[SpokenChunk]:
        """Take in a whole answer or one part of a streamed one; gives what is new."""
        choice = self.heard.hear(response)
        said = getattr(choice, "delta", None) or getattr(choice, "message", None)
        if said is None:
            return []
        return [*self._hear_reasoning(said), *self._hear_content(said), *self._hear_calls(said)]

    def _hear_reasoning(self, said: Any) -> list[SpokenChunk]:
        for field in ("reasoning", "reasoning_content"):  # some servers send both, with the same text
            if text := getattr(said, field, None):
                self.heard.reasoning_field = self._server.reasoning_field = field
                self._reasoning += text
                return [SpokenChunk(content="", additional_kwargs={"reasoning_content": text})]
        return []

    def _hear_content(self, said: Any) -> list[SpokenChunk]:
        self._content += said.content or ""
        return [SpokenChunk(content=said.content)] if said.content else []

    def _hear_calls(self, said: Any) -> list[SpokenChunk]:
        chunks: list[ToolCallChunk] = []
        for position, part in enumerate(said.tool_calls or []):
            place = getattr(part, "index", None)
            place = position if place is None else place
            begun = self._calls.get(place)
            call = self._calls[place] = begun or _Call(part.id or fresh_id())
            name, args = (part.function.name, part.function.arguments) if part.function else (None, None)
            call.name, call.args = call.name or name or "", call.args + (args or "")
            if begun is None:
                chunks.append(tool_call_chunk(name=call.name, args=call.args, id=call.id, index=place))
            elif args:
                chunks.append(tool_call_chunk(args=args, index=place))
        return [SpokenChunk(content="", tool_call_chunks=chunks)] if chunks else []

    def last(self, version: str, settings: dict[str, Any]) -> list[SpokenChunk]:
        """The chunks that end the finished answer; never fewer than two, or LangChain takes one for the message."""
        calls = list(self._calls.values())
        spoken = (SpokenCall(name=call.name or None, args=call.args.strip() or "{}", raw=call.args) for call in calls)
        good, bad = read_calls(Said(self._content, self._reasoning, tuple(spoken)), lambda place: calls[place].id)
        message = AIMessage(
            content=self._content,
            additional_kwargs={"reasoning_content": self._reasoning} if self._reasoning else {},
            tool_calls=good,
            invalid_tool_calls=bad,
            usage_metadata=self.heard.usage_metadata(),
            response_metadata=self.heard.metadata(self._trace(version, settings)),
        )
        broken = {call["id"] for call in bad}
        breaks = [
            tool_call_chunk(args=unrepairable(call.args), index=place)
            for place, call in self._calls.items()
            if call.id in broken
        ]
        return [SpokenChunk(content="", tool_call_chunks=breaks), SpokenChunk.ending(message)]

    def _trace(self, version: str, settings: dict[str, Any]) -> Trace | None:
        if not self.heard.prompt_ids or not self.heard.complete:
            return None
        added, human, restart = continued(self._messages, self.heard.prompt_ids)
        return Trace(
            version=version,
            prompt_ids=added,
            sampled_ids=tuple(self.heard.ids),
            logprobs=tuple(self.heard.logprobs),
            human=human,
            restart=restart,
            constrained=self._asked.constrained,
            finish=self.heard.ended_by,
            settings=settings,
            before=len(self.heard.prompt_ids) - len(added),
        )


def continued(
    messages: Sequence[BaseMessage], prompt_ids: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...], bool]:
    """What a prompt adds to the recorded ids, its human ranges, and whether it starts anew instead."""
    traced = [(message, trace) for message in messages if (trace := read_trace(message)) is not None]
    if not traced:
        return prompt_ids, (), False
    before = recorded_ids(traced)
    if prompt_ids[: len(before)] != before:
        return prompt_ids, (), True
    added = prompt_ids[len(before) :]
    message, trace = traced[-1]
    if EDIT_KEY in message.response_metadata and trace.finish == "stop" and trace.sampled_ids[-1] in added:
        return added, ((0, added.index(trace.sampled_ids[-1]) + 1),), False
    return added, (), False
