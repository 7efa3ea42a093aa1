"""Replays in numbers: how often the candidate would have done the same, by tool, person and outcome. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..graphs.divergence import turn_of
from .replays import AGREEING, KINDS, Kind, Replayed, names_of

ANSWER = "(answer)"
"""In place of a tool's name: the recorded model called none."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of some decisions."""

    decisions: int
    agreeing: int
    """The same calls, or both an answer."""
    kinds: dict[Kind, int]

    @property
    def share(self) -> float | None:
        """None without decisions."""
        return self.agreeing / self.decisions if self.decisions else None


@dataclass(frozen=True, slots=True)
class Human:
    """Decisions in which a person had the last word."""

    decisions: int
    candidate: int
    """How often the candidate would have done as the person wanted."""


@dataclass(frozen=True, slots=True)
class ReplaySummary:
    """All figures."""

    threads: int
    overall: Agreement
    by_tool: dict[str, Agreement]
    """By the tools that the recorded model called, or ``(answer)``."""
    by_outcome: dict[str, Agreement]
    """``success``, ``failure`` and ``unlabelled`` threads."""
    edited: Human
    rejected: Human
    not_asked: dict[str, int]
    """Why the candidate could not be asked at some decisions, and at how many."""


def summarise_replays(replayed: Sequence[Replayed]) -> ReplaySummary:
    """The figures of ``replayed``; decisions at which the candidate could not be asked count nowhere but there."""
    asked = [one for one in replayed if one.kind is not None]
    tools = sorted({tool for one in asked for tool in _tools(one)}, key=lambda tool: (tool == ANSWER, tool))
    outcomes = {"success": True, "failure": False, "unlabelled": None}
    return ReplaySummary(
        threads=len({one.decision.thread for one in replayed}),
        overall=_agreement(asked),
        by_tool={tool: _agreement(one for one in asked if tool in _tools(one)) for tool in tools},
        by_outcome={
            name: _agreement(one for one in asked if one.decision.success is value) for name, value in outcomes.items()
        },
        edited=_human(one for one in asked if one.decision.decided == "edited"),
        rejected=_human(one for one in asked if one.decision.decided == "rejected"),
        not_asked=dict(Counter(one.trouble for one in replayed if one.kind is None)),
    )


def disagreements(replayed: Sequence[Replayed]) -> list[dict[str, Any]]:
    """Each decision at which the candidate would have done something else, JSON-safe, in order."""
    return [
        {
            "thread": one.decision.thread,
            "checkpoint": one.decision.checkpoint,
            "message": one.decision.message,
            "kind": one.kind,
            "success": one.decision.success,
            "recorded": turn_of(one.decision.proposed),
            "candidate": turn_of(one.proposal),
            "human": one.decision.decided,
            "human_wrote": turn_of(one.decision.instead) if one.decision.instead is not None else None,
        }
        for one in replayed
        if one.proposal is not None and one.kind not in AGREEING
    ]


def _agreement(replayed: Iterable[Replayed]) -> Agreement:
    counts = Counter(one.kind for one in replayed if one.kind is not None)
    return Agreement(
        counts.total(), sum(counts[kind] for kind in AGREEING), {kind: counts[kind] for kind in KINDS if counts[kind]}
    )


def _human(replayed: Iterable[Replayed]) -> Human:
    found = [one.as_the_human for one in replayed]
    return Human(len(found), sum(map(bool, found)))


def _tools(one: Replayed) -> set[str]:
    return {*names_of(one.decision.proposed)} or {ANSWER}
