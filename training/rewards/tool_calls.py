"""Rewards of single calls: were they well formed, and did they work?

An episode that calls nothing has no share to speak of. It gets 0, or the policy would learn that the safest call is
none; it gets 1 where the task is known to need no call.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ...nodes.bound_tools import tools_at
from ...nodes.calls import Check, make_check
from .finished import Finished
from .made import MALFORMED, WORKED, Made, calls_of


def tool_success(episode: Finished) -> float:
    """The share of calls that worked, from 0 to 1: the tool gave a result, or a person answered in its place.

    What failed, took too long, could not run, was refused or had to be edited did not work, nor did a call that nothing
    came of.
    """
    calls = calls_of(episode.conversations)
    return _share([call.became in WORKED for call in calls], episode)


def valid_calls(episode: Finished) -> float:
    """The share of calls that could be read, name a tool of the agent and fit its JSON Schema, from 0 to 1.

    Where the episode does not know its tools, what the act node found decides alone.
    """
    return _share(fitting(calls_of(episode.conversations), episode), episode)


def fitting(calls: Sequence[Made], episode: Finished) -> list[bool]:
    """Of each of the episode's ``calls``: could it be read, and did it fit a tool of the model that made it?"""
    inside = [tools_at(messages) for messages in episode.conversations[1:]]
    checks = [_checks(tools) for tools in (episode.tools, *inside)]
    return [_fits(call, checks[call.conversation]) for call in calls]


def _checks(tools: Sequence[Mapping[str, Any]]) -> dict[str, Check]:
    functions = [tool["function"] for tool in tools if "function" in tool]
    return {function["name"]: make_check(function.get("parameters") or {}) for function in functions}


def _fits(call: Made, checks: Mapping[str, Check]) -> bool:
    if call.became in MALFORMED or call.repaired:
        return False
    return not checks or (call.name in checks and not checks[call.name](call.args))


def _share(good: Sequence[bool], episode: Finished) -> float:
    if not good:
        return float(episode.needed == () and bool(episode.messages))
    return sum(good) / len(good)
