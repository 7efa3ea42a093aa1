"""A chat model that says what it was told to: for tests, notebooks and dry runs."""

from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from pydantic import PrivateAttr

Replies = Sequence[AIMessage] | Callable[[list[BaseMessage]], AIMessage]


class ScriptedModel(BaseChatModel):
    """Answers with the next of ``replies``, or with what the function ``replies`` makes of the messages.

    Call-time settings (seed, temperature, …) are accepted and ignored. Every answer is a copy, so one
    script may serve many threads; a function of the messages does so deterministically.

    Raises:
        IndexError: the list is used up.
    """

    replies: Replies
    _used: int = PrivateAttr(0)
    _lock: Any = PrivateAttr(default_factory=Lock)

    def __init__(self, replies: Replies) -> None:
        super().__init__(replies=replies)  # pyright: ignore[reportCallIssue]

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        """The model itself: its script already knows which tools it calls."""
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply = self.replies(messages) if callable(self.replies) else self._next(self.replies)
        return ChatResult(generations=[ChatGeneration(message=reply.model_copy(deep=True))])

    def _next(self, replies: Sequence[AIMessage]) -> AIMessage:
        with self._lock:
            position = self._used
            self._used += 1
        if position >= len(replies):
            raise IndexError(f"the script has {len(replies)} replies, but one more was asked for")
        return replies[position]

    @property
    def _llm_type(self) -> str:
        return "scripted"
