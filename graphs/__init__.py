"""Agents as LangGraph graphs, and how to run their threads.

Imported on first use: LangGraph takes half a second, and `threadmill --help` needs none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .ask import build_ask
    from .plan_execute import build_plan_execute
    from .rag import build_rag
    from .react import build_react
    from .recorded import replay_recorded
    from .reflexion import build_reflexion
    from .replace import replace_edge, replace_node, replace_route
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
    from .spec import AgentSpec, build_agent
    from .spec_file import load_spec, spec_as_toml, write_spec
    from .state import AgentState
    from .streamed import stream_answers, stream_on, stream_thread
    from .structured import build_structured
    from .supervisor import build_supervisor
    from .travel import Fork, Replay, fork_thread, replay_thread

__all__ = [
    "AgentSpec",
    "AgentState",
    "Fork",
    "Outcome",
    "Replay",
    "aanswer_thread",
    "acontinue_thread",
    "answer_thread",
    "arun_thread",
    "build_agent",
    "build_ask",
    "build_plan_execute",
    "build_rag",
    "build_react",
    "build_reflexion",
    "build_structured",
    "build_supervisor",
    "continue_thread",
    "fork_thread",
    "load_spec",
    "read_outcome",
    "replace_edge",
    "replace_node",
    "replace_route",
    "replay_recorded",
    "replay_thread",
    "run_thread",
    "spec_as_toml",
    "stream_answers",
    "stream_on",
    "stream_thread",
    "write_spec",
]

_MODULE_OF = (
    dict.fromkeys(__all__, "run")
    | dict.fromkeys(("Fork", "Replay", "fork_thread", "replay_thread"), "travel")
    | dict.fromkeys(("AgentSpec", "build_agent"), "spec")
    | dict.fromkeys(("load_spec", "spec_as_toml", "write_spec"), "spec_file")
    | dict.fromkeys(("stream_answers", "stream_on", "stream_thread"), "streamed")
    | dict.fromkeys(("replace_edge", "replace_node", "replace_route"), "replace")
    | {
        "AgentState": "state",
        "build_ask": "ask",
        "build_supervisor": "supervisor",
        "build_plan_execute": "plan_execute",
        "build_rag": "rag",
        "build_react": "react",
        "build_reflexion": "reflexion",
        "build_structured": "structured",
        "replay_recorded": "recorded",
    }
)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
