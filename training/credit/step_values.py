"""What the turns of a thread were worth: the mean return of continuations from the state before each. Pure.

V(s_t) = (R_1 + … + R_K) / K over K continuations from the state before turn t, and A_t = V(s_(t+1)) - V(s_t), with the
outcome that the thread itself reached after its last turn (Monte Carlo process reward: Math-Shepherd, Wang et al. 2024;
advantages without a value network: VinePPO, Kazemnejad et al. 2024).

**The thread's own outcome is no sample of V(s_t).** Given s_t it would be a fair one, if the thread was not chosen for
how it ended. But it also depends on turn t, which V(s_t) is to judge: with it among the samples the difference is
K/(K+1) of what it should be, on average, for every turn, and that by which it is less is not visible in the standard
error. The outcome therefore counts once: as the value after the last turn.
"""

from dataclasses import dataclass
from math import hypot, sqrt
from statistics import fmean, stdev


@dataclass(frozen=True, slots=True)
class StepValue:
    """The state before one turn."""

    message: str
    """The message of the model that this turn is."""
    checkpoint: str | None
    """That of the state; None if the thread does not hold it."""
    returns: tuple[float, ...] = ()
    """Of the continuations; empty if the state was not valued."""

    @property
    def value(self) -> float | None:
        """Their mean.

        >>> StepValue("m", "c", (1.0, 0.0, 0.0, 1.0)).value
        0.5
        """
        return fmean(self.returns) if self.returns else None

    @property
    def error(self) -> float | None:
        """The standard error of the mean, s / sqrt(K) with s over K-1; None for fewer than two continuations.

        >>> StepValue("m", "c", (1.0, 0.0, 0.0, 1.0)).error == (1 / 3 / 4) ** 0.5
        True
        """
        return stdev(self.returns) / sqrt(len(self.returns)) if len(self.returns) > 1 else None

    def interval(self, confidence: float = 0.95) -> "Interval | None":
        """Where the value lies with this confidence, by Student's t: V -+ t(K-1) s / sqrt(K); None without an error.

        The quantile of the normal distribution would be too narrow for few continuations: 8 cover 92 % with it where
        95 % are meant.
        """
        from scipy.stats import t  # takes a second to import

        value, error = self.value, self.error
        if value is None or error is None:
            return None
        reach = float(t.ppf((1 + confidence) / 2, len(self.returns) - 1)) * error
        return Interval(value - reach, value + reach)


@dataclass(frozen=True, slots=True)
class Interval:
    """From ``low`` to ``high``."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class StepAdvantage:
    """What one turn changed, with its standard error."""

    value: float
    error: float | None


@dataclass(frozen=True, slots=True)
class StepValues:
    """The turns of one thread, in order."""

    thread: str
    task: str
    reward: float
    """The outcome that the thread reached."""
    steps: tuple[StepValue, ...]
    opening: str | None = None
    """The message in front of the first turn."""
    leaf: str | None = None
    """The checkpoint in which the thread ended."""
    refused: str | None = None
    """Why none of them could be valued."""

    @property
    def values(self) -> list[float | None]:
        """V before each turn, as ``Played.step_values`` takes it; None where it is unknown."""
        return [step.value for step in self.steps]

    def values_of(self, messages: list[str]) -> list[float | None]:
        """V before the turns that these messages are; None for messages that are no turn of the thread."""
        known = {step.message: step.value for step in self.steps}
        return [known.get(message) for message in messages]

    @property
    def advantages(self) -> list[StepAdvantage | None]:
        """A_t for each turn whose states before and after are both valued; the outcome is known without error.

        The two means are of different continuations, so their errors add up as squares do.

        >>> steps = (StepValue("m1", "c1", (0.0, 1.0)), StepValue("m2", "c2", (1.0, 1.0)))
        >>> [(one.value, one.error) for one in StepValues("t", "task", 1.0, steps).advantages]
        [(0.5, 0.5), (0.0, 0.0)]
        """
        after: list[tuple[float | None, float | None]] = [(step.value, step.error) for step in self.steps[1:]]
        after.append((self.reward, 0.0))
        found: list[StepAdvantage | None] = []
        for step, (value, error) in zip(self.steps, after, strict=True):
            if step.value is None or value is None:
                found.append(None)
                continue
            unknown = step.error is None or error is None
            found.append(StepAdvantage(value - step.value, None if unknown else hypot(step.error, error)))  # type: ignore[arg-type]
        return found
