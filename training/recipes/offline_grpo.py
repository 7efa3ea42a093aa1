"""GRPO on episodes that were played before: no rollouts, importance ratios against the recorded logprobs.

The ratio of a token is its probability now over the one it was sampled with, whoever sampled it; the loss clips it as
in live GRPO, and ``training.json`` tells for each step its mean, its largest, how many were clipped, KL(sampler‖policy)
and the effective sample size. Clipping bounds what one token can do, it does not make old episodes on-policy: where
the effective share of tokens falls far below 1, the data are too old for this base. Which episodes are of no use,
and why, is in ``recorded_groups.py``.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt

from ...errors import BadDataset
from ..credit.advantages import Credit
from .credited import Credited, Member, credit_groups
from .group_trainer import make_group_trainer, notes_of
from .harness import open_policy, run_trainer
from .losses import BY_SEQUENCE, Loss, Ratio
from .processes import process_count, process_number
from .recorded_groups import Narrowed, Recorded, recorded_groups
from .report import Progress, TrainingReport, refuse_overwriting
from .settings import Lora, Run
from .step_notes import StepNotes


@dataclass(frozen=True)
class OfflineGrpoConfig:
    """Settings of one run; the defaults suit the seed policy."""

    data: Annotated[Path, "A folder that `threadmill export groups` wrote."]
    base: Annotated[str, "The model to train: a folder, an adapter's folder, or a hub name."]
    out: Annotated[Path, "The new model folder; it must not exist."]
    learning_rate: Annotated[float, "Learning rate; it stays the same.", Gt(0)] = 5e-5
    epochs: Annotated[float, "Passes over the groups.", Ge(0)] = 1.0
    max_steps: Annotated[int, "Steps, in place of epochs; -1 leaves it to epochs.", Ge(-1)] = -1
    groups_per_step: Annotated[int, "Groups of a generation, over all processes.", Ge(1)] = 12
    minibatches: Annotated[int, "Steps that share the episodes of a generation out among them.", Ge(1)] = 1
    iterations: Annotated[int, "Times that a generation is gone through.", Ge(1)] = 1
    temperature: Annotated[
        float | None, "Only episodes sampled at this temperature; none is the one of most of them.", Gt(0)
    ] = None
    narrowed: Annotated[
        Narrowed, "Episodes drawn under a grammar, top-p, top-k or min-p: left out, or kept with ratios too large."
    ] = "leave_out"
    loss: Annotated[Loss, "TRL's name of the loss."] = "dapo"
    epsilon: Annotated[float, "How far a ratio may fall below 1; above it too, if nothing else is said.", Gt(0)] = 0.2
    epsilon_high: Annotated[float | None, "How far it may rise; for cispo where it is cut (5).", Gt(0)] = None
    ratio: Annotated[Ratio, "Ratios of tokens or whole rows; auto: sequence for luspo, else token."] = "auto"
    beta: Annotated[float, "How strongly the policy is held to the base, by KL.", Ge(0)] = 0.0
    off_policy_limit: Annotated[
        float | None, "Mask rows with negative advantage whose mean KL from the sampler is larger.", Gt(0)
    ] = None
    length_scale: Annotated[int, "dr_grpo: the tokens that every episode's sum is divided by.", Ge(1)] = 256
    seed: Annotated[int, "Of shuffling, and of adapters' first weights."] = 0
    credit: Credit = Credit()
    lora: Lora = Lora()
    run: Run = Run()


def train_offline_grpo(config: OfflineGrpoConfig, *, progress: Progress | None = None) -> TrainingReport:
    """Train and write a model folder.

    Raises:
        BadDataset: no group with logprobs that can be used.
        BadCredit
        BadModelFolder, TrainingFailed: as ``train_sft``.
    """
    refuse_overwriting(config.out)
    trainer, tokenizer, data = make_trainer(config)
    return run_trainer(trainer, config, method="offline-grpo", tokenizer=tokenizer, data=data, progress=progress)


def make_trainer(config: OfflineGrpoConfig) -> tuple[Any, Any, dict[str, Any]]:
    """TRL's trainer with recorded episodes, the tokenizer, and what the data are."""
    from ..dataset import read_rows

    rows, manifest = read_rows(config.data, "groups")
    policy = open_policy(config)
    recorded = recorded_groups(
        rows,
        temperature=config.temperature,
        narrowed=config.narrowed,
        context=policy.model.config.max_position_embeddings,
        with_values=config.credit.assign == "forks",
    )
    _refuse(config, recorded, policy.model.get_input_embeddings().num_embeddings)
    notes = notes_of(config)
    generations = ceil(config.epochs * len(recorded.groups) / config.groups_per_step)
    trainer = make_group_trainer(
        config,
        policy,
        RecordedGroups(recorded.groups, config, notes),
        notes,
        steps=config.max_steps if config.max_steps > 0 else generations * config.minibatches * config.iterations,
        temperature=recorded.temperature,
        groups=process_count(),
        group_size=2,
    )
    data = {
        "digest": manifest["digest"],
        "groups": len(recorded.groups),
        "temperature": recorded.temperature,
        **recorded.noted,
        "left_out": dict(recorded.left_out),
    }
    return trainer, policy.tokenizer, data


class RecordedGroups:
    """Gives the groups of a data set in turn, each epoch in an order of its own."""

    def __init__(self, groups: Sequence[Sequence[Member]], config: OfflineGrpoConfig, notes: StepNotes) -> None:
        self.groups = groups
        self.config = config
        self.notes = notes

    def __call__(self, model: Any, step: int) -> Credited:
        """The generation that ``step`` belongs to."""
        updates = self.config.minibatches * self.config.iterations
        first = step // updates * self.config.groups_per_step
        last = first + self.config.groups_per_step
        if self.config.max_steps <= 0:
            last = min(last, ceil(self.config.epochs * len(self.groups)))
        chosen = [self._at(place) for place in range(first, last)][process_number() :: process_count()]
        found = credit_groups(
            chosen, self.config.credit, by_sequence=self.config.loss in BY_SEQUENCE, keep_rows=self.config.beta > 0
        )
        threads = [member.thread for group in chosen for member in group]
        self.notes.take("generation", step - step % updates, threads=threads, counts=dict(found.noted))
        return found

    def _at(self, place: int) -> Sequence[Member]:
        epoch, at = divmod(place, len(self.groups))
        order = random.Random(f"{self.config.seed}/{epoch}").sample(range(len(self.groups)), len(self.groups))
        return self.groups[order[at]]


def _refuse(config: OfflineGrpoConfig, recorded: Recorded, vocabulary: int) -> None:
    left_out = recorded.left_out
    if not recorded.groups and set(left_out) == {"no logprobs"}:
        raise BadDataset(
            f"{config.data} holds no logprobs, which off-policy ratios need: they are recorded by models in this "
            "process and by vLLM endpoints; play tasks with `threadmill rollout` and export again, or train on these "
            "threads with sft, dpo or kto"
        )
    if not recorded.groups and set(left_out) == {"no step values"}:
        raise BadDataset(
            f'credit.assign = "forks" needs step values, and {config.data} holds none for {left_out.total()} episodes; '
            "value their turns with `threadmill credit fork` and export again, or assign the outcome"
        )
    if not recorded.groups:
        told = ", ".join(f"{reason}: {number}" for reason, number in left_out.items())
        raise BadDataset(
            f"{config.data} holds no group of two episodes that can be trained on ({told}); play more trials of each "
            "task at one temperature with top_p = 1 and without a grammar"
        )
    largest = max(
        max(part.prompt_ids + part.completion_ids) for group in recorded.groups for one in group for part in one.parts
    )
    if largest >= vocabulary:
        raise BadDataset(
            f"{config.data} holds the token {largest}, but {config.base} has {vocabulary} tokens; "
            "export threads that this model, or one with its tokenizer, has played"
        )
