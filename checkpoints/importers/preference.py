"""Two answers to the same conversation, one of them preferred: two threads of one task, each labelled."""

from dataclasses import replace

from .record import Record

CHOSEN, REJECTED = "chosen", "rejected"
"""The values of the label, of kind ``preference``, on the thread."""


def prefer(record: Record, task: str, liking: str) -> Record:
    """``record`` as the answer that was ``CHOSEN`` or ``REJECTED`` where ``task`` was asked."""
    labels = (*record.labels, (None, "preference", liking))
    return replace(record, task=task, trial=0 if liking == CHOSEN else 1, labels=labels)
