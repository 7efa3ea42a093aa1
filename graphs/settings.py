"""What an agent was set to, as a few digits that change with it: noted in its graph, and so on every checkpoint."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from hashlib import sha256
from json import dumps
from typing import Any

from langchain_core.tools import BaseTool

from ..nodes.calls import args_schema
from ..nodes.traits import as_tool, traits_of


def settings_digest(tools: Sequence[BaseTool | Callable[..., Any]], settings: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits of the tools, as a model and act see them, and of whatever else the agent was given.

    What is empty or off does not count. Records count by their fields, slots and functions by their names.
    """
    known = [as_tool(tool) for tool in tools]
    described = [[tool.name, tool.description, args_schema(tool), traits_of(tool)] for tool in known]
    switched = {name: value for name, value in settings.items() if value}
    return sha256(dumps([described, switched], sort_keys=True, default=_plainly).encode()).hexdigest()[:12]


def _plainly(setting: Any) -> Any:
    if is_dataclass(setting):
        return {one.name: getattr(setting, one.name) for one in fields(setting)}
    return getattr(setting, "name", None) or getattr(setting, "__qualname__", None) or type(setting).__name__
