"""The observe node: a new user turn fixes which versions speak until the next one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.messages import HumanMessage

from .models.slot import Slot


def make_observe(slots: Sequence[Slot]) -> Callable[..., dict[str, Any]]:
    """Build a node that writes ``versions`` when a run begins and nothing while it lasts.

    A run begins with a human message; a thread that never had versions (an import, say) gets them too.
    """

    def observe(state: Mapping[str, Any]) -> dict[str, Any]:
        messages = state.get("messages", [])
        begins = bool(messages) and isinstance(messages[-1], HumanMessage)
        versions = state.get("versions", {})
        if not begins and all(slot.name in versions for slot in slots):
            return {}
        return {"versions": {slot.name: slot.version_now() for slot in slots}}

    return observe
