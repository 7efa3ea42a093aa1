"""Runs TRL's trainer for any recipe: goes on from checkpoints, watches, and leaves a complete folder."""

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import BadConfig, MissingLibrary, ThreadmillError, TrainingFailed
from .processes import is_main_process, local_rank, process_count, process_number
from .report import Progress, TrainingReport, refuse_overwriting, save_folder, work_folder
from .resume import begin_or_go_on, newest_checkpoint, seconds_at, step_of

if TYPE_CHECKING:
    from .adapters import Policy


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
    """What every TRL config of ours is given; a step reads its rows in passes of ``at_once``.

    Raises:
        BadConfig: no step is to be taken.
    """
    import torch

    if getattr(config, "max_steps", -1) == 0:  # transformers would take one all the same
        raise BadConfig("max_steps = 0 leaves nothing to do; give at least 1, or -1 to set no limit")
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
        "report_to": [],  # tracking is ours
        "disable_tqdm": True,
        "bf16": uses_bfloat16(config),
        "activation_checkpointing": run.gradient_checkpointing,
        "dataloader_pin_memory": gpu,
        "use_cpu": not gpu,
        "ddp_find_unused_parameters": False,
    }


def run_trainer(
    trainer: Any,
    config: Any,
    *,
    method: str,
    tokenizer: Any,
    data: Mapping[str, Any],
    progress: Progress | None = None,
) -> TrainingReport:
    """Train and write the folder ``config.out``, going on from where a killed run of the same config stopped.

    ``data`` says what was trained on, and is read when that is over. A recipe that plays tasks has no ``tokens``
    in it, but a trainer that counts them as ``tokens_seen``.

    Raises:
        TrainingFailed: ``out`` exists, the unfinished run there is another, no step was taken, or it cannot go on.
        KeyboardInterrupt: somebody stopped the run; its message says how to go on.
    """
    from .bad_batch import KeptBatch
    from .memory import is_out_of_memory, what_to_lower
    from .tracking import trackers
    from .watch import NotFinite, Watch, curves_of, losses_of, stop_on_signals

    refuse_overwriting(config.out)
    if config.lora.merge and _is_spread(trainer) and hasattr(trainer.model, "peft_config"):
        raise BadConfig("lora.merge = true, but no process has all weights to fold the adapter into; save it alone")
    checkpoint = begin_or_go_on(config, data.get("digest"))
    watch = Watch(
        progress if is_main_process() else None,
        max_minutes=config.run.max_minutes,
        earlier_seconds=seconds_at(checkpoint) if checkpoint else 0.0,
        tokens=lambda state: _tokens(trainer, data, state),
    )
    quiet(trainer)
    for callback in (watch, *trackers(config, method)):
        trainer.add_callback(callback)
    batch = KeptBatch(trainer)
    try:
        if config.run.liger:
            use_liger(trainer.model)
        with stop_on_signals(watch):
            trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
        if watch.interrupted and trainer.state.global_step < trainer.state.max_steps:
            raise KeyboardInterrupt(_how_to_go_on(config, trainer.state.global_step))
        report = TrainingReport(
            method=method,
            out=config.out,
            steps=trainer.state.global_step,
            losses=losses_of(trainer.state.log_history),
            seconds=watch.seconds,
            tokens=round(_tokens(trainer, data, trainer.state)),
            config={**asdict(config), "data": dict(data)},
            curves=curves_of(trainer.state.log_history),
            stopped=watch.stopped,
            resumed_at=step_of(checkpoint) if checkpoint else None,
            noted=trainer.notes.taken if hasattr(trainer, "notes") else [],
        )
        _save(trainer, config, tokenizer, report)
    except NotFinite as error:
        part = f"-{process_number()}" if process_number() else ""  # each process has rows of its own
        file = config.out.with_name(f"{config.out.name}.bad-batch{part}.json")
        figures = {"step": trainer.state.global_step, "what": str(error), "log": trainer.state.log_history[-2:]}
        batch.write(file, tokenizer, getattr(config, "data", None), figures)
        raise TrainingFailed(
            f"{error}; the batch of that step is in {file}. Look at it, or lower the learning rate (now "
            f"{config.learning_rate:g})"
        ) from None
    except ThreadmillError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        advice = what_to_lower(config, at_once=trainer.args.per_device_train_batch_size)
        raise TrainingFailed(
            f"out of memory at step {trainer.state.global_step + 1}; what needs less: {advice}. (It was: {error})"
        ) from error
    finally:
        if newest_checkpoint(work_folder(config.out)) is None and is_main_process():
            shutil.rmtree(work_folder(config.out), ignore_errors=True)
    return report


def use_liger(model: Any) -> None:
    """Put Liger's kernels into ``model``.

    Raises:
        MissingLibrary: it is not installed.
        BadConfig: there is no GPU, or it has no kernels for such a model.
    """
    import torch

    try:
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as KNOWN  # pyright: ignore[reportMissingImports]
        from transformers.integrations.liger import apply_liger_kernel
    except ImportError as error:
        raise MissingLibrary("--liger needs liger-kernel; try `pip install 'threadmill[liger]'`") from error
    if not torch.cuda.is_available():
        raise BadConfig("liger = true, but its kernels need a GPU and torch sees none here; leave --liger out")
    if model.config.model_type not in KNOWN:
        raise BadConfig(f"Liger has no kernels for {model.config.model_type} models; leave --liger out")
    apply_liger_kernel(model, {"fused_linear_cross_entropy": False})  # it would keep the logits from TRL


def quiet(trainer: Any) -> None:
    """Take the callback away that prints every log line to stdout, where data goes."""
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)


def _save(trainer: Any, config: Any, tokenizer: Any, report: TrainingReport) -> None:
    """Write the folder in the main process; weights that are spread over processes are gathered first."""
    weights = trainer.accelerator.get_state_dict(trainer.model_wrapped) if _is_spread(trainer) else None
    if is_main_process():
        model = trainer.accelerator.unwrap_model(trainer.model).eval()
        save_folder(model, tokenizer, report, merge=config.lora.merge, weights=weights)
    trainer.accelerator.wait_for_everyone()


def _is_spread(trainer: Any) -> bool:
    """Whether each process holds a part of the weights only."""
    return trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled


def _tokens(trainer: Any, data: Mapping[str, Any], state: Any) -> float:
    """How many tokens have gone through the model: a recipe that plays tasks counts them itself."""
    return data["tokens"] * (state.epoch or 0.0) if "tokens" in data else trainer.tokens_seen


def _how_to_go_on(config: Any, step: int) -> str:
    if not config.run.save_every:
        return f"stopped after step {step}; save_every is 0, so nothing of it is kept"
    return f"stopped after step {step}, which is kept in {work_folder(config.out)}; the same command goes on from there"
