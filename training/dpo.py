"""Direct preference optimisation (Rafailov et al. 2023) on masked pairs.

TRL's DPOTrainer does the work, but its collator marks every token after the prompt, tool output
included. The collator here writes our masks instead, and rows pass through as the token ids that were
recorded. The reference is the base itself: a frozen copy, or with LoRA the model without its adapter.
"""

from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import BadDataset
from .report import Progress, TrainingReport, Watch, refuse_overwriting, save_folder
from .sft import lora_config, merged, quiet

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
    passes = trainer.state.global_step * config.batch_size / data["rows"]
    report = TrainingReport(
        method="dpo",
        out=config.out,
        steps=trainer.state.global_step,
        losses=watch.losses,
        seconds=result.metrics["train_runtime"],
        tokens=int(data["tokens"] * passes),
        config={**asdict(config), "data": data},
    )
    save_folder(merged(trainer.model), tokenizer, report)
    return report


def make_trainer(config: DpoConfig) -> tuple[Any, Any, dict[str, Any]]:
    """TRL's trainer, the tokenizer, and what the data are: digest, pairs, tokens, pairs left out."""
    import torch
    from datasets import Dataset

    from ..nodes.models.folder import load_model
    from .dataset import read_rows
    from .masked_dpo import MaskedDPOTrainer, MaskedPreferenceCollator, make_arguments

    rows, manifest = read_rows(config.data, "pairs")
    model, tokenizer = load_model(config.base)
    context = model.config.max_position_embeddings
    kept = [row for row in rows if longest(row) <= context]
    if not kept:
        raise BadDataset(
            f"all {len(rows)} pairs of {config.data} are longer than the {context} tokens of {config.base}; "
            "export with --max-length, or use a model with a longer context"
        )
    trainer = MaskedDPOTrainer(
        model=model,
        ref_model=None if config.lora_rank else deepcopy(model),
        args=make_arguments(config, gpu=torch.cuda.is_available()),
        data_collator=MaskedPreferenceCollator(pad_token_id=tokenizer.pad_token_id),
        train_dataset=Dataset.from_list([{key: row[key] for key in COLUMNS} for row in kept]),
        processing_class=tokenizer,
        peft_config=lora_config(config.lora_rank),
    )
    quiet(trainer)
    tokens = sum(tokens_of(row) for row in kept)
    data = {
        "digest": manifest["digest"],
        "rows": len(kept),
        "tokens": tokens,
        "too_long": len(rows) - len(kept),
    }
    return trainer, tokenizer, data


def longest(row: dict[str, Any]) -> int:
    """Tokens of the longer side of a pair, prompt included."""
    return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))


def tokens_of(row: dict[str, Any]) -> int:
    """Tokens of both sides of a pair, prompt counted twice as it is read twice."""
    return 2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"])
