"""``threadmill train``: better weights from a data set folder, or from tasks played live.

Every method has the same options around those that its config brings: see ``Methods``.
"""

import json
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from ..errors import BadConfig
from .place import DEFAULT_DB, Database
from .train_base import open_base, register
from .train_launch import accelerate_config, launch_again
from .train_options import with_settings

if TYPE_CHECKING:
    from ..training.recipes.methods import Method
    from ..training.recipes.report import TrainingReport

Config = Annotated[Path | None, typer.Option("--config", help="Settings in TOML; options given here come first.")]
Print = Annotated[bool, typer.Option("--print-config", help="Print all settings as TOML, and train nothing.")]
Register = Annotated[str | None, typer.Option("--register", help="Register the result as a version of this slot.")]
Launch = Annotated[
    str | None, typer.Option(help="Train in several processes: ddp, fsdp2, zero2, zero3 or a YAML file.")
]
Processes = Annotated[int | None, typer.Option(min=1, help="How many, with --launch; as many as there are GPUs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
HELP = {"base": "SPEC of the model to train: a folder, an adapter's, a hub name, or slot@alias. [default: seed]"}
"""Of settings that mean more here than in a recipe."""


def train(
    method: str,
    flags: Mapping[str, Any],
    config: Path | None,
    print_config: bool,
    slot: str | None,
    db: str,
    launch: str | None,
    processes: int | None,
    as_json: bool,
) -> None:
    """What every command of the group does."""
    from dataclasses import replace

    from ..training.recipes.config import given_values, load_config, write_toml
    from ..training.recipes.methods import METHODS

    recipe = METHODS[method]
    kind = recipe.config_class()
    try:
        if "base" not in given_values(kind, config, flags):
            flags = {**flags, "base": "seed"}
        if print_config:
            typer.echo(write_toml(kind, given_values(kind, config, flags)), nl=False)
            return
        settings: Any = load_config(kind, config, flags)
    except BadConfig as error:  # wrong usage, and not something that failed
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    if launch is not None:
        launch_again(launch, processes)
    folder, version = open_base(settings.base, db)
    report = _run(method, recipe, replace(settings, base=folder), db)
    if _is_main_process():
        name = None if slot is None else register(report, slot, version, db)
        _tell(report, name, as_json)


def _run(method: str, recipe: "Method", settings: Any, db: str) -> "TrainingReport":
    from contextlib import ExitStack

    from .progress import progress_bar

    _quiet_libraries()
    try:
        with ExitStack() as stack:
            progress = stack.enter_context(progress_bar(f"train {method}")) if _is_main_process() else None
            if not recipe.plays:
                return recipe.train_function()(settings, progress=progress)
            from ..checkpoints.store import open_store

            store = stack.enter_context(open_store(db))
            return recipe.train_function()(settings, store, progress=progress)
    except KeyboardInterrupt as stop:
        if not stop.args:
            raise
        if _is_main_process():
            typer.echo(stop.args[0], err=True)
        raise typer.Exit(130) from None  # told


def _is_main_process() -> bool:
    from ..training.recipes.processes import is_main_process

    return is_main_process()


def _quiet_libraries() -> None:
    """Their bars for single seconds of work; ours tells more."""
    from datasets import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bars()
    disable_progress_bar()


def _tell(report: "TrainingReport", version: str | None, as_json: bool) -> None:
    from ..training.rewards.hacking import find_signs
    from ..training.rewards.series import series_of

    signs = find_signs(series_of(report.noted))
    record = {
        "version": version,
        "steps": report.steps,
        "loss_first": report.loss_first,
        "loss_last": report.loss_last,
        "tokens_per_second": round(report.tokens_per_second, 1),
        "out": str(report.out),
        "stopped": report.stopped,
        "signs": [{"kind": sign.kind, "reward": sign.reward, "words": sign.words} for sign in signs],
    }
    if as_json:
        typer.echo(json.dumps(record))
        return
    typer.echo(
        f"{report.method}: {report.steps} steps, loss {report.loss_first:.4f} → {report.loss_last:.4f}, "
        f"{report.tokens_per_second:.0f} tokens/s"
    )
    if report.stopped:
        typer.echo(f"stopped {report.stopped}; what was learnt until then is saved")
    for sign in signs:
        typer.echo(f"{'ALARM' if sign.kind == 'hacking' else 'hint'}: {sign.words}")
    typer.echo(f"written to {report.out}")
    if version:
        typer.echo(f"registered as {version}")


def _command(method: str, recipe: "Method") -> Any:
    """The command of a method: the options of its config, and those that all methods share."""

    def run(
        flags: Any,
        config: Config = None,
        print_config: Print = False,
        slot: Register = None,
        db: Database = DEFAULT_DB,
        launch: Launch = None,
        processes: Processes = None,
        as_json: AsJson = False,
    ) -> None:
        train(method, flags, config, print_config, slot, db, launch, processes, as_json)

    single = typer.Typer(add_completion=False)
    text = f"{recipe.help}\n\nExample: threadmill train {method} {recipe.example}"
    single.command(method, help=text)(with_settings(run, recipe.config_class(), HELP))
    return get_command(single)


class Commands(MutableMapping[str, Any]):
    """Commands by name; that of a method is made when it is asked for, because its options are its config's fields."""

    def __init__(self, made: Mapping[str, Any]) -> None:
        from ..training.recipes.methods import METHODS

        self.methods = METHODS
        self.made = dict(made)

    def __getitem__(self, name: str) -> Any:
        if name not in self.made:
            self.made[name] = _command(name, self.methods[name])
        return self.made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self.made[name] = command

    def __delitem__(self, name: str) -> None:
        del self.made[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.methods, *(name for name in self.made if name not in self.methods)])

    def __len__(self) -> int:
        return len(list(iter(self)))


class Methods(TyperGroup):
    """The methods that the recipes offer, as commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Commands(self.commands)


app = typer.Typer(cls=Methods, help="Train with TRL on what the threads recorded.", no_args_is_help=True)
app.command("accelerate-config")(accelerate_config)
