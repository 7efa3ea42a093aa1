"""Rewards that the world itself gives: what came true, and whether the last program ended well."""

from ...errors import BadReward
from .finished import Finished


def end_state(episode: Finished) -> float:
    """1 if every condition of the end state came true, else 0: the binary reward of tau-bench (Yao et al. 2024).

    Without a judgement: 0 if the episode failed, refused otherwise.

    >>> end_state(Finished("t1", met=3, conditions=3)), end_state(Finished("t2", met=2, conditions=3))
    (1.0, 0.0)

    Raises:
        BadReward
    """
    met, conditions = judgement_of(episode, "end_state")
    return float(met == conditions)


def partial(episode: Finished) -> float:
    """The share k/n of conditions that came true, from 0 to 1; without a judgement as ``end_state``.

    >>> partial(Finished("t1", met=1, conditions=4))
    0.25

    Raises:
        BadReward
    """
    met, conditions = judgement_of(episode, "partial")
    return met / conditions


def exit_code(episode: Finished) -> float:
    """1 if the last program that a tool ran ended with exit code 0, else 0; 0 if none was run.

    Code tools report it as ``exit_code`` or ``returncode`` in a message's artifact. That a program ends well does not
    say that it is right: `exit 0` earns this, so give it a small weight beside a check of the end state (InterCode,
    Yang et al. 2023, compares outputs as well).

    >>> [exit_code(Finished("t1", exit_code=code)) for code in (0, 1, None)]
    [1.0, 0.0, 0.0]
    """
    return float(episode.exit_code == 0)


def judgement_of(episode: Finished, reward: str) -> tuple[int, int]:
    """Conditions met, and how many there are; a failed episode without a judgement met none of one.

    Raises:
        BadReward
    """
    if episode.met is None or not episode.conditions:
        if episode.status == "failed":
            return 0, 1
        raise BadReward(
            f"thread {episode.thread!r} has no judgement of its end state, which reward {reward!r} needs; "
            "play it in a suite, label it with `threadmill threads label THREAD success 1`, or leave the reward out"
        )
    return episode.met, episode.conditions
