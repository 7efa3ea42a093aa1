"""The curriculum: tiers by how often they succeed, tasks by how seldom they were drawn."""

import random
from dataclasses import dataclass

import pytest
from threadmill.training.curriculum import Curriculum, draw_tasks, tier_weights


@dataclass(frozen=True)
class Simple:
    id: str
    tier: str
    text: str = ""
    split: str = "train"
    seed: int = 0


TIERS = ["easy", "middle", "hard"]
TASKS = [Simple(f"{tier}-{at}", tier) for tier in TIERS for at in range(3)]


@pytest.mark.parametrize(
    ("curriculum", "results", "weights"),
    [
        (Curriculum("uniform"), {"easy": (8, 8)}, [0.333, 0.333, 0.333]),
        # (s+1)/(n+2) is 0.9, 0.5 and 0.1: p(1-p) is 0.09, 0.25 and 0.09
        (Curriculum("frontier"), {"easy": (8, 8), "middle": (4, 8), "hard": (0, 8)}, [0.209, 0.581, 0.209]),
        # 0.999 and 0.001 of 0.25 would be less than a twentieth of it
        (Curriculum("frontier"), {"easy": (998, 998), "middle": (4, 8), "hard": (0, 998)}, [0.045, 0.909, 0.045]),
        (Curriculum("stages"), {"easy": (5, 8)}, [1.0, 0.0, 0.0]),
        (Curriculum("stages"), {"easy": (8, 8)}, [0.5, 0.5, 0.0]),
        (Curriculum("stages"), {"easy": (8, 8), "middle": (8, 8), "hard": (8, 8)}, [0.333, 0.333, 0.333]),
    ],
)
def test_the_weights_of_tiers(
    curriculum: Curriculum, results: dict[str, tuple[int, int]], weights: list[float]
) -> None:
    assert list(tier_weights(TIERS, [results], curriculum).values()) == weights


def test_only_the_last_generations_count() -> None:
    recent = [{"easy": (0, 100)}, {"easy": (8, 8)}]
    assert tier_weights(["easy", "hard"], recent, Curriculum("stages", window=1)) == {"easy": 0.5, "hard": 0.5}
    assert tier_weights(["easy", "hard"], recent, Curriculum("stages", window=2)) == {"easy": 1.0, "hard": 0.0}


def test_every_task_comes_before_one_comes_again() -> None:
    drawn: list[str] = []
    for step in range(6):
        drawn += [task.id for task in draw_tasks(TASKS[:3], 1, drawn, {"easy": 1.0}, random.Random(step))]
    assert set(drawn[:3]) == set(drawn[3:]) == {"easy-0", "easy-1", "easy-2"}


def test_a_tier_that_is_used_up_is_made_up_for_by_others() -> None:
    chosen = draw_tasks(TASKS, 5, [], {"easy": 1.0, "middle": 0.0, "hard": 0.0}, random.Random(0))
    assert [task.tier for task in chosen[:3]] == ["easy"] * 3
    assert len({task.id for task in chosen}) == 5


def test_draws_are_seeded() -> None:
    first, second, other = (
        [task.id for task in draw_tasks(TASKS, 4, [], dict.fromkeys(TIERS, 1.0), random.Random(seed))]
        for seed in (1, 1, 2)
    )
    assert first == second != other
