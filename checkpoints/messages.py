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
from pydantic import TypeAdapter

_WHOLE: TypeAdapter[AnyMessage] = TypeAdapter(AnyMessage)


def merge_messages(state: Sequence[AnyMessage], writes: Sequence[Any]) -> list[AnyMessage]:
    """Apply ``writes`` (each a message or a list of messages) to ``state``, oldest first.

    A message whose id is known replaces the old one in its place, an unknown one is appended,
    ``RemoveMessage(id)`` removes one and ``RemoveMessage(REMOVE_ALL_MESSAGES)`` everything before
    it. Removing an unknown id does nothing: replaying must never fail on what once succeeded.
    A message without an id gets one made from its place and text, the same on every replay.
    """
    typed = not state or isinstance(state[0], BaseMessage)
    merged: dict[Any, Any] = {message.id: message for message in state} if typed else {None: None}
    if None in merged:
        merged = {}
        for message in state if typed else _as_messages(list(state)):
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
    items = write if isinstance(write, list) else [write]
    if all(isinstance(item, BaseMessage) for item in items):
        return items
    return [_WHOLE.validate_python(item) if _is_whole(item) else convert_to_messages([item])[0] for item in items]


def _is_whole(item: Any) -> bool:
    """Is this all of a message as a plain dict? LangGraph's server reads stored messages so, and sends them so.

    ``convert_to_messages`` takes such a dict for a sketch of a message, and its unreadable calls are lost.
    """
    parts = {"type", "content", "additional_kwargs", "response_metadata"}
    return isinstance(item, dict) and item.keys() >= parts and item["type"] != "remove"


def _id(message: BaseMessage, position: int) -> str:
    if message.id is None:
        message.id = str(uuid5(NAMESPACE_OID, f"{position}:{message.type}:{message.text}"))
    return message.id


class MessagesChannel(DeltaChannel[Any]):
    """A delta channel that stores the whole list again whenever it has grown by an eighth.

    With a fixed number of updates between snapshots either long threads cost O(n²) bytes or short ones load
    slowly. Here all snapshots of a thread together are about nine times its last one, and loading
    replays about an eighth of the messages at most.
    """

    def copy(self) -> "MessagesChannel":
        """As LangGraph makes one for every conditional edge, but its type is not looked at again."""
        new = MessagesChannel.__new__(MessagesChannel)
        new.key, new.typ, new.reducer = self.key, self.typ, self.reducer
        new.value = self.value[:] if isinstance(self.value, list) else self.value
        return new

    @property
    def snapshot_frequency(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """How many updates after the last snapshot the next one is due."""
        return max(4, len(self.value) // 8) if isinstance(self.value, list) else 4

    @snapshot_frequency.setter
    def snapshot_frequency(self, fixed: int) -> None:
        """LangGraph hands a number from copy to copy; there is none to keep."""


Messages = Annotated[list[AnyMessage], MessagesChannel(merge_messages)]
"""State annotation for a list of messages that is stored as deltas."""
