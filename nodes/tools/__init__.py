"""Tools in the box, by the names that an agent's TOML file gives them.

Each maker takes its settings by keyword and returns one tool or a list of them. Imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ask_user import make_ask_user
    from .calculator import make_calculator
    from .documents import make_document_search
    from .fetch import make_fetch
    from .files import make_file_tools
    from .hand_off import make_hand_off
    from .mcp import make_mcp_tools
    from .sandboxed import make_bash, make_python
    from .sql import make_sql_tools

__all__ = [
    "TOOL_MAKERS",
    "make_ask_user",
    "make_bash",
    "make_calculator",
    "make_document_search",
    "make_fetch",
    "make_file_tools",
    "make_hand_off",
    "make_mcp_tools",
    "make_python",
    "make_sql_tools",
]

TOOL_MAKERS = {
    "calculator": "calculator:make_calculator",
    "search": "documents:make_document_search",
    "files": "files:make_file_tools",
    "sql": "sql:make_sql_tools",
    "fetch": "fetch:make_fetch",
    "python": "sandboxed:make_python",
    "bash": "sandboxed:make_bash",
    "mcp": "mcp:make_mcp_tools",
    "ask_user": "ask_user:make_ask_user",
    "hand_off": "hand_off:make_hand_off",
}
"""Name to ``module:function`` in this folder."""


def __getattr__(name: str) -> Any:
    for place in TOOL_MAKERS.values():
        module, _, function = place.partition(":")
        if function == name:
            return getattr(import_module(f".{module}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
