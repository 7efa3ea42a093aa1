"""Training in several processes: the same command again under torchrun or accelerate, with a named config."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..errors import BadConfig, MissingLibrary

OURS = ("--launch", "--processes")


def accelerate_config(
    name: Annotated[str, typer.Argument(help="ddp, fsdp2, zero2 or zero3.")],
) -> None:
    """Print where a named config for `accelerate launch` lies, to copy it or use it by hand.

    Example: threadmill train accelerate-config fsdp2
    """
    typer.echo(str(config_file(name)))


def config_file(name: str) -> Path:
    """The file of a named config, or the file that ``name`` is.

    Raises:
        BadConfig: neither.
    """
    from ..training.recipes import __file__ as recipes

    folder = Path(recipes).parent / "accelerate"
    known = sorted(file.stem for file in folder.glob("*.yaml"))
    if name in known:
        return folder / f"{name}.yaml"
    if Path(name).is_file():
        return Path(name)
    raise BadConfig(f"{name!r} is no file and none of the configs {', '.join(known)}")


def launch_again(name: str, processes: int | None) -> None:
    """Replace this process by a launcher that runs the same command in several; returns only in one of those.

    Raises:
        BadConfig: no such config, or nothing says how many processes.
        MissingLibrary: DeepSpeed is needed.
    """
    if "LOCAL_RANK" in os.environ:  # this is one of them
        return
    command = launcher(name, processes, _without_ours(sys.argv[1:]))
    os.execv(command[0], command)


def launcher(name: str, processes: int | None, arguments: list[str]) -> list[str]:
    """The command that runs ``threadmill`` with ``arguments`` in several processes.

    Without a GPU that is torchrun, because ``accelerate launch --cpu`` silently runs one process.
    """
    from importlib.util import find_spec

    import torch

    gpus = torch.cuda.device_count()
    file = config_file(name)
    count = processes or gpus
    if not count:
        raise BadConfig("--launch without --processes takes one process for each GPU, but there is none; say how many")
    again = ["-m", "threadmill.cli.main", *arguments]
    if not gpus:
        if name != "ddp":
            raise BadConfig(f"--launch {name} spreads weights over GPUs, but there is none here; take --launch ddp")
        return [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}", *again]
    if "DEEPSPEED" in file.read_text(encoding="utf-8") and find_spec("deepspeed") is None:
        raise MissingLibrary(f"--launch {name} needs DeepSpeed; try `pip install deepspeed`, or --launch fsdp2")
    options = ["--config_file", str(file), "--num_processes", str(count)]
    return [sys.executable, "-m", "accelerate.commands.launch", *options, *again]


def _without_ours(arguments: list[str]) -> list[str]:
    kept, skip = [], False
    for argument in arguments:
        if skip or argument in OURS:
            skip = not skip
        elif not argument.startswith(tuple(f"{option}=" for option in OURS)):
            kept.append(argument)
    return kept
