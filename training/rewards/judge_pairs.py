"""A model as judge of pairs: which of two episodes of a task is better, asked in both orders.

Judges prefer a position (Zheng et al. 2023, "Judging LLM-as-a-judge": most models changed their mind in a fair part of
swapped comparisons). Only a conclusion that survives the swap counts. A judge that contradicts itself has said nothing
about that pair: it is left out and counted, never averaged into half a win.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Literal, NamedTuple

from .answer_cache import key_of
from .asking import Judge
from .finished import Finished, GroupReward, Reasoned
from .judge import RUBRIC, SYSTEM, shown
from .transcript import LONGEST, transcript

Better = Literal["first", "second", "tie"]
_TURNED: dict[Better, Better] = {"first": "second", "second": "first", "tie": "tie"}
_SCHEMA = {
    "title": "comparison",
    "description": "Which of two episodes is better.",
    "type": "object",
    "properties": {
        "rationale": {"type": "string", "maxLength": 600},
        "better": {"enum": ["first", "second", "tie"]},
    },
    "required": ["rationale", "better"],
    "additionalProperties": False,
}


class Compared(NamedTuple):
    """What the judge concluded about two episodes; ``better`` is None if it contradicted itself or was unreadable."""

    better: Better | None
    why: str


def compare(judge: Judge, one: Finished, other: Finished, *, rubric: str = RUBRIC, longest: int = LONGEST) -> Compared:
    """Which is better, asked once in each order; identical episodes are a tie without asking.

    Raises:
        BadReward: most answers of this judge cannot be read.
    """
    if _same(one, other):
        return Compared("tie", "the two episodes are the same")
    said, swapped = _ask(judge, one, other, rubric, longest), _ask(judge, other, one, rubric, longest)
    if said is None or swapped is None:
        return Compared(None, "an answer of the judge could not be read")
    (forth, why), (back, why_back) = said, swapped
    judge.tally.add("compared")
    if forth == _TURNED[back]:
        return Compared(forth, why)
    judge.tally.add("contradictions")
    return Compared(None, f"the judge contradicts itself: {forth} ({why}), and swapped {back} ({why_back})")


def make_judge_pairs(
    judge: Judge,
    *,
    rubric: str = RUBRIC,
    opponents: int | None = None,
    most_contradictions: float = 0.5,
    seed: int = 0,
    longest: int = LONGEST,
    workers: int = 8,
) -> GroupReward:
    """A reward from 0 to 1: wins, and half of the ties, over the comparisons that the judge decided; 0.5 without any.

    Each episode meets all others of its group, or the next ``opponents`` on a circle drawn by ``seed`` and by what the
    episodes say. The judge is asked twice for each pair.

    Raises:
        BadReward: from the reward, if more than the share ``most_contradictions`` of at least 20 comparisons are
            contradictions.
    """

    def rewards(group: Sequence[Finished]) -> list[float]:
        pairs = list(_pairs(group, opponents, seed))
        with ThreadPoolExecutor(workers) as pool:
            found = list(pool.map(lambda pair: _compare_at(group, *pair), pairs))
        judge.tally.refuse_if_useless("contradictions", "compared", most_contradictions)
        points: list[list[float]] = [[] for _ in group]
        notes: list[list[str]] = [[] for _ in group]
        for (one, other), (better, why) in zip(pairs, found, strict=True):
            for place, won in ((one, "first"), (other, "second")):
                if better is not None:
                    points[place].append(0.5 if better == "tie" else float(better == won))
                notes[place].append(why)
        return [
            Reasoned(sum(won) / len(won) if won else 0.5, " | ".join(why))
            for won, why in zip(points, notes, strict=True)
        ]

    def _compare_at(group: Sequence[Finished], one: int, other: int) -> Compared:
        return compare(judge, group[one], group[other], rubric=rubric, longest=longest)

    return rewards


def _pairs(group: Sequence[Finished], opponents: int | None, seed: int) -> Iterator[tuple[int, int]]:
    count = len(group)
    reach = count - 1 if opponents is None else min(opponents, count - 1)
    digests = [key_of(transcript(episode.messages)) for episode in group]
    circle = sorted(range(count), key=lambda place: digests[place])
    Random(f"{seed}/{sorted(digests)}").shuffle(circle)
    met = set[frozenset[int]]()
    for at in range(count):
        for step in range(1, reach + 1):
            pair = circle[at], circle[(at + step) % count]
            if frozenset(pair) not in met:
                met.add(frozenset(pair))
                yield pair


def _ask(judge: Judge, first: Finished, second: Finished, rubric: str, longest: int) -> tuple[Better, str] | None:
    parts = [f"Rubric: {rubric}", "First:", shown(first, longest), "Second:", shown(second, longest)]
    answer = judge.ask(SYSTEM, "\n\n".join([*parts, "Which is better: first, second, or is it a tie?"]), _SCHEMA)
    return None if answer is None else (answer["better"], answer["rationale"])


def _same(one: Finished, other: Finished) -> bool:
    return (one.status, transcript(one.messages)) == (other.status, transcript(other.messages))
