"""What an importer makes of one row: a conversation with its task, its outcome, and where it came from."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

_SERDE = JsonPlusSerializer()


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


def read_id(value: Any, name: str) -> str:
    """``value`` as a part of a thread's id.

    Raises:
        BadRow: it is neither a whole number nor text.
    """
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise BadRow(f"{name} is neither a whole number nor text: {value!r}")
    return str(value)


def check_storable(messages: Sequence[BaseMessage]) -> None:
    """Nothing, if every message comes back from a database and from a JSON file as it was.

    Raises:
        BadRow: one holds NaN, half a character, an integer beyond 64 bits, or is nested too deeply.
    """
    for place, message in enumerate(messages):
        calls = message.tool_calls if isinstance(message, AIMessage) else []
        held = [message.content, *(call["name"] for call in calls), *(call["args"] for call in calls)]
        try:
            json.dumps(held, ensure_ascii=False, allow_nan=False).encode()
            _SERDE.dumps_typed(held)
        except (TypeError, ValueError, RecursionError) as error:
            raise BadRow(f"message {place} cannot be stored: {error}") from error
