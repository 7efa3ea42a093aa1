"""``threadmill canary``: try a candidate on a share of the threads, and go back by itself when too many fail."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .models_print import print_table
from .place import DEFAULT_DB, Database

if TYPE_CHECKING:
    from ..checkpoints.canaries import Canary
    from ..checkpoints.store import Store
    from ..training.live import Tally

app = typer.Typer(help="Try a candidate in production: a share of new threads, or in the shadow.", no_args_is_help=True)

SlotName = Annotated[str, typer.Argument(help="The slot, such as helpdesk.think.")]
Because = Annotated[str, typer.Option(help="The reason, kept in the history.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
MaxFailureRate = Annotated[float, typer.Option(help="The share of runs that may fail before it is taken back.")]


@app.command()
def start(
    spec: Annotated[str, typer.Argument(help="The candidate: slot@0003 or slot@candidate.")],
    because: Because,
    share: Annotated[float, typer.Option(help="Of new threads; in the shadow of all threads.")] = 0.1,
    max_failure_rate: MaxFailureRate = 0.2,
    shadow: Annotated[bool, typer.Option("--shadow", help="Let it propose without acting.")] = False,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Put a candidate on trial: it answers a share of the new threads until it is promoted, stopped or fails too often.

    Example: threadmill canary start helpdesk.think@0002 --share 0.1 --because "better in the gate"
    """
    from ..checkpoints.canaries import start_canary
    from ..checkpoints.registry import resolve
    from ..checkpoints.store import open_store
    from ..training.failure_bound import Bound

    bound = {} if shadow else Bound(max_failure_rate).to_dict()
    mode = "shadow" if shadow else "canary"
    with open_store(db, create=False) as store:
        chosen = resolve(store, spec, verify=True).name
        canary = start_canary(store, chosen, share=share, bound=bound, because=because, mode=mode)
    if as_json:
        typer.echo(json.dumps(_record(canary)))
    elif shadow:
        typer.echo(f"{canary.version} proposes in the shadow of {share:.0%} of the threads; nothing it says is done")
    else:
        typer.echo(
            f"{canary.version} answers {share:.0%} of the new threads; it is taken back when more than "
            f"{max_failure_rate:.0%} fail"
        )


@app.command()
def stop(slot: SlotName, because: Because, db: Database = DEFAULT_DB, as_json: AsJson = False) -> None:
    """End the trial in a slot; its threads follow live again at their next turn.

    Example: threadmill canary stop helpdesk.think --because "seen enough"
    """
    from ..checkpoints.canaries import end_canary
    from ..checkpoints.store import open_store
    from ..errors import BadCanary

    with open_store(db, create=False) as store:
        canary = end_canary(store, slot, "stopped", because=because)
    if canary is None:
        raise BadCanary(f"nothing is on trial in {slot!r}; see `threadmill canary list`")
    typer.echo(json.dumps(_record(canary)) if as_json else f"{canary.version} is off trial")


@app.command("list")
def list_command(
    slot: Annotated[str | None, typer.Argument(help="Only this slot.")] = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """List the trials of candidates: how their runs ended, beside those of the live version meanwhile.

    Example: threadmill canary list helpdesk.think
    """
    from ..checkpoints.canaries import list_canaries
    from ..checkpoints.registry import resolve
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        if slot is not None:
            resolve(store, f"{slot}@0001")  # an unknown slot is an error, not an empty list
        records = [_with_figures(store, canary) for canary in list_canaries(store, slot)]
    if as_json:
        typer.echo(json.dumps({"canaries": records}, ensure_ascii=False))
        return
    print_table(
        ("candidate", "mode", "share", "status", "failed", "live failed", "agrees"),
        [
            (
                record["version"],
                record["mode"],
                f"{record['share']:.0%}",
                record["status"],
                f"{record['failures']} of {record['runs']}" if record["mode"] == "canary" else "",
                f"{record['live']['failures']} of {record['live']['runs']}",
                f"{record['agreed']} of {record['proposals']}" if record["proposals"] else "",
            )
            for record in records
        ],
        fold=("candidate",),
    )
    for record in records:
        if record["ended_because"]:
            typer.echo(f"{record['version']} {record['status']}: {record['ended_because']}")


@app.command()
def proposals(
    slot: SlotName,
    every: Annotated[bool, typer.Option("--all", help="Also those that agree with what live did.")] = False,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Show where the last shadow of a slot would have done something else than the live version did.

    Example: threadmill canary proposals helpdesk.think
    """
    from ..checkpoints.canaries import list_canaries
    from ..checkpoints.store import open_store
    from ..errors import BadCanary
    from ..training.shadow import proposals_of

    with open_store(db, create=False) as store:
        shadows = [canary for canary in list_canaries(store, slot) if canary.mode == "shadow"]
        if not shadows:
            raise BadCanary(f"no shadow was ever started in {slot!r}; threadmill canary start SPEC --shadow starts one")
        found = proposals_of(store, shadows[-1])
    shown = [one for one in found if every or not one["agrees"]]
    if as_json:
        typer.echo(json.dumps({"version": shadows[-1].version, "asked": len(found), "proposals": shown}))
        return
    typer.echo(f"{shadows[-1].version} was asked {len(found)} times and agreed {sum(one['agrees'] for one in found)}")
    for one in shown:
        typer.echo(f"{one['thread']}  live: {_words(one['live'])}")
        typer.echo(f"{' ' * len(one['thread'])}  it:   {one['error'] or _words(one['proposed'])}")


@app.command()
def guard(
    slot: SlotName,
    max_failure_rate: MaxFailureRate = 0.2,
    because: Because = "",
    off: Annotated[bool, typer.Option("--off", help="Guard it no longer.")] = False,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Let a slot go back to the version before by itself when too many runs fail after a promotion.

    Example: threadmill canary guard helpdesk.think --max-failure-rate 0.2
    """
    from ..checkpoints.guards import drop_guard, set_guard
    from ..checkpoints.store import open_store
    from ..training.failure_bound import Bound

    with open_store(db, create=False) as store:
        if off:
            was = drop_guard(store, slot)
            said, record = ("is guarded no longer" if was else "was not guarded"), {"slot": slot, "guarded": False}
        else:
            made = set_guard(store, slot, Bound(max_failure_rate).to_dict(), because=because)
            said = f"goes back by itself when more than {max_failure_rate:.0%} of the runs fail after a promotion"
            record = {"slot": slot, "guarded": True, **made.bound, "because": because}
    typer.echo(json.dumps(record) if as_json else f"{slot} {said}")


def _record(canary: "Canary") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(canary)


def _with_figures(store: "Store", canary: "Canary") -> dict[str, Any]:
    from ..training.live import tally_of_canary, tally_of_live
    from ..training.shadow import proposals_of

    asked = proposals_of(store, canary) if canary.mode == "shadow" else []
    return {
        **_record(canary),
        **_figures(tally_of_canary(store, canary)),
        "live": _figures(tally_of_live(store, canary.slot, since=canary.created_at)),
        "proposals": len(asked),
        "agreed": sum(one["agrees"] for one in asked),
    }


def _figures(tally: "Tally") -> dict[str, Any]:
    examples = [{"thread": thread, "why": why} for thread, why in tally.examples]
    return {"runs": tally.runs, "failures": tally.failures, "examples": examples}


def _words(said: dict[str, Any]) -> str:
    calls = ", ".join(f"{call['name']}({json.dumps(call['args'], ensure_ascii=False)})" for call in said["calls"])
    return calls or said["text"]
