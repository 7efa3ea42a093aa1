"""How often the intervals and tests of evaluations are right, on simulated versions whose truth is known.

Tasks have success rates drawn from beta(2, 2); a model call takes exponentially distributed seconds. The ratio is the
smallest share of 95 % intervals of success that hold the truth.
"""

import argparse
import json
from math import log
from typing import Any

import numpy as np
from threadmill.training.evaluation.intervals import aggregate, paired
from threadmill.training.evaluation.measured import Measured

SIZES = ((10, 1), (20, 1), (40, 1), (40, 5), (100, 2))
"""Tasks, and trials of each."""
QUANTILES = ((20, 2), (100, 2))
CALLS = 3
LEVEL = 0.05
GOAL = 0.93


def drawn(rng: np.random.Generator, rates: np.ndarray, trials: int) -> tuple[list[Measured], list[str]]:
    """One evaluation of a version with these success rates, and the task of each episode."""
    episodes, tasks = [], []
    for task, rate in enumerate(rates):
        for success in rng.random(trials) < rate:
            episodes.append(Measured({"success": float(success)}))
            tasks.append(f"t{task}")
    return episodes, tasks


def successes(tasks: int, trials: int, repetitions: int, seed: int) -> dict[str, Any]:
    """How often the interval of success holds its mean over all tasks there are, and two equal versions differ."""
    rng = np.random.default_rng(seed)
    held = level = zero = 0
    for number in range(repetitions):
        rates = rng.beta(2, 2, tasks)
        (one, names), (other, _) = drawn(rng, rates, trials), drawn(rng, rates, trials)
        found = aggregate(one, names, seed=number)["success"]
        held += found.low <= 0.5 <= found.high
        change = paired(one, other, names, names, seed=number)["success"]
        zero += change.low <= 0 <= change.high
        level += change.p <= LEVEL
    shares = {"success": held, "difference": zero, "false_positives": level}
    return {"tasks": tasks, "trials": trials} | {name: count / repetitions for name, count in shares.items()}


def seconds(tasks: int, trials: int, repetitions: int, seed: int) -> dict[str, Any]:
    """How often the intervals of the median and of the 95th percentile of a call's seconds hold the truth."""
    rng = np.random.default_rng(seed)
    held = {"model_call_p50": 0, "model_call_p95": 0}
    truth = {"model_call_p50": -log(0.5), "model_call_p95": -log(0.05)}
    for number in range(repetitions):
        episodes = [
            Measured({"success": 1.0}, samples={"model_call": tuple(rng.exponential(1.0, CALLS))})
            for _ in range(tasks * trials)
        ]
        names = [f"t{at // trials}" for at in range(tasks * trials)]
        found = aggregate(episodes, names, seed=number)
        for name, value in truth.items():
            held[name] += found[name].low <= value <= found[name].high
    shares = {name: count / repetitions for name, count in held.items()}
    return {"tasks": tasks, "trials": trials, "calls": CALLS, **shares}


def bench(repetitions: int) -> dict[str, Any]:
    """The document."""
    found = [successes(tasks, trials, repetitions, seed) for seed, (tasks, trials) in enumerate(SIZES)]
    calls = [seconds(tasks, trials, repetitions, seed) for seed, (tasks, trials) in enumerate(QUANTILES)]
    lowest = min(one["success"] for one in found)
    return {
        "name": "intervals",
        "ratio": lowest,
        "ratio_of": "share of 95 % intervals of success that hold the truth, the lowest of all sizes",
        "better": "higher",
        "goal": GOAL,
        "met": lowest >= GOAL,
        "detail": {
            "results": [
                {
                    "what": "share of 95 % intervals of success that hold the truth, the lowest of all sizes",
                    "ratio": lowest,
                    "goal": GOAL,
                    "better": "higher",
                    "met": lowest >= GOAL,
                },
                {
                    "what": "share of equal versions with p <= 0.05, the highest of all sizes",
                    "ratio": (most := max(one["false_positives"] for one in found)),
                    "goal": LEVEL,
                    "better": "lower",
                    "met": most <= LEVEL,
                },
            ],
            "repetitions": repetitions,
            "sizes": found,
            "seconds_of_calls": calls,
        },
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=400)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    print(json.dumps(bench(given.repetitions), indent=None if given.json else 2))
