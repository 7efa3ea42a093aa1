"""What an importer makes of one row: a conversation with its task, its outcome, and where it came from."""

import math
from dataclasses import dataclass
from typing import Any

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


def read_number(value: Any, name: str) -> float:
    """``value`` as a finite number.

    Raises:
        BadRow: it is none.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise BadRow(f"{name} is no number: {value!r}") from error
    if not math.isfinite(number):
        raise BadRow(f"{name} is no finite number: {value!r}")
    return number
