"""``threadmill replays``: what a candidate would have done at each decision of stored threads. Nothing is run."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .place import DEFAULT_DB, AsJson, Database

if TYPE_CHECKING:
    from ..training.replay_summary import Agreement, Human, ReplaySummary

SHOWN = 10
"""Disagreements that a person is shown; ``--json`` has all."""
SAID = {
    "same": "the same calls",
    "same_tool": "the same tool, other arguments",
    "other_tool": "another tool",
    "both_answer": "an answer, as recorded",
    "calls_instead": "a call in place of an answer",
    "answers_instead": "an answer in place of a call",
    "invalid": "a call that cannot be run",
}


def replays_command(
    candidate: Annotated[str, typer.Argument(help="Model SPEC: a version, a folder, an endpoint, provider:model.")],
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only threads with e.g. agent=NAME, version=NAME, task=PATTERN, reward>=N, since=TIME; node=NAME "
            "or slot=NAME says whose decisions; repeatable."
        ),
    ] = None,
    temperature: Annotated[float, typer.Option(min=0, help="0 asks for the candidate's first choice.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of sampling.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Decisions asked at a time.")] = 32,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Ask a candidate at every decision that a model took in stored threads, and compare what it proposes.

    No tool is run and nothing is written. Where a person edited or rejected a call, it says how often the candidate
    would have done as they wanted.

    Example: threadmill replays helpdesk.think@0002 --where agent=helpdesk --where version=helpdesk.think@0001
    """
    from dataclasses import asdict

    from ..checkpoints.store import open_store
    from ..checkpoints.where import parse_where
    from ..errors import BadEvaluation
    from ..training.offpolicy.stored import node_of
    from ..training.replay_summary import disagreements, summarise_replays
    from ..training.replays import read_decisions, replay
    from .agents import make_slot
    from .progress import progress_bar

    asked = parse_where(where or ())
    with open_store(db, create=False) as store, progress_bar(f"ask {candidate}") as progress:
        slot = make_slot(store, candidate.partition("@")[0] if node_of(candidate) else "candidate", candidate)
        decisions = read_decisions(store, asked, nodes=frozenset(node_of(candidate)) or None)
        if not decisions.found:
            reasons = "; ".join(f"{count} threads: {reason}" for reason, count in decisions.left_out.items())
            raise BadEvaluation(f"there is no decision to ask at: {reasons or 'no thread fits the conditions'}")
        replayed = replay(decisions.found, slot, temperature=temperature, seed=seed, workers=workers, progress=progress)
    summary = summarise_replays(replayed)
    differing = disagreements(replayed)
    if as_json:
        said = {
            "candidate": slot.version_now(),
            "decisions": len(replayed),
            "temperature": temperature,
            "agreement": summary.overall.share,
            **asdict(summary),
            "disagreements": differing,
            "left_out": decisions.left_out,
        }
        typer.echo(json.dumps(said, ensure_ascii=False, default=str))
    else:
        _tell(slot.version_now(), summary, differing, decisions.left_out)
    if summary.overall.decisions == 0:
        raise typer.Exit(1)


def _tell(
    candidate: str, summary: "ReplaySummary", differing: list[dict[str, Any]], left_out: Mapping[str, int]
) -> None:
    from rich.console import Console
    from rich.table import Table

    from .timeline import visible

    console = Console(markup=False, emoji=False)  # models name tools as they like
    title = f"What {candidate} would have done in {summary.threads} threads"
    kinds = Table("", "decisions", title=title, title_justify="left")
    for kind, count in summary.overall.kinds.items():
        kinds.add_row(SAID[kind], str(count))
    table = Table("recorded", "decisions", "agrees")
    table.add_row("all", *_cells(summary.overall), style="bold")
    for part in (summary.by_tool, summary.by_outcome):
        table.add_section()
        for name, agreement in part.items():
            if agreement.decisions:
                table.add_row(name, *_cells(agreement))
    for column in (*kinds.columns[1:], *table.columns[1:]):
        column.justify = "right"
    console.print(kinds)
    console.print(table)
    for what, human in (("edited", summary.edited), ("rejected", summary.rejected)):
        if human.decisions:
            console.print(_with_the_human(what, human), highlight=False)
    for reason, count in {**left_out, **summary.not_asked}.items():
        console.print(f"left out: {count}, {visible(reason)}", highlight=False, markup=False)
    for one in differing[:SHOWN]:
        console.print(f"{one['thread']} · {one['checkpoint']} · {SAID[one['kind']]}", highlight=False, markup=False)
        for who in ("recorded", "candidate"):
            console.print(f"  {who}: {visible(_words(one[who]))}", highlight=False, markup=False)
    if len(differing) > SHOWN:
        console.print(f"… and {len(differing) - SHOWN} more; --json has all", highlight=False)


def _cells(agreement: "Agreement") -> tuple[str, str]:
    return str(agreement.decisions), "–" if agreement.share is None else f"{agreement.share:.1%}"


def _with_the_human(what: str, human: "Human") -> str:
    wanted = "would have made the person's calls" if what == "edited" else "would have made no call that was rejected"
    return f"{human.decisions} decisions were {what} by a person: in {human.candidate} of them the candidate {wanted}"


def _words(turn: Mapping[str, Any]) -> str:
    calls = "; ".join(f"{call['name']}({json.dumps(call['args'], ensure_ascii=False)})" for call in turn["calls"])
    return calls or str(turn["text"])
