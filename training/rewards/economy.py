"""Rewards of doing it with little: few calls, few steps, few tokens.

Doing nothing is cheap, so calls and steps are rewarded only where the end state came true (or, where nobody judged it,
where the episode ended by itself).
"""

from ...errors import BadReward
from .finished import Finished
from .made import calls_of, worked_for


def efficiency(episode: Finished) -> float:
    """Calls of the shortest solution over calls made, at most 1; 0 if the task was not solved.

    A solution without calls earns 1 if none was made, else 0. Every call counts, also one that could not run.

    Raises:
        BadReward: the shortest solution is not known.
    """
    if episode.needed is None:
        raise BadReward(
            f"reward 'efficiency' needs the shortest solution of task {episode.task!r} (thread {episode.thread!r}), "
            "and its suite gives none; use 'steps' with a budget instead"
        )
    if not _solved(episode):
        return 0.0
    made = len(worked_for(calls_of(episode.conversations)))
    shortest = len(episode.needed)
    return shortest / max(shortest, made) if shortest else float(made == 0)


def steps(episode: Finished, *, budget: int) -> float:
    """1 within ``budget`` model calls (inclusive), budget/steps beyond; 0 if the task was not solved or nothing said.

    Raises:
        BadReward: the budget is not positive.
    """
    if budget < 1:
        raise BadReward(f"reward 'steps' has a budget of {budget}; give at least 1")
    used = sum(message.type == "ai" for messages in episode.conversations for message in messages)
    return min(1.0, budget / used) if used and _solved(episode) else 0.0


def length(episode: Finished, *, max_tokens: int, buffer: int) -> float:
    """The soft overlong punishment of DAPO (Yu et al. 2025, equation 13), from -1 to 0; 0 for an empty episode.

    With y the sampled tokens of the whole episode, L_max = ``max_tokens`` and L_cache = ``buffer``::

        R(y) = 0                                if |y| <= L_max - L_cache
               ((L_max - L_cache) - |y|) / L_cache   if L_max - L_cache < |y| <= L_max
               -1                               if L_max < |y|

    >>> [length(Finished("t", sampled_tokens=n), max_tokens=100, buffer=20) for n in (80, 90, 100, 101)]
    [0.0, -0.5, -1.0, -1.0]

    Raises:
        BadReward: the buffer is not between 1 and ``max_tokens``.
    """
    if not 1 <= buffer <= max_tokens:
        raise BadReward(f"reward 'length' has buffer {buffer} of max_tokens {max_tokens}; give 1 to {max_tokens}")
    free = max_tokens - buffer
    return max(-1.0, min(0, free - episode.sampled_tokens) / buffer)


def _solved(episode: Finished) -> bool:
    if episode.met is None:
        return episode.status == "done"
    return episode.met == episode.conditions
