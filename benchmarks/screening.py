"""Off-policy screening against the truth: in a world that can be enumerated, and with the helpdesk's policy deployed.

The small world: 500 logs of 200 episodes, for candidates ever further from the logged policy; how often 95 % intervals
hold the true value, how far unbiased estimates are off on average, and how often a log is warned about. The helpdesk:
the seed policy logs 200 episodes at temperature 1, candidates are screened on them and then deployed on the same tasks.
Sharper candidates are the seed policy with larger logits; the trained one has learnt from 200 other episodes.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from math import log
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.where import Where
from threadmill.training.export import GOOD, export_sft
from threadmill.training.offpolicy.logged import LoggedEpisode
from threadmill.training.offpolicy.screening import Screening, screen
from threadmill.training.offpolicy.stored import screen_threads
from threadmill.training.recipes.sft import SftConfig, train_sft
from threadmill.training.rollout import play
from threadmill.training.slots import SEED_POLICY, open_slot
from threadmill.training.worlds.helpdesk.prompt import SLOT
from threadmill.training.worlds.helpdesk.suite import HelpdeskSuite

Policy = Mapping[int, tuple[float, float, float]]
"""Counter to the chances of up, down and stop."""
LOGGED: Policy = {0: (0.6, 0.1, 0.3), 1: (0.5, 0.2, 0.3), 2: (0.2, 0.2, 0.6)}
BEST: Policy = {0: (0.98, 0.01, 0.01), 1: (0.98, 0.01, 0.01), 2: (0.01, 0.01, 0.98)}
TURNS = 3
UNBIASED = ("ips", "pdis", "dr")
COVERED, OFF, SAME = 0.9, 3.0, 1e-3


def episodes(policy: Policy, counter: int = 0, turn: int = 0) -> list[tuple[float, tuple[tuple[int, int], ...], float]]:
    """Every way that an episode can go: its chance, (counter, action) by turn, and its reward, 1 for a counter of 2."""
    reward = {1: 0.5, 2: 1.0}.get(counter, 0.0)
    if turn == TURNS:
        return [(1.0, (), reward)]
    found = []
    for action, chance in enumerate(policy[max(0, min(2, counter))]):
        after = (counter + 1, counter - 1, counter)[action]
        rest = [(1.0, (), reward)] if action == 2 else episodes(policy, after, turn + 1)
        found += [(chance * p, ((counter, action), *steps), r) for p, steps, r in rest]
    return found


def mixed(share: float) -> Policy:
    """The logged policy moved towards the best one."""
    return {
        at: tuple((1 - share) * was + share * now for was, now in zip(LOGGED[at], BEST[at], strict=True))  # type: ignore[misc]
        for at in LOGGED
    }


def small_world(share: float, logs: int, size: int) -> dict[str, Any]:
    """What ``logs`` logs of ``size`` episodes say about the candidate, against its true value."""
    candidate = mixed(share)
    ways = episodes(LOGGED)
    truth = sum(chance * reward for chance, _, reward in episodes(candidate))
    ratios = [
        tuple(log(candidate[max(0, min(2, at))][a] / LOGGED[max(0, min(2, at))][a]) for at, a in steps)
        for _, steps, _ in ways
    ]
    rewards = [(*[0.0] * (len(steps) - 1), reward) for _, steps, reward in ways]
    chance = np.random.default_rng(0)
    found: list[Screening] = []
    for seed in range(logs):
        drawn = chance.choice(len(ways), size, p=[one for one, _, _ in ways])
        found.append(
            screen(
                [LoggedEpisode(f"{n}", f"{n % (size // 2)}", ratios[way], rewards[way]) for n, way in enumerate(drawn)],
                seed=seed,
                resamples=400,
            )
        )
    row: dict[str, Any] = {
        "moved": share,
        "true value": round(truth, 4),
        "effective": round(fmean(one.estimates[0].effective for one in found), 1),
        "warned": round(fmean(bool(one.warnings) for one in found), 3),
    }
    for number, name in enumerate(one.name for one in found[0].estimates):
        values = np.array([one.estimates[number].value for one in found])
        held = [one.estimates[number].low <= truth <= one.estimates[number].high for one in found]  # type: ignore[operator]
        row[name] = {
            "off": round(float(values.mean() - truth), 4),
            "in standard errors": round(float((values.mean() - truth) / (values.std() / logs**0.5)), 2),
            "spread": round(float(values.std()), 4),
            "covered": round(fmean(held), 3),
        }
    return row


def deploy(store: Store, spec: str, seed: int, per_tier: int, prefix: str) -> list[float]:
    """The rewards of 2 trials of ``per_tier`` training tasks of each tier."""
    suite = HelpdeskSuite("scripted")
    tasks = suite.tasks("train", per_tier, seed)
    slot = open_slot(store, SLOT, spec)
    played = play(store, suite, tasks, {SLOT: slot}, trials=2, seed=seed, prefix=prefix)
    return [(one.finished.met or 0) / (one.finished.conditions or 1) for one in played]


def sharper(folder: Path, times: float) -> str:
    """The seed policy with logits so many times as large."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(SEED_POLICY)
    model.model.norm.weight.data *= times
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(SEED_POLICY).save_pretrained(folder)
    return str(folder)


def trained(folder: Path, per_tier: int) -> str:
    """The seed policy after a pass over the successes among episodes of other tasks."""
    with open_store(f"sqlite:///{folder}/other.db") as store:
        deploy(store, "seed", 1, per_tier, "")
        export_sft(store, folder / "data", tokenizer=str(SEED_POLICY), selection=GOOD)
    train_sft(SftConfig(folder / "data", str(SEED_POLICY), folder / "trained", epochs=1.0))
    return str(folder / "trained")


def helpdesk(folder: Path, per_tier: int) -> list[dict[str, Any]]:
    """Each candidate as screened and as deployed."""
    candidates = {
        "the seed policy itself": lambda: "seed",
        "logits x 1.1": partial(sharper, folder / "sharp-1", 1.1),
        "logits x 1.3": partial(sharper, folder / "sharp-3", 1.3),
        "trained on successes": partial(trained, folder, per_tier),
    }
    rows = []
    with open_store(f"sqlite:///{folder}/log.db") as logged, open_store(f"sqlite:///{folder}/deployed.db") as deployed:
        deploy(logged, "seed", 0, per_tier, "")
        for name, make in candidates.items():
            spec = make()
            found = screen_threads(logged, spec, Where()).screening
            rewards = deploy(deployed, spec, 0, per_tier, f"{len(rows)}-")
            value, error = fmean(rewards), float(np.std(rewards)) / len(rewards) ** 0.5
            rows.append(
                {
                    "candidate": name,
                    "logged": round(found.logged, 3),
                    "deployed": f"{value:.3f} ± {1.96 * error:.3f}",
                    "effective": round(found.estimates[0].effective, 1),
                    "mean weight": round(found.mean_weight, 3),
                    "warned": bool(found.warnings),
                    **{one.name: _said(one.value, one.low, one.high) for one in found.estimates},
                    "largest difference": max(abs((one.value or 0) - found.logged) for one in found.estimates),
                }
            )
            print(rows[-1], file=sys.stderr)
    return rows


def bench(arguments: argparse.Namespace) -> dict[str, Any]:
    """The document."""
    worlds = [small_world(share, arguments.logs, 200) for share in (0.0, 0.25, 0.5, 0.9)]
    with TemporaryDirectory() as folder:
        rows = helpdesk(Path(folder), arguments.tasks)
    covered = min(row[name]["covered"] for row in worlds for name in ("ips", "snips", "dr", "wdr"))
    off = max(abs(row[name]["in standard errors"]) for row in worlds for name in UNBIASED)
    same = rows[0].pop("largest difference")
    for row in rows[1:]:
        del row["largest difference"]
    results = [
        _result("smallest share of 95 % intervals that hold the true value", covered, COVERED, better="higher"),
        _result("unbiased estimates off the true value, in standard errors", off, OFF),
        _result("estimates of a policy on its own log, off what it earned", same, SAME),
    ]
    return {
        "name": "screening",
        "ratio": covered,
        "ratio_of": "smallest share of 95 % intervals that hold the true value",
        "better": "higher",
        "goal": COVERED,
        "met": all(result["met"] for result in results),
        "detail": {"results": results, "small world": worlds, "helpdesk": rows},
    }


def _said(*numbers: float | None) -> str:
    value, low, high = ("–" if number is None else f"{number:.3g}" for number in numbers)
    return f"{value} ({low} to {high})"


def _result(what: str, ratio: float, goal: float, *, better: str = "lower") -> dict[str, Any]:
    met = ratio >= goal if better == "higher" else ratio <= goal
    return {"what": what, "ratio": ratio, "goal": goal, "better": better, "met": met}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print for people or as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--logs", type=int, default=500)
    parser.add_argument("--tasks", type=int, default=25, help="per tier, each played twice")
    chosen = parser.parse_args(arguments)
    document = bench(chosen)
    print(json.dumps(document if chosen.json else document["detail"], indent=None if chosen.json else 1))


if __name__ == "__main__":
    main()
