"""Does training on the world ``reasoning`` help? Held-out success before, after rejection sampling and after GRPO.

    python benchmarks/learning/reasoning.py --out runs/reasoning

The policy (``reasoning_policy.py``) has learnt from a fallible expert, who errs in a quarter of the easy and in half of
the medium tasks on purpose. From there on the recipes are as they are: a round of ``train rft`` on its own threads,
and ``train grpo``, each with three seeds; the first policy is one and the same. The tier ``hard`` is left out: the
policy has no tokens for numbers of three and four digits. What is there already in OUT is kept, so that a run that was
killed goes on. Writes ``reasoning.json`` and ``reasoning.png`` beside this file.

Mistakes and sizes were set beforehand, and GRPO's learning rate after one run of 8 steps on training tasks of seed 99,
whose rewards rose and fell again with 1e-3. Held-out tasks were played once, at the end.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from reasoning_picture import draw
from reasoning_policy import train_policy
from threadmill.checkpoints.store import open_store
from threadmill.training.episode import Episode, measure
from threadmill.training.evaluation.summary import summarise
from threadmill.training.export import export_sft
from threadmill.training.recipes.grpo import GrpoConfig, train_grpo
from threadmill.training.recipes.report import read_report
from threadmill.training.recipes.rft import RftConfig, train_rft
from threadmill.training.rollout import play
from threadmill.training.slots import open_slot
from threadmill.training.statistics import paired_difference
from threadmill.training.worlds.reasoning.prompt import SLOT
from threadmill.training.worlds.reasoning.suite import ReasoningSuite
from threadmill.training.worlds.reasoning.tasks import TIERS, Task

SUITE = ReasoningSuite(tiers={tier: TIERS[tier] for tier in ("easy", "medium")})
TRAINED = ("rft", "grpo")


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    policy_steps: int = 900
    mistake_rates: dict[str, float] = field(default_factory=lambda: {"easy": 0.25, "medium": 0.5})
    rft_rounds: int = 1
    rft_tasks: int = 40
    rft_trials: int = 4
    rft_learning_rate: float = 1e-3
    grpo_steps: int = 16
    grpo_learning_rate: float = 5e-4
    tasks_per_step: int = 12
    group_size: int = 8
    heldout_per_tier: int = 60
    trials: int = 2


@dataclass(frozen=True)
class Runs:
    """The folder of everything, and how much there is of it."""

    out: Path
    sizes: Sizes
    say: Callable[[str], None]

    def before(self) -> Path:
        """The policy that has learnt from the expert."""
        folder = self.out / "before"
        if not (folder / "config.json").exists():
            sizes = self.sizes
            losses = train_policy(
                folder, SUITE.tiers, sizes.mistake_rates, steps=sizes.policy_steps, seed=0, say=self.say
            )
            (folder / "losses.json").write_text(json.dumps(losses), encoding="utf-8")
        return folder

    def grpo(self, seed: int) -> Path:
        """The policy after GRPO."""
        sizes = self.sizes
        config = GrpoConfig(
            suite="reasoning",
            base=str(self.before()),
            out=self.out / f"grpo-{seed}" / "model",
            steps=sizes.grpo_steps,
            learning_rate=sizes.grpo_learning_rate,
            tasks_per_step=sizes.tasks_per_step,
            group_size=sizes.group_size,
            max_new_tokens=48,
            seed=seed + 1,
        )
        if not config.out.exists():
            config.out.parent.mkdir(parents=True, exist_ok=True)
            with open_store(f"sqlite:///{config.out.parent}/runs.db") as store:
                report = train_grpo(config, store, suite=SUITE, progress=self._step(f"grpo-{seed}"))
            self.say(f"grpo-{seed}: {report.seconds:.0f} s")
        return config.out

    def rft(self, seed: int) -> Path:
        """The policy after rejection sampling: each round trains the first policy on all that succeeded so far."""
        sizes, policy = self.sizes, self.before()
        folder = self.out / f"rft-{seed}"
        for round_ in range(1, sizes.rft_rounds + 1):
            config = RftConfig(
                data=folder / f"rows-{round_}",
                base=str(self.before()),
                out=folder / f"model-{round_}",
                learning_rate=sizes.rft_learning_rate,
                seed=seed,
            )
            if not config.out.exists():
                folder.mkdir(parents=True, exist_ok=True)
                tasks = SUITE.tasks("train", sizes.rft_tasks, 10 * (seed + 1) + round_)
                with open_store(f"sqlite:///{folder}/runs.db") as store:
                    self._play(store, policy, tasks, sizes.rft_trials, seed, f"round{round_}-")
                    export_sft(store, config.data, tokenizer=str(policy))
                report = train_rft(config, progress=self._step(f"rft-{seed}"))
                self.say(f"rft-{seed}, round {round_}: {report.seconds:.0f} s")
            policy = config.out
        return policy

    def evaluate(self, condition: str, seed: int) -> list[Episode]:
        """Held-out episodes of a condition, the same tasks for all; ``before`` is sampled anew with each seed."""
        path = self.out / "heldout" / f"{condition}-{seed}.json"
        if not path.exists():
            policy = self.before() if condition == "before" else getattr(self, condition)(seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            tasks = SUITE.tasks("heldout", self.sizes.heldout_per_tier, 0)
            with open_store(f"sqlite:///{path.with_suffix('.db')}") as store:
                episodes = self._play(store, policy, tasks, self.sizes.trials, seed, f"{condition}-{seed}-")
            path.write_text(json.dumps([asdict(episode) for episode in episodes]), encoding="utf-8")
            self.say(f"{condition}-{seed}: {fmean(episode.success for episode in episodes):.1%} of held-out episodes")
        return [Episode(**record) for record in json.loads(path.read_text(encoding="utf-8"))]

    def _play(
        self, store: Any, policy: Path, tasks: Sequence[Task], trials: int, seed: int, prefix: str
    ) -> list[Episode]:
        slot = open_slot(store, SLOT, str(policy), max_new_tokens=48)
        slots = {SLOT: slot}
        try:
            played = play(store, SUITE, tasks, slots, trials=trials, seed=seed, prefix=prefix, keep_failures=True)
        finally:
            model: Any = slot.model(slot.version_now())
            model.close()
        return [measure(trial.finished, trial.number) for trial in played]

    def _step(self, name: str) -> Callable[..., None]:
        return lambda done, total, *rest, **more: self.say(f"{name}: {done}/{total} {rest} {more}")


def result_of(runs: Runs, trained: Sequence[str], seeds: Sequence[int]) -> dict[str, Any]:
    """Play what is missing, and put all figures into one record."""
    episodes = {name: {seed: runs.evaluate(name, seed) for seed in seeds} for name in ("before", *trained)}
    tiers = {episode.task: episode.tier for episode in episodes["before"][seeds[0]]}
    kinds = {task.id: task.kind for task in SUITE.tasks("heldout", runs.sizes.heldout_per_tier, 0)}
    return {
        "name": "learning-reasoning",
        "seeds": list(seeds),
        "sizes": asdict(runs.sizes),
        "policy": _policy(runs),
        "conditions": {name: _condition(by_seed, kinds) for name, by_seed in episodes.items()},
        "differences": {
            name: asdict(paired_difference(_pooled(episodes["before"]), _pooled(episodes[name]), tiers=tiers, seed=0))
            for name in trained
        },
        "rewards_by_step": {seed: read_report(runs.grpo(seed)).curves["reward"] for seed in seeds if "grpo" in trained},
    }


def _policy(runs: Runs) -> dict[str, Any]:
    config = json.loads((runs.before() / "config.json").read_text(encoding="utf-8"))
    about = {name: config[name] for name in ("num_hidden_layers", "hidden_size", "vocab_size")}
    return {**about, "losses": json.loads((runs.before() / "losses.json").read_text(encoding="utf-8"))}


def _condition(by_seed: dict[int, list[Episode]], kinds: dict[str, str]) -> dict[str, Any]:
    summaries = [summarise(episodes) for episodes in by_seed.values()]
    tiers = summaries[0].by_tier
    values = [summary.pass_at_1 for summary in summaries]
    of_kind: dict[str, list[float]] = {kind: [] for kind in kinds.values()}
    for task, successes in _pooled(by_seed).items():
        of_kind[kinds[task]] += successes
    return {
        "success": fmean(values),
        "spread_of_seeds": stdev(values) if len(values) > 1 else 0.0,
        "success_by_seed": values,
        "success_by_tier": {tier: fmean(one.by_tier[tier]["success"] for one in summaries) for tier in tiers},
        "success_by_data_set": {kind: fmean(successes) for kind, successes in of_kind.items()},
        "pass_hat_k": fmean(summary.pass_hat_k for summary in summaries),
        "metrics": {name: fmean(one.metrics[name] for one in summaries) for name in summaries[0].metrics},
    }


def _pooled(by_seed: dict[int, list[Episode]]) -> dict[str, list[float]]:
    """Task to the successes of its trials, those of all seeds together."""
    scores: dict[str, list[float]] = {}
    for episodes in by_seed.values():
        for episode in episodes:
            scores.setdefault(episode.task, []).append(float(episode.success))
    return scores


def main() -> None:
    """Parse the command line, train, play, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/reasoning"))
    parser.add_argument("--trained", nargs="+", default=list(TRAINED), choices=TRAINED)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    runs = Runs(given.out.absolute(), Sizes(), lambda text: print(text, flush=True))
    result = result_of(runs, given.trained, given.seeds)
    (given.results / "reasoning.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    draw(given.results / "reasoning.png", result)
    print(json.dumps({name: result[name] for name in ("conditions", "differences")}, indent=1))


if __name__ == "__main__":
    main()
