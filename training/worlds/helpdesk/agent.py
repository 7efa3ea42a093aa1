"""The helpdesk agent: the ReAct loop with the shop's tools, one slot, and a rule about refunds."""

from langgraph.graph import StateGraph

from ....graphs.react import build_react
from ....nodes.models.slot import Slot
from .prompt import AGENT, SYSTEM, ask_above_limit
from .tools import TOOLS


def build_helpdesk(slot: Slot) -> StateGraph:
    """The helpdesk agent as an uncompiled graph; ``slot`` is named ``helpdesk.think``."""
    return build_react(slot, TOOLS, ask=ask_above_limit, system=SYSTEM, name=AGENT, max_calls=8)
