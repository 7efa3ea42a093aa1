"""Step values as labels on messages, and read back from them. Pure.

A label of kind ``reward`` with the source ``forks:k=8`` on a message is the expected outcome once that message has been
said (and its calls have been run): the process reward of Math-Shepherd (Wang et al. 2024). It names the checkpoint of
that state, so it holds on the branches that go through it. The message in front of the first turn has one too. What a
turn changed is the difference of two labels.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise

from langchain_core.messages import AIMessage

from ...checkpoints.labels import Label
from ..branch_labels import passes_through
from ..branches import Branch
from .step_values import StepValues

SOURCE = "forks:"
"""What the source of a step's label begins with; the number of continuations follows."""
FORKED_FROM = "forked_from"
"""The key in the metadata of a continuation that names the thread it continues."""


def step_labels(values: StepValues) -> list[Label]:
    """A label for each valued state, and one for the outcome on the last turn; none if no state was valued.

    The last label's source names the most continuations that a state had.
    """
    if not values.steps or all(step.value is None for step in values.steps):
        return []
    said = [values.opening, *(step.message for step in values.steps)]
    most = max(len(step.returns) for step in values.steps)
    labels = [
        Label(values.thread, step.checkpoint, message, "reward", step.value, f"{SOURCE}k={len(step.returns)}")
        for message, step in zip(said, values.steps, strict=False)
        if step.value is not None and message is not None
    ]
    return [*labels, Label(values.thread, values.leaf, said[-1], "reward", values.reward, f"{SOURCE}k={most}")]


def new_labels(labels: Iterable[Label], known: Iterable[Label]) -> list[Label]:
    """Those of ``labels`` that the thread does not have yet; a later label of a state counts, so others are added."""
    newest = {(label.checkpoint, label.message): label for label in known if is_step_label(label)}
    return [label for label in labels if newest.get((label.checkpoint, label.message)) != label]


def is_step_label(label: Label) -> bool:
    """Does it say what a state was worth?"""
    return label.kind == "reward" and label.message is not None and label.source.startswith(SOURCE)


def is_continuation(branch: Branch) -> bool:
    """Was its thread begun in the middle of another's? Then it is no trial of its task from the start."""
    return FORKED_FROM in branch.metadata


def values_after(branch: Branch) -> dict[str, float]:
    """Message to the expected outcome after it, by the last label that says so."""
    return {
        label.message: float(label.value)
        for label in branch.labels
        if is_step_label(label) and label.message is not None and passes_through(branch, label.checkpoint)
    }


def step_columns(branch: Branch, messages: Sequence[str]) -> dict[str, list[float | None] | None]:
    """``step_values`` and ``step_advantages`` of the turns that ``messages`` are: V before each, and what each changed.

    None where it is not known; None for the whole column if nothing of the branch is.
    """
    after = values_after(branch)
    if not after:
        return {"step_values": None, "step_advantages": None}
    in_front = _in_front(branch)
    before = [after.get(in_front.get(message, "")) for message in messages]
    changed = [
        None if value is None or message not in after else after[message] - value
        for message, value in zip(messages, before, strict=True)
    ]
    return {"step_values": before, "step_advantages": changed}


def _in_front(branch: Branch) -> dict[str, str]:
    """Turn to the turn before it; the first turn to the message in front of it."""
    turns = [str(message.id) for message in branch.messages if isinstance(message, AIMessage)]
    found = {turn: before for before, turn in pairwise(turns)}
    for before, message in pairwise(branch.messages):
        if turns and str(message.id) == turns[0]:
            found[turns[0]] = str(before.id)
    return found
