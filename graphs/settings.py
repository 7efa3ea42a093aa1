"""What an agent was set to, as a few digits that change with it: noted in its graph, and so on every checkpoint."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from json import dumps
from typing import Any

from langchain_core.tools import BaseTool

from ..nodes.calls import args_schema
from ..nodes.traits import as_tool


def settings_digest(tools: Sequence[BaseTool | Callable[..., Any]], *settings: Any) -> str:
    """Twelve hexadecimal digits of the tools, as a model sees them, and of other settings: texts and numbers."""
    described: list[Any] = [[tool.name, tool.description, args_schema(tool)] for tool in map(as_tool, tools)]
    return sha256(dumps([described, *settings], sort_keys=True).encode()).hexdigest()[:12]
