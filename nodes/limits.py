"""How far a run may go: rounds of calls that come to nothing, budgets, and how a run ends that goes further.

A run is one user turn. Everything is counted in the messages since the user last spoke, so nothing is kept in the
state. Whoever spends a budget is told to answer, once; who calls on after that, or fails too often in a row, is
stopped: every call is answered with a message of the kind ``stopped``, and the graph goes no further.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import takewhile
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from ..errors import BadConfig
from .calls import RAN, Call
from .taint import PEOPLE_KEY

_VAIN = frozenset({"invalid", "unknown_tool", "forbidden", "looping", "duplicate"})
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may do; None is no limit. What models and tools did not record counts as nothing."""

    invalid: int = 3
    """How many rounds in a row in which no call could be run are told to the model; the next one ends the run."""
    repeats: int = 3
    """How often the same call may give the same observation; after that it is not run again."""
    steps: int | None = None
    """Model calls whose tool calls are run."""
    calls: int | None = None
    """Tool calls that are run."""
    tokens: int | None = None
    """Read and written by the model, over all its calls."""
    cost: float | None = None
    """In the currency of the prices."""
    price_in: float = 0.0
    """Of a million tokens read."""
    price_out: float = 0.0
    """Of a million tokens written."""
    seconds: float | None = None
    """Of models and tools; people are not waited for, nor tools of one round for each other."""
    repair: bool = True
    """Whether calls are put right where it is plain what was meant; see ``repair.py``."""

    def __post_init__(self) -> None:
        for one in fields(self):
            value = getattr(self, one.name)
            counts = isinstance(value, int | float) and value >= 0
            if one.name != "repair" and value is not None and not counts:
                raise BadConfig(f"the limit {one.name} is {value!r}; give a number from 0 on, or leave it out")
        if self.cost is not None and not (self.price_in or self.price_out):
            raise BadConfig(f"the cost is limited to {self.cost:g}, but there is no price; give price_in or price_out")


def run_of(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The messages since the user last spoke."""
    run = list(takewhile(lambda message: not begins_run(message), reversed(messages)))
    return run[::-1]


def begins_run(message: BaseMessage) -> bool:
    """Did somebody speak here, and not a check that sends an answer back?"""
    return isinstance(message, HumanMessage) and message.additional_kwargs.get(PEOPLE_KEY) != ""


def is_over(messages: Sequence[BaseMessage]) -> bool:
    """Was this run stopped by its limits?"""
    last = messages[-1] if messages else None
    return isinstance(last, ToolMessage) and last.additional_kwargs.get("kind") == "stopped"


def keep_within(limits: Limits, run: Sequence[BaseMessage], calls: Sequence[Call]) -> list[Call]:
    """``calls`` as ``limits`` allow them: as they are, answered that a budget is spent, or all of them stopped.

    ``run`` ends with the message that proposes ``calls``.
    """
    if spent := _spent(limits, run):
        if any(_kind(message) == "over_budget" for message in run):
            return _all(calls, "stopped", f"the run was stopped: {spent}, and it was told to answer before")
        return _all(calls, "over_budget", f"not run: {spent}; call no more tools and answer with what is known")
    vain = _vain_rounds(run) + 1
    if calls and all(call["kind"] in _VAIN for call in calls) and vain > limits.invalid:
        why = f"the run was stopped: {vain} rounds in a row proposed no call that could be run"
        return [{**call, "kind": "stopped", "text": f"{why}; {call['text']}"} for call in calls]
    return _first_calls(limits, run, calls)


def _first_calls(limits: Limits, run: Sequence[BaseMessage], calls: Sequence[Call]) -> list[Call]:
    """As many as may still be run."""
    if limits.calls is None:
        return list(calls)
    left = limits.calls - sum(_kind(message) in RAN for message in run)
    spent = f"not run: all {limits.calls} tool calls of this run are made; answer with what is known"
    kept: list[Call] = []
    for call in calls:
        left -= call["kind"] == "result"
        kept.append({**call, "kind": "over_budget", "text": spent} if call["kind"] == "result" and left < 0 else call)
    return kept


def _spent(limits: Limits, run: Sequence[BaseMessage]) -> str:
    """Which budget is spent, in words; empty if none is."""
    spoken = [message for message in run if isinstance(message, AIMessage)]
    calling = sum(bool(message.tool_calls or message.invalid_tool_calls) for message in spoken)
    if limits.steps is not None and calling > limits.steps:
        return f"all {limits.steps} steps of this run are made"
    if limits.calls is not None and any(_kind(message) == "over_budget" for message in run):
        return f"all {limits.calls} tool calls of this run are made"
    usage: list[Mapping[str, Any]] = [message.usage_metadata or {} for message in spoken]
    read, written = (sum(one.get(key, 0) for one in usage) for key in ("input_tokens", "output_tokens"))
    if limits.tokens is not None and read + written > limits.tokens:
        return f"{read + written} of the {limits.tokens} tokens of this run are spent"
    cost = (read * limits.price_in + written * limits.price_out) / _MILLION
    if limits.cost is not None and cost > limits.cost:
        return f"{cost:.4g} of the cost of {limits.cost:g} that this run may have are spent"
    if limits.seconds is not None and (seconds := _seconds(run)) > limits.seconds:
        return f"{seconds:.1f} of the {limits.seconds:g} seconds of this run are spent"
    return ""


def _seconds(run: Sequence[BaseMessage]) -> float:
    """Of every model call, and of the longest tool of each round."""
    total = longest = 0.0
    for message in run:
        if isinstance(message, AIMessage):
            total += longest + message.response_metadata.get("seconds", 0.0)
            longest = 0.0
        else:
            longest = max(longest, message.additional_kwargs.get("duration_s", 0.0))
    return total + longest


def _vain_rounds(run: Sequence[BaseMessage]) -> int:
    """How many rounds in a row, up to now, proposed nothing that could be run; the last message of ``run`` is next."""
    rounds, answered = 0, False
    for message in reversed(run[:-1]):
        if isinstance(message, AIMessage):
            if not answered:
                break
            rounds, answered = rounds + 1, False
        elif _kind(message) in _VAIN:
            answered = True
        else:
            break
    return rounds


def _all(calls: Sequence[Call], kind: Any, text: str) -> list[Call]:
    return [{**call, "kind": kind, "text": text} for call in calls]


def _kind(message: BaseMessage) -> str | None:
    return message.additional_kwargs.get("kind") if isinstance(message, ToolMessage) else None
