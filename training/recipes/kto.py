"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024) on masked completions that are good or bad by themselves.

TRL's KTOTrainer does the work; rows pass through as the token ids that were recorded, with our masks, and the
completions of the KL term bring their masks along. The reference is the policy as the run begins.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Gt

from ...errors import BadConfig
from .harness import arguments_of, open_policy, run_trainer
from .report import Progress, TrainingReport, refuse_overwriting
from .settings import Lora, Run
from .usable import rows_at_once, split_usable

COLUMNS = ("prompt_ids", "completion_ids", "completion_mask", "label")


@dataclass(frozen=True)
class KtoConfig:
    """Settings of one run; the defaults suit the seed policy."""

    data: Annotated[Path, "A folder that `threadmill export kto` wrote."]
    base: Annotated[str, "The model to train: a folder, an adapter's folder, or a hub name."]
    out: Annotated[Path, "The new model folder; it must not exist."]
    learning_rate: Annotated[float, "Peak learning rate; it falls along a cosine.", Gt(0)] = 5e-5
    beta: Annotated[float, "How strongly the reference holds.", Gt(0)] = 0.1
    loss_type: Annotated[
        Literal["kto", "apo_zero_unpaired"], "kto measures gains from the batch's KL, apo_zero_unpaired from zero."
    ] = "kto"
    desirable_weight: Annotated[float | None, "Of losses on good completions; none balances them.", Gt(0)] = None
    undesirable_weight: Annotated[float | None, "Of losses on bad completions; none balances them.", Gt(0)] = None
    epochs: Annotated[float, "Passes over the data.", Ge(0)] = 1.0
    max_steps: Annotated[int, "Steps, in place of epochs; -1 leaves it to epochs.", Ge(-1)] = -1
    batch_size: Annotated[int, "Completions a step, over all processes and passes.", Ge(1)] = 8
    seed: Annotated[int, "Of shuffling, and of adapters' first weights."] = 0
    lora: Lora = Lora()
    run: Run = Run()


def train_kto(config: KtoConfig, *, progress: Progress | None = None) -> TrainingReport:
    """Train and write a model folder. At first every row's loss is half its weight: policy and reference are equal.

    Raises:
        BadConfig: passes of a single row, which leave the KL term nothing to estimate from.
        BadDataset, BadModelFolder, TrainingFailed: as ``train_sft``.
    """
    refuse_overwriting(config.out)
    trainer, tokenizer, data = make_trainer(config)
    return run_trainer(trainer, config, method="kto", tokenizer=tokenizer, data=data, progress=progress)


def make_trainer(config: KtoConfig) -> tuple[Any, Any, dict[str, Any]]:
    """TRL's trainer, the tokenizer, and what the data are: digest, rows good and bad, their weights, rows left out."""
    from datasets import Dataset
    from trl.trainer.kto_config import KTOConfig

    from ..dataset import read_rows
    from .adapters import frozen_reference
    from .masked_kto import MaskedKTOTrainer, MaskedUnpairedCollator

    rows, manifest = read_rows(config.data, "kto")
    policy = open_policy(config)
    model, tokenizer, peft_config = policy
    context = model.config.max_position_embeddings
    kept, left_out = split_usable(
        rows,
        sequences=lambda row: [read_of(row)],
        trains=lambda row: any(([0] * len(row["prompt_ids"]) + row["completion_mask"])[1:]),  # none predicts the first
        context=context,
        vocabulary=model.get_input_embeddings().num_embeddings,
        base=config.base,
    )
    good = sum(bool(row["label"]) for row in kept)
    weights = balance(good, len(kept) - good, config.desirable_weight, config.undesirable_weight)
    at_once = rows_at_once(
        config.batch_size, max(len(read_of(row)) for row in kept), tokens_at_once=config.run.tokens_at_once
    )
    if config.loss_type == "kto" and at_once == 1:
        raise BadConfig(
            f"batch_size = {config.batch_size} with tokens_at_once = {config.run.tokens_at_once} reads one row at a "
            "time, but the KL term of kto needs several; raise one of them, or take loss_type apo_zero_unpaired"
        )
    trainer = MaskedKTOTrainer(
        model=model,
        ref_model=frozen_reference(policy),
        args=KTOConfig(
            **arguments_of(config, at_once=at_once),
            beta=config.beta,
            loss_type=config.loss_type,
            desirable_weight=weights.desirable,
            undesirable_weight=weights.undesirable,
            lr_scheduler_type="cosine",
            warmup_steps=5,
            max_length=None,
        ),
        data_collator=MaskedUnpairedCollator(
            pad_token_id=tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id,
            max_length=context,  # cuts KL completions after long prompts of other rows, and nothing else
            estimates_kl=config.loss_type == "kto",
        ),
        train_dataset=Dataset.from_list([{key: row[key] for key in COLUMNS} for row in kept]),
        processing_class=tokenizer,
        peft_config=peft_config,
    )
    data = {
        "digest": manifest["digest"],
        "rows": len(kept),
        "tokens": sum(len(read_of(row)) for row in kept),
        "desirable": good,
        "undesirable": len(kept) - good,
        "desirable_weight": weights.desirable,
        "undesirable_weight": weights.undesirable,
        **left_out,
    }
    return trainer, tokenizer, data


def read_of(row: dict[str, Any]) -> list[int]:
    """What the model reads of a row."""
    return row["prompt_ids"] + row["completion_ids"]


class Weights(NamedTuple):
    """What the losses of good and of bad completions count."""

    desirable: float
    undesirable: float


def balance(good: int, bad: int, desirable: float | None = None, undesirable: float | None = None) -> Weights:
    """The weights that are not given, so that good and bad losses together count between 1 : 1 and 4 : 3.

    That is equation 8 of the paper. A weight stays 1 where it can: the rarer side's is raised, no further than
    needed. With one side only both are 1.

    >>> balance(2, 10)
    Weights(desirable=5.0, undesirable=1.0)
    >>> balance(12, 3)
    Weights(desirable=1.0, undesirable=3.0)
    """
    first, second = desirable or 1.0, undesirable or 1.0
    if (desirable is not None and undesirable is not None) or not good or not bad:
        return Weights(first, second)
    ratio = first * good / (second * bad)
    factor = 1 / ratio if ratio < 1 else min(1.0, 4 / 3 / ratio)
    if undesirable is not None or (desirable is None and factor > 1):
        return Weights(first * factor, second)
    return Weights(first, second / factor)
