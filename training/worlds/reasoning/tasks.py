"""Seeded tasks of reasoning-gym in three tiers; the same data sets in each, made harder by their own parameters.

Chosen are data sets with one right answer that does not hang on anything but the question, and in which a
calculator helps. ``leg_counting`` needs some knowledge besides. Left out: division in ``basic_arithmetic`` (its
answers are rounded down without the question saying so) and its form without brackets (its answers leave the
precedence of operators out of account).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from itertools import cycle, islice
from typing import Any

from ....errors import MissingLibrary, UnknownSuite

TIERS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "easy": {
        "chain_sum": dict(min_terms=2, max_terms=2, min_digits=1, max_digits=2),
        "products": dict(min_terms=2, max_terms=2, min_digits=1, max_digits=2),
        "basic_arithmetic": dict(min_terms=2, max_terms=2, min_digits=1, max_digits=2, operators=["+", "-", "*"]),
        "gcd": dict(min_numbers=2, max_numbers=2, max_value=60),
        "lcm": dict(min_numbers=2, max_numbers=2, max_value=60),
        "leg_counting": dict(min_animals=1, max_animals=2, max_instances=15),
    },
    "medium": {
        "chain_sum": dict(min_terms=3, max_terms=4, min_digits=1, max_digits=2),
        "products": dict(min_terms=3, max_terms=3, min_digits=1, max_digits=2),
        "basic_arithmetic": dict(min_terms=3, max_terms=4, min_digits=1, max_digits=2, operators=["+", "-", "*"]),
        "gcd": dict(min_numbers=3, max_numbers=3, max_value=100),
        "lcm": dict(min_numbers=3, max_numbers=3, max_value=60),
        "leg_counting": dict(min_animals=3, max_animals=4, max_instances=15),
    },
    "hard": {
        "chain_sum": dict(min_terms=5, max_terms=7, min_digits=2, max_digits=4),
        "products": dict(min_terms=3, max_terms=4, min_digits=2, max_digits=3),
        "basic_arithmetic": dict(min_terms=5, max_terms=6, min_digits=1, max_digits=3, operators=["+", "-", "*"]),
        "gcd": dict(min_numbers=4, max_numbers=5, max_value=1000),
        "lcm": dict(min_numbers=4, max_numbers=5, max_value=100),
        "leg_counting": dict(min_animals=5, max_animals=8, max_instances=60),
    },
}
"""Tier to data set to the parameters that reasoning-gym makes it with."""
SPLITS = ("train", "heldout")
HELD_OUT = 0.25
"""Share of all possible items that are held out."""

Tiers = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class Task:
    """One item of a data set of reasoning-gym."""

    id: str
    tier: str
    kind: str
    """The data set."""
    text: str
    """The question, as reasoning-gym puts it."""
    split: str
    seed: int
    """With which, as the data set's seed, reasoning-gym makes this item as its first."""
    item: Mapping[str, Any] = field(repr=False)
    """All that reasoning-gym tells of the item, its answer too."""

    def score(self, answer: str | None) -> float:
        """What reasoning-gym gives for ``answer``: 1 if it is right; some data sets give a part for a wordy one."""
        try:
            return float(_judge_of(self.kind).score_answer(answer, dict(self.item)))
        except (ValueError, ArithmeticError):  # some data sets cannot read every text
            return 0.0


def make_tasks(split: str, per_tier: int, seed: int = 0, tiers: Tiers = TIERS) -> list[Task]:
    """``per_tier`` tasks of each tier, its data sets in rotation, no item twice; equal arguments give equal tasks.

    The splits share no item, whatever the seeds: ``split_of`` says where an item belongs.

    Raises:
        UnknownSuite: ``split`` is neither ``train`` nor ``heldout``, or a tier has not so many different items.
        MissingLibrary: reasoning-gym is not installed.
    """
    if split not in SPLITS:
        raise UnknownSuite(f"reasoning has no split {split!r}; it has {' and '.join(SPLITS)}")
    return [task for tier in tiers for task in islice(_tier(split, tier, tiers[tier], seed), per_tier)]


def split_of(kind: str, question: str) -> str:
    """The split of an item. Items of the same words and signs in another order belong to the same one.

    >>> split_of("gcd", "of 12, 18") == split_of("gcd", "of 18, 12")
    True
    """
    words = " ".join(sorted(re.findall(r"\w+|[^\w\s]", question)))
    return "heldout" if _number(kind, words) < HELD_OUT * 2**32 else "train"


def open_data_set(kind: str, parameters: Mapping[str, Any], seed: int) -> Any:
    """The data set of reasoning-gym of this name; its items are made when they are asked for.

    Raises:
        MissingLibrary: reasoning-gym is not installed.
    """
    try:
        from reasoning_gym import create_dataset  # takes seconds
    except ImportError as error:
        raise MissingLibrary("the suite reasoning needs reasoning-gym; pip install 'threadmill[worlds]'") from error
    return create_dataset(kind, **parameters, seed=seed)


@cache
def _judge_of(kind: str) -> Any:
    """Any data set of this name: the score of an answer depends on the item alone."""
    return open_data_set(kind, {}, 0)


def _tier(split: str, tier: str, sets: Mapping[str, Mapping[str, Any]], seed: int) -> Iterator[Task]:
    items = {kind: _items(split, tier, kind, parameters, seed) for kind, parameters in sets.items()}
    for index, kind in enumerate(cycle(sets)):
        item_seed, item = next(items[kind])
        yield Task(f"reasoning-{split}-{seed}-{tier}-{index:04d}", tier, kind, item["question"], split, item_seed, item)


def _items(
    split: str, tier: str, kind: str, parameters: Mapping[str, Any], seed: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Items of one split without repetition, each with the seed that makes it."""
    seen: set[str] = set()
    barren = 0
    for draw in range(2**31):
        # Seeds far from each other: reasoning-gym makes the item i of seed s from s + i.
        item_seed = _number(split, tier, kind, str(seed), str(draw))
        item = open_data_set(kind, parameters, item_seed)[0]
        if split_of(kind, item["question"]) != split or item["question"] in seen:
            barren += 1
            if barren > 10_000:
                break
            continue
        barren = 0
        seen.add(item["question"])
        yield item_seed, item
    raise UnknownSuite(
        f"{kind} has no more than {len(seen)} different items in tier {tier} and split {split}; "
        "ask for fewer tasks, or widen the tier's parameters"
    )


def _number(*words: str) -> int:
    """Any number below 2**32, the same for the same words."""
    return int.from_bytes(blake2b("\0".join(words).encode(), digest_size=4).digest())
