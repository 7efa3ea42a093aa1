"""Relative ranking within a group after RULER (OpenPipe 2025, "RULER: Relative Universal LLM-Elicited Rewards").

One question ranks all episodes of a task: it is easier to say which of several is better than how good one is, and
GRPO compares only within the group anyway. What all episodes begin with is shown once; episodes that are the same are
shown once and score the same. Unlike OpenPipe's, the order is shuffled by a seed, against judges that prefer a place,
and does not depend on the order of the group.
"""

from collections.abc import Sequence
from random import Random
from typing import Any

from .answer_cache import key_of
from .asking import Judge
from .finished import Finished, GroupReward, Reasoned
from .judge import SYSTEM, shown
from .transcript import LONGEST, transcript

RUBRIC = (
    "An episode that reaches its goal scores clearly higher than one that does not. Of those that reach it, the more "
    "direct one scores higher. A small difference in quality is a small difference in score, a large one a large one. "
    "An episode that makes progress without reaching the goal may get part of the score."
)


def make_ruler(judge: Judge, *, rubric: str = RUBRIC, seed: int = 0, longest: int = LONGEST) -> GroupReward:
    """A reward from 0 to 1 for each episode of a group, by one question about all of them.

    A group whose episodes are all the same is not asked about: all get 0.5. If no answer can be read, all get 0.5 too,
    so the group teaches nothing, and it is counted.

    Raises:
        BadReward: from the reward, if most answers cannot be read.
    """

    def rewards(group: Sequence[Finished]) -> list[float]:
        keys = [key_of(transcript(episode.messages, longest), episode.status) for episode in group]
        by_key = dict(zip(keys, group, strict=True))
        if len(by_key) < 2:
            return [Reasoned(0.5, "the only episode of its kind in the group") for _ in group]
        order = shuffled(by_key, seed)
        answer = judge.ask(
            SYSTEM,
            _question([by_key[key] for key in order], rubric, longest),
            _schema(len(order)),
            _all_once(len(order)),
        )
        if answer is None:
            return [Reasoned(0.5, "the judge's answer could not be read") for _ in group]
        said = {one["episode"]: one for one in answer["scores"]}
        given = {key: said[place] for place, key in enumerate(order, 1)}
        return [Reasoned(given[key]["score"], given[key]["explanation"]) for key in keys]

    return rewards


def shuffled(keys: Any, seed: int) -> list[str]:
    """``keys`` in an order that depends on ``seed`` and on which they are, not on the order they come in."""
    order = sorted(keys)
    Random(f"{seed}/{order}").shuffle(order)
    return order


def shared_lines(episodes: Sequence[Sequence[str]]) -> int:
    """How many first lines all ``episodes`` have in common.

    >>> shared_lines([["ask", "look", "yes"], ["ask", "look"], ["ask", "look", "no"]])
    2
    """
    count = 0
    for lines in zip(*episodes, strict=False):
        if len({*lines}) > 1:
            break
        count += 1
    return count


def _question(episodes: Sequence[Finished], rubric: str, longest: int) -> str:
    lines = [transcript(episode.messages, longest) for episode in episodes]
    shared = shared_lines(lines)
    parts = [f"Rubric: {rubric}"]
    if shared:
        parts += ["All episodes begin with these lines:", "\n".join(lines[0][:shared])]
    for number, episode in enumerate(episodes, 1):
        parts += [f"Episode {number}:", shown(episode, longest, skip=shared)]
    return "\n\n".join([*parts, f"Score each of the {len(episodes)} episodes from 0 to 1, against each other."])


def _schema(count: int) -> dict[str, Any]:
    score = {
        "type": "object",
        "properties": {
            "episode": {"type": "integer", "minimum": 1, "maximum": count},
            "explanation": {"type": "string", "maxLength": 300},
            "score": {"type": "number", "minimum": 0, "maximum": 1},
        },
        "required": ["episode", "explanation", "score"],
        "additionalProperties": False,
    }
    return {
        "title": "ranking",
        "description": "A score for every episode.",
        "type": "object",
        "properties": {"scores": {"type": "array", "items": score, "minItems": count, "maxItems": count}},
        "required": ["scores"],
        "additionalProperties": False,
    }


def _all_once(count: int) -> Any:
    def complaint(answer: dict[str, Any]) -> str:
        numbers = sorted(one["episode"] for one in answer["scores"])
        return (
            "" if numbers == [*range(1, count + 1)] else f"it scores the episodes {numbers}, not 1 to {count} once each"
        )

    return complaint
