"""``threadmill gate``: may a candidate take the place of what is live? A verdict with its reasons, recorded."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .place import DEFAULT_DB, AsJson, Database

if TYPE_CHECKING:
    from ..checkpoints.store import Store
    from ..checkpoints.verdicts import Verdict


def gate_command(
    candidate: Annotated[
        str | None, typer.Argument(help="The version, such as helpdesk.think@0002; with --history a slot too.")
    ] = None,
    policy: Annotated[Path | None, typer.Option(help="TOML file (default: see --print-policy).")] = None,
    live: Annotated[str | None, typer.Option(help="Compare with this version (default: the slot's live one).")] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Move live to the candidate if it may.")] = False,
    markdown: Annotated[Path | None, typer.Option(help="Write the verdict to this file, too.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Threads run at a time.")] = 32,
    history: Annotated[bool, typer.Option("--history", help="Show the recorded verdicts, and decide nothing.")] = False,
    print_policy: Annotated[bool, typer.Option("--print-policy", help="Print the default policy as TOML.")] = False,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Compare a candidate with what is live on the same held-out tasks: promote, hold or reject, with reasons.

    Exits with 0 if it may be promoted, else with 1. A verdict to promote or to reject stands; after a hold, the same
    command looks again, with fresh tasks beside those before. Interrupted, it goes on where it stopped.

    Example: threadmill gate helpdesk.think@0002 --policy gate.toml --promote
    """
    if print_policy:
        from ..training.gate.policy import DEFAULT_POLICY

        typer.echo(DEFAULT_POLICY, nl=False)
        return
    if markdown is not None and not markdown.parent.is_dir():
        raise typer.BadParameter(f"the folder of {markdown} does not exist; make it first", param_hint="--markdown")
    if candidate is None:
        raise typer.BadParameter("name the version to judge, such as helpdesk.think@0002", param_hint="CANDIDATE")

    from ..checkpoints.registry import promote as move
    from ..checkpoints.store import open_store
    from ..errors import BadPolicy
    from ..training.gate.policy import load_policy
    from ..training.gate.report import as_markdown
    from ..training.gate.run import run_gate
    from .progress import progress_bar

    if history:
        with open_store(db, create=False) as store:
            _print_history(store, candidate, as_json)
        return
    try:
        rules = load_policy(policy)
    except BadPolicy as error:  # wrong usage, and not something that failed
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None
    promoted = False
    with open_store(db, create=False) as store:
        with progress_bar(f"gate {candidate}") as progress:
            verdict = run_gate(store, candidate, policy=rules, live=live, workers=workers, progress=progress)
        if markdown is not None:
            markdown.write_text(as_markdown(verdict), encoding="utf-8")
        if promote and verdict.decision == "promote":
            because = f"verdict {verdict.id}: {verdict.reasons[0]}"
            move(store, verdict.slot, verdict.candidate, because=because, expecting=verdict.live)
            promoted = True
    if as_json:
        typer.echo(json.dumps({**verdict.as_json(), "promoted": promoted}))
    else:
        _print(verdict, promoted)
    if verdict.decision != "promote":
        raise typer.Exit(1)


def _print(verdict: "Verdict", promoted: bool) -> None:
    from rich.console import Console

    from ..training.gate.report import notes_on, title_of, verdict_tables

    console = Console(markup=False, emoji=False, highlight=False)
    for table in verdict_tables(verdict):
        console.print(table)
    for note in notes_on(verdict):
        console.print(note)
    console.print(f"\n{title_of(verdict)}")
    for reason in verdict.reasons:
        console.print(f"- {reason}", soft_wrap=True)
    if promoted:
        console.print(f"live is {verdict.candidate} now")
    elif verdict.decision == "promote":
        console.print(f"next: threadmill gate {verdict.candidate} --promote, which plays nothing again")
    elif verdict.decision == "hold":
        console.print("next: the same command looks again, with fresh tasks if the suite has any; or train on")


def _print_history(store: "Store", name: str, as_json: bool) -> None:
    from ..checkpoints.registry import list_versions, resolve
    from ..checkpoints.verdicts import list_verdicts

    slot, at, _ = name.partition("@")
    version = resolve(store, name).name if at else None
    if not list_versions(store, slot):
        resolve(store, f"{slot}@live")  # an unknown slot is an error, not an empty list
    verdicts = list_verdicts(store, slot, candidate=version)
    if as_json:
        typer.echo(json.dumps({"verdicts": [verdict.as_json() for verdict in verdicts]}))
        return
    for one in verdicts:
        when = one.created_at[:16].replace("T", " ")
        typer.echo(f"{one.id}  {when}  {one.decision:7}  {one.candidate} against {one.live}, look {one.look}")
        typer.echo(f"   {one.reasons[0]}")
