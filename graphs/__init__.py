"""Agents as LangGraph graphs, and how to run their threads.

Imported on first use: LangGraph takes half a second, and `threadmill --help` needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .react import build_react
    from .recorded import replay_recorded
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
    from .travel import Fork, Replay, fork_thread, replay_thread

__all__ = [
    "AgentState",
    "Fork",
    "Outcome",
    "Replay",
    "aanswer_thread",
    "acontinue_thread",
    "answer_thread",
    "arun_thread",
    "build_react",
    "continue_thread",
    "fork_thread",
    "read_outcome",
    "replay_recorded",
    "replay_thread",
    "run_thread",
]

_MODULE_OF = (
    dict.fromkeys(__all__, "run")
    | dict.fromkeys(("Fork", "Replay", "fork_thread", "replay_thread"), "travel")
    | {"AgentState": "state", "build_react": "react", "replay_recorded": "recorded"}
)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
