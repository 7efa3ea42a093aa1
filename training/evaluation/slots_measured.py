"""What each slot of an agent did and took in an episode, the slots of agents and steps inside of it included. Pure."""

from collections.abc import Sequence

from ..rewards.finished import Finished
from ..rewards.made import MALFORMED, Made, answers_of
from .calls_measured import FAILED
from .spent import model_seconds, usage_of


def count_by_slot(finished: Finished, calls: Sequence[Made]) -> dict[str, dict[str, float]]:
    """Slot to its counts, for messages that say which slot answered.

    ``steps`` are model calls; ``counted`` of them recorded their tokens, ``timed`` their ``seconds``. ``calls`` are of
    tools, ``failed`` and ``invalid`` as in the metrics.
    """
    slots: dict[str, dict[str, float]] = {}
    for message in answers_of(finished.conversations):
        slot = finished.slots.get(message.id or "")
        if slot is None:
            continue
        counts = slots.setdefault(slot, dict.fromkeys(_COUNTED, 0.0))
        usage, (took,) = usage_of(message), model_seconds([message])
        counts["steps"] += 1
        counts["counted"] += usage is not None
        counts["sampled_tokens"] += usage.completion if usage else 0
        counts["prompt_tokens"] += usage.prompt if usage else 0
        counts["timed"] += took is not None
        counts["seconds"] += took or 0.0
    for call in calls:
        if counts := slots.get(finished.slots.get(call.message or "", "")):
            counts["calls"] += 1
            counts["failed"] += call.became in FAILED
            counts["invalid"] += call.became in MALFORMED
    return slots


_COUNTED = (
    "steps", "counted", "sampled_tokens", "prompt_tokens", "timed", "seconds", "calls", "failed", "invalid"
)  # fmt: skip
