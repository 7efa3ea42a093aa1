"""Group relative policy optimisation (Shao et al. 2024) on episodes that the real graph plays.

Each generation draws tasks of a suite, plays every one of them several times as ordinary threads of the compiled agent,
with the policy in training behind its slots, scores them, and shares the outcome out among their tokens; TRL's
GRPOTrainer takes the optimiser steps. The old logprobs are those recorded while sampling. What the options mean, and
what happens to episodes that crash or run out, is in ``docs/grpo.md``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt

from ..credit.advantages import Credit
from ..curriculum import Curriculum
from .group_trainer import make_group_trainer, notes_of
from .harness import open_policy, run_trainer
from .losses import Loss, Ratio
from .processes import is_main_process
from .report import Progress, TrainingReport, refuse_overwriting
from .settings import Lora, Run

if TYPE_CHECKING:
    from ...checkpoints.store import Store
    from ..rewards.compose import Rewards
    from ..suites import Suite


@dataclass(frozen=True)
class Forks:
    """What is spent on step values with ``credit.assign = "forks"``."""

    k: Annotated[int, "Continuations from the state before each turn.", Ge(1)] = 4
    steps: Annotated[Literal["all", "disagree"], "All turns, or those where siblings of other outcome part."] = "all"
    budget: Annotated[int | None, "At most so many continuations a generation; late turns go without first."] = None


@dataclass(frozen=True)
class GrpoConfig:
    """Settings of one run; the defaults suit the seed policy."""

    suite: Annotated[str, "The suite whose tasks are played: helpdesk, reasoning, or file.py:make_suite."]
    base: Annotated[str, "The model to train: a folder, an adapter's folder, or a hub name."]
    out: Annotated[Path, "The new model folder; it must not exist."]
    steps: Annotated[int, "Optimiser steps.", Ge(1)] = 4
    max_steps: Annotated[int, "Fewer steps than that; -1 leaves it to steps.", Ge(-1)] = -1
    learning_rate: Annotated[float, "Learning rate; it stays the same.", Gt(0)] = 5e-5
    tasks: Annotated[int, "Training tasks of each tier to draw from.", Ge(1)] = 60
    tasks_per_step: Annotated[int, "Tasks of a generation, over all processes.", Ge(1)] = 12
    group_size: Annotated[int, "Episodes of each task.", Ge(2)] = 8
    minibatches: Annotated[int, "Steps that share the episodes of a generation out among them.", Ge(1)] = 1
    iterations: Annotated[int, "Times that a generation is gone through.", Ge(1)] = 1
    temperature: Annotated[float, "Of sampling, and of the probabilities that are trained.", Gt(0)] = 1.0
    max_new_tokens: Annotated[int, "Tokens of one answer.", Ge(1)] = 128
    workers: Annotated[int, "Episodes played at a time.", Ge(1)] = 64
    loss: Annotated[Loss, "TRL's name of the loss."] = "dapo"
    epsilon: Annotated[float, "How far a ratio may fall below 1; above it too, if nothing else is said.", Gt(0)] = 0.2
    epsilon_high: Annotated[float | None, "How far it may rise; for cispo where it is cut (5).", Gt(0)] = None
    ratio: Annotated[Ratio, "Ratios of tokens or whole rows; auto: sequence for luspo, else token."] = "auto"
    beta: Annotated[float, "How strongly the policy is held to the base, by KL.", Ge(0)] = 0.0
    off_policy_limit: Annotated[
        float | None, "Mask rows with negative advantage whose mean KL from the sampler is larger.", Gt(0)
    ] = None
    length_scale: Annotated[int, "dr_grpo: the tokens that every episode's sum is divided by.", Ge(1)] = 256
    truncated: Annotated[
        Literal["reward", "leave_out"], "Episodes that ran out of calls, tokens or context: as judged, or not at all."
    ] = "reward"
    failed: Annotated[
        Literal["leave_out", "reward"], "Episodes that an exception stopped: not at all, or as rewards take them (0)."
    ] = "leave_out"
    resample: Annotated[int, "Rounds in which other tasks replace those whose rewards are all equal.", Ge(0)] = 0
    evaluate_every: Annotated[int, "Steps between evaluations on held-out tasks; 0 makes none.", Ge(0)] = 0
    evaluation_tasks: Annotated[int, "Held-out tasks of each tier, played once in every evaluation.", Ge(1)] = 10
    train_slots: Annotated[tuple[str, ...], "The agent's slots that are trained; none named is all of them."] = ()
    seed: Annotated[int, "Of tasks, sampling, shuffling, and adapters' first weights."] = 0
    frozen: Annotated[
        Mapping[str, str], "Slots that are not trained, each with a model SPEC; of others it is the live version."
    ] = field(default_factory=dict)
    rewards: Annotated[
        Mapping[str, float | Mapping[str, Any]],
        "Rewards and their weights; in place of a weight a table with weight and parameters.",
    ] = field(default_factory=lambda: {"partial": 1.0})
    credit: Credit = Credit()
    forks: Forks = Forks()
    curriculum: Curriculum = Curriculum()
    lora: Lora = Lora()
    run: Run = Run()

    @property
    def updates(self) -> int:
        """Optimiser steps that a generation serves; its rows are at most one less than that stale."""
        return self.minibatches * self.iterations


def train_grpo(
    config: GrpoConfig, store: "Store", *, suite: "Suite | None" = None, progress: Progress | None = None
) -> TrainingReport:
    """Train and write a model folder; the episodes are threads in ``store``, named in its ``training.json``.

    ``suite`` is played in place of the one that the config names.

    Raises:
        BadDataset: fewer tasks than one step draws.
        UnknownSuite, BadReward, BadCredit
        BadModelFolder, TrainingFailed: as ``train_sft``; also if every episode of a generation failed.
    """
    from ...checkpoints.data_sets import record_data_set
    from ..rewards.configured import open_rewards
    from ..suites import open_suite

    refuse_overwriting(config.out)
    with open_rewards(config.rewards, store) as rewards:
        trainer, tokenizer = make_trainer(config, store, suite or open_suite(config.suite), rewards)
        played = trainer.source.data
        report = run_trainer(trainer, config, method="grpo", tokenizer=tokenizer, data=played, progress=progress)
    if is_main_process():
        record_data_set(store, digest=played["digest"], kind="grpo", folder=str(report.out), threads=played.threads())
    return report


def make_trainer(config: GrpoConfig, store: "Store", suite: "Suite", rewards: "Rewards") -> tuple[Any, Any]:
    """TRL's trainer with episodes of ``suite``, and the tokenizer."""
    from .live_groups import LiveGroups

    policy = open_policy(config)
    notes = notes_of(config)
    trainer = make_group_trainer(
        config,
        policy,
        LiveGroups(store, suite, config, rewards, notes, policy.tokenizer),
        notes,
        steps=config.steps if config.max_steps < 0 else min(config.steps, config.max_steps),
        temperature=config.temperature,
        groups=config.tasks_per_step,
        group_size=config.group_size,
    )
    return trainer, policy.tokenizer


def run_name(config: GrpoConfig) -> str:
    """What the threads and versions of this run begin with: equal for equal settings and base, so that a run that is
    started again finds its episodes."""
    told = repr(replace(config, out=Path(config.out.name), run=Run())).encode()
    folder = Path(config.base).expanduser()
    for file in sorted(folder.iterdir()) if folder.is_dir() else []:
        told += f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}".encode()
    return f"grpo-{config.out.name}-{sha256(told).hexdigest()[:6]}"
