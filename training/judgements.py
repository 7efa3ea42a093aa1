"""Is a branch, or a single turn of it, an example to follow or one to avoid? Read from labels and from what people did.

Pure. A turn is judged by its own labels (the last of ``success`` and thumbs, else its reward), else by what became of
its calls: a person refused one, a human replaced it (what the human wrote is good), or one could not be run as
proposed.
"""

from dataclasses import dataclass
from typing import Literal

from ..checkpoints.labels import Label
from ..nodes.models.trace import EDIT_KEY
from .branch_labels import message_labels, read_label, read_thumb
from .branches import Branch
from .pairing.sources import is_invalid, is_refused, repaired_turns, turns_with_results

Judged = Literal["outcome", "label", "human_edit", "rejection", "invalid"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Good or bad, and who or what says so."""

    good: bool
    source: Judged
    why: str


def judge_branch(branch: Branch, min_reward: float | None) -> Judgement | None:
    """By its success, else by a thumb, else by its reward if ``min_reward`` says from where on that is good."""
    outcome = branch.outcome
    if outcome.success is not None:
        return Judgement(outcome.success, "outcome", f"{outcome.source}: {'success' if outcome.success else 'failure'}")
    thumb = read_label(branch, "feedback", read_thumb)
    if thumb is not None:
        good, label = thumb
        return Judgement(good, "outcome", _thumb(good, label))
    if outcome.reward is not None and min_reward is not None:
        return Judgement(outcome.reward >= min_reward, "outcome", f"{outcome.source}: reward {outcome.reward:g}")
    return None


def judge_turns(branch: Branch, min_reward: float | None) -> dict[str, Judgement]:
    """Message to the judgement on that turn alone; turns without one are missing."""
    found: dict[str, Judgement] = {}
    mended = repaired_turns(branch)
    for message, results in turns_with_results(branch.messages):
        name = message.id or ""
        if is_refused(results):
            found[name] = Judgement(False, "rejection", "a person refused its call")
        elif EDIT_KEY in message.response_metadata:
            found[name] = Judgement(True, "human_edit", "a human wrote it in the model's place")
        elif is_invalid(message, results) or message.id in mended:
            found[name] = Judgement(False, "invalid", "its call could not be run as proposed")
    labelled = {name: _by_labels(labels, min_reward) for name, labels in message_labels(branch).items()}
    return found | {name: judgement for name, judgement in labelled.items() if judgement is not None}


def _by_labels(labels: list[Label], min_reward: float | None) -> Judgement | None:
    deciding: Judgement | None = None
    rewarded: Judgement | None = None
    for label in labels:
        thumb = read_thumb(label.value) if label.kind == "feedback" else None
        if label.kind == "success":
            good = float(label.value) >= 1.0
            deciding = Judgement(good, "label", f"{label.source}: {'success' if good else 'failure'}")
        elif thumb is not None:
            deciding = Judgement(thumb, "label", _thumb(thumb, label))
        elif label.kind == "reward" and min_reward is not None:
            value = float(label.value)
            rewarded = Judgement(value >= min_reward, "label", f"{label.source}: reward {value:g}")
    return deciding or rewarded


def _thumb(good: bool, label: Label) -> str:
    return f"{label.source}: thumbs {'up' if good else 'down'}"
