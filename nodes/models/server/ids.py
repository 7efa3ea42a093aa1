"""A turn over ``/completions`` with exact ids: rendered here, sent as ids, and what was sampled is read here.

Possible where the model's tokenizer is at hand. The prompt continues the recorded ids whatever the server
would have made of their text, so a thread restarts only where its template rewrites the past, as with a
local model. vLLM's tool and thinking parsers are not used: the model's family reads.
"""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from ....errors import BadModelSpec, BadTrace, ContextOverflow
from ..families.family import read_calls
from ..render import Renderer
from ..streaming import SpokenChunk, Teller
from ..trace import Trace
from .answer import Heard
from .request import Asked, ids_request


class IdsTurn:
    """The answer to ``messages`` while it comes in. ``context`` says how many tokens the server reads, if it tells.

    Raises:
        BadModelSpec: a choice of tools that only the server's own parser could keep.
    """

    def __init__(
        self, renderer: Renderer, messages: Sequence[BaseMessage], asked: Asked, context: Callable[[], int | None]
    ) -> None:
        if asked.tool_choice not in (None, "auto"):
            raise BadModelSpec(
                f"tool_choice {asked.tool_choice!r} needs the server to write the call; leave `tokenizer` out for that"
            )
        tools = [dict(tool) for tool in asked.tools] or None
        self.heard = Heard()
        self._asked = asked
        self._context = context
        self._renderer = renderer
        self._prompt = renderer.prompt(messages, tools)
        self._family = renderer.family.knowing(tools)
        self._opening = self._prompt.opening
        self._stops = (*asked.stop, *self._family.stop)
        self._teller = Teller(self._family, self._opening, stop=self._stops)
        self._text = ""

    def resource(self, client: Any) -> Any:
        """What of the client is asked."""
        return client.completions

    def fields(self, tokens: bool) -> dict[str, Any]:
        """What is sent, the model apart.

        Raises:
            ContextOverflow: the prompt leaves no room for an answer.
            BadModelSpec: neither the server nor the caller says how long an answer may be.
        """
        seen, context = len(self._prompt.full_ids), self._context()
        if context is None and self._asked.max_new_tokens is None:
            raise BadModelSpec("the server does not tell how much it reads; set max_new_tokens")
        room = [limit for limit in (self._asked.max_new_tokens, context and context - seen) if limit is not None]
        if min(room) < 1:
            raise ContextOverflow(
                f"the prompt has {seen} tokens, but the server reads at most {context} with its answer; let observe "
                "trim what is read with Budget(tokens=…), start a new thread, or use a model with a longer context"
            )
        ends = [self._renderer.tokenizer.convert_tokens_to_ids(end) for end in self._renderer.ends_of_turn]
        return ids_request(
            self._prompt.full_ids, self._asked, tokens=tokens, budget=min(room), stops=self._stops, end_ids=ends
        )

    def hear(self, response: Any) -> list[SpokenChunk]:
        """Take in a whole answer or one part of a streamed one; gives what is new."""
        choice = self.heard.hear(response)
        self._text += getattr(choice, "text", None) or ""
        return self._teller.tell(self._said())

    def _said(self) -> str:
        """What was sampled so far, up to a stop text; by the server's text where it tells no ids."""
        text = self._renderer.spoken(self.heard.ids) if self.heard.ids else self._text
        for end in () if self.heard.ids else self._renderer.ends_of_turn:
            text = text.removesuffix(end)
        return text[: min((at for stop in self._stops if (at := text.find(stop)) >= 0), default=len(text))]

    def last(self, version: str, settings: dict[str, Any]) -> list[SpokenChunk]:
        """The chunks that end the finished answer, its message among them.

        Raises:
            BadTrace: the server read other ids than it was sent.
        """
        text = self._said()
        said = self._family.read(self._opening, text)
        calls, broken = read_calls(said, self._teller.id_of)
        message = AIMessage(
            content=said.content,
            additional_kwargs={"reasoning_content": said.reasoning} if said.reasoning else {},
            tool_calls=calls,
            invalid_tool_calls=broken,
            usage_metadata=self.heard.usage_metadata(),
            response_metadata=self.heard.metadata(self._trace(version, settings)),
        )
        return self._teller.finish(text, message)

    def _trace(self, version: str, settings: dict[str, Any]) -> Trace | None:
        read, sent = self.heard.prompt_ids, self._prompt.full_ids
        if read is not None and read != sent:
            raise BadTrace(
                f"the server read {len(read)} other tokens than the {len(sent)} it was sent; is `tokenizer` the one of "
                "the model that it serves?"
            )
        if not self.heard.complete:
            return None
        return Trace(
            version=version,
            prompt_ids=self._prompt.delta_ids,
            sampled_ids=tuple(self.heard.ids),
            logprobs=tuple(self.heard.logprobs),
            human=self._prompt.human,
            restart=self._prompt.restart,
            constrained=self._asked.constrained,
            finish=self.heard.ended_by,
            digest=self._prompt.digest,
            settings=settings,
            before=len(sent) - len(self._prompt.delta_ids),
        )
