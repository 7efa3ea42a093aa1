"""``threadmill improve``: from the threads of an agent to a better version of it, or to the reasons why not."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .place import DEFAULT_DB, AsJson, Database

if TYPE_CHECKING:
    from ..training.improve.plan import Planned
    from ..training.improve.settings import ImproveConfig
    from ..training.improve.state import Round


def improve_command(
    agent: Annotated[str, typer.Argument(help="helpdesk, or an agent whose slot is registered.")],
    budget: Annotated[str, typer.Option(help="Time for all stages together: 10m, 1h30m, 90s.")] = "10m",
    out: Annotated[Path | None, typer.Option(help="Where it all goes.", show_default="out/improve/AGENT")] = None,
    policy: Annotated[
        Path | None, typer.Option(help="The gate's policy (default: the gate's, its level shared by all candidates).")
    ] = None,
    suite: Annotated[
        str | None,
        typer.Option(help="The tasks that decide: FILE.jsonl or file.py:make_suite (default: the agent's own)."),
    ] = None,
    slot: Annotated[str | None, typer.Option(help="The slot to improve, if the agent has several.")] = None,
    method: Annotated[str, typer.Option(help="What to train, with commas.")] = "sft,dpo,grpo",
    rewards: Annotated[
        Path | None, typer.Option(help="A TOML file with a table \\[rewards] for threads that nobody has judged.")
    ] = None,
    recipes: Annotated[
        Path | None, typer.Option(help="A TOML file with tables \\[sft], \\[dpo], \\[grpo] of settings.")
    ] = None,
    skip: Annotated[list[str] | None, typer.Option(help="A stage to leave out; may be repeated.")] = None,
    seed: Annotated[int, typer.Option(help="Of training, and of the tasks that GRPO plays.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Episodes played at a time.")] = 32,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what each stage would do, and change nothing.")
    ] = False,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Label, export, train, evaluate, gate, promote: one command, and a report with the verdict and its reasons.

    Exits with 0 when a round is done, whatever was decided; the decision is in the report and in --json. Stopped or
    killed, the same command goes on. Stages: label, export, baseline, train, evaluate, gate, promote, report.

    Example: threadmill improve helpdesk --budget 10m
    """
    from ..errors import BadConfig, BadPolicy

    try:
        config, rules = _read(
            agent, budget, out, policy, suite, slot, method, rewards, recipes, skip or [], seed, workers
        )
    except (BadConfig, BadPolicy) as error:  # wrong usage, and not something that failed
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    from ..checkpoints.store import open_store

    if dry_run:
        from ..training.improve.plan import plan

        with open_store(db, read_only=True) as store:
            planned = plan(store, config, rules)
        _tell_plan(planned, config, as_json)
        return
    from ..training.improve.improve import improve

    with open_store(db, create=False) as store, _telling_what_is_kept(config.out):
        round = improve(store, config, rules, announce)
    _tell(round, config.out, as_json)


def _read(
    agent: str,
    budget: str,
    out: Path | None,
    policy: Path | None,
    suite: str | None,
    slot: str | None,
    method: str,
    rewards: Path | None,
    recipes: Path | None,
    skip: Sequence[str],
    seed: int,
    workers: int,
) -> tuple["ImproveConfig", Any]:
    from ..training.gate.policy import GatePolicy, load_policy
    from ..training.improve.recipes import read_recipes
    from ..training.improve.settings import ImproveConfig, read_time

    config = ImproveConfig(
        agent=agent,
        out=out or Path("out") / "improve" / agent,
        budget_s=read_time(budget),
        slot=slot,
        suite=suite,
        rewards=rewards,
        methods=tuple(part.strip() for part in method.split(",") if part.strip()),
        skip=frozenset(part.strip() for text in skip for part in text.split(",") if part.strip()),
        recipes={} if recipes is None else read_recipes(recipes),
        seed=seed,
        workers=workers,
    )
    # Round after round tries one candidate more: together they may err as often as a single one.
    return config, GatePolicy(share_level=True) if policy is None else load_policy(policy)


@contextmanager
def announce(title: str) -> Iterator[Callable[..., None]]:
    """A progress bar for a stage."""
    from .progress import progress_bar

    if title not in ("label", "export"):  # those load no model
        _quiet_libraries()
    with progress_bar(title) as progress:
        yield progress


def _quiet_libraries() -> None:
    """Their bars for single seconds of work; ours tells more."""
    from datasets import disable_progress_bars
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bars()
    disable_progress_bar()


@contextmanager
def _telling_what_is_kept(out: Path) -> Iterator[None]:
    from ..training.improve.state import read_round

    try:
        yield
    except KeyboardInterrupt as stop:
        round = read_round(out)
        done = [name for name, stage in round.stages.items() if stage.left_out is None] if round else []
        if stop.args:
            typer.echo(stop.args[0], err=True)
        typer.echo(f"kept in {out}: {', '.join(done) or 'nothing yet'}; the same command goes on from there", err=True)
        raise typer.Exit(130) from None  # told


def _tell_plan(planned: "Sequence[Planned]", config: "ImproveConfig", as_json: bool) -> None:
    if as_json:
        plan = [{"stage": one.stage, "would": one.would, "seconds": one.seconds} for one in planned]
        said = {
            "dry_run": True,
            "agent": config.agent,
            "budget_s": config.budget_s,
            "out": str(config.out),
            "plan": plan,
        }
        typer.echo(json.dumps(said, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    from ..training.improve.settings import spoken_time

    table = Table("stage", "would", "takes about", title="Nothing is changed by this", title_justify="left")
    for one in planned:
        table.add_row(one.stage, one.would, "not known yet" if one.seconds is None else spoken_time(one.seconds))
    Console(markup=False, emoji=False).print(table)


def _tell(round: "Round", out: Path, as_json: bool) -> None:
    from ..training.improve.state import as_json as to_json

    if as_json:
        typer.echo(json.dumps({**to_json(round), "out": str(out)}, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    from ..training.improve.settings import spoken_time

    console = Console(markup=False, emoji=False, highlight=False)
    verdict = round.told("gate").get("verdict")
    for name, suite in (verdict["figures"]["suites"] if verdict else {}).items():
        title = f"{name}: {round.candidate} against {round.base}"
        table = Table("", "live", "candidate", "difference", title=title, title_justify="left")
        for tier, one in suite["tiers"].items():
            change = f"{100 * one['mean']:+.1f} ({100 * one['low']:+.1f} to {100 * one['high']:+.1f})"
            table.add_row(tier, f"{one['live']:.1%}", f"{one['candidate']:.1%}", change)
        console.print(table)
    console.print(
        f"{round.decision}: {f'{round.candidate} is live now' if round.promoted else f'{round.base} stays live'}"
    )
    for reason in round.reasons:
        console.print(f"- {reason}")
    if round.promoted:
        console.print(f'back: threadmill models rollback {str(round.candidate).partition("@")[0]} --because "…"')
    console.print(
        f"took {spoken_time(round.seconds)}; report: {out / 'report.html'}, {out / 'report.md'}", soft_wrap=True
    )
