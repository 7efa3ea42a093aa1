"""The ``messages`` channel: stored as deltas, so that a thread of n turns costs O(n).

Holds our reducer for LangGraph's ``DeltaChannel``. LangGraph's own delta reducer is private and
ignores ``REMOVE_ALL_MESSAGES``; this one follows ``add_messages`` in every case.
"""

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import NAMESPACE_OID, uuid5

from langchain_core.messages import AnyMessage, BaseMessage, RemoveMessage, convert_to_messages
from langgraph.channels import DeltaChannel
from langgraph.graph.message import REMOVE_ALL_MESSAGES


def merge_messages(state: Sequence[AnyMessage], writes: Sequence[Any]) -> list[AnyMessage]:
    """Apply ``writes`` (each a message or a list of messages) to ``state``, oldest first.

    A message whose id is known replaces the old one in its place, an unknown one is appended,
    ``RemoveMessage(id)`` removes one and ``RemoveMessage(REMOVE_ALL_MESSAGES)`` everything before
    it. Removing an unknown id does nothing: replaying must never fail on what once succeeded.
    A message without an id gets one made from its place and text, the same on every replay.
    """
    merged: dict[str, Any] = {}
    for message in state:
        merged[_id(message, len(merged))] = message
    for write in writes:
        for message in _as_messages(write):
            if isinstance(message, RemoveMessage):
                if message.id == REMOVE_ALL_MESSAGES:
                    merged.clear()
                else:
                    merged.pop(message.id or "", None)
            else:
                merged[_id(message, len(merged))] = message
    return list(merged.values())


def _as_messages(write: Any) -> Sequence[BaseMessage]:
    if isinstance(write, BaseMessage):
        return (write,)
    if isinstance(write, list) and all(isinstance(item, BaseMessage) for item in write):
        return write
    return convert_to_messages(write if isinstance(write, list) else [write])


def _id(message: BaseMessage, position: int) -> str:
    if message.id is None:
        message.id = str(uuid5(NAMESPACE_OID, f"{position}:{message.type}:{message.text}"))
    return message.id


Messages = Annotated[list[AnyMessage], DeltaChannel(merge_messages, snapshot_frequency=1000)]
"""State annotation for a list of messages that is stored as deltas."""
