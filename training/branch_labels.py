"""Which labels speak for a branch, and which branch speaks for a thread. Pure."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from ..checkpoints.labels import Kind, Label
from .branches import Branch

T = TypeVar("T")
UP = {"up", "thumbs up", "thumbs_up", "thumbsup", "👍", "+1", "good", "positive", "like"}
DOWN = {"down", "thumbs down", "thumbs_down", "thumbsdown", "👎", "-1", "bad", "negative", "dislike"}


def passes_through(branch: Branch, checkpoint: str | None) -> bool:
    """Is ``checkpoint`` on the way to the branch's leaf? None is, on every branch."""
    return checkpoint is None or checkpoint == branch.checkpoint or checkpoint in branch.path


def is_recorded_replay(branch: Branch) -> bool:
    """Did nothing act in it? Then nobody has seen how it would have ended."""
    return branch.metadata.get("replay") == "recorded"


def trial_of(branches: Sequence[Branch]) -> Branch | None:
    """The branch that stands for its thread, which is the newest that is no recorded replay."""
    return next((branch for branch in reversed(branches) if not is_recorded_replay(branch)), None)


def read_label(branch: Branch, kind: Kind, read: Callable[[float | str], T | None]) -> tuple[T, Label] | None:
    """The newest label of ``kind`` on the branch's checkpoints, else on its thread, and what ``read`` makes of it.

    Labels of which it makes None are passed over.
    """
    own = whole = None
    for label in branch.labels:
        if label.kind != kind or label.message is not None or not passes_through(branch, label.checkpoint):
            continue
        said = read(label.value)
        if said is None:
            continue
        if label.checkpoint is not None:
            own = said, label
        elif not is_recorded_replay(branch):
            whole = said, label
    return own or whole


def message_labels(branch: Branch) -> dict[str, list[Label]]:
    """The labels on single messages, oldest first; those on branches that this one is not are left out."""
    found: dict[str, list[Label]] = {}
    for label in branch.labels:
        if label.message is not None and passes_through(branch, label.checkpoint):
            found.setdefault(label.message, []).append(label)
    return found


def read_thumb(value: float | str) -> bool | None:
    """Thumbs up or down, as 1 and 0 or -1, or in words; None for other feedback, such as a sentence.

    >>> read_thumb(1), read_thumb("thumbs down"), read_thumb(0.5), read_thumb("wrong order")
    (True, False, None, None)
    """
    if isinstance(value, str):
        word = value.strip().lower()
        return True if word in UP else False if word in DOWN else None
    return {1.0: True, 0.0: False, -1.0: False}.get(float(value))
