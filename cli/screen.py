"""``threadmill screen``: what a candidate would have earned in stored threads. A screening, never the gate."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .place import DEFAULT_DB, AsJson, Database

if TYPE_CHECKING:
    from ..training.offpolicy.stored import Screened

CALLED = {
    "ips": "IPS",
    "snips": "SNIPS (self-normalised)",
    "pdis": "per-decision IS",
    "wpdis": "per-decision IS, weighted",
    "dr": "doubly robust",
    "wdr": "doubly robust, weighted",
}


def screen_command(
    candidate: Annotated[str, typer.Argument(help="Model SPEC of weights: a version, a folder, a hub name.")],
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Only threads with e.g. agent=NAME, version=NAME, task=PATTERN, thread=PATTERN, since=TIME; node=NAME "
            "or slot=NAME says whose turns; repeatable."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Estimate from labelled threads what a candidate would have earned in them; nothing is run or written.

    Threads must be of a model that ran here and drew from its whole distribution; others are left out and counted.

    Example: threadmill screen helpdesk.think@0002 --where agent=helpdesk --where version=helpdesk.think@0001
    """
    from ..checkpoints.store import open_store
    from ..checkpoints.where import parse_where
    from ..training.offpolicy.stored import screen_threads
    from .progress import progress_bar

    asked = parse_where(where or ())
    with open_store(db, create=False) as store, progress_bar(f"score under {candidate}") as progress:
        found = screen_threads(store, candidate, asked, seed=seed, progress=progress)
    typer.echo(json.dumps(_record(found), ensure_ascii=False)) if as_json else _tell(found)


def _record(found: "Screened") -> dict[str, Any]:
    from dataclasses import asdict

    from ..training.offpolicy.screening import ONLY_A_SCREENING

    record = asdict(found.screening)
    record["heaviest"] = [{"thread": thread, "share": share} for thread, share in found.screening.heaviest]
    about = {"candidate": found.candidate, "usable": not found.screening.warnings, "tokens": found.tokens}
    return {**about, **record, "left_out": found.left_out, "note": ONLY_A_SCREENING}


def _tell(found: "Screened") -> None:
    from rich.console import Console
    from rich.table import Table

    from ..training.offpolicy.screening import ONLY_A_SCREENING

    screening = found.screening
    console = Console(markup=False, emoji=False)
    told = f"{screening.episodes} threads of {screening.tasks} tasks, {screening.decisions.count} decisions"
    console.print(f"{told}, {found.tokens} sampled tokens", highlight=False)
    for reason, count in found.left_out.items():
        console.print(f"left out: {count}, {reason}", highlight=False, markup=False)
    table = Table("mean reward", "estimate", "95 % interval", "effective sample size", title_justify="left")
    table.title = f"What {found.candidate} would have earned"
    table.add_row("as logged", f"{screening.logged:.3f}", "", str(screening.episodes))
    table.add_section()
    for one in screening.estimates:
        value = "–" if one.value is None else f"{one.value:.3f}"
        interval = "" if one.low is None or one.high is None else f"{one.low:.3f} to {one.high:.3f}"
        table.add_row(CALLED[one.name], value, interval, f"{one.effective:.1f}{' too small' if one.too_small else ''}")
    for column in table.columns[1:]:
        column.justify = "right"
    console.print(table)
    thread, share = screening.heaviest[0]
    console.print(
        f"mean weight {screening.mean_weight:.3g} ({screening.mean_weight_low:.3g} to "
        f"{screening.mean_weight_high:.3g}); heaviest thread {thread} with {share:.1%}; "
        f"{_kl(screening.decisions.kl)}",
        highlight=False,
        markup=False,
    )
    for warning in screening.warnings:
        console.print(f"WARNING  {warning}", highlight=False, markup=False)
    console.print(ONLY_A_SCREENING, highlight=False)


def _kl(kl: float | None) -> str:
    return "the candidate would never have decided so" if kl is None else f"KL of a decision {kl:.3g}"
