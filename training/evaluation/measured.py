"""What one finished episode measures: every metric, every tool, every failure. A pure function of ``Finished``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..rewards.finished import Finished
from ..rewards.made import MALFORMED, answers_of, calls_of, worked_for
from ..rewards.tool_calls import fitting
from .calls_measured import (
    FAILED,
    argument_accuracy,
    count_by_tool,
    count_unneeded,
    find_repeated,
    find_unrecovered,
    tool_selection,
)
from .due import measure_due
from .failures import Failure, find_failures
from .grounded import find_claims, groundedness
from .metrics import METRICS, Metric
from .prices import Prices
from .slots_measured import count_by_slot
from .spent import cost_usd, model_seconds, tool_seconds, total, usages, waited_in_all
from .trajectory_match import match_trajectory

__all__ = ["METRICS", "Measured", "Metric", "measure_episode"]


@dataclass(frozen=True, slots=True)
class Measured:
    """The measures of one episode."""

    values: dict[str, float | None]
    """Metric to value; None where it does not apply. Quantiles and estimates over trials are not among them."""
    tools: dict[str, dict[str, float]] = field(default_factory=dict)
    """Tool to ``calls``, ``failed``, ``invalid``, ``repeated``, ``timed`` (calls whose time is known), ``seconds``."""
    failures: tuple[Failure, ...] = ()
    samples: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """What quantiles are taken of, in seconds: ``model_call``, ``tool_call``, ``episode``."""
    unpriced: tuple[str, ...] = ()
    """Models that the price table does not know."""
    slots: dict[str, dict[str, float]] = field(default_factory=dict)
    """Slot to what ``count_by_slot`` counts, where messages say which slot answered."""

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "values": dict(self.values),
            "tools": {tool: dict(counts) for tool, counts in self.tools.items()},
            "failures": [failure.as_json() for failure in self.failures],
            "samples": {name: list(values) for name, values in self.samples.items()},
            "unpriced": list(self.unpriced),
            "slots": {slot: dict(counts) for slot, counts in self.slots.items()},
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Measured":
        """What ``as_json`` wrote."""
        return cls(
            values=dict(stored["values"]),
            tools={tool: dict(counts) for tool, counts in stored["tools"].items()},
            failures=tuple(Failure(**failure) for failure in stored["failures"]),
            samples={name: tuple(values) for name, values in stored["samples"].items()},
            unpriced=tuple(stored["unpriced"]),
            slots={slot: dict(counts) for slot, counts in stored.get("slots", {}).items()},
        )


def measure_episode(finished: Finished, *, prices: Prices | None = None) -> Measured:
    """Every measure of ``finished``; without ``prices`` nothing has a cost."""
    needed = finished.needed
    calls, answers = calls_of(finished.conversations), answers_of(finished.conversations)
    worked = worked_for(calls)
    fits = fitting(calls, finished)
    claims = find_claims(finished)
    success, reward = _judged(finished)
    repeated = find_repeated(calls, finished.conversations)
    broken, lost = find_unrecovered(calls, success=bool(success))
    models, tools = model_seconds(answers), tool_seconds(worked)
    waited = waited_in_all(finished, calls)
    used = usages(answers)
    cost, unpriced = (None, ()) if prices is None else cost_usd(answers, prices)
    values: dict[str, float | None] = {
        "success": success,
        "reward": reward,
        "tool_selection": tool_selection(worked, needed),
        "argument_accuracy": argument_accuracy(worked, needed),
        "json_validity": sum(fits) / len(fits) if fits else None,
        "steps": len(answers),
        "calls": len(calls),
        "failed_calls": sum(call.became in FAILED for call in calls),
        "invalid_calls": sum(call.became in MALFORMED for call in calls),
        "unneeded_calls": count_unneeded(worked, needed),
        "repeated_calls": len(repeated),
        "recovery": 1 - len(lost) / len(broken) if broken else None,
        **measure_due(finished, calls),
        "groundedness": groundedness(claims),
        **match_trajectory(worked, needed),
        "sampled_tokens": sum(usage.completion for usage in used) if used else None,
        "prompt_tokens": sum(usage.prompt for usage in used) if used else None,
        "model_seconds": total(models),
        "tool_seconds": total(tools) if tools else 0.0,
        "episode_seconds": waited,
        "cost_usd": cost,
    }
    if not finished.messages:  # of a crash that left nothing, nothing but that is known
        values = {name: value if name in ("success", "reward") else None for name, value in values.items()}
    return Measured(
        values={name: None if value is None else float(value) for name, value in values.items()},
        tools=count_by_tool(calls, fits, repeated),
        failures=find_failures(finished, calls, claims, success=None if success is None else success == 1.0),
        samples={
            "model_call": tuple(seconds for seconds in models if seconds is not None),
            "tool_call": tuple(seconds for seconds in tools if seconds is not None),
            "episode": () if waited is None else (waited,),
        },
        unpriced=unpriced,
        slots=count_by_slot(finished, calls),
    )


def _judged(finished: Finished) -> tuple[float | None, float | None]:
    """Success and reward: a crash has neither earned nor solved anything; None where nobody judged."""
    if finished.met is None or not finished.conditions:
        return (0.0, 0.0) if finished.status == "failed" else (None, None)
    return float(finished.met == finished.conditions), finished.met / finished.conditions
