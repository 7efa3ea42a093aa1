"""What an importer makes of one row: a conversation with its task, its outcome, and where it came from."""

from dataclasses import dataclass

from langchain_core.messages import BaseMessage


class BadRow(ValueError):
    """A row that cannot be imported; its message is the reason."""


@dataclass(frozen=True)
class Record:
    """One run of somebody's agent, ready to become a thread."""

    thread: str
    agent: str
    task: str
    trial: int
    model: str
    messages: tuple[BaseMessage, ...]
    reward: float
    turn_rewards: tuple[tuple[str, float], ...] = ()
    """Message id and the reward that was given after it."""
