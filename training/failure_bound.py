"""Has a failure rate crossed its bound? A test that may be asked after every single run.

Under the bound, the chance that it ever says yes is at most ``level``, however often it is asked. The arithmetic alone.
"""

from dataclasses import dataclass
from math import log, log1p
from typing import Any

from ..errors import BadCanary

LAST = 200
"""Runs that are looked at: what was long ago says little of today."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The share of runs that may fail, and how sure one must be that more do."""

    max_failure_rate: float
    level: float = 0.05
    """The chance of a false alarm."""

    def __post_init__(self) -> None:
        if not 0 < self.max_failure_rate < 1:
            raise BadCanary(
                f"a failure rate of {self.max_failure_rate:g} is no bound; give one between 0 and 1, as 0.2"
            )
        if not 0 < self.level < 1:
            raise BadCanary(f"a level of {self.level:g} is no probability; give one between 0 and 1, such as 0.05")

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        return {"max_failure_rate": self.max_failure_rate, "level": self.level}

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> "Bound":
        """What ``to_dict`` wrote."""
        return cls(float(given["max_failure_rate"]), float(given.get("level", 0.05)))

    def is_crossed(self, failures: int, runs: int) -> bool:
        """Whether ``failures`` of ``runs`` are evidence enough that more fail than may.

        >>> [Bound(0.2).is_crossed(runs, runs) for runs in (1, 2, 3)]
        [False, False, True]
        >>> Bound(0.2).is_crossed(20, 100)
        False
        """
        return log_evidence(failures, runs, self.max_failure_rate) >= -log(self.level)


def log_evidence(failures: int, runs: int, rate: float) -> float:
    """The logarithm of the e-value against "at most ``rate`` of the runs fail"; 0 before the first run.

    The likelihood ratio of ``p`` to ``rate``, averaged over all ``p`` between ``rate`` and 1: a mixture martingale
    (Robbins 1970, Statistical Methods Related to the Law of the Iterated Logarithm; Ramdas, Grünwald, Vovk and Shafer
    2023, Game-Theoretic Statistics and Safe Anytime-Valid Inference). By Ville's inequality it ever exceeds 1/level
    with a chance of at most level, if the bound holds.

    >>> from math import exp
    >>> round(exp(log_evidence(1, 1, 0.5)), 3)  # the mean of p/0.5 between 0.5 and 1
    1.5
    """
    from scipy.special import betaincc, betaln

    good = runs - failures
    area = betaln(failures + 1, good + 1) + log(max(float(betaincc(failures + 1, good + 1, rate)), 1e-300))
    return float(area - log1p(-rate) - failures * log(rate) - good * log1p(-rate))
