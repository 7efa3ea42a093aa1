"""What one finished episode measures: every metric, every tool, every failure. A pure function of ``Finished``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..episode import measure
from ..rewards.finished import Finished
from .failures import Failure
from .metrics import METRICS, Metric
from .prices import Prices

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

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {
            "values": dict(self.values),
            "tools": {tool: dict(counts) for tool, counts in self.tools.items()},
            "failures": [failure.as_json() for failure in self.failures],
            "samples": {name: list(values) for name, values in self.samples.items()},
            "unpriced": list(self.unpriced),
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
        )


def measure_episode(finished: Finished, *, prices: Prices | None = None) -> Measured:
    """Every measure of ``finished``; without ``prices`` nothing has a cost."""
    counted = measure(finished, 0)
    return Measured(
        {
            "success": float(counted.success),
            "reward": counted.reward,
            "steps": float(counted.steps),
            "calls": float(counted.calls),
            "failed_calls": float(counted.failed_calls),
            "invalid_calls": float(counted.invalid_calls),
            "unneeded_calls": None if finished.needed is None else float(counted.unneeded_calls),
        }
    )
