"""Runs TRL's trainer for any recipe: goes on from checkpoints, watches, and leaves a complete folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .config import to_toml
from .processes import is_main_process, local_rank, process_count
from .report import Progress, TrainingReport, refuse_overwriting, save_folder, work_folder

if TYPE_CHECKING:
    from .adapters import Policy

RUN_RECORD = "run.json"
"""In the work folder: what the run is, so that another one does not go on from its checkpoints."""
MAY_CHANGE = ("max_minutes", "save_every", "track")
"""Settings of ``Run`` that another start of the same run may change."""
COMPLETE = "complete.json"
"""In a checkpoint that was written to its end: the seconds that the run had taken."""


def open_policy(config: Any) -> "Policy":
    """The model, tokenizer and PEFT settings of ``config.base``, in the precision that ``config.run`` asks for.

    Weights that are trained stay in float32, because steps of AdamW are too small for bfloat16; those under an
    adapter are loaded in what they compute in. A base that is an adapter's folder is continued.
    """
    import torch

    from .adapters import open_base

    if torch.cuda.is_available() and process_count() > 1:
        torch.cuda.set_device(local_rank())
    adapted = bool(config.lora.rank) or is_adapter_folder(config.base)
    return open_base(config.base, config.lora, dtype="bfloat16" if adapted and uses_bfloat16(config) else "float32")


def uses_bfloat16(config: Any) -> bool:
    """Whether layers compute in bfloat16."""
    import torch

    return torch.cuda.is_available() if config.run.precision == "auto" else config.run.precision == "bfloat16"


def is_adapter_folder(base: str) -> bool:
    """Whether ``base`` is a folder on this machine that holds an adapter."""
    return (Path(base).expanduser() / "adapter_config.json").is_file()


def arguments_of(config: Any, *, at_once: int) -> dict[str, Any]:
    """What every TRL config of ours is given; a step reads its rows in passes of ``at_once``."""
    import torch

    gpu = torch.cuda.is_available()
    run = config.run
    batch_size = getattr(config, "batch_size", at_once * process_count())
    return {
        "output_dir": str(work_folder(config.out)),
        "learning_rate": config.learning_rate,
        "num_train_epochs": getattr(config, "epochs", 1.0),
        "max_steps": getattr(config, "max_steps", -1),
        "per_device_train_batch_size": at_once,
        "gradient_accumulation_steps": batch_size // (at_once * process_count()),
        "seed": config.seed,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # it would log 0 in place of a loss that is not a number
        "save_strategy": "steps" if run.save_every else "no",
        "save_steps": run.save_every or 500,
        "save_total_limit": 2,
        "report_to": list(run.track),
        "disable_tqdm": True,
        "bf16": uses_bfloat16(config),
        "activation_checkpointing": run.gradient_checkpointing,
        "dataloader_pin_memory": gpu,
        "use_cpu": not gpu,
    }


def run_trainer(
    trainer: Any, config: Any, *, method: str, tokenizer: Any, data: Mapping[str, Any], progress: Progress | None = None
) -> TrainingReport:
    """Train and write the folder ``config.out``; ``data`` says what was trained on, and is read when that is over.

    Raises:
        TrainingFailed: ``out`` exists, the unfinished run there is another, no step was taken, or it cannot go on.
    """
    from .watch import Watch, curves_of, losses_of

    refuse_overwriting(config.out)
    quiet(trainer)
    watch = Watch(progress if is_main_process() else None, max_minutes=config.run.max_minutes)
    trainer.add_callback(watch)
    checkpoint = begin_or_go_on(config, data.get("digest"))
    trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    state = trainer.state
    report = TrainingReport(
        method=method,
        out=config.out,
        steps=state.global_step,
        losses=losses_of(state.log_history),
        seconds=watch.seconds,
        tokens=trainer.tokens_seen if "tokens" not in data else round(data["tokens"] * state.epoch),
        config={**asdict(config), "data": dict(data)},
        curves=curves_of(state.log_history),
        stopped=watch.stopped,
    )
    if is_main_process():
        model = trainer.accelerator.unwrap_model(trainer.model).eval()
        save_folder(model, tokenizer, report, merge=config.lora.merge)
    trainer.accelerator.wait_for_everyone()
    return report


def begin_or_go_on(config: Any, digest: str | None) -> Path | None:
    """The newest checkpoint of the unfinished run of ``config``, or None for a new run, which is noted.

    Raises:
        TrainingFailed: the unfinished run there has another config or other data.
    """
    work = work_folder(config.out)
    checkpoints = [path.parent for path in work.glob(f"checkpoint-*/{COMPLETE}")]
    if checkpoints:
        return max(checkpoints, key=lambda path: int(path.name.rpartition("-")[2]))
    if is_main_process():
        work.mkdir(parents=True, exist_ok=True)
        record = {"config": to_toml(config), "data": digest, "processes": process_count()}
        (work / RUN_RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return None


def quiet(trainer: Any) -> None:
    """Take the callback away that prints every log line to stdout, where data goes."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)
