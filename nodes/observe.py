"""The observe node: a new user turn fixes which versions speak until the next one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from ..errors import StillPaused
from .models.slot import Slot


def make_observe(slots: Sequence[Slot]) -> Callable[..., dict[str, Any]]:
    """Build a node that writes ``versions`` when a run begins and nothing while it lasts.

    A run begins with a human message; a thread that never had versions (an import, say) gets them too.
    A message that comes while the calls before it wait for an answer raises ``StillPaused``: LangGraph itself would
    drop the question and go on.
    """

    def observe(state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
        messages = state.get("messages", [])
        begins = bool(messages) and isinstance(messages[-1], HumanMessage)
        if begins and len(messages) > 1:
            _refuse_to_pass(messages[-2])
        versions = state.get("versions", {})
        if not begins and all(slot.name in versions for slot in slots):
            return {}
        thread = config.get("configurable", {}).get("thread_id", "")
        return {"versions": {slot.name: slot.version_for(thread, versions.get(slot.name)) for slot in slots}}

    return observe


def _refuse_to_pass(message: BaseMessage) -> None:
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    if calls:
        asked = ", ".join(
            f"{call['name']}({', '.join(f'{k}={v!r}' for k, v in call['args'].items())})" for call in calls
        )
        raise StillPaused(
            f"the thread waits for an answer about {asked}; approve, edit, reject or respond before anything else is "
            "said, or fork the thread before the question"
        )
