"""Supervised fine-tuning on masked rows: imitate what was sampled in good threads, and what humans wrote.

TRL's SFTTrainer does the work; rows go in as ``input_ids`` and ``labels``, exactly as they were exported.
The loss is the mean over all trained tokens of a step. Packed rows do not see each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt

from .harness import arguments_of, open_policy, run_trainer
from .report import Progress, TrainingReport, refuse_overwriting
from .settings import Lora, Run
from .usable import Row, rows_at_once, split_usable

IGNORED = -100


@dataclass(frozen=True)
class SftConfig:
    """Settings of one run; the defaults suit the seed policy."""

    data: Annotated[Path, "A folder that `threadmill export sft` wrote."]
    base: Annotated[str, "The model to train: a folder, an adapter's folder, or a hub name."]
    out: Annotated[Path, "The new model folder; it must not exist."]
    learning_rate: Annotated[float, "Peak learning rate; it falls along a cosine.", Gt(0)] = 3e-4
    epochs: Annotated[float, "Passes over the data.", Ge(0)] = 2.0
    max_steps: Annotated[int, "Steps, in place of epochs; -1 leaves it to epochs.", Ge(-1)] = -1
    batch_size: Annotated[int, "Rows a step, over all processes and passes.", Ge(1)] = 16
    packing: Annotated[
        int, "Fit rows into sequences of so many tokens, which the batch counts then; 0 pads.", Ge(0)
    ] = 0
    seed: Annotated[int, "Of shuffling, and of adapters' first weights."] = 0
    lora: Lora = Lora()
    run: Run = Run()


def train_sft(config: SftConfig, *, progress: Progress | None = None) -> TrainingReport:
    """Train and write a model folder: complete, or an adapter with ``lora``.

    Raises:
        BadDataset: no usable row.
        BadModelFolder: the base cannot be opened.
        TrainingFailed: ``out`` exists, no step was taken, or loss or weights are not numbers any more.
    """
    refuse_overwriting(config.out)
    trainer, tokenizer, data = make_trainer(config)
    return run_trainer(trainer, config, method="sft", tokenizer=tokenizer, data=data, progress=progress)


def make_trainer(config: SftConfig) -> tuple[Any, Any, dict[str, Any]]:
    """TRL's trainer, the tokenizer, and what the data are: digest, rows, tokens, rows left out."""
    from ..dataset import read_rows

    rows, manifest = read_rows(config.data, "sft")
    trainer, tokenizer, used = trainer_on(rows, config)
    return trainer, tokenizer, {"digest": manifest["digest"], **used}


def trainer_on(rows: Sequence[Row], config: Any) -> tuple[Any, Any, dict[str, int]]:
    """TRL's trainer on ``rows``, the tokenizer, and how many rows and tokens are used and how many rows are not."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    model, tokenizer, peft_config = open_policy(config)
    length = min(model.config.max_position_embeddings, config.packing or model.config.max_position_embeddings)
    kept, left_out = split_usable(
        rows,
        sequences=lambda row: [row["input_ids"]],
        trains=lambda row: any(label != IGNORED for label in row["labels"][1:]),  # the first has no prediction
        context=length,
        vocabulary=model.get_input_embeddings().num_embeddings,
        base=config.base,
    )
    longest = length if config.packing else max(len(row["input_ids"]) for row in kept)
    at_once = rows_at_once(config.batch_size, longest, tokens_at_once=config.run.tokens_at_once)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            **arguments_of(config, at_once=at_once),
            lr_scheduler_type="cosine",
            warmup_steps=5,
            max_length=length,
            packing=bool(config.packing),
        ),
        train_dataset=Dataset.from_list([{key: row[key] for key in ("input_ids", "labels")} for row in kept]),
        processing_class=tokenizer,
        peft_config=peft_config,
    )
    tokens = sum(len(row["input_ids"]) for row in kept)
    return trainer, tokenizer, {"rows": len(kept), "tokens": tokens, **left_out}
