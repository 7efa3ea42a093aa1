"""``threadmill export``: turn labelled threads into masked data sets, and look at them."""

from typing import Annotated, Any

import typer

from . import look
from .export_options import Export, exports
from .export_report import report

app = typer.Typer(no_args_is_help=True, help="Turn labelled threads into data sets for training.")


@app.command("sft")
@exports
def sft_command(export: Export) -> None:
    """Write masked SFT rows of successful threads.

    Example: threadmill export sft --out data/sft --where agent=helpdesk
    """
    from ..training.export import export_sft

    report(export, export.run(export_sft, **export.rendering(), selection=export.selection(good=True)))


@app.command("pairs")
@exports
def pairs_command(
    export: Export,
    continuation: Annotated[
        str, typer.Option(help="Compare all that follows (whole), or the differing turn (turn).")
    ] = "whole",
    max_pairs_per_task: Annotated[int, typer.Option(min=0, help="Pairs of trials, of each task.")] = 4,
    min_reward_gap: Annotated[float, typer.Option(min=0, help="Rewards of two trials must differ by more.")] = 0.0,
) -> None:
    """Write preference pairs: human edits, preferences, trials of one task, branches, repaired calls.

    Example: threadmill export pairs --out data/pairs
    """
    from ..training.export import export_pairs

    if continuation not in ("whole", "turn"):
        raise typer.BadParameter(f"{continuation!r} is neither whole nor turn", param_hint="--continuation")
    told: Any = {
        "continuation": continuation,
        "max_pairs_per_task": max_pairs_per_task,
        "min_reward_gap": min_reward_gap,
    }
    report(export, export.run(export_pairs, **export.rendering(), **told, selection=export.selection(good=False)))


@app.command("kto")
@exports
def kto_command(
    export: Export,
    good_from: Annotated[float | None, typer.Option(help="Rewards from here on are desirable, others are not.")] = None,
) -> None:
    """Write KTO rows: single answers and whole branches, desirable or undesirable.

    Example: threadmill export kto --out data/kto
    """
    from ..training.export import export_kto

    told = {**export.rendering(), "min_reward": good_from}
    report(export, export.run(export_kto, **told, selection=export.selection(good=False)))


@app.command("groups")
@exports
def groups_command(export: Export) -> None:
    """Write groups for GRPO: the trials of each task with their rewards.

    Example: threadmill export groups --out data/groups
    """
    from ..training.export import export_groups

    report(export, export.run(export_groups, **export.rendering(), selection=export.selection(good=False)))


@app.command("openai")
@exports
def openai_command(
    export: Export,
    thinking: Annotated[str, typer.Option(help="Answers with thinking: refuse, drop or keep it.")] = "refuse",
) -> None:
    """Write successful conversations as OpenAI's fine-tuning reads them.

    Example: threadmill export openai --out data/openai
    """
    if thinking not in ("refuse", "drop", "keep"):
        raise typer.BadParameter(f"{thinking!r} is neither refuse nor drop nor keep", param_hint="--thinking")
    _chats(export, "openai", thinking=thinking)


@app.command("anthropic")
@exports
def anthropic_command(export: Export) -> None:
    """Write successful conversations in the form of Anthropic's Messages API.

    Example: threadmill export anthropic --out data/anthropic
    """
    _chats(export, "anthropic")


@app.command("sharegpt")
@exports
def sharegpt_command(export: Export) -> None:
    """Write successful conversations as ShareGPT and LLaMA-Factory read them.

    Example: threadmill export sharegpt --out data/sharegpt
    """
    _chats(export, "sharegpt")


def _chats(export: Export, format: Any, **told: Any) -> None:
    from ..training.export import export_chats

    report(export, export.run(export_chats, chat=format, **told, selection=export.selection(good=True)))


for command in look.app.registered_commands:
    app.registered_commands.append(command)
