"""Statistics of a data set or of threads: lengths, tools, tiers, outcomes, and how many successes act at all.

A filter for successes can teach doing nothing: a task whose right answer changes nothing is a success for an agent
that never tries. So successes that act are counted apart. A row acts if a call of it was run. Whether that call did
more than read, a thread does not record; it is taken from the tool's name, unless the acting tools are named.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from .seen import Seen

IDLE_SHARE = 0.25
"""From this share of successes that change nothing on, there is a warning."""
BINS = 24


@dataclass
class Stats:
    """Counts over rows; ``of`` makes them."""

    rows: int = 0
    splits: Counter[str] = field(default_factory=Counter)
    lengths: Counter[int] = field(default_factory=Counter)
    """How many rows have so many tokens."""
    trained: int = 0
    shares: Counter[int] = field(default_factory=Counter)
    """How many rows train so many per cent of their tokens."""
    tools: Counter[str] = field(default_factory=Counter)
    """In how many rows a tool is called."""
    tiers: dict[str, Counter[str]] = field(default_factory=dict)
    """Outcomes by tier."""
    outcomes: Counter[str] = field(default_factory=Counter)
    """``success``, ``failure``, ``unlabelled``."""
    rewards: Counter[float] = field(default_factory=Counter)
    behaviours: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)
    activity: Counter[str] = field(default_factory=Counter)
    """Of successes: ``acts``, ``only reads``, ``runs no tool``, ``unknown``."""
    acting: tuple[str, ...] = ()
    """The tools that were named as acting; none if their names decide."""

    @classmethod
    def of(cls, seen: Iterable[Seen], acting: Collection[str] = ()) -> "Stats":
        """The statistics of all that was seen; ``acting`` names the tools that change something."""
        stats = cls(acting=tuple(sorted(acting)))
        for one in seen:
            stats._add(one)
        return stats

    def _add(self, one: Seen) -> None:
        self.rows += 1
        self.splits[one.split] += 1
        outcome = "unlabelled" if one.success is None else "success" if one.success else "failure"
        self.outcomes[outcome] += 1
        if one.tokens is not None and one.trained is not None:
            self.lengths[one.tokens] += 1
            self.trained += one.trained
            self.shares[round(100 * one.trained / max(one.tokens, 1))] += 1
        self.tools.update(one.tools or ())
        if one.tier:
            self.tiers.setdefault(one.tier, Counter())[outcome] += 1
        if one.reward is not None:
            self.rewards[one.reward] += 1
        if one.behaviour:
            self.behaviours[one.behaviour] += 1
        if one.source:
            self.sources[one.source] += 1
        if one.success:
            self.activity[self._activity(one)] += 1

    def _activity(self, one: Seen) -> str:
        if one.calls is None:
            return "unknown"
        if not one.calls:
            return "runs no tool"
        if self.acting:
            return "acts" if set(one.tools or ()) & set(self.acting) else "only reads"
        if one.acts is None:
            return "runs a tool"
        return "acts" if one.acts else "only reads"

    @property
    def tokens(self) -> int:
        """In all rows together."""
        return sum(length * count for length, count in self.lengths.items())

    @property
    def idle(self) -> int:
        """Successes that are known to change nothing."""
        return self.activity["runs no tool"] + self.activity["only reads"]

    def warnings(self) -> list[str]:
        """What should be thought about before training on these rows."""
        successes, said = self.outcomes["success"], []
        if self.idle and self.idle >= IDLE_SHARE * successes:
            how = (
                "as you named the acting tools"
                if self.acting
                else "by the names of tools; --acting TOOL says it surely"
            )
            said.append(
                f"{self.idle} of {successes} successes change nothing ({self.activity['runs no tool']} run no tool, "
                f"{self.activity['only reads']} only read, {how}): training on successes alone can teach doing nothing"
            )
        if unnamed := [tool for tool in self.acting if tool not in self.tools]:
            said.append(
                f"no row calls {', '.join(unnamed)}, named with --acting; called are {', '.join(sorted(self.tools))}"
            )
        if self.rows and self.outcomes["unlabelled"] == self.rows:
            said.append("no row has an outcome, so nothing is said about successes")
        return said

    def to_dict(self) -> dict[str, Any]:
        """JSON-safe."""
        return {
            "rows": self.rows,
            "splits": dict(self.splits),
            "tokens": self.tokens,
            "trained_tokens": self.trained,
            "trained_share": self.trained / self.tokens if self.tokens else None,
            "lengths": quantiles(self.lengths),
            "length_histogram": [
                {"from": low, "to": high, "rows": count} for low, high, count in histogram(self.lengths)
            ],
            "trained_percent": quantiles(self.shares),
            "tools": dict(self.tools.most_common()),
            "tiers": {tier: dict(outcomes) for tier, outcomes in sorted(self.tiers.items())},
            "outcomes": dict(self.outcomes),
            "rewards": {f"{reward:g}": count for reward, count in sorted(self.rewards.items())[:50]},
            "behaviours": dict(self.behaviours.most_common()),
            "sources": dict(self.sources.most_common()),
            "successes": dict(self.activity),
            "acting": list(self.acting),
            "warnings": self.warnings(),
        }


def quantiles(counts: Counter[int]) -> dict[str, int]:
    """The least, the middle, the 90th and 99th hundredth, the greatest; empty if there is nothing.

    >>> quantiles(Counter({10: 3, 20: 1, 30: 1}))
    {'min': 10, 'median': 10, 'p90': 30, 'p99': 30, 'max': 30}
    """
    ordered = sorted(counts)
    total = sum(counts.values())
    if not total:
        return {}

    def at(share: float) -> int:
        left = share * total
        for value in ordered:
            left -= counts[value]
            if left < 0:
                return value
        return ordered[-1]

    return {"min": ordered[0], "median": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": ordered[-1]}


def histogram(counts: Counter[int]) -> list[tuple[int, int, int]]:
    """At most 24 bins of equal width: the first value in a bin, the last, how many.

    >>> histogram(Counter({1: 2, 3: 1}))
    [(1, 1, 2), (2, 2, 0), (3, 3, 1)]
    """
    if not counts:
        return []
    low, high = min(counts), max(counts)
    width = (high - low) // BINS + 1
    bins = Counter({(value - low) // width: 0 for value in counts})
    for value, count in counts.items():
        bins[(value - low) // width] += count
    return [(low + at * width, low + at * width + width - 1, bins[at]) for at in range((high - low) // width + 1)]
