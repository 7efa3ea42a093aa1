"""How well a learned reward model ranks episodes of tasks that it was not trained on, against simple heuristics.

The seed policy plays helpdesk tasks; a check of each world's end state says which trial of a task is better. Pairs of a
part of the tasks train a reward model from the seed policy, pairs of the others are ranked by it and by heuristics. Of
each heuristic the scale is fitted to the training pairs (Platt 1999), so that its certainty can be compared as well.
The last figure is what the score is for: picking one trial of each held-out task.
"""

import argparse
import json
import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.training.dataset import read_rows
from threadmill.training.episode import Episode
from threadmill.training.export import export_pairs
from threadmill.training.recipes.reward import RewardConfig, train_reward
from threadmill.training.recipes.settings import Run
from threadmill.training.rewards.compared import OVERALL, Compared, compare
from threadmill.training.rewards.held_out import judge_margins
from threadmill.training.rewards.learned import RewardModel, open_reward_model
from threadmill.training.rollout import run_tasks
from threadmill.training.selection.settings import Selection
from threadmill.training.slots import SEED_POLICY, open_slot
from threadmill.training.worlds.helpdesk import make_tasks
from threadmill.training.worlds.helpdesk.prompt import SLOT
from torch import set_num_threads

GOAL = 1.0
"""Held-out pairs that the model ranks right, over those that the best heuristic does."""
RESAMPLES = 10_000

Margin = Callable[[Mapping[str, Any], Compared], float]
HEURISTICS: dict[str, Margin] = {
    "the longer one": lambda row, one: float(len(one.chosen) - len(one.rejected)),
    "the shorter one": lambda row, one: float(len(one.rejected) - len(one.chosen)),
    "calls that worked": lambda row, one: (
        (row["components"]["chosen"]["tool_use"] or 0.0) - (row["components"]["rejected"]["tool_use"] or 0.0)
    ),
}
"""How much more each gives the side that is really better."""


def bench(folder: Path, per_tier: int, trials: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The document."""
    with open_store(f"sqlite:///{folder}/runs.db") as store:
        tasks = make_tasks("train", per_tier, seed=0)
        began = perf_counter()
        slot = open_slot(store, SLOT, str(SEED_POLICY))
        episodes = run_tasks(store, tasks, slot, trials=trials, seed=0, workers=48)
        played = perf_counter() - began
        if not (folder / "pairs").exists():
            export_pairs(store, folder / "pairs", tokenizer=str(SEED_POLICY), selection=Selection(test=0.3))
        train, _ = read_rows(folder / "pairs", "pairs")
        test, _ = read_rows(folder / "pairs", "pairs", split="test")
        began, at_work = perf_counter(), process_time()
        out = folder / f"model-{len([*folder.glob('model-*')])}"
        report = train_reward(RewardConfig(folder / "pairs", str(SEED_POLICY), out, **settings))
        trained, worked = perf_counter() - began, process_time() - at_work
        model = open_reward_model(out)
        ranked, margins = rank(model, train, test)
        picked = pick(model, store, [one for one in episodes if one.task in {row["task"] for row in test}])
    held_out = report.config["data"]["held_out"]
    best = max((name for name in ranked if name != "learned"), key=lambda name: ranked[name]["accuracy"]["mean"])
    ratio = ranked["learned"]["accuracy"]["mean"] / ranked[best]["accuracy"]["mean"]
    groups = [row["task"] for row in test]
    gain = difference(margins["learned"], margins[best], groups)
    return {
        "name": "reward_model",
        "ratio": round(ratio, 3),
        "ratio_of": f"held-out pairs that the learned reward ranks right, over the best heuristic ({best})",
        "better": "higher",
        "goal": GOAL,
        "met": bool(ratio >= GOAL and gain["low"] > 0),
        "detail": {
            "rows": [{"by": name, **figures} for name, figures in ranked.items()],
            "heads": [
                {"head": name, **{key: figures[key] for key in ("pairs", "groups", "accuracy", "ece", "brier")}}
                for name, figures in held_out["heads"].items()
            ],
            "bins": held_out["heads"][OVERALL]["bins"],
            "gain_over_best": gain,
            "picking_one_trial": picked,
            "data": {
                "episodes": len(episodes),
                "success": round(sum(one.success for one in episodes) / len(episodes), 3),
                "pairs_trained": report.config["data"]["rows"],
                "comparisons": report.config["data"]["heads"],
                "pairs_held_out": len(test),
                "tasks_held_out": len({*groups}),
                "by_source": held_out["by_source"],
                "loss": [round(report.loss_first, 4), round(report.loss_last, 4)],
                "steps": report.steps,
                "seconds": {"play": round(played), "train_and_judge": round(trained), "of_a_processor": round(worked)},
            },
        },
    }


def rank(
    model: RewardModel, train: Sequence[Any], test: Sequence[Any]
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Accuracy and calibration of the model and of the heuristics on the same held-out pairs, and all margins."""
    compared = compare(test, components=False)
    scores = model.score([ids for one in compared for ids in (one.chosen, one.rejected)])
    margins = {"learned": [a[OVERALL] - b[OVERALL] for a, b in zip(scores[::2], scores[1::2], strict=True)]}
    known = compare(train, components=False)
    for name, margin in HEURISTICS.items():
        scale = fitted_scale([margin(row, one) for row, one in zip(train, known, strict=True)])
        margins[name] = [scale * margin(row, one) for row, one in zip(test, compared, strict=True)]
    figures = {}
    for name, own in margins.items():
        whole = judge_margins(compared, [{OVERALL: margin} for margin in own])["heads"][OVERALL]
        figures[name] = {key: whole[key] for key in ("pairs", "accuracy", "loss", "brier", "ece", "ece_if_calibrated")}
    return figures, margins


def fitted_scale(margins: Sequence[float]) -> float:
    """The number by which margins must be multiplied to make -ln sigmoid(margin) smallest; never below 0."""
    from scipy.optimize import minimize_scalar

    values = np.asarray(margins)
    largest = 20 / max(1e-9, float(np.abs(values).max()))
    found: Any = minimize_scalar(
        lambda s: np.logaddexp(0, -s * values).mean(), bounds=(1e-6, largest), method="bounded"
    )
    return float(found.x)


def difference(ours: Sequence[float], theirs: Sequence[float], groups: Sequence[str]) -> dict[str, float]:
    """How many more pairs in a hundred come out right by ``ours``, with a 95 % bootstrap over the tasks."""
    right = np.array([np.where(np.array(m) == 0, 0.5, np.array(m) > 0) for m in (ours, theirs)])
    change = right[0] - right[1]
    places = [np.flatnonzero(np.array(groups) == name) for name in dict.fromkeys(groups)]
    rng = np.random.default_rng(0)
    draws = [
        change[np.concatenate([places[i] for i in rng.integers(len(places), size=len(places))])].mean()
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(draws, (0.025, 0.975))
    return {"mean": round(float(change.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def pick(model: RewardModel, store: Store, episodes: Sequence[Episode]) -> dict[str, Any]:
    """Success if one trial of each held-out task is drawn, or the one that the model or a heuristic likes best."""
    by_task: dict[str, list[tuple[Episode, list[int]]]] = defaultdict(list)
    for episode in episodes:
        by_task[episode.task].append((episode, model.read(read_messages(store, episode.thread))))
    chosen: dict[str, list[float]] = defaultdict(list)
    for trials in by_task.values():
        scores = [scored[OVERALL] for scored in model.score([ids for _, ids in trials])]
        success = [float(episode.success) for episode, _ in trials]
        lengths = [len(ids) for _, ids in trials]
        chosen["any"].append(float(np.mean(success)))
        chosen["learned"].append(success[int(np.argmax(scores))])
        chosen["the longest"].append(success[int(np.argmax(lengths))])
        chosen["the shortest"].append(success[int(np.argmin(lengths))])
        chosen["the best"].append(max(success))
    return {"tasks": len(by_task), **{name: round(float(np.mean(values)), 3) for name, values in chosen.items()}}


def main() -> None:
    """Measure, and print for people or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--per-tier", type=int, default=100, help="Tasks of each of four tiers.")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--out", type=Path, help="Keep everything in this folder; episodes there are not played again.")
    arguments = parser.parse_args()
    set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    settings = {
        "epochs": arguments.epochs,
        "learning_rate": arguments.learning_rate,
        "run": Run(save_every=0),
    }
    with TemporaryDirectory() as temporary:
        folder = arguments.out or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        document = bench(folder, arguments.per_tier, arguments.trials, settings)
    print(json.dumps(document if arguments.json else document["detail"], indent=None if arguments.json else 1))


if __name__ == "__main__":
    main()
