"""Supervised fine-tuning on masked rows: imitate what was sampled in good threads, and what humans wrote.

On rows of successful threads this is rejection sampling fine-tuning (RFT, Yuan et al. 2023). TRL's
SFTTrainer does the work; rows go in as ``input_ids`` and ``labels``, exactly as they were exported.
Left out here: packing, mixing, resuming in the middle.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..rows import IGNORED
from .report import Progress, TrainingReport, Watch, refuse_overwriting, save_folder
from .usable import rows_at_once, split_usable


@dataclass(frozen=True)
class SftConfig:
    """Settings of one run; the defaults suit the seed policy."""

    data: Path
    base: str
    """Folder or hub name."""
    out: Path
    learning_rate: float = 3e-4
    epochs: float = 2.0
    max_steps: int = -1
    """Overrides ``epochs`` if positive."""
    batch_size: int = 16
    lora_rank: int = 0
    """0 trains all weights; otherwise LoRA on all linear layers, merged when saved."""
    seed: int = 0


def train_sft(config: SftConfig, *, progress: Progress | None = None) -> TrainingReport:
    """Train and write a complete model folder.

    Raises:
        BadDataset: no usable row.
        BadModelFolder: the base cannot be opened.
        TrainingFailed: ``out`` exists, no step was taken, or loss or weights are not numbers any more.
    """
    refuse_overwriting(config.out)
    watch = Watch(progress)
    trainer, tokenizer, data = make_trainer(config)
    trainer.add_callback(watch)
    result = trainer.train()
    report = TrainingReport(
        method="sft",
        out=config.out,
        steps=trainer.state.global_step,
        losses=watch.losses,
        seconds=result.metrics["train_runtime"],
        tokens=round(data["tokens"] * trainer.state.epoch),
        config={**asdict(config), "data": data},
    )
    save_folder(merged(trainer.model), tokenizer, report)
    return report


def make_trainer(config: SftConfig) -> tuple[Any, Any, dict[str, Any]]:
    """TRL's trainer, the tokenizer, and what the data are: digest, rows, tokens, rows left out."""
    import torch
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from ...nodes.models.folder import load_model
    from ..dataset import read_rows

    rows, manifest = read_rows(config.data, "sft")
    model, tokenizer = load_model(config.base)
    context = model.config.max_position_embeddings
    kept, left_out = split_usable(
        rows,
        sequences=lambda row: [row["input_ids"]],
        trains=lambda row: any(label != IGNORED for label in row["labels"][1:]),  # the first has no prediction
        context=context,
        vocabulary=model.get_input_embeddings().num_embeddings,
        base=config.base,
    )
    at_once = rows_at_once(config.batch_size, max(len(row["input_ids"]) for row in kept))
    gpu = torch.cuda.is_available()
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(config.out.with_name(f".{config.out.name}.trainer")),
            learning_rate=config.learning_rate,
            lr_scheduler_type="cosine",
            warmup_steps=5,
            num_train_epochs=config.epochs,
            max_steps=config.max_steps,
            per_device_train_batch_size=at_once,
            gradient_accumulation_steps=config.batch_size // at_once,
            max_length=context,
            seed=config.seed,
            logging_steps=1,
            logging_nan_inf_filter=False,  # it would log 0 in place of a loss that is not a number
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            bf16=gpu,
            activation_checkpointing=gpu,
            dataloader_pin_memory=gpu,
            use_cpu=not gpu,
        ),
        train_dataset=Dataset.from_list([{key: row[key] for key in ("input_ids", "labels")} for row in kept]),
        processing_class=tokenizer,
        peft_config=lora_config(config.lora_rank),
    )
    quiet(trainer)
    tokens = sum(len(row["input_ids"]) for row in kept)
    data = {"digest": manifest["digest"], "rows": len(kept), "tokens": tokens, **left_out}
    return trainer, tokenizer, data


def lora_config(rank: int) -> Any:
    """PEFT's settings for LoRA of this rank on all linear layers; None for rank 0."""
    if not rank:
        return None
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


def merged(model: Any) -> Any:
    """The model with its adapter, if it has one, folded into the weights."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def quiet(trainer: Any) -> None:
    """Take the callback away that prints every log line to stdout, where data goes."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
