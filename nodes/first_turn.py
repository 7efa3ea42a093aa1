"""A turn of words before the model acts: a plan when the user has spoken, or a reflection on every observation.

It is one more model call, whose answer stands in the thread as a message of its own, with its own trace. Nothing
is put between it and the action that follows, and the system prompt that asks for it is the same for both: so the
prompt of the second call continues the tokens of the first, and each sampled token is trained exactly once.
"""

from collections.abc import Sequence
from typing import Literal

from langchain_core.messages import BaseMessage, HumanMessage, ToolMessage

from ..errors import BadConfig

First = Literal["plan", "reflect"]

FIRST_KEY = "first"
"""Key in ``AIMessage.response_metadata`` of such a turn: ``plan`` or ``reflect``."""

_ASKED = {
    "plan": "Before you act on a message of the user, write your plan: a few short steps, no call. Then act.",
    "reflect": (
        "After each result of a tool, write in a sentence or two what it shows and what is still missing, without "
        "a call. Then act or answer."
    ),
}


def asked_first(system: str, first: First | None) -> str:
    """``system``, which also asks for the first turn.

    Raises:
        BadConfig: there is no such turn.
    """
    if first is None:
        return system
    if first not in _ASKED:
        raise BadConfig(f"first is {first!r}; it is 'plan' or 'reflect', or None for no turn of words")
    return "\n\n".join(filter(None, (system, _ASKED[first])))


def is_due(first: First | None, messages: Sequence[BaseMessage]) -> bool:
    """Does the model plan or reflect now, before it acts?"""
    if first is None or not messages:
        return False
    return isinstance(messages[-1], HumanMessage if first == "plan" else ToolMessage)
