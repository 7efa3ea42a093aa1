"""Direct preference optimisation (Rafailov et al. 2023) on masked pairs.

TRL's DPOTrainer does the work, but its collator marks every token after the prompt, tool output
included. The collator here writes our masks instead, and rows pass through as the token ids that were
recorded. The reference is the policy as the run begins: a frozen copy, or with a new adapter the model without it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from ...errors import BadConfig
from .harness import arguments_of, open_policy, run_trainer
from .processes import process_count
from .report import Progress, TrainingReport, refuse_overwriting
from .settings import Lora, Run
from .usable import rows_at_once, split_usable

# fmt: off
LossType = Literal[
    "sigmoid", "ipo", "hinge", "robust", "sigmoid_norm", "exo_pair", "apo_zero", "apo_down",
    "bco_pair", "nca_pair", "sppo_hard", "discopop",
]
# fmt: on
"""TRL's losses of a pair. Left out are those that sort over the batch, because a step may be several passes."""

COLUMNS = ("prompt_ids", "chosen_ids", "chosen_mask", "rejected_ids", "rejected_mask")


@dataclass(frozen=True)
class DpoConfig:
    """Settings of one run; the defaults suit the seed policy."""

    data: Annotated[Path, "A folder that `threadmill export pairs` wrote."]
    base: Annotated[str, "The model to train: a folder, an adapter's folder, or a hub name."]
    out: Annotated[Path, "The new model folder; it must not exist."]
    learning_rate: Annotated[float, "Peak learning rate; it falls along a cosine.", Gt(0)] = 5e-5
    beta: Annotated[float, "How strongly the reference holds.", Gt(0)] = 0.1
    loss_type: Annotated[LossType, "The loss of a pair, by TRL's name; sigmoid is DPO's own."] = "sigmoid"
    label_smoothing: Annotated[
        float, "How many pairs are the wrong way round; robust and exo_pair use it.", Ge(0), Lt(0.5)
    ] = 0.0
    sft_weight: Annotated[float, "Weight of a second loss that imitates the chosen side (RPO).", Ge(0)] = 0.0
    precompute_reference: Annotated[
        bool, "Score all rows with the reference before training: no second model in memory, one pass for all epochs."
    ] = False
    epochs: Annotated[float, "Passes over the data.", Ge(0)] = 1.0
    max_steps: Annotated[int, "Steps, in place of epochs; -1 leaves it to epochs.", Ge(-1)] = -1
    batch_size: Annotated[int, "Pairs a step, over all processes and passes.", Ge(1)] = 8
    seed: Annotated[int, "Of shuffling, and of adapters' first weights."] = 0
    lora: Lora = Lora()
    run: Run = Run()


def train_dpo(config: DpoConfig, *, progress: Progress | None = None) -> TrainingReport:
    """Train and write a model folder. The first loss (sigmoid) is ln 2: policy and reference are equal.

    Raises:
        BadConfig: settings that do not go together.
        BadDataset, BadModelFolder, TrainingFailed: as ``train_sft``.
    """
    refuse_overwriting(config.out)
    trainer, tokenizer, data = make_trainer(config)
    return run_trainer(trainer, config, method="dpo", tokenizer=tokenizer, data=data, progress=progress)


def make_trainer(config: DpoConfig) -> tuple[Any, Any, dict[str, Any]]:
    """TRL's trainer, the tokenizer, and what the data are: digest, pairs, tokens, pairs left out."""
    from datasets import Dataset
    from trl.trainer.dpo_config import DPOConfig

    from ..dataset import read_rows
    from .adapters import frozen_reference
    from .masked_dpo import MaskedDPOTrainer, MaskedPreferenceCollator

    _check(config)
    rows, manifest = read_rows(config.data, "pairs")
    policy = open_policy(config)
    model, tokenizer, peft_config = policy
    kept, left_out = split_usable(
        rows,
        sequences=both_sides,
        trains=lambda row: _trains(row, "chosen") or (not config.sft_weight and _trains(row, "rejected")),
        context=model.config.max_position_embeddings,
        vocabulary=model.get_input_embeddings().num_embeddings,
        base=config.base,
    )
    longest = max(len(ids) for row in kept for ids in both_sides(row))
    at_once = rows_at_once(config.batch_size, 2 * longest, tokens_at_once=config.run.tokens_at_once)
    padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    trainer = MaskedDPOTrainer(
        model=model,
        ref_model=None if config.precompute_reference else frozen_reference(policy),
        args=DPOConfig(
            **arguments_of(config, at_once=at_once),
            beta=config.beta,
            loss_type=[config.loss_type, *(["sft"] if config.sft_weight else [])],
            loss_weights=[1.0, *([config.sft_weight] if config.sft_weight else [])],
            label_smoothing=config.label_smoothing,
            precompute_ref_log_probs=config.precompute_reference,
            lr_scheduler_type="cosine",
            warmup_steps=5,
            max_length=None,
        ),
        data_collator=MaskedPreferenceCollator(pad_token_id=padding),
        train_dataset=Dataset.from_list([{key: row[key] for key in COLUMNS} for row in kept]),
        processing_class=tokenizer,
        peft_config=peft_config,
    )
    tokens = sum(len(ids) for row in kept for ids in both_sides(row))
    data = {"digest": manifest["digest"], "rows": len(kept), "tokens": tokens, **left_out}
    return trainer, tokenizer, data


def _check(config: DpoConfig) -> None:
    if config.loss_type == "exo_pair" and not config.label_smoothing:
        raise BadConfig("loss_type = 'exo_pair' divides by label_smoothing, which is 0; its paper takes 0.001")
    if config.precompute_reference and process_count() > 1:
        raise BadConfig(
            f"precompute_reference writes a cache that {process_count()} processes cannot share; "
            "leave it out, or train in one process"
        )


def _trains(row: dict[str, Any], side: str) -> bool:
    """Whether any token of the side is trained; nothing predicts the first of a row."""
    return any(([0] * len(row["prompt_ids"]) + row[f"{side}_mask"])[1:])


def both_sides(row: dict[str, Any]) -> list[list[int]]:
    """The chosen and the rejected side of a pair, each with the prompt, as the model reads them."""
    return [row["prompt_ids"] + row["chosen_ids"], row["prompt_ids"] + row["rejected_ids"]]
