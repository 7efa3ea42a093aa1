"""Any chat model that LangChain can open, ``provider:model``, for a slot.

It tells no token ids, and its messages say so.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableBinding
from langchain_core.tools import BaseTool

from ...errors import BadModelSpec, MissingLibrary
from .server.answer import TOKENS_KEY


class AnyChatModel(BaseChatModel):
    """Another chat model that marks its messages with ``tokens: none``. A ``seed`` goes only to those that take one.

    Everything else is the other model's: settings, tools, streaming, errors.
    """

    inner: BaseChatModel

    @property
    def _llm_type(self) -> str:
        return f"threadmill-any-{self.inner._llm_type}"

    def bind_tools(
        self, tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool], **kwargs: Any
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with ``tools``, in the form that the other one gives them."""
        bound = self.inner.bind_tools(tools, **kwargs)
        if bound is self.inner:
            return self
        if isinstance(bound, RunnableBinding) and bound.bound is self.inner:
            return self.bind(**bound.kwargs)
        raise BadModelSpec(f"{type(self.inner).__name__} binds tools in a way of its own; put it into a slot as it is")

    def with_structured_output(self, schema: dict[str, Any] | type, **kwargs: Any) -> Runnable[LanguageModelInput, Any]:
        """What the other model makes of it: its answers are data and carry no marks."""
        return self.inner.with_structured_output(schema, **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return _marked(self.inner._generate(messages, stop, run_manager, **self._understood(kwargs)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return _marked(await self.inner._agenerate(messages, stop, run_manager, **self._understood(kwargs)))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        marks: dict[str, Any] = {TOKENS_KEY: "none"}
        for chunk in self.inner._stream(messages, stop, run_manager, **self._understood(kwargs)):
            yield _mark(chunk, marks)
            marks = {}  # once: LangChain sums texts up

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        marks: dict[str, Any] = {TOKENS_KEY: "none"}
        async for chunk in self.inner._astream(messages, stop, run_manager, **self._understood(kwargs)):
            yield _mark(chunk, marks)
            marks = {}

    def _should_stream(self, *, async_api: bool, **kwargs: Any) -> bool:
        return self.inner._should_stream(async_api=async_api, **kwargs)

    def _should_use_protocol_streaming(self, *, async_api: bool, **kwargs: Any) -> bool:
        return False

    def _understood(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        if "seed" in type(self.inner).model_fields:
            return kwargs
        return {key: value for key, value in kwargs.items() if key != "seed"}


def open_chat_model(spec: str, **settings: Any) -> AnyChatModel:
    """The model ``provider:model`` by LangChain's ``init_chat_model``, opened with ``settings``.

    Raises:
        MissingLibrary: LangChain or the provider's package is not installed.
        BadModelSpec: there is no such provider, or it refuses its settings (a key that is missing).
    """
    try:
        from langchain.chat_models import init_chat_model
    except ImportError as error:
        raise MissingLibrary(f"the model {spec!r} needs langchain; install it with pip install langchain") from error
    try:
        return AnyChatModel(inner=init_chat_model(spec, **settings))
    except ImportError as error:
        raise MissingLibrary(f"the model {spec!r} cannot be opened: {error}") from error
    except Exception as error:  # every provider has errors of its own
        raise BadModelSpec(f"the model {spec!r} cannot be opened: {error}") from error


def _marked(result: ChatResult) -> ChatResult:
    for generation in result.generations:
        generation.message.response_metadata[TOKENS_KEY] = "none"
    return result


def _mark(chunk: ChatGenerationChunk, marks: dict[str, Any]) -> ChatGenerationChunk:
    chunk.message.response_metadata = {**chunk.message.response_metadata, **marks}
    return chunk
