"""A LangChain chat model on transformers causal LMs, whose messages carry their exact tokens.

Calls from many threads are decoded together by one owner thread, and the weights can be exchanged
while it works: ``take`` loads a new version beside the one that answers.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Literal, Self

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import Runnable, RunnableConfig, ensure_config
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, PrivateAttr

from ...errors import BadModelSpec
from .call import Call, Settings, any_seed, start_call, tool_named
from .families.choose import family_named
from .host import Host, Serving, Voice
from .loaded import Loaded, hold, open_version
from .streaming import SpokenChunk, Teller
from .structured import structured_output
from .telling import TellingChatModel

_OPTIONS = frozenset(
    "seed temperature max_new_tokens max_tokens top_k top_p min_p constrained tools tool_choice response_schema "
    "ls_structured_output_format strict parallel_tool_calls".split()
)
"""What a call may be given. The last three come from LangChain and change nothing here."""


class LocalChatModel(TellingChatModel):
    """A model in this process. Open one with ``from_folder`` or ``from_model``."""

    model_config = ConfigDict(extra="forbid")

    temperature: float = 1.0
    max_new_tokens: int = 256
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    constrained: bool = False
    """Whether a grammar makes every tool call valid. A tool choice other than ``auto`` always uses it."""
    _host: Host = PrivateAttr()
    _stays_on: str | None = PrivateAttr(None)

    @classmethod
    def from_folder(
        cls,
        name_or_path: str,
        *,
        version: str,
        device: str | None = None,
        dtype: str | None = None,
        family: str | None = None,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        max_rows: int = 64,
        max_waiting: int = 4096,
        kept_bytes: int = 1 << 30,
        **settings: Any,
    ) -> "LocalChatModel":
        """Open a folder or a hub name, full weights or a LoRA adapter; ``settings`` are the fields of this class.

        ``family`` None finds out from the chat template how the model writes calls; ``react-text`` serves base
        models without a template. ``max_rows`` answers are decoded at once, ``max_waiting`` more may wait.
        ``kept_bytes`` of keys and values are kept between the turns of threads.

        Raises:
            BadModelFolder: weights, tokenizer or chat template are missing or cannot be read.
            OutOfMemory: the device has no room for the weights.
        """
        serving = Serving(
            device,
            dtype,
            family_named(family) if family else None,
            chat_template_kwargs,
            max_rows,
            max_waiting,
            kept_bytes,
        )
        return cls._on(open_version(version, name_or_path, device=device, dtype=dtype), serving, settings)

    @classmethod
    def from_model(cls, model: Any, tokenizer: Any, *, version: str, **settings: Any) -> "LocalChatModel":
        """Wrap a loaded model, which the caller puts into ``eval`` mode and leaves alone during calls.

        Raises:
            BadModelFolder: the tokenizer has no chat template.
        """
        return cls._on(hold(version, model, tokenizer), Serving(), settings)

    @classmethod
    def _on(cls, loaded: Loaded, serving: Serving, settings: Mapping[str, Any]) -> "LocalChatModel":
        model = cls(**settings)
        model._host = Host(loaded, serving)
        return model

    @property
    def _llm_type(self) -> str:
        return "threadmill-local"

    @property
    def version(self) -> str:
        """Who answers new calls, e.g. ``helpdesk.think@0003``."""
        return self._stays_on or self._host.current

    @property
    def versions(self) -> tuple[str, ...]:
        """The versions in memory."""
        return self._host.versions

    @property
    def voice(self) -> Voice:
        """The version that answers new calls, with its renderer and decoder."""
        return self._host.voice(self._stays_on)

    @property
    def context(self) -> int:
        """Tokens that prompt and answer may have together."""
        return self.voice.loaded.context

    def take(self, version: str, source: str) -> None:
        """Load ``version`` from a folder or hub name beside the others, then answer new calls with it.

        An adapter on the same base shares the weights that it leaves alone. Calls in flight are finished by the
        version that began them. Blocks until it is loaded; callers go on meanwhile. Going back is the same call.

        Raises:
            BadModelFolder: it cannot be loaded; whoever answered before still does.
            BadModelSpec: the version is known, from another source.
        """
        self._host.take(version, source)

    def at(self, version: str) -> Self:
        """The same model, staying on ``version`` whatever is taken later.

        Raises:
            UnknownVersion: this model never had it.
        """
        self._host.voice(version)
        fixed = self.model_copy()
        fixed._stays_on = version
        return fixed

    def drop(self, version: str) -> None:
        """Forget ``version``; its calls in flight are still finished.

        Raises:
            UnknownVersion: this model doesn't have it, or it is the one that answers.
        """
        self._host.drop(version)

    def let_go(self, version: str) -> None:
        """Free the weights of ``version``, unless it answers new calls; asked for again, it is opened again."""
        self._host.let_go(version)

    def close(self) -> None:
        """Stop decoding and free the weights, for every copy of this model and all that ``at`` gave."""
        self._host.close()

    @property
    def is_closed(self) -> bool:
        """Whether it can only be opened anew."""
        return self._host.is_closed

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: Any = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with ``tools`` in its prompt.

        ``tool_choice`` is ``auto``, ``required`` (or ``any``), ``none``, or a tool's name.

        Raises:
            UnknownTool: the choice names a tool that is not among ``tools``.
        """
        formatted = [convert_to_openai_tool(tool) for tool in tools]
        choice = tool_named(tool_choice, formatted)
        if choice != "auto":
            kwargs["tool_choice"] = choice
        return self.bind(tools=formatted, **kwargs)

    def batch(
        self, inputs: list[Any], config: RunnableConfig | list[RunnableConfig] | None = None, **kwargs: Any
    ) -> list[Any]:
        """As in LangChain, but all are decoded together unless ``max_concurrency`` says otherwise."""
        if inputs and not isinstance(config, list):
            config = {"max_concurrency": len(inputs), **(config or {})}
        return super().batch(inputs, config, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["json_schema", "function_calling"] = "json_schema",
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """This model answering with an instance of ``schema``: a grammar lets it write nothing else."""
        return structured_output(self, schema, include_raw=include_raw, method=method, **kwargs)

    def get_token_ids(self, text: str) -> list[int]:
        """``text`` in this model's tokens."""
        return list(self.voice.renderer.ids(text))

    def get_num_tokens_from_messages(
        self, messages: list[BaseMessage], tools: Sequence[Any] | None = None, **kwargs: Any
    ) -> int:
        """Tokens of the prompt that ``messages`` make; 0 for none."""
        return self.count_tokens(messages, tools or ()) if messages else 0

    def count_tokens(self, messages: Sequence[BaseMessage], tools: Sequence[Any] = ()) -> int:
        """Tokens of the prompt that ``messages`` make with ``tools``.

        Raises:
            CannotRender: the template refuses these messages.
        """
        formatted = [convert_to_openai_tool(tool) for tool in tools]
        return len(self.voice.renderer.prompt(messages, formatted).full_ids)

    def _start(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        options: Mapping[str, Any],
        on_token: Callable[[int], None] | None,
    ) -> Call:
        unknown = sorted(options.keys() - _OPTIONS)
        if unknown:
            raise BadModelSpec(
                f"{unknown[0]!r} is no setting of a local model; there are {', '.join(sorted(_OPTIONS))}"
            )
        limit = _or(options.get("max_new_tokens"), options.get("max_tokens"))
        settings = Settings(
            seed=any_seed() if options.get("seed") is None else options["seed"],
            temperature=_or(options.get("temperature"), self.temperature),
            max_new_tokens=_or(limit, self.max_new_tokens),
            top_k=_or(options.get("top_k"), self.top_k),
            top_p=_or(options.get("top_p"), self.top_p),
            min_p=_or(options.get("min_p"), self.min_p),
            stop=(stop,) if isinstance(stop, str) else tuple(stop or ()),
            constrained=_or(options.get("constrained"), self.constrained),
            tool_choice=tool_named(options.get("tool_choice"), options.get("tools") or ()),
            response_schema=options.get("response_schema"),
        )
        lane = ensure_config().get("configurable", {}).get("thread_id", "")  # of the graph that runs this, if any
        return start_call(self.voice, messages, options.get("tools"), settings, lane=str(lane), on_token=on_token)

    def _tell(
        self, messages: list[BaseMessage], stop: list[str] | None, *, live: bool, **settings: Any
    ) -> Generator[SpokenChunk]:
        tokens: SimpleQueue[int | None] = SimpleQueue()
        call = self._start(messages, stop, settings, tokens.put if live else None)
        teller = Teller(call.family, call.prompt.opening, stop=call.stops)
        try:
            if live:
                call.future.add_done_callback(lambda _: tokens.put(None))
                ids: list[int] = []
                while (token := tokens.get()) is not None:
                    ids.append(token)
                    if tokens.empty():  # else more is there to tell
                        yield from teller.tell(call.text(ids))
            sampled = call.future.result()
            yield from teller.finish(call.text(sampled.ids), call.message(sampled, teller.id_of))
        finally:
            call.future.cancel()  # the caller may have given up

    async def _atell(
        self, messages: list[BaseMessage], stop: list[str] | None, *, live: bool, **settings: Any
    ) -> AsyncGenerator[SpokenChunk]:
        loop = asyncio.get_running_loop()
        tokens: asyncio.Queue[int | None] = asyncio.Queue()

        begun: list[Call] = []
        given_up = threading.Event()

        def heard(token: int) -> None:
            loop.call_soon_threadsafe(tokens.put_nowait, token)

        def ended(_: Any) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(tokens.put_nowait, None)

        def start() -> Call:
            begun.append(self._start(messages, stop, settings, heard if live else None))
            if given_up.is_set():  # a thread goes on when its task is cancelled
                begun[0].future.cancel()
            return begun[0]

        try:
            call = await asyncio.to_thread(start)
            teller = Teller(call.family, call.prompt.opening, stop=call.stops)
            if live:
                call.future.add_done_callback(ended)
                ids: list[int] = []
                while (token := await tokens.get()) is not None:
                    ids.append(token)
                    if tokens.empty():
                        for chunk in teller.tell(call.text(ids)):
                            yield chunk
            sampled = await asyncio.wrap_future(call.future)
            for chunk in teller.finish(call.text(sampled.ids), call.message(sampled, teller.id_of)):
                yield chunk
        finally:
            given_up.set()
            for call in begun:
                call.future.cancel()


def _or(given: Any, own: Any) -> Any:
    return own if given is None else given
