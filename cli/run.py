"""``threadmill run``: one user turn of a built-in agent, on a new thread or on one that exists."""

import json
from typing import Annotated

import typer

from .place import DEFAULT_DB, Database


def run_command(
    agent: Annotated[str, typer.Argument(help="helpdesk, or one that langgraph.json here names.")],
    text: Annotated[str, typer.Argument(help="What the user says.")],
    thread: Annotated[str | None, typer.Option(help="The thread to go on with (default: a new one).")] = None,
    model: Annotated[str | None, typer.Option(help="Model SPEC (default: the slot's live version).")] = None,
    world: Annotated[int, typer.Option(help="Seed of the shop that a new thread works on.")] = 0,
    db: Database = DEFAULT_DB,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say something to an agent and print its answer, or the question that it asks.

    Example: threadmill run helpdesk "What does gift wrapping cost?"
    """
    from uuid import uuid4

    from ..checkpoints.reading import latest_metadata
    from ..checkpoints.store import open_store
    from ..errors import UnknownThread
    from ..training.live import Watched
    from ..training.rollout import worlds_folder
    from ..training.worlds.helpdesk.database import make_world, write_world
    from .agents import AGENTS, open_agent

    with open_store(db) as store:
        graph = open_agent(store, agent, model=model)
        name = thread or f"{agent}-{uuid4().hex[:8]}"
        configurable = None
        try:
            latest_metadata(store, name)
        except UnknownThread:
            if agent in AGENTS:
                path = worlds_folder(store) / f"{name}.db"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_world(make_world("train", world), path)
                configurable = {"world": str(path)}
        watched = Watched(store, graph)
        outcome = watched.run(name, text, configurable=configurable)
    for said in watched.taken_back:
        typer.echo(said, err=True)
    if as_json:
        record = {
            "thread": outcome.thread,
            "status": outcome.status,
            "answer": outcome.answer,
            "questions": list(outcome.questions),
            "versions": dict(outcome.versions),
        }
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    typer.echo(f"thread {outcome.thread} · {outcome.status} · {', '.join(outcome.versions.values())}")
    if outcome.status == "paused":
        for question in outcome.questions:
            typer.echo(f"asks: {question['tool']} {json.dumps(question['args'])} ({question['why']})")
        typer.echo(f"answer with: threadmill threads approve|edit|reject {outcome.thread} --db {db}")
    else:
        typer.echo(outcome.answer or "(no answer)")
