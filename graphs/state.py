"""The state that every Threadmill agent keeps: the messages and the versions that speak in this run."""

from typing_extensions import TypedDict  # typing's own has no JSON Schema in Python 3.11, so Studio would show no form

from ..checkpoints.messages import Messages
from ..nodes.context import Context


class AgentState(TypedDict, total=False):
    """What a thread remembers between supersteps."""

    messages: Messages
    versions: dict[str, str]
    """Slot name to the version that this run (one user turn with its interrupts) began with."""
    context: Context
    """What the model sees of the messages, and what it sees besides them."""
