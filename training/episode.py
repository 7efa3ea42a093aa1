"""What the metrics count of an episode: steps, calls good and bad, tokens. Pure."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage

from ..nodes.models.trace import EDIT_KEY, read_trace
from .rewards.finished import Finished, Status


@dataclass(frozen=True, slots=True)
class Episode:
    """One trial of one task, with what the metrics count."""

    thread: str
    task: str
    tier: str
    trial: int
    version: str
    reward: float
    success: bool
    steps: int
    """Model calls."""
    calls: int
    """Tool calls, invalid ones included."""
    failed_calls: int
    """Calls that the tool refused or that took too long."""
    invalid_calls: int
    """Calls that could not be parsed, did not fit the schema, or named no tool."""
    unneeded_calls: int
    """Executed calls beyond those of the shortest solution; 0 where nobody knows that."""
    sampled_tokens: int
    edited: bool
    status: Status = "done"


def measure(finished: Finished, trial: int) -> Episode:
    """What ``finished`` amounts to; an episode without a judgement earned nothing."""
    spoken = [message for message in finished.messages if isinstance(message, AIMessage)]
    results = [message for message in finished.messages if isinstance(message, ToolMessage)]
    kinds = Counter(str(message.additional_kwargs.get("kind")) for message in results)
    made = Counter(_key(call["name"], call["args"]) for message in spoken for call in message.tool_calls)
    traces = [trace for message in spoken if (trace := read_trace(message))]
    reward = finished.met / finished.conditions if finished.met is not None and finished.conditions else 0.0
    return Episode(
        thread=finished.thread,
        task=finished.task,
        tier=finished.tier,
        trial=trial,
        version=traces[-1].version if traces else "",
        reward=reward,
        success=reward == 1.0,
        steps=len(spoken),
        calls=sum(len(message.tool_calls) + len(message.invalid_tool_calls) for message in spoken),
        failed_calls=kinds["failed"] + kinds["timeout"],
        invalid_calls=kinds["invalid"] + kinds["unknown_tool"],
        unneeded_calls=_unneeded(finished, made),
        sampled_tokens=finished.sampled_tokens,
        edited=any(EDIT_KEY in message.response_metadata for message in spoken),
        status=finished.status,
    )


def _unneeded(finished: Finished, made: Counter[tuple[str, str]]) -> int:
    if finished.needed is None:
        return 0
    return (made - Counter(_key(name, dict(args)) for name, args in finished.needed)).total()


def _key(name: str, args: dict[str, Any]) -> tuple[str, str]:
    return name, repr(sorted(args.items()))
