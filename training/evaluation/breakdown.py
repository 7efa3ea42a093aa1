"""What went wrong, tool by tool and failure by failure, over the episodes of an evaluation. Pure."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .failures import KINDS, Failure
from .measured import Measured

EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class ToolCounts:
    """One tool over all episodes."""

    calls: int
    failed: int
    invalid: int
    repeated: int
    mean_ms: float | None
    """Of the calls that ran and whose time is known; None if there are none."""


@dataclass(frozen=True, slots=True)
class SlotCounts:
    """One slot over all episodes."""

    steps: int
    """Its model calls."""
    calls: int
    failed: int
    invalid: int
    sampled_tokens: int | None
    """None unless all of its model calls recorded them; so with ``prompt_tokens``."""
    prompt_tokens: int | None
    mean_ms: float | None
    """Of the model calls whose time is known; None if there are none."""


@dataclass(frozen=True, slots=True)
class FailureCounts:
    """One kind of failure over all episodes."""

    about: str
    episodes: int
    """That have it."""
    unsuccessful: int
    """Of those, that did not succeed; the others had a slip."""
    examples: tuple[Failure, ...]
    """Of different threads, those that did not succeed first."""

    def as_json(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {**asdict(self), "examples": [example.as_json() for example in self.examples]}


def by_tool(measured: Sequence[Measured]) -> dict[str, ToolCounts]:
    """Tool to its counts, the one that is called most first."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for one in measured:
        for tool, counts in one.tools.items():
            for name, count in counts.items():
                sums[tool][name] += count
    return {
        tool: ToolCounts(
            **{name: int(found[name]) for name in ("calls", "failed", "invalid", "repeated")},
            mean_ms=1000 * found["seconds"] / found["timed"] if found["timed"] else None,
        )
        for tool, found in sorted(sums.items(), key=lambda item: (-item[1]["calls"], item[0]))
    }


def by_slot(measured: Sequence[Measured]) -> dict[str, SlotCounts]:
    """Slot to its counts, the one that is asked most first."""
    sums: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for one in measured:
        for slot, counts in one.slots.items():
            for name, count in counts.items():
                sums[slot][name] += count
    return {
        slot: SlotCounts(
            **{name: int(found[name]) for name in ("steps", "calls", "failed", "invalid")},
            sampled_tokens=int(found["sampled_tokens"]) if found["counted"] == found["steps"] else None,
            prompt_tokens=int(found["prompt_tokens"]) if found["counted"] == found["steps"] else None,
            mean_ms=1000 * found["seconds"] / found["timed"] if found["timed"] else None,
        )
        for slot, found in sorted(sums.items(), key=lambda item: (-item[1]["steps"], item[0]))
    }


def by_failure(measured: Sequence[Measured], examples: int = EXAMPLES) -> dict[str, FailureCounts]:
    """Kind of failure to its counts and some ``examples``, the one in most episodes without success first."""
    having: dict[str, list[tuple[bool, Failure]]] = defaultdict(list)
    for one in measured:
        first = {failure.kind: failure for failure in reversed(one.failures)}
        for kind, failure in first.items():
            having[kind].append((one.values.get("success") == 1.0, failure))
    order = list(KINDS)
    found = {
        kind: FailureCounts(
            KINDS[kind],
            len(cases),
            sum(not succeeded for succeeded, _ in cases),
            tuple(failure for _, failure in sorted(cases, key=lambda case: case[0])[:examples]),
        )
        for kind, cases in having.items()
    }
    return dict(sorted(found.items(), key=lambda item: (-item[1].unsuccessful, order.index(item[0]))))
