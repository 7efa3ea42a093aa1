"""Agents as LangGraph graphs, and how to run their threads.

Imported on first use: LangGraph takes half a second, and `threadmill --help` needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .react import build_react
    from .run import (
        Outcome,
        aanswer_thread,
        acontinue_thread,
        answer_thread,
        arun_thread,
        continue_thread,
        read_outcome,
        run_thread,
    )
    from .state import AgentState

__all__ = [
    "AgentState",
    "Outcome",
    "aanswer_thread",
    "acontinue_thread",
    "answer_thread",
    "arun_thread",
    "build_react",
    "continue_thread",
    "read_outcome",
    "run_thread",
]

_MODULE_OF = {name: "run" for name in __all__} | {"AgentState": "state", "build_react": "react"}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
