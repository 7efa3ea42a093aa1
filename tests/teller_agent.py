"""The bank's agent with a teller that answers whatever it is asked, and how to look at its threads."""

from typing import Any

from bank_agent import build_bank
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import Store


def teller(messages: list[BaseMessage]) -> AIMessage:
    """Pays when asked to, fails when told to, and repeats the rest."""
    last = messages[-1]
    if isinstance(last, ToolMessage):
        return AIMessage(f"Done: {last.text}")
    if "fail" in last.text:
        raise RuntimeError("the model failed")
    if "pay" not in last.text:
        return AIMessage(f"You said: {last.text}")
    amount = int(last.text.split()[-1])
    return AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": amount}, "id": f"pay-{amount}"}])


def teller_bank(store: Store) -> Any:
    return build_bank(teller).compile(checkpointer=store.saver)


def at(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread}}


def history(graph: Any, thread: str = "t") -> list[Any]:
    return list(graph.get_state_history(at(thread)))


def said(store: Store, thread: str = "t", checkpoint: str | None = None) -> list[str]:
    return [message.text for message in read_messages(store, thread, checkpoint)]
