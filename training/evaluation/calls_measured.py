"""What the metrics say of an episode's calls: the right tools and arguments, well formed, not in vain. Pure.

Calls count as the policy proposed them, before anybody edited them.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage

from ...nodes.calls import RAN
from ..rewards.finished import Needed
from ..rewards.made import MALFORMED, WORKED, Made

FAILED = frozenset({"failed", "timeout"})
NO_NAME = "(no name)"
"""The tool of a call that could not be read so far."""


def call_key(name: str, args: Mapping[str, Any]) -> str:
    """Equal for equal calls: whatever the order of the arguments, and whether a whole number is written 5 or 5.0.

    >>> call_key("pay", {"a": 5.0, "b": "x"}) == call_key("pay", {"b": "x", "a": 5})
    True
    >>> call_key("pay", {"a": 1}) == call_key("pay", {"a": True})
    False
    """
    return f"{name} {value_key(args)}"


def value_key(value: Any) -> str:
    """Equal for JSON values that are equal."""
    return json.dumps(_plain(value), sort_keys=True, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def tool_selection(calls: Sequence[Made], needed: Needed | None) -> float | None:
    """Needed calls whose tool was called often enough, of all needed; where none is needed, 1 if none was made."""
    if needed is None:
        return None
    if not needed:
        return float(not calls)
    wanted = Counter(name for name, _ in needed)
    return (wanted & Counter(call.name for call in calls)).total() / len(needed)


def argument_accuracy(calls: Sequence[Made], needed: Needed | None) -> float | None:
    """Arguments with the needed value, of all arguments of both, over the calls that pair with a needed one."""
    right = total = 0
    for made, wanted in pair_calls(calls, needed or ()):
        args = needed[wanted][1] if needed else {}
        names = args.keys() | calls[made].args.keys()
        total += len(names)
        right += len(names) - len(wrong_arguments(calls[made].args, args))
    return right / total if total else None


def pair_calls(calls: Sequence[Made], needed: Needed) -> list[tuple[int, int]]:
    """Places of a call and of the needed call of the same tool that it stands for, each once; most alike first."""
    likeness = [
        (len(wrong_arguments(call.args, args)), made, wanted)
        for made, call in enumerate(calls)
        for wanted, (name, args) in enumerate(needed)
        if call.name == name
    ]
    pairs: dict[int, int] = {}
    for _, made, wanted in sorted(likeness):
        if made not in pairs and wanted not in pairs.values():
            pairs[made] = wanted
    return sorted(pairs.items())


def wrong_arguments(args: Mapping[str, Any], needed: Mapping[str, Any]) -> list[str]:
    """Names of the arguments that differ, are missing, or are too many."""
    return sorted(
        name
        for name in args.keys() | needed.keys()
        if name not in args or name not in needed or value_key(args[name]) != value_key(needed[name])
    )


def count_unneeded(calls: Sequence[Made], needed: Needed | None) -> int | None:
    """How many calls that could be read go beyond the needed ones, by name and arguments."""
    if needed is None:
        return None
    made = Counter(call_key(call.name, call.args) for call in calls if call.args or call.became != "invalid")
    return (made - Counter(call_key(name, args) for name, args in needed)).total()


def find_repeated(calls: Sequence[Made], conversations: Sequence[Sequence[BaseMessage]]) -> list[int]:
    """Places of the calls that were made before in their conversation, with the same answer, since the user last spoke.

    Equal answers show that nothing had changed in between. To try again after a time-out is no repetition.
    """
    epochs = [_user_turns(messages) for messages in conversations]
    seen: set[tuple[int, int, str, str]] = set()
    repeated = []
    for place, call in enumerate(calls):
        if call.became in ("looping", "duplicate"):
            repeated.append(place)
        if call.answer is None or call.became == "timeout" or place in repeated:
            continue
        epoch = epochs[call.conversation][call.turn]
        mark = (call.conversation, epoch, call_key(call.name, call.args), call.answer.text)
        if mark in seen:
            repeated.append(place)
        seen.add(mark)
    return repeated


def find_unrecovered(calls: Sequence[Made], *, success: bool) -> tuple[list[int], list[int]]:
    """Places of the calls that did not work, and of those among them that nothing made good.

    Made good: a call of the same tool worked in a later turn of the conversation (of any tool, where there was none of
    that name), or the episode succeeded.
    """
    broken = [place for place, call in enumerate(calls) if call.became in FAILED | MALFORMED]
    last_good: dict[tuple[int, str], int] = {}
    for call in calls:
        if call.became in WORKED:
            last_good[call.conversation, call.name] = last_good[call.conversation, ""] = call.turn
    lost = []
    for place in broken:
        call = calls[place]
        goal = "" if call.became == "unknown_tool" or not call.name else call.name
        if not success and last_good.get((call.conversation, goal), -1) <= call.turn:
            lost.append(place)
    return broken, lost


def count_by_tool(calls: Sequence[Made], fits: Sequence[bool], repeated: Sequence[int]) -> dict[str, dict[str, float]]:
    """Tool to ``calls``, ``failed``, ``invalid``, ``repeated``, ``timed`` and ``seconds``."""
    tools: dict[str, dict[str, float]] = {}
    for place, call in enumerate(calls):
        empty = {"calls": 0, "failed": 0, "invalid": 0, "repeated": 0, "timed": 0, "seconds": 0.0}
        counts = tools.setdefault(call.name or NO_NAME, empty)
        took = seconds_of(call)
        counts["calls"] += 1
        counts["failed"] += call.became in FAILED
        counts["invalid"] += not fits[place]
        counts["repeated"] += place in repeated
        counts["timed"] += took is not None
        counts["seconds"] += took or 0.0
    return tools


def seconds_of(call: Made) -> float | None:
    """How long the tool took, where the call ran and the tool node noted it."""
    took = call.answer.additional_kwargs.get("duration_s") if call.answer and call.became in RAN else None
    return float(took) if isinstance(took, int | float) else None


def _user_turns(messages: Sequence[BaseMessage]) -> list[int]:
    """Of each turn of the model: how often the user had spoken."""
    turns, spoken = [], 0
    for message in messages:
        spoken += message.type == "human"
        if isinstance(message, AIMessage):
            turns.append(spoken)
    return turns
