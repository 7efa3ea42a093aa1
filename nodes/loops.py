"""Calls that lead nowhere: made again and again with the same observation, or twice at once where that acts twice."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from .calls import RAN, Call
from .tool_output import told_by_tool

_OBSERVED = RAN | {"page"}


def stop_loops(run: Sequence[BaseMessage], calls: Sequence[Call], repeats: int, acting: Set[str]) -> list[Call]:
    """``calls`` but for those that gave the same ``repeats`` times in ``run``, and for the second of two equal ones.

    Two equal calls at once are kept unless their tool is ``acting``: to read twice does no harm.
    """
    seen = _observed(run)
    kept: list[Call] = []
    made: set[str] = set()
    for call in calls:
        key = call_key(call["call"]["name"], call["call"]["args"])
        if call["kind"] == "result" and seen.get(key, 0) >= repeats:
            text = (
                f"not run: this call was made {seen[key]} times and gave the same each time; "
                "do something else, or answer with what is known"
            )
            kept.append({**call, "kind": "looping", "text": text})
        elif call["kind"] == "result" and key in made and call["call"]["name"] in acting:
            text = (
                "not run: the same call stands in this message already; if it is meant to be made twice, make it again"
            )
            kept.append({**call, "kind": "duplicate", "text": text})
        else:
            kept.append(call)
        made.add(key)
    return kept


def call_key(name: str, args: Any) -> str:
    """Equal for equal calls, whatever the order of their arguments."""
    return json.dumps([name, args], sort_keys=True, default=str)


def _observed(run: Sequence[BaseMessage]) -> Mapping[str, int]:
    """Of each call that was run: how often it gave what it gave most often."""
    asked: dict[str | None, str] = {}
    gave: Counter[tuple[str, str]] = Counter()
    for message in run:
        if isinstance(message, AIMessage):
            for place, call in enumerate(message.tool_calls):  # a model may give one id twice, a place is given once
                asked[call["id"]] = asked[f"{message.id}:{place}"] = call_key(call["name"], call["args"])
        elif message.additional_kwargs.get("kind", "result") in _OBSERVED and isinstance(message, ToolMessage):
            gave[asked.get(message.id) or asked.get(message.tool_call_id, ""), _observation(message)] += 1
    most: dict[str, int] = {}
    for (key, _), times in gave.items():
        most[key] = max(times, most.get(key, 0))
    return most


def _observation(message: ToolMessage) -> str:
    return str(told_by_tool(message))
