"""The state that every Threadmill agent keeps: the messages and the versions that speak in this run."""

from typing import TypedDict

from ..checkpoints.messages import Messages


class AgentState(TypedDict, total=False):
    """What a thread remembers between supersteps."""

    messages: Messages
    versions: dict[str, str]
    """Slot name to the version that this run (one user turn with its interrupts) began with."""
