"""A bank's agent that pays: nothing is asked below 10, a person from there on, the treasurer above 100."""

from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from threadmill.checkpoints.store import Store
from threadmill.graphs import build_react
from threadmill.nodes import Asked, ScriptedModel, Slot


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def paying(*amounts: int) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": n}, "id": f"c{n}"} for n in amounts])


def about_money(tool: str, args: dict[str, Any]) -> Asked | None:
    if args["amount"] < 10:
        return None
    return Asked("a lot of money", "the treasurer") if args["amount"] > 100 else Asked("money")


def build_bank(says: Any) -> Any:
    """The graph whose model says ``says``: replies one after the other, or a function of the messages."""
    slot = Slot.fixed("bank.think", ScriptedModel(says), "bank.think@0001")
    return build_react(slot, [pay], name="bank", ask=about_money)


def bank(store: Store, *replies: AIMessage) -> Any:
    """The agent with these replies, on the store."""
    return build_bank(replies).compile(checkpointer=store.saver)
