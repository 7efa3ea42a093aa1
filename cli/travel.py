"""``threadmill threads fork · replay · continue``: branches of a thread, and running on."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .answer import read_json, tell_outcome
from .driven import driven, how_to_continue, tell_changes
from .lost_world import refuse_lost_world
from .place import DEFAULT_DB, AsJson, By, Database, Model, ThreadId, user

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

At = Annotated[str, typer.Option("--at", help="The checkpoint, or how its id begins or ends (see `threads tree`).")]


def fork(
    thread: ThreadId,
    at: At,
    message: Annotated[str | None, typer.Option(help="Id of a message to change there.")] = None,
    text: Annotated[str | None, typer.Option(help="What the message says instead.")] = None,
    args: Annotated[
        str | None, typer.Option(help="A JSON object of arguments to change in the message's call.")
    ] = None,
    state: Annotated[str | None, typer.Option(help="A JSON object: an update of the state.")] = None,
    run: Annotated[bool, typer.Option("--run", help="Run the branch on at once, live.")] = False,
    by: By = None,
    model: Model = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Begin another branch at a checkpoint, with a change or without; the thread goes on from there.

    Example: threadmill threads fork helpdesk-1a2b3c4d --at 8001-8a15 --message 3f2e --text "Cancel it instead."
    """
    from ..checkpoints.reading import find_checkpoint, latest_metadata, read_messages
    from ..checkpoints.store import open_store
    from ..graphs.run import continue_thread
    from ..graphs.travel import fork_thread
    from .agents import agent_to_open, open_agent

    if (text is not None or args is not None) != (message is not None):
        raise typer.BadParameter("--message goes with --text or --args", param_hint="--message")
    change = read_json(state, "--state") if state is not None else None
    if change is not None and not isinstance(change, dict):
        raise typer.BadParameter(f"{state!r} is no JSON object", param_hint="--state")
    laid_over = read_json(args, "--args") if args is not None else None
    with open_store(db, create=False) as store:
        checkpoint = find_checkpoint(store, thread, at)
        if run:
            refuse_lost_world(store, thread)
        agent = open_agent(store, agent_to_open(latest_metadata(store, thread)), model=model)
        if unknown := [name for name in change or () if name not in agent.builder.channels]:
            there = ", ".join(agent.builder.channels)
            raise typer.BadParameter(f"the state has no {', '.join(unknown)}; it has {there}", param_hint="--state")
        changed = None
        if message is not None:
            changed = _changed(thread, read_messages(store, thread, checkpoint), message, text, laid_over)
        made = fork_thread(agent, thread, checkpoint, message=changed, change=change, by=by or user())
        outcome = None
        if run:
            with driven(agent, thread, db, as_json):
                outcome = continue_thread(agent, thread)
    record = {
        "thread": thread,
        "at": made.at,
        "checkpoint": made.checkpoint,
        "next": list(made.next),
        "status": outcome.status if outcome else None,
    }
    if as_json:
        typer.echo(json.dumps(record))
        return
    typer.echo(f"{thread} · branch {made.checkpoint} · next {', '.join(made.next) or 'nothing'}")
    if outcome:
        tell_outcome(outcome, as_json, db)
    elif made.next:
        typer.echo(f"run it with: {how_to_continue(thread, db)}")


def replay(
    thread: ThreadId,
    at: At,
    recorded: Annotated[
        bool, typer.Option("--recorded", help="Tools and people answer as recorded; nothing is executed.")
    ] = False,
    by: By = None,
    model: Model = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Run on from a checkpoint as a new branch: live, or from the record, by another model if wanted.

    Example: threadmill threads replay helpdesk-1a2b3c4d --at 8001-8a15 --recorded --model helpdesk.think@0004
    """
    from dataclasses import asdict

    from ..checkpoints.reading import find_checkpoint, latest_metadata
    from ..checkpoints.store import open_store
    from ..graphs.recorded import replay_recorded
    from ..graphs.travel import replay_thread
    from .agents import agent_to_open, open_agent, versions_of_model

    with open_store(db, create=False) as store:
        checkpoint = find_checkpoint(store, thread, at)
        if not recorded:
            refuse_lost_world(store, thread)
        name = agent_to_open(latest_metadata(store, thread))
        agent = open_agent(store, name, model=model)
        versions = versions_of_model(store, name, model)
        go = replay_recorded if recorded else replay_thread
        with driven(agent, thread, db, as_json):
            made = go(agent, thread, checkpoint, versions=versions, by=by or user())
    from .timeline import visible

    record: dict[str, Any] = {
        "thread": thread,
        "at": made.at,
        "checkpoint": made.checkpoint,
        "mode": "recorded" if recorded else "live",
        "status": made.outcome.status,
        "answer": made.outcome.answer,
        "versions": dict(made.outcome.versions),
        "divergence": asdict(made.divergence) if made.divergence else None,
    }
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    typer.echo(f"{thread} · {record['mode']} replay · branch {made.checkpoint} · {made.outcome.status}")
    if made.outcome.answer:
        typer.echo(visible(made.outcome.answer))
    if made.divergence is None:
        typer.echo("every turn as recorded")
        return
    typer.echo(f"turn {made.divergence.turn} is the first that differs")
    for who, turn in (("recorded", made.divergence.recorded), ("replayed", made.divergence.replayed)):
        told = json.dumps(turn, ensure_ascii=False) if turn else "the run had ended"
        typer.echo(visible(f"  {who}: {told}"))


def continue_command(thread: ThreadId, model: Model = None, db: Database = DEFAULT_DB, as_json: AsJson = False) -> None:
    """Run a thread on that was forked, or that a crash stopped; finished calls are not run again.

    Example: threadmill threads continue helpdesk-1a2b3c4d
    """
    from ..checkpoints.reading import latest_metadata
    from ..checkpoints.store import open_store
    from ..graphs.run import continue_thread
    from .agents import agent_to_open, open_agent

    with open_store(db, create=False) as store:
        refuse_lost_world(store, thread)
        metadata = latest_metadata(store, thread)
        agent = open_agent(store, agent_to_open(metadata), model=model)
        tell_changes(agent, metadata)
        with driven(agent, thread, db, as_json):
            outcome = continue_thread(agent, thread)
    tell_outcome(outcome, as_json, db)


def _changed(thread: str, messages: "list[AnyMessage]", start: str, text: str | None, args: Any) -> "AnyMessage":
    """The message whose id is, or begins with, ``start``, with another text, or other arguments in its only call."""
    from langchain_core.messages import AIMessage

    from ..errors import BadAnswer, UnknownThread

    found = [message for message in messages if str(message.id).startswith(start)]
    if len(found) != 1:
        ids = ", ".join(str(message.id) for message in messages) or "none"
        raise UnknownThread(f"{len(found)} messages of thread {thread!r} begin with {start!r} there; there are {ids}")
    message = found[0]
    if text is not None:
        message = message.model_copy(update={"content": text})
    if args is not None:
        calls = message.tool_calls if isinstance(message, AIMessage) else []
        if len(calls) != 1 or not isinstance(args, dict):
            raise BadAnswer(
                f"message {message.id!r} has {len(calls)} calls; --args changes the arguments of one, as JSON"
            )
        call = {**calls[0], "args": {**calls[0]["args"], **args}}
        message = message.model_copy(update={"tool_calls": [call]})
    return message
