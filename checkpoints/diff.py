"""Compare two branches, of one thread or of two: what they have in common, and how each goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

from .branch import branch_messages
from .reading import find_checkpoint, latest_checkpoint
from .store import Store


@dataclass(frozen=True, slots=True)
class BranchDiff:
    """Two branches: the same beginning, then what only one of them says."""

    common: tuple[AnyMessage, ...]
    only_a: tuple[AnyMessage, ...]
    only_b: tuple[AnyMessage, ...]


def read_place(store: Store, place: str) -> tuple[str, str]:
    """Thread and checkpoint of ``THREAD`` (its newest checkpoint) or ``THREAD@CHECKPOINT``.

    Raises:
        UnknownThread
    """
    thread, found, checkpoint = place.rpartition("@")
    if not found or not thread:
        return place, latest_checkpoint(store, place)
    return thread, find_checkpoint(store, thread, checkpoint)


def diff_branches(store: Store, a: tuple[str, str], b: tuple[str, str]) -> BranchDiff:
    """How the branches that end at two checkpoints (thread and checkpoint) differ; ids of messages do not count.

    Raises:
        UnknownThread
    """
    left, right = branch_messages(store, *a), branch_messages(store, *b)
    same = common_beginning(left, right)
    return BranchDiff(tuple(left[:same]), tuple(left[same:]), tuple(right[same:]))


def common_beginning(left: Sequence[AnyMessage], right: Sequence[AnyMessage]) -> int:
    """How many messages both begin with."""
    pairs = zip(left, right, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if _said(a) != _said(b)), min(len(left), len(right)))


def _said(message: AnyMessage) -> Any:
    calls: list[Any] = []
    if isinstance(message, AIMessage):
        calls = [(call["name"], call["args"]) for call in message.tool_calls]
        calls += [(call.get("name"), call.get("args")) for call in message.invalid_tool_calls]
    status = message.status if isinstance(message, ToolMessage) else None
    return message.type, message.name, message.content, calls, status
