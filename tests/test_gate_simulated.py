"""Error rates and power of the gate on simulated models whose true success is known, at the default task count."""

import pytest
from threadmill.training.gate.simulate import World, decisions

EQUAL = {
    "alike": World(alike=1.0),
    "partly alike": World(measured=True),
    "each good at other tasks": World(alike=0.0, spread=0.5),
    "all tasks alike": World(live=(0.5,) * 4, spread=10_000.0),
    "nearly always right": World(live=(0.99, 0.97, 0.96, 0.95)),
}
TEN_POINTS = (0.1, 0.1, 0.1, 0.1)


def test_of_2000_equal_models_looked_at_twice_at_most_5_percent_are_promoted():
    promoted = {name: decisions(world, gates=400, seed=0, looks=2)["promote"] for name, world in EQUAL.items()}
    assert sum(promoted.values()) <= 0.05 * 2000, promoted


@pytest.mark.parametrize("alike", [0.7, 0.0])
def test_a_model_10_points_better_is_promoted_at_least_80_percent_of_the_time(alike: float):
    world = World(live=(0.85, 0.7, 0.6, 0.4), gain=TEN_POINTS, alike=alike, measured=True)
    assert decisions(world, gates=300, seed=0)["promote"] >= 0.8 * 300


@pytest.mark.parametrize(("loss", "at_most"), [(-0.1, 0.05), (-0.2, 0.01)])
def test_a_model_better_in_the_mean_but_worse_in_one_tier_is_held(loss: float, at_most: float):
    world = World(live=(0.8, 0.7, 0.6, 0.5), gain=(0.15, 0.15, 0.2, loss))
    found = decisions(world, gates=300, seed=0)
    assert found["promote"] <= at_most * 300
    assert found["hold"] >= (1 - at_most) * 300


def test_a_model_10_points_worse_is_rejected_or_held():
    found = decisions(World(gain=(-0.1,) * 4), gates=200, seed=0)
    assert found["promote"] == 0
    assert found["reject"] >= 0.8 * 200
