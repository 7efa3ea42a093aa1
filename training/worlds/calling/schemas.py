"""Tools as benchmarks write them, told as models take them: types of JSON Schema, names without dots.

The Berkeley leaderboard writes ``math.factorial``; models and their servers allow letters, digits, ``_`` and ``-``.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ....checkpoints.importers.record import BadRow
from ....checkpoints.importers.schemas import read_tools

Tool = dict[str, Any]
"""As OpenAI writes it."""


def make_tools(functions: Sequence[Mapping[str, Any]]) -> tuple[Tool, ...]:
    """``functions``, in any usual wrapping, as tools that every model takes.

    >>> [tool] = make_tools([{"name": "math.add", "parameters": {"type": "dict", "properties": {}}}])
    >>> tool["function"]["name"], tool["function"]["parameters"]["type"]
    ('math_add', 'object')

    Raises:
        BadRow: one has no name, is not what a schema can be, or two would be called the same.
    """
    tools = read_tools([*functions])
    for tool in tools:
        tool["function"]["name"] = model_name(tool["function"]["name"])
    names = [tool["function"]["name"] for tool in tools]
    if len({*names}) < len(names):
        raise BadRow(f"two tools would be called the same: {', '.join(names)}")
    return tools


def model_name(name: str) -> str:
    """The name of a function as models know it.

    >>> model_name("math.factorial")
    'math_factorial'
    """
    return re.sub(r"[^\w-]", "_", name, flags=re.ASCII)


def schemas_of(tools: Sequence[Tool]) -> dict[str, dict[str, Any]]:
    """Name to the schema of the arguments."""
    return {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
