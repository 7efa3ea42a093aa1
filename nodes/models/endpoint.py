"""A LangChain chat model on a server that speaks OpenAI's protocol, with exact tokens where the server tells them.

vLLM tells them: which ids its chat template made of the messages, which it sampled, and their logprobs.
They become the same trace as a local model's. The server renders the whole conversation anew on every
turn; where that no longer begins with the ids recorded before (sampled text that its tokenizer would
split in another way, thinking that its template drops), the trace says ``restart``, and nothing is guessed.
With ``tokenizer=`` the prompt is rendered here and sent as ids instead: see ``endpoint_ids``.
A server that tells no ids works too: its messages carry no trace and say ``tokens: none``.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import closing
from os import PathLike
from typing import Any, Literal, Self

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from ...errors import BadModelFolder
from .render import Renderer
from .server.adapters import Served, ServedVersions
from .server.answer import Turn
from .server.call import Call
from .server.chat import ChatTurn
from .server.ids import IdsTurn
from .server.request import Asked, choice_of
from .server.server import Server
from .streaming import SpokenChunk
from .structured import as_response_format, structured_output
from .telling import TellingChatModel

WAITS_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses before a server that is away or too busy is asked again."""


class EndpointChatModel(TellingChatModel):
    """A model behind an address. Open one with ``from_server``; threads and event loops may share it."""

    url: str
    model: str
    """What the server calls the weights that it was started with."""
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int | None = None
    """None leaves it to the server: vLLM goes on to the end of the context."""
    logprobs_mode: Literal["raw", "processed"] = "raw"
    """vLLM's ``--logprobs-mode``, which it does not tell: ``raw_logprobs`` is its default."""
    extra_body: Mapping[str, Any] = {}
    """Fields to send with every call, e.g. ``{"chat_template_kwargs": {"enable_thinking": False}}``."""
    pinned: str | None = None
    """The version that ``at`` chose; None follows ``take``."""
    _server: Server = PrivateAttr()
    _versions: ServedVersions = PrivateAttr()
    _renderer: Renderer | None = PrivateAttr(None)

    @classmethod
    def from_server(
        cls,
        url: str,
        model: str,
        *,
        version: str | None = None,
        api_key: str | None = None,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_new_tokens: int | None = None,
        logprobs_mode: Literal["raw", "processed"] = "raw",
        extra_body: Mapping[str, Any] | None = None,
        timeout_s: float = 600.0,
        waits_s: Sequence[float] = WAITS_S,
        tokenizer: Any = None,
    ) -> "EndpointChatModel":
        """The model that the server at ``url`` (which ends in ``/v1``) calls ``model``. Nothing is asked yet.

        ``version`` names its weights in traces, by default ``url#model``. ``timeout_s`` is how long the server
        may say nothing. ``tokenizer``, the model's own as an object, folder or hub name, has prompts rendered
        here and sent as ids, so that every turn continues the exact ids of the one before; vLLM's
        ``chat_template_kwargs`` then count here too.

        Raises:
            MissingLibrary: the library openai is not installed.
            BadModelFolder: there is no tokenizer in that folder, or it has no chat template.
        """
        chat = cls(
            url=url,
            model=model,
            temperature=temperature,
            top_p=top_p,
            max_new_tokens=max_new_tokens,
            logprobs_mode=logprobs_mode,
            extra_body=extra_body or {},
        )
        chat._server = Server(url, api_key=api_key, timeout_s=timeout_s, waits_s=waits_s)
        if tokenizer is not None:
            chat._renderer = _renderer(tokenizer, chat.extra_body.get("chat_template_kwargs"))
        chat._versions = ServedVersions(chat._server, Served(version or f"{url}#{model}", model))
        return chat

    @property
    def _llm_type(self) -> str:
        return "threadmill-endpoint"

    @property
    def version(self) -> str:
        """The version that answers new calls."""
        return self._versions.find(self.pinned).version

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions that can answer, oldest first."""
        return self._versions.held

    @property
    def context(self) -> int | None:
        """Tokens that prompt and answer may have together; None if the server does not tell, or is away."""
        try:
            return self._server.context(self.model)
        except self._server.openai.OpenAIError:
            return None

    def count_tokens(self, messages: Sequence[BaseMessage], tools: Sequence[Any] = ()) -> int | None:
        """Tokens of the prompt that ``messages`` make with ``tools``; None if there is no tokenizer here to count.

        Raises:
            CannotRender: the template refuses these messages.
        """
        if self._renderer is None:
            return None
        return len(self._renderer.prompt(messages, [convert_to_openai_tool(tool) for tool in tools]).full_ids)

    def take(self, version: str, source: str) -> None:
        """Let the adapter in the folder ``source``, a path on the server, answer new calls as ``version``.

        Calls in flight stay on the version they began with. A version that is loaded answers again at once.

        Raises:
            BadModelFolder: ``source`` holds full weights, which a running server cannot take.
            EndpointFailed: the server could not load it; who answered before still does.
        """
        self._versions.take(version, source)

    def at(self, version: str) -> Self:
        """The same model, staying on ``version``.

        Raises:
            UnknownVersion: it is not loaded.
        """
        return self.model_copy(update={"pinned": self._versions.find(version).version})

    def drop(self, version: str) -> None:
        """Forget a version, and unload it at the server once its calls are done.

        Raises:
            UnknownVersion: it is not loaded, or it answers new calls.
        """
        self._versions.drop(version)

    def close(self) -> None:
        """Close the connections; those of an event loop are closed there with ``aclose``."""
        self._server.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        await self._server.aclose()

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with ``tools``; ``tool_choice`` is auto, required, none or the name of one.

        Raises:
            UnknownTool: ``tool_choice`` names none of ``tools``.
        """
        converted = [convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=converted, tool_choice=choice_of(tool_choice, converted), **kwargs)

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """A runnable that answers with an instance of ``schema``; see ``structured_output``."""
        return structured_output(self, schema, include_raw=include_raw, **kwargs)

    def _tell(
        self, messages: list[BaseMessage], stop: list[str] | None, *, live: bool, **settings: Any
    ) -> Generator[SpokenChunk]:
        asked = self._asked(stop, **settings)
        turn = self._turn(messages, asked)
        with self._versions.answering(self.pinned) as served:
            call = Call(self._server, self._versions, served, turn, live=live)
            ask = turn.resource(self._server.client).create
            while True:
                try:
                    response = call.checked(ask(**call.request()))
                    break
                except self._server.openai.OpenAIError as error:
                    time.sleep(call.mend(error))
            if live:
                with self._server.streaming(), closing(response):
                    for part in response:
                        yield from turn.hear(part)
            else:
                yield from turn.hear(response)
        yield from self._last(turn, served, asked)

    async def _atell(
        self, messages: list[BaseMessage], stop: list[str] | None, *, live: bool, **settings: Any
    ) -> AsyncGenerator[SpokenChunk]:
        asked = self._asked(stop, **settings)
        turn = await asyncio.to_thread(self._turn, messages, asked)
        with self._versions.answering(self.pinned) as served:
            call = Call(self._server, self._versions, served, turn, live=live)
            ask = turn.resource(self._server.async_client()).create
            while True:
                try:
                    response = call.checked(await ask(**await asyncio.to_thread(call.request)))
                    break
                except self._server.openai.OpenAIError as error:
                    await asyncio.sleep(await asyncio.to_thread(call.mend, error))
            if live:
                with self._server.streaming():
                    async with response as parts:
                        async for part in parts:
                            for chunk in turn.hear(part):
                                yield chunk
            else:
                for chunk in turn.hear(response):
                    yield chunk
        for chunk in self._last(turn, served, asked):
            yield chunk

    def _turn(self, messages: list[BaseMessage], asked: Asked) -> Turn:
        if self._renderer is None:
            return ChatTurn(self._server, messages, asked)
        return IdsTurn(self._renderer, messages, asked, lambda: self._server.context(self.model))

    def _last(self, turn: Turn, served: Served, asked: Asked) -> list[SpokenChunk]:
        if turn.heard.broken:
            raise self._server.broken_off(turn.heard.broken)
        return turn.last(served.version, asked.settings(self.logprobs_mode))

    def _asked(
        self,
        stop: list[str] | None,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        tool_choice: Any = None,
        seed: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_new_tokens: int | None = None,
        response_schema: Mapping[str, Any] | None = None,
        response_format: Mapping[str, Any] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        **others: Any,
    ) -> Asked:
        passed = {key: others[key] for key in ("parallel_tool_calls", "top_k", "min_p") if others.get(key) is not None}
        return Asked(
            temperature=self.temperature if temperature is None else temperature,
            top_p=self.top_p if top_p is None else top_p,
            max_new_tokens=max_new_tokens or self.max_new_tokens,
            seed=seed,
            stop=tuple(stop or ()),
            tools=tools,
            tool_choice=choice_of(tool_choice, tools),
            response_format=as_response_format(response_schema) if response_schema else response_format,
            extra={**self.extra_body, **passed, **(extra_body or {})},
        )


def _renderer(tokenizer: Any, chat_template_kwargs: Mapping[str, Any] | None) -> Renderer:
    if isinstance(tokenizer, str | PathLike):
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(tokenizer)
        except (OSError, ValueError) as error:
            raise BadModelFolder(f"there is no tokenizer in {str(tokenizer)!r}: {error}") from error
    return Renderer(tokenizer, None, chat_template_kwargs)
