"""``threadmill train``: better weights from a data set folder, or from tasks played live."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .place import DEFAULT_DB, Database

if TYPE_CHECKING:
    from ..training.recipes.report import TrainingReport

app = typer.Typer(help="Train with TRL on what the threads recorded.", no_args_is_help=True)

Data = Annotated[Path, typer.Option("--data", help="A folder that `threadmill export` wrote.")]
Base = Annotated[str, typer.Option(help="SPEC: a folder, a hub name, 'seed', or slot@alias of the registry.")]
Out = Annotated[Path, typer.Option(help="The new model folder; must not exist.")]
Steps = Annotated[int, typer.Option(help="Steps; overrides --epochs if positive.")]
Epochs = Annotated[float, typer.Option(min=0, help="Passes over the data.")]
Rate = Annotated[float, typer.Option(min=0, help="Peak learning rate.")]
Batch = Annotated[int, typer.Option(min=1, help="Rows (or pairs) a step.")]
Lora = Annotated[int, typer.Option(min=0, help="LoRA rank; 0 trains all weights.")]
Seed = Annotated[int, typer.Option(help="Of shuffling.")]
Register = Annotated[str | None, typer.Option(help="Register the result as a version of this slot.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command()
def sft(
    data: Data,
    out: Out,
    base: Base = "seed",
    steps: Steps = -1,
    epochs: Epochs = 2.0,
    learning_rate: Rate = 3e-4,
    batch_size: Batch = 16,
    lora: Lora = 0,
    seed: Seed = 0,
    register: Register = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Supervised fine-tuning on masked rows.

    Example: threadmill train sft --data out/sft --base seed --out out/models/sft
    """
    from ..training.recipes.settings import Lora
    from ..training.recipes.sft import SftConfig, train_sft
    from .progress import progress_bar

    folder, version = _open_base(base, db)
    config = SftConfig(
        data, folder, out, learning_rate, epochs, steps, batch_size, seed=seed, lora=Lora(rank=lora, merge=True)
    )
    with progress_bar("train sft") as progress:
        report = train_sft(config, progress=progress)
    _finish(report, version, register, db, as_json)


@app.command()
def dpo(
    data: Data,
    out: Out,
    base: Base = "seed",
    steps: Steps = -1,
    epochs: Epochs = 1.0,
    learning_rate: Rate = 5e-5,
    beta: Annotated[float, typer.Option(min=0, help="How strongly the reference holds.")] = 0.1,
    batch_size: Batch = 8,
    lora: Lora = 0,
    seed: Seed = 0,
    register: Register = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Direct preference optimisation on masked pairs.

    Example: threadmill train dpo --data out/pairs --base out/models/sft --out out/models/dpo
    """
    from ..training.recipes.dpo import DpoConfig, train_dpo
    from ..training.recipes.settings import Lora
    from .progress import progress_bar

    folder, version = _open_base(base, db)
    config = DpoConfig(data, folder, out, learning_rate, beta, epochs, steps, batch_size, seed, Lora(lora, merge=True))
    with progress_bar("train dpo") as progress:
        report = train_dpo(config, progress=progress)
    _finish(report, version, register, db, as_json)


@app.command()
def grpo(
    world: Annotated[str, typer.Argument(help="The world whose tasks are played; built in: helpdesk.")],
    out: Out,
    base: Base = "seed",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps, each with fresh episodes.")] = 4,
    learning_rate: Rate = 5e-5,
    tasks: Annotated[int, typer.Option(min=1, help="Training tasks per tier to draw from.")] = 60,
    seed: Seed = 0,
    register: Register = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Group relative policy optimisation: the policy plays tasks through the real graph.

    Example: threadmill train grpo helpdesk --base out/models/dpo --out out/models/grpo --steps 4
    """
    from ..checkpoints.store import open_store
    from ..training.grpo_helpdesk import HelpdeskRollout
    from ..training.recipes.grpo import GrpoConfig, train_grpo
    from ..training.worlds.helpdesk import make_tasks
    from .progress import progress_bar
    from .rollout import check_suite

    check_suite(world)
    folder, version = _open_base(base, db)
    config = GrpoConfig(folder, out, steps=steps, learning_rate=learning_rate, seed=seed)
    with open_store(db) as store, progress_bar("train grpo") as progress:
        rollout = HelpdeskRollout(store, make_tasks("train", tasks, seed), seed=seed, prefix=f"grpo-{out.name}")
        report = train_grpo(config, list(rollout.tasks), rollout, progress=progress)
        rollout.record(report)
    _finish(report, version, register, db, as_json)


def _open_base(spec: str, db: str) -> tuple[str, str | None]:
    """The folder or hub name that ``spec`` stands for, and the registered version that it is, if any.

    An alias is followed once, here: it may have moved on when training is done.
    """
    from ..training.slots import model_folder, read_spec

    if read_spec(spec).kind != "version":
        return model_folder(None, spec), None
    from ..checkpoints.registry import resolve
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        version = resolve(store, spec)
    return version.folder, version.name


def _finish(report: "TrainingReport", base: str | None, register: str | None, db: str, as_json: bool) -> None:
    version = None
    if register is not None:
        from ..checkpoints.registry import register_version
        from ..checkpoints.store import open_store
        from ..training.recipes.lineage import lineage_of

        with open_store(db) as store:
            version = register_version(store, register, report.out, lineage=lineage_of(report), base=base).name
    record = {
        "version": version,
        "steps": report.steps,
        "loss_first": report.loss_first,
        "loss_last": report.loss_last,
        "tokens_per_second": round(report.tokens_per_second, 1),
        "out": str(report.out),
    }
    if as_json:
        typer.echo(json.dumps(record))
        return
    typer.echo(
        f"{report.method}: {report.steps} steps, loss {report.loss_first:.4f} → {report.loss_last:.4f}, "
        f"{report.tokens_per_second:.0f} tokens/s\nwritten to {report.out}"
    )
    if version:
        typer.echo(f"registered as {version}")
