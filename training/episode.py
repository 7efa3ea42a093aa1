"""An episode in short: what was played, how it ended, what it took. ``evaluation/measured.py`` has every metric."""

from dataclasses import dataclass

from ..nodes.models.trace import EDIT_KEY, read_trace
from .evaluation.calls_measured import FAILED, count_unneeded
from .rewards.finished import Finished, Status
from .rewards.made import MALFORMED, answers_of, calls_of, spoken, worked_for


@dataclass(frozen=True, slots=True)
class Episode:
    """One trial of one task, with what the metrics count."""

    thread: str
    task: str
    tier: str
    trial: int
    version: str
    reward: float
    success: bool
    steps: int
    """Model calls."""
    calls: int
    """Tool calls, invalid ones included."""
    failed_calls: int
    """Calls that the tool refused or that took too long."""
    invalid_calls: int
    """Calls that could not be parsed, did not fit the schema, or named no tool."""
    unneeded_calls: int
    """Calls beyond those of the shortest solution; 0 where nobody knows that."""
    sampled_tokens: int
    edited: bool
    status: Status = "done"


def measure(finished: Finished, trial: int) -> Episode:
    """What ``finished`` amounts to; an episode without a judgement earned nothing."""
    answers = answers_of(finished.conversations)
    calls = calls_of(finished.conversations)
    traces = [trace for message in spoken(finished.messages) or answers if (trace := read_trace(message))]
    reward = finished.met / finished.conditions if finished.met is not None and finished.conditions else 0.0
    return Episode(
        thread=finished.thread,
        task=finished.task,
        tier=finished.tier,
        trial=trial,
        version=traces[-1].version if traces else "",
        reward=reward,
        success=reward == 1.0,
        steps=len(answers),
        calls=len(calls),
        failed_calls=sum(call.became in FAILED for call in calls),
        invalid_calls=sum(call.became in MALFORMED for call in calls),
        unneeded_calls=count_unneeded(worked_for(calls), finished.needed) or 0,
        sampled_tokens=finished.sampled_tokens,
        edited=any(EDIT_KEY in message.response_metadata for message in answers),
        status=finished.status,
    )
