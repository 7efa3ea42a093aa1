"""A row as the steps of a selection see it: what decides, and no text."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from .facts import Facts


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that may be selected."""

    place: int
    """Which one; no two candidates share it."""
    facts: Facts
    """Of the branch that it is made of; of several, of the one that is to be learnt from."""
    digest: bytes
    """Of the row's content: equal for rows that train the same."""
    tokens: int
    """0 if the row holds text and no tokens."""
    text: str = ""
    """For near duplicates; ``duplicates.branch_text`` makes it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept of a candidate while others are looked at."""

    place: int
    thread: str
    checkpoint: str
    digest: bytes
    tokens: int
    task: str | None
    tier: str | None
    tools: tuple[str, ...]
    behaviour: str
    success: bool | None
    reward: float | None
    opening: str
    split_key: str


def entry_of(candidate: Candidate) -> Entry:
    """What the steps need of ``candidate``."""
    facts = candidate.facts
    return Entry(
        place=candidate.place,
        thread=facts.thread,
        checkpoint=facts.checkpoint,
        digest=candidate.digest,
        tokens=candidate.tokens,
        task=facts.task,
        tier=facts.tier,
        tools=facts.tools,
        behaviour=facts.behaviour,
        success=facts.success,
        reward=facts.reward,
        opening=facts.opening,
        split_key=facts.split_key,
    )


def best_first(entries: Iterable[Entry]) -> list[Entry]:
    """``entries`` by reward, then success, then the names of thread and checkpoint."""
    return sorted(entries, key=_rank)


def shuffled(entries: Iterable[Entry], seed: int) -> list[Entry]:
    """``entries`` in an order that depends on ``seed`` and on what they are, not on where they stood."""
    return sorted(entries, key=lambda entry: (hash_of(f"{seed}\0{_name(entry)}"), entry.place))


def hash_of(text: str) -> float:
    """A number from 0 up to 1, evenly spread, always the same for ``text``."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6).digest(), "big") / 2**48


def _rank(entry: Entry) -> tuple[Any, ...]:
    reward = float("-inf") if entry.reward is None else entry.reward
    return (-reward, {True: 0, None: 1, False: 2}[entry.success], _name(entry), entry.place)


def _name(entry: Entry) -> str:
    return f"{entry.thread}\0{entry.checkpoint}\0{entry.digest.hex()}"
