"""A LangChain chat model on a transformers causal LM, whose messages carry their exact tokens.

Calls from many threads are decoded together by one owner thread. What is left out here: token
streaming, constrained decoding, and keeping keys and values between the turns of a thread.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import PrivateAttr

from ...errors import ContextOverflow
from .decode import Decoder
from .families.family import fresh_id, read_calls
from .folder import end_token_ids, load_model
from .render import Renderer
from .trace import TRACE_KEY, Trace, write_trace


class LocalChatModel(BaseChatModel):
    """A model in this process. Open one with ``from_folder`` or ``from_model``."""

    version: str
    """Written on every message, e.g. ``helpdesk.think@0003``."""
    temperature: float = 1.0
    max_new_tokens: int = 256
    context: int
    """Tokens that prompt and answer may have together."""
    _renderer: Renderer = PrivateAttr()
    _decoder: Decoder = PrivateAttr()

    @classmethod
    def from_folder(
        cls,
        name_or_path: str,
        *,
        version: str,
        device: str | None = None,
        temperature: float = 1.0,
        max_new_tokens: int = 256,
    ) -> "LocalChatModel":
        """Open a folder or a hub name; a LoRA adapter's folder is merged into its base.

        Raises:
            BadModelFolder: weights, tokenizer or chat template are missing or cannot be read.
        """
        model, tokenizer = load_model(name_or_path, device=device)
        return cls.from_model(model, tokenizer, version=version, temperature=temperature, max_new_tokens=max_new_tokens)

    @classmethod
    def from_model(
        cls, model: Any, tokenizer: Any, *, version: str, temperature: float = 1.0, max_new_tokens: int = 256
    ) -> "LocalChatModel":
        """Wrap a loaded model, which the caller puts into ``eval`` mode and leaves alone during calls.

        Raises:
            BadModelFolder: the tokenizer has no chat template.
        """
        chat = cls(
            version=version,
            temperature=temperature,
            max_new_tokens=max_new_tokens,
            context=int(model.config.max_position_embeddings),
        )
        chat._renderer = Renderer(tokenizer)
        end_of_turn = chat._renderer.end_of_turn
        closing = {tokenizer.convert_tokens_to_ids(end_of_turn)} if end_of_turn else set[int]()
        chat._decoder = Decoder(model, end_token_ids(model, tokenizer) | closing)
        return chat

    @property
    def _llm_type(self) -> str:
        return "threadmill-local"

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """This model with ``tools`` in its prompt."""
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools], **kwargs)

    def close(self) -> None:
        """Stop the decode thread."""
        self._decoder.close()

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        tools: list[dict[str, Any]] | None = None,
        seed: int | None = None,
        temperature: float | None = None,
        max_new_tokens: int | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        prompt = self._renderer.prompt(messages, tools)
        budget = min(max_new_tokens or self.max_new_tokens, self.context - len(prompt.full_ids))
        if budget < 1:
            raise ContextOverflow(
                f"the prompt has {len(prompt.full_ids)} tokens but {self.version} reads at most {self.context} with "
                "its answer; start a new thread, remove messages, or use a model with a longer context"
            )
        heat = self.temperature if temperature is None else temperature
        drawn = random.randrange(2**31) if seed is None else seed
        future = self._decoder.submit(prompt.full_ids, max_new_tokens=budget, temperature=heat, seed=drawn)
        try:
            sampled = future.result()
        except BaseException:
            future.cancel()
            raise
        said = self._renderer.read(sampled.ids, self._renderer.opening(messages, tools), tools)
        calls, broken = read_calls(said, fresh_id)
        trace = Trace(
            version=self.version,
            prompt_ids=prompt.delta_ids,
            sampled_ids=sampled.ids,
            logprobs=sampled.logprobs,
            human=prompt.human,
            restart=prompt.restart,
            finish=sampled.finish,
            digest=prompt.digest,
            settings={"temperature": heat, "seed": drawn, "max_new_tokens": budget},
        )
        seen, made = len(prompt.full_ids), len(sampled.ids)
        message = AIMessage(
            content=said.content,
            additional_kwargs={"reasoning_content": said.reasoning} if said.reasoning else {},
            tool_calls=calls,
            invalid_tool_calls=broken,
            usage_metadata=UsageMetadata(input_tokens=seen, output_tokens=made, total_tokens=seen + made),
            response_metadata={TRACE_KEY: write_trace(trace)},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])
