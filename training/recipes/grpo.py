"""Group relative policy optimisation (Shao et al. 2024) on episodes that the real graph plays.

TRL's GRPOTrainer does the work; its ``rollout_func`` runs tasks as threads of the agent, with the
policy in training behind the slot. The old logprobs are those recorded while sampling, at the sampling
temperature, and tokens that the policy did not sample are masked out.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import BadDataset
from .harness import quiet
from .report import Progress, TrainingReport, refuse_overwriting, save_folder

if TYPE_CHECKING:
    from ...nodes.models.local import LocalChatModel


@dataclass(frozen=True, slots=True)
class GroupRow:
    """One episode, as GRPO needs it; all lists but the first are aligned."""

    prompt_ids: list[int]
    completion_ids: list[int]
    env_mask: list[int]
    """1 where the policy sampled the token."""
    logprobs: list[float]
    """Recorded while sampling; 0 where the token was given."""
    reward: float


Rollout = Callable[["LocalChatModel", Sequence[str], int], list[GroupRow]]
"""From the policy, task ids (an id may occur several times) and the step to one row per id, in order."""


@dataclass(frozen=True)
class GrpoConfig:
    """Settings of one run; the defaults suit the seed policy."""

    base: str
    out: Path
    steps: int = 4
    learning_rate: float = 5e-5
    tasks_per_step: int = 12
    group_size: int = 8
    temperature: float = 1.0
    seed: int = 0


def train_grpo(
    config: GrpoConfig, tasks: Sequence[str], rollout: Rollout, *, progress: Progress | None = None
) -> TrainingReport:
    """Train on ``tasks`` (their ids) and write a complete model folder.

    Raises:
        BadDataset: fewer tasks than one step draws.
        BadModelFolder, TrainingFailed: as ``train_sft``.
    """
    refuse_overwriting(config.out)
    from .watch import Watch, losses_of

    watch = Watch(progress)
    played: list[GroupRow] = []

    def kept(model: "LocalChatModel", wanted: Sequence[str], step: int) -> list[GroupRow]:
        rows = rollout(model, wanted, step)
        played.extend(rows)
        return rows

    trainer, tokenizer = make_trainer(config, tasks, kept)
    trainer.add_callback(watch)
    result = trainer.train()
    report = TrainingReport(
        method="grpo",
        out=config.out,
        steps=trainer.state.global_step,
        losses=losses_of(trainer.state.log_history),
        seconds=result.metrics["train_runtime"],
        tokens=trainer.tokens_seen,
        config={
            **asdict(config),
            "mean_rewards": trainer.mean_rewards,
            "data": {"digest": _digest(played), "rows": len(played)},
        },
    )
    save_folder(trainer.model.eval(), tokenizer, report)
    return report


def _digest(rows: Sequence[GroupRow]) -> str:
    """Of what was trained on, so that a version can be traced to the threads of its episodes."""
    digest = sha256()
    for row in rows:
        digest.update(dumps([row.prompt_ids, row.completion_ids, row.env_mask, row.reward]).encode() + b"\n")
    return digest.hexdigest()


def make_trainer(config: GrpoConfig, tasks: Sequence[str], rollout: Rollout) -> tuple[Any, Any]:
    """TRL's trainer with our episodes, and the tokenizer."""
    import torch
    from datasets import Dataset

    from ...nodes.models.folder import load_model
    from .rollout_grpo import RolloutGRPOTrainer, make_arguments

    if len(tasks) < config.tasks_per_step:
        raise BadDataset(
            f"GRPO draws {config.tasks_per_step} tasks for each step, but {len(tasks)} were given; "
            "give more of a suite's training tasks, or a smaller tasks_per_step"
        )
    model, tokenizer = load_model(config.base)
    trainer = RolloutGRPOTrainer(
        model=model,
        args=make_arguments(config, gpu=torch.cuda.is_available()),
        train_dataset=Dataset.from_list([{"prompt": task} for task in tasks]),
        processing_class=tokenizer,
        rollout=rollout,
    )
    quiet(trainer)
    return trainer, tokenizer
