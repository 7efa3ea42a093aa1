"""The agent that asks back: a ReAct loop in which a question to the user is an action like any other.

After ReSpAct (Dongre et al. 2024): the agent speaks with the user while it acts. A question pauses the thread; what the
user answers is the observation. It helps where users leave out what only they know, and costs a turn where they don't.
"""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.graph import StateGraph

from ..nodes.act import Ask
from ..nodes.approval import Approval
from ..nodes.models.slot import Slot
from ..nodes.tools.ask_user import ask_for, make_ask_user
from .react import build_react
from .state import AgentState

ASKING = (
    "If something is missing or unclear that only the user can know, ask with ask_user before you act; one question at "
    "a time. Ask nothing that a tool can tell you, and nothing that the user has already said."
)


def build_ask(
    slot: Slot,
    tools: Sequence[BaseTool | Callable[..., Any]],
    *,
    system: str = "",
    name: str = "ask",
    ask: Ask | None = None,
    approval: Approval | None = Approval(),  # noqa: B008 - frozen
    mark: bool = True,
    **options: Any,
) -> StateGraph[AgentState]:
    """The agent's graph, uncompiled: that of ``build_react`` with a tool ``ask_user``; ``options`` are its, too.

    A question waits for ``respond``; with it, the thread goes on. ``reject`` says that nobody answers.
    """
    own = [*tools, make_ask_user()]
    prompt = f"{system}\n\n{ASKING}" if system else ASKING
    about = {"system": prompt, "name": name, "ask": ask_for(own, ask), "approval": approval, "mark": mark}
    return build_react(slot, own, **about, **options)
