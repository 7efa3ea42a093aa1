"""The conditions that are compared: each trains the seed policy, or what an earlier condition made of it.

A condition is a function from the place of a seed to the folder of its policy, in the order of the table. Whatever is
trained or played already is read back.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

from demonstrations import write_demonstrations
from place import Place
from threadmill.checkpoints.labels import labels_of_kind
from threadmill.checkpoints.store import open_store
from threadmill.training.credit.advantages import Credit
from threadmill.training.export import export_groups, export_pairs, export_sft
from threadmill.training.recipes.dpo import DpoConfig, train_dpo
from threadmill.training.recipes.grpo import Forks, GrpoConfig, train_grpo
from threadmill.training.recipes.offline_grpo import OfflineGrpoConfig, train_offline_grpo
from threadmill.training.recipes.report import TrainingReport
from threadmill.training.recipes.settings import Run
from threadmill.training.recipes.sft import SftConfig, train_sft
from threadmill.training.rollout import run_tasks
from threadmill.training.slots import SEED_POLICY, open_slot
from threadmill.training.worlds.helpdesk import make_tasks
from threadmill.training.worlds.helpdesk.prompt import SLOT

EPISODE = re.compile(r"-([0-9]{4})-train-[^.]*$")
"""The step in the id of an episode's thread; ids of continuations go on after a dot."""
PACKED = Run(tokens_at_once=4096)
"""Rows of like length go through the model together, so there is little padding."""


def before(place: Place) -> Path:
    """The seed policy."""
    return SEED_POLICY


def sft(place: Place) -> Path:
    """SFT on right demonstrations."""
    folder = place.of("sft")
    data = folder / "data"
    if not data.exists():
        write_demonstrations(data, count=place.sizes.demonstrations, seed=place.seed)
    config = SftConfig(data, str(SEED_POLICY), folder / "model", learning_rate=1e-3, epochs=1.0, seed=place.seed)
    return place.trained(config.out, lambda: train_sft(config))


def star(place: Place) -> Path:
    """Rejection sampling from the seed policy, two rounds: what it solves itself teaches the seed policy again."""
    return _rejection_sampling(place, place.of("star"), SEED_POLICY)


def sft_star(place: Place) -> Path:
    """Rejection sampling, two rounds, after the demonstrations."""
    return _rejection_sampling(place, place.of("sft_star"), sft(place))


def sft_star_dpo(place: Place) -> Path:
    """DPO on pairs of trials that ended differently, out of the last round's threads."""
    base, folder = sft_star(place), place.of("sft_star_dpo")
    data = folder / "data"
    if not data.exists():
        with open_store(f"sqlite:///{play(place, folder, base, number=3)}") as store:
            export_pairs(store, data, tokenizer=str(SEED_POLICY))
    config = DpoConfig(data, str(base), folder / "model", seed=place.seed)
    return place.trained(config.out, lambda: train_dpo(config))


def sft_star_dpo_grpo(place: Place) -> Path:
    """GRPO at the end of the chain."""
    return _grpo(place, "sft_star_dpo_grpo", sft_star_dpo(place), learning_rate=2e-4)


def grpo(place: Place) -> Path:
    """GRPO alone, from the seed policy."""
    return _grpo(place, "grpo", SEED_POLICY)


def forks(place: Place) -> Path:
    """As GRPO alone, with step credit by forking, and as many episodes a step when continuations are counted."""
    half = place.sizes.grpo_tasks * place.sizes.grpo_group
    fewer = {"tasks_per_step": 8, "group_size": 4, "forks": Forks(k=4, budget=half - 32)}
    return _grpo(place, "forks", SEED_POLICY, credit=Credit(assign="forks"), **fewer)


def offline_grpo(place: Place) -> Path:
    """Offline GRPO, from the seed policy, on the threads it played for the first round of rejection sampling."""
    folder = place.of("offline_grpo")
    data = folder / "data"
    if not data.exists():
        with open_store(f"sqlite:///{play(place, place.of('star'), SEED_POLICY, number=1)}") as store:
            export_groups(store, data, tokenizer=str(SEED_POLICY))
    config = OfflineGrpoConfig(
        data, str(SEED_POLICY), folder / "model", learning_rate=5e-4, epochs=2.0, seed=place.seed, run=PACKED
    )
    return place.trained(config.out, lambda: train_offline_grpo(config))


def play(place: Place, folder: Path, policy: Path, *, number: int) -> Path:
    """The database of training tasks that ``policy`` played; every round has tasks of its own."""
    tasks = make_tasks("train", number * place.sizes.train_per_tier, place.seed)
    tasks = [task for task in tasks if int(task.id[-4:]) >= (number - 1) * place.sizes.train_per_tier]
    database = folder / f"round-{number}.db"
    with open_store(f"sqlite:///{database}") as store:
        slot = open_slot(store, SLOT, str(policy))
        run_tasks(store, tasks, slot, trials=place.sizes.trials, seed=place.seed, workers=48, reviewer="scripted")
    return database


def _grpo(place: Place, name: str, base: Path, **wishes: Any) -> Path:
    folder, sizes = place.of(name), place.sizes
    settings = {
        "steps": sizes.grpo_steps,
        "learning_rate": 3e-4,
        "tasks": sizes.grpo_per_tier,
        "tasks_per_step": sizes.grpo_tasks,
        "group_size": sizes.grpo_group,
        "rewards": {"partial": 1.0, "efficiency": 0.3, "tool_success": 0.3},
        "seed": place.seed,
        "run": PACKED,
    }
    config = GrpoConfig("helpdesk", str(base), folder / "model", **{**settings, **wishes})

    def train() -> TrainingReport:
        with open_store(f"sqlite:///{folder / 'grpo.db'}") as store:
            return train_grpo(config, store)

    return place.trained(config.out, train)


def _rejection_sampling(place: Place, folder: Path, base: Path) -> Path:
    """STaR (Zelikman et al. 2022): each round trains ``base`` anew on the successes of the policy before."""
    policy = base
    for number in (1, 2):
        data = folder / f"data-{number}"
        if not data.exists():
            with open_store(f"sqlite:///{play(place, folder, policy, number=number)}") as store:
                export_sft(store, data, tokenizer=str(SEED_POLICY))
        config = SftConfig(data, str(base), folder / f"model-{number}", seed=place.seed)
        policy = place.trained(config.out, lambda config=config: train_sft(config))
    return policy


def curves_of(place: Place, name: str, policy: Path) -> dict[str, Any]:
    """Step and value: ``losses`` of the last training, ``played`` for the success of the episodes that GRPO played."""
    report = place.report(policy)
    if report is None:
        return {}
    found: dict[str, Any] = {
        "steps_trained": report.steps,
        "seconds_trained": round(report.seconds),
        "losses": [[step, round(loss, 4)] for step, loss in report.losses],
    }
    database = place.of(name) / "grpo.db"
    if database.exists():
        by_step: dict[int, list[float]] = defaultdict(list)
        with open_store(f"sqlite:///{database}") as store:
            for label in labels_of_kind(store, "success"):
                played = EPISODE.search(label.thread)
                if played:
                    by_step[int(played[1])].append(float(label.value))
        found["played"] = [[step + 1, round(fmean(values), 4)] for step, values in sorted(by_step.items())]
    return found


CONDITIONS: dict[str, Callable[[Place], Path]] = {
    "before": before,
    "star": star,
    "sft": sft,
    "sft_star": sft_star,
    "sft_star_dpo": sft_star_dpo,
    "sft_star_dpo_grpo": sft_star_dpo_grpo,
    "grpo": grpo,
    "forks": forks,
    "offline_grpo": offline_grpo,
}
MEANT = {name: (condition.__doc__ or "").splitlines()[0] for name, condition in CONDITIONS.items()}
"""What each condition is, in a line."""
