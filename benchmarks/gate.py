"""How often the gate errs and how much it sees, on simulated models whose true success is known.

Every gate is ``decide`` with the default policy, at the default number of tasks where nothing else is said. Shares of
equal models that are promoted are over the level that they must keep; the other shares are what they are.
"""

import argparse
import json
from dataclasses import replace
from time import perf_counter
from typing import Any

from threadmill.training.gate.policy import GatePolicy, SuiteRule
from threadmill.training.gate.simulate import World, decisions

EQUAL = {
    "every task as likely for both": World(alike=1.0, measured=True),
    "most tasks as likely for both": World(measured=True),
    "each good at other tasks": World(alike=0.0, spread=0.5, measured=True),
    "all tasks of the same difficulty": World(live=(0.5,) * 4, spread=10_000.0, measured=True),
    "nearly always right": World(live=(0.99, 0.97, 0.96, 0.95), measured=True),
    "nearly never right": World(live=(0.05, 0.03, 0.02, 0.02), measured=True),
}
BETTER = World(live=(0.85, 0.7, 0.6, 0.4), gain=(0.1, 0.1, 0.1, 0.1), measured=True)
OTHERS = {
    "10 points better in each tier": BETTER,
    "the same, each good at other tasks": replace(BETTER, alike=0.0),
    "10 points better in the mean, equal in one tier": replace(
        BETTER, live=(0.75, 0.7, 0.6, 0.4), gain=(0.2, 0.1, 0.1, 0.0)
    ),
    "5 points better in each tier": replace(BETTER, gain=(0.05,) * 4),
    "10 points better in the mean, 10 worse in one tier": World(
        live=(0.8, 0.7, 0.6, 0.5), gain=(0.15, 0.15, 0.2, -0.1), measured=True
    ),
    "10 points better in the mean, 20 worse in one tier": World(
        live=(0.75, 0.7, 0.6, 0.5), gain=(0.2, 0.2, 0.2, -0.2), measured=True
    ),
    "10 points worse in each tier": World(gain=(-0.1,) * 4, measured=True),
}
COUNTS = ((40, 2), (60, 2), (60, 3), (100, 1), (100, 2), (100, 3), (150, 2))
"""Tasks of a tier, and trials of each."""
DEFAULT = SuiteRule(name="default")


def shares(
    world: World, gates: int, looks: int, tasks: int = DEFAULT.tasks_per_tier, k: int = DEFAULT.k
) -> dict[str, Any]:
    """Of ``gates`` candidates, those promoted, held and rejected."""
    found = decisions(world, gates=gates, seed=0, policy=GatePolicy(), tasks_per_tier=tasks, k=k, looks=looks)
    return {decision: round(found[decision] / gates, 4) for decision in ("promote", "hold", "reject")}


def bench(gates: int) -> dict[str, Any]:
    """The document."""
    level = GatePolicy().level
    errors = [
        {"equal_models": name, "looks": looks, **shares(world, gates, looks)}
        for name, world in EQUAL.items()
        for looks in (1, 5)
    ]
    began = perf_counter()
    power = [
        {"candidate": name, "looks": looks, **shares(world, gates // 4, looks)}
        for name, world in OTHERS.items()
        for looks in (1, 3)
    ]
    decided = sum(row["looks"] for row in power) * (gates // 4)
    by_count = [
        {"tasks_of_a_tier": tasks, "k": k, "episodes_of_both": 8 * tasks * k}
        | {name: shares(world, gates // 4, 1, tasks, k)["promote"] for name, world in [*OTHERS.items()][:4]}
        for tasks, k in COUNTS
    ]
    seen = {(row["candidate"], row["looks"]): row for row in power}
    often = [row["promote"] / level for row in errors if row["looks"] == 5]
    better = seen["10 points better in each tier", 1]["promote"]
    held = 1 - seen["10 points better in the mean, 10 worse in one tier", 1]["promote"]
    results = [
        goal("share of equal models promoted at five looks, over the level", sum(often) / len(often), 1.0, "lower"),
        goal("share of candidates 10 points better that are promoted at the first look", better, 0.8, "higher"),
        goal("share of candidates better in the mean, worse in one tier, that are not promoted", held, 0.95, "higher"),
    ]
    return {
        "name": "gate",
        **{key: results[0][key] for key in ("ratio", "goal", "better")},
        "ratio_of": results[0]["what"],
        "met": all(result["met"] for result in results),
        "detail": {
            "results": results,
            "errors": errors,
            "power": power,
            "promoted_at_the_first_look_by_tasks": by_count,
            "about": {"gates_a_row": gates, "ms_a_look_at_most": round(1000 * (perf_counter() - began) / decided, 2)},
        },
    }


def goal(what: str, ratio: float, wanted: float, better: str) -> dict[str, Any]:
    """One goal, and whether it is met."""
    met = ratio >= wanted if better == "higher" else ratio <= wanted
    return {"what": what, "ratio": round(ratio, 4), "goal": wanted, "better": better, "met": met}


def main() -> None:
    """Simulate, and print for people or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--gates", type=int, default=4000, help="Candidates a row; a quarter of them for power.")
    arguments = parser.parse_args()
    document = bench(arguments.gates)
    print(json.dumps(document if arguments.json else document["detail"], indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
