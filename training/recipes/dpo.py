"""Direct preference optimisation (Rafailov et al. 2023) on masked pairs.

TRL's DPOTrainer does the work, but its collator marks every token after the prompt, tool output
included. The collator here writes our masks instead, and rows pass through as the token ids that were
recorded. The reference is the base itself: a frozen copy, or with LoRA the model without its adapter.
"""

from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .report import Progress, TrainingReport, Watch, refuse_overwriting, save_folder
from .sft import lora_config, merged, quiet
from .usable import rows_at_once, split_usable

COLUMNS = ("prompt_ids", "chosen_ids", "chosen_mask", "rejected_ids", "rejected_mask")


@dataclass(frozen=True)
class DpoConfig:
    """Settings of one run; the defaults suit the seed policy."""

    data: Path
    base: str
    out: Path
    learning_rate: float = 5e-5
    beta: float = 0.1
    epochs: float = 1.0
    max_steps: int = -1
    batch_size: int = 8
    lora_rank: int = 0
    seed: int = 0


def train_dpo(config: DpoConfig, *, progress: Progress | None = None) -> TrainingReport:
    """Train and write a complete model folder. The first loss is ln 2: policy and reference are equal.

    Raises:
        BadDataset, BadModelFolder, TrainingFailed: as ``train_sft``.
    """
    refuse_overwriting(config.out)
    watch = Watch(progress)
    trainer, tokenizer, data = make_trainer(config)
    trainer.add_callback(watch)
    result = trainer.train()
    report = TrainingReport(
        method="dpo",
        out=config.out,
        steps=trainer.state.global_step,
        losses=watch.losses,
        seconds=result.metrics["train_runtime"],
        tokens=round(data["tokens"] * trainer.state.epoch),
        config={**asdict(config), "data": data},
    )
    save_folder(merged(trainer.model), tokenizer, report)
    return report


def make_trainer(config: DpoConfig) -> tuple[Any, Any, dict[str, Any]]:
    """TRL's trainer, the tokenizer, and what the data are: digest, pairs, tokens, pairs left out."""
    import torch
    from datasets import Dataset

    from ...nodes.models.folder import load_model
    from ..dataset import read_rows
    from .masked_dpo import MaskedDPOTrainer, MaskedPreferenceCollator, make_arguments

    rows, manifest = read_rows(config.data, "pairs")
    model, tokenizer = load_model(config.base)
    kept, left_out = split_usable(
        rows,
        sequences=both_sides,
        trains=lambda row: any(row["chosen_mask"]) or any(row["rejected_mask"]),
        context=model.config.max_position_embeddings,
        vocabulary=model.get_input_embeddings().num_embeddings,
        base=config.base,
    )
    longest = max(len(ids) for row in kept for ids in both_sides(row))
    at_once = rows_at_once(config.batch_size, 2 * longest)
    padding = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    trainer = MaskedDPOTrainer(
        model=model,
        ref_model=None if config.lora_rank else deepcopy(model),
        args=make_arguments(config, at_once, gpu=torch.cuda.is_available()),
        data_collator=MaskedPreferenceCollator(pad_token_id=padding),
        train_dataset=Dataset.from_list([{key: row[key] for key in COLUMNS} for row in kept]),
        processing_class=tokenizer,
        peft_config=lora_config(config.lora_rank),
    )
    quiet(trainer)
    tokens = sum(len(ids) for row in kept for ids in both_sides(row))
    data = {"digest": manifest["digest"], "rows": len(kept), "tokens": tokens, **left_out}
    return trainer, tokenizer, data


def both_sides(row: dict[str, Any]) -> list[list[int]]:
    """The chosen and the rejected side of a pair, each with the prompt, as the model reads them."""
    return [row["prompt_ids"] + row["chosen_ids"], row["prompt_ids"] + row["rejected_ids"]]
