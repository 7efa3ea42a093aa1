"""A chat model that is asked for tokens and for the exact message in one and the same way.

``stream`` yields chunks; ``invoke`` returns the message as the model made it and meanwhile shows the
chunks to those who listen (LangGraph's ``stream_mode="messages"``, ``astream_events``). LangChain would
return the sum of the chunks, and under its newest listeners turn the content into blocks.
"""

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, closing
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models._compat_bridge import achunks_to_events, chunks_to_events
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from .streaming import SpokenChunk


class TellingChatModel(BaseChatModel):
    """A chat model made of two generators, ``_tell`` and ``_atell``, whose last chunk carries the message."""

    @abstractmethod
    def _tell(
        self, messages: list[BaseMessage], stop: list[str] | None, *, live: bool, **settings: Any
    ) -> Generator[SpokenChunk]:
        """The answer in chunks. If not ``live``, nobody listens, and what ``Teller.finish`` gives is enough.

        The generator is closed when the caller gives up: stop decoding then.
        """

    @abstractmethod
    def _atell(
        self, messages: list[BaseMessage], stop: list[str] | None, *, live: bool, **settings: Any
    ) -> AsyncGenerator[SpokenChunk]:
        """The same in an event loop, which it must not block."""

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        tokens = super()._should_stream(async_api=False, run_manager=run_manager, **kwargs)
        events = super()._should_use_protocol_streaming(async_api=False, run_manager=run_manager, **kwargs)
        kwargs.pop("stream", None)
        name = _name(run_manager)
        told: list[SpokenChunk] = []

        def tell() -> Iterator[ChatGenerationChunk]:
            with closing(self._tell(messages, stop, live=tokens or events, **kwargs)) as chunks:
                for chunk in chunks:
                    chunk.id = chunk.id or name
                    told.append(chunk)
                    heard = ChatGenerationChunk(message=chunk)
                    if run_manager and tokens:
                        run_manager.on_llm_new_token(chunk.text, chunk=heard)
                    yield heard

        if run_manager and events:
            for event in chunks_to_events(tell(), message_id=name):
                run_manager.on_stream_event(event)
        else:
            for _ in tell():
                pass
        return _result(told[-1])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        tokens = super()._should_stream(async_api=True, run_manager=run_manager, **kwargs)
        events = super()._should_use_protocol_streaming(async_api=True, run_manager=run_manager, **kwargs)
        kwargs.pop("stream", None)
        name = _name(run_manager)
        told: list[SpokenChunk] = []

        async def tell() -> AsyncIterator[ChatGenerationChunk]:
            async with aclosing(self._atell(messages, stop, live=tokens or events, **kwargs)) as chunks:
                async for chunk in chunks:
                    chunk.id = chunk.id or name
                    told.append(chunk)
                    heard = ChatGenerationChunk(message=chunk)
                    if run_manager and tokens:
                        await run_manager.on_llm_new_token(chunk.text, chunk=heard)
                    yield heard

        if run_manager and events:
            async for event in achunks_to_events(tell(), message_id=name):
                await run_manager.on_stream_event(event)
        else:
            async for _ in tell():
                pass
        return _result(told[-1])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with closing(self._tell(messages, stop, live=True, **kwargs)) as chunks:
            for chunk in chunks:
                yield ChatGenerationChunk(message=chunk)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        async with aclosing(self._atell(messages, stop, live=True, **kwargs)) as chunks:
            async for chunk in chunks:
                yield ChatGenerationChunk(message=chunk)

    def _should_stream(self, *, async_api: bool, run_manager: Any = None, **kwargs: Any) -> bool:
        """Only an explicit ``stream`` or ``astream`` asks without a run; what runs is told by ``_generate``."""
        return run_manager is None and super()._should_stream(async_api=async_api, **kwargs)

    def _should_use_protocol_streaming(self, *, async_api: bool, run_manager: Any = None, **kwargs: Any) -> bool:
        return False


def _name(run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None) -> str | None:
    """The id that LangChain gives the chunks of a run; a message with another one would be shown twice."""
    return f"lc_run--{run_manager.run_id}" if run_manager else None


def _result(last: SpokenChunk) -> ChatResult:
    assert last.finished is not None  # the last chunk carries the message
    message = last.finished.model_copy(update={"id": last.id})
    return ChatResult(generations=[ChatGeneration(message=message)])
