"""What an importer makes of one row: a conversation with its task, its outcome, and where it came from."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from ..labels import Kind

SERDE = JsonPlusSerializer()
"""As all databases have it; what they encrypt is encrypted when it is written."""


class BadRow(ValueError):
    """A row that cannot be imported; its message is the reason."""


TOOLS_KEY = "tools"
"""In ``response_metadata`` of the first answer: the schemas of the tools that the model had, as OpenAI writes them."""
CANNED_KEY = "canned"
"""In ``response_metadata`` of what stands as an answer and no model produced, such as a greeting: never trained."""
CALL_IN_TEXT_KEY = "call_in_text"
"""In ``response_metadata`` of an answer that spells a call as text, which nobody executed."""
CUT_KEY = "cut"
"""In ``additional_kwargs`` of a result that was cut: how many characters it had."""
REASONING_KEY = "reasoning_content"
"""In ``additional_kwargs`` of an answer: what the model thought before it."""


@dataclass(frozen=True)
class Record:
    """One run of somebody's agent, ready to become a thread."""

    thread: str
    agent: str
    messages: tuple[BaseMessage, ...]
    """Each with an id of its own, as ``f"{thread}:{place}"``; so are the calls, as ``f"{thread}:{place}:{number}"``."""
    task: str | None = None
    """Equal for all trials of one task; None if the runs have nothing in common."""
    trial: int | None = None
    model: str | None = None
    reward: float | None = None
    success: float | None = None
    """None: 1 for a reward of exactly 1, else 0, and nothing without a reward."""
    turn_rewards: tuple[tuple[str, float], ...] = ()
    """Message id and the reward that was given after it."""
    tools: tuple[dict[str, Any], ...] = ()
    """What ``schemas.read_tools`` gives; noted on the first answer that no one canned."""
    metadata: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """What else is known of the run, such as ``termination_reason``; it comes into the thread's metadata."""
    labels: tuple[tuple[str | None, Kind, float | str], ...] = ()
    """Message id (None: the whole run), kind and value of what is said besides reward and success."""
    parents: tuple[int, ...] = ()
    """For a run with several paths: the place of the message before each one, -1 for the first; else empty."""
    endings: tuple[tuple[str, Kind, float | str], ...] = ()
    """Of a run with several paths: the last message of one, and a label of what came of that path."""


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


def read_arguments(raw: Any) -> dict[str, Any]:
    """The arguments of a call, written as an object or as its JSON; none at all are an empty object.

    Raises:
        BadRow: they are neither.
    """
    if raw is None or raw == "":
        return {}
    try:
        args = json.loads(raw) if isinstance(raw, str) else raw
    except (ValueError, RecursionError) as error:
        raise BadRow(f"arguments are no JSON: {error}") from error
    if not isinstance(args, dict):
        raise BadRow(f"arguments are no object: {args!r:.100}")
    return args


def short_name(model: str) -> str:
    """The name of a model as a part of a thread's id.

    >>> short_name("ollama_chat/qwen2.5:7b")
    'qwen2.5-7b'
    """
    return re.sub(r"[^\w.+-]+", "-", model.rpartition("/")[2])


def digest_of(value: Any) -> str:
    """Ten letters that are the same for the same JSON: the name of a row that has none.

    >>> digest_of({"b": 1, "a": [2]}) == digest_of({"a": [2], "b": 1})
    True
    """
    return sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()[:10]


def check_record(record: Record) -> Record:
    """``record``, if every message comes back from a database and from a JSON file as it was.

    Raises:
        BadRow: one holds NaN, half a character, an integer beyond 64 bits, or is nested too deeply.
    """
    if not record.messages:
        raise BadRow("there are no messages")
    about = [record.thread, record.task, record.model, dict(record.metadata)]
    _check("the run", [*about, *record.tools, *(value for *_, value in record.labels)])
    if any("\x00" in text for text in (record.thread, record.agent, record.task or "", record.model or "")):
        raise BadRow("the name of the run, its task or its model holds a NUL character")
    for place, message in enumerate(record.messages):
        held = [message.content, message.additional_kwargs, message.response_metadata]
        if isinstance(message, AIMessage):
            held += [*map(dict, message.tool_calls), *map(dict, message.invalid_tool_calls)]
        _check(f"message {place}", held)
    return record


def _check(name: str, held: list[Any]) -> None:
    try:
        json.dumps(held, ensure_ascii=False, allow_nan=False).encode()
        SERDE.dumps_typed(held)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRow(f"{name} cannot be stored: {error}") from error
