"""``threadmill run``: one user turn of an agent, on a new thread or on one that exists."""

import json
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .driven import driven
from .lost_world import refuse_lost_world
from .place import DEFAULT_DB, Database, Values, at_db, read_values

if TYPE_CHECKING:
    from ..checkpoints.store import Store


def run_command(
    agent: Annotated[str, typer.Argument(help="A name (see `threadmill agents`), or shop.toml, or agents.py:build.")],
    text: Annotated[str, typer.Argument(help="What the user says.")],
    thread: Annotated[str | None, typer.Option(help="The thread to go on with (default: a new one).")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Model SPEC, or plan=SPEC for one slot (default: what is live).")
    ] = None,
    attach: Annotated[
        list[Path] | None, typer.Option(help="A file that goes with what the user says: an image, PDF or text.")
    ] = None,
    world: Annotated[int, typer.Option(help="Seed of the shop that a new thread works on.")] = 0,
    values: Values = None,
    db: Database = DEFAULT_DB,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say something to an agent and print its answer, or the question that it asks.

    Example: threadmill run helpdesk "What does gift wrapping cost?"
    """
    from uuid import uuid4

    from ..checkpoints.store import open_store
    from ..nodes.attachments import attach as with_files
    from ..training.live import Watched
    from .agents import open_agent

    told = read_values(values)
    if not (text.strip() or attach):
        raise typer.BadParameter("is empty; say something", param_hint="TEXT")
    with open_store(db) as store:
        graph = open_agent(store, agent, model=model)
        name = thread or f"{graph.name}-{uuid4().hex[:8]}"
        watched = Watched(store, graph)
        said = with_files(text, attach) if attach else text
        begin = beginning(store, agent, name, world, told)
        with driven(graph, name, db, as_json, watched.taken_back):
            outcome = watched.run(name, said, **begin)
    from .chat_screen import is_for_user
    from .timeline import question_lines, visible

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
    at = at_db(db)
    if outcome.status != "paused":
        typer.echo(visible(outcome.answer or f"(no answer; see threadmill threads show {quote(name)}{at})"))
        return
    if not outcome.questions:  # in a form that is not ours
        typer.echo(f"asks something; see threadmill threads show {quote(name)}{at}, and answer it where the agent runs")
    elif len(outcome.questions) == 1 and is_for_user(outcome.questions[0]):
        typer.echo(visible(f"asks: {outcome.questions[0]['args'].get('question', '')}"))
        typer.echo(f'answer with: threadmill threads respond {quote(name)} --text "…"{at}')
        return
    for line in question_lines(name, outcome.questions, at):
        typer.echo(visible(line))


def beginning(
    store: "Store", agent: str, thread: str, world: int, told: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Settings for the next turn of ``thread``: what it is ``told``, and how its agent or shop is found again."""
    from ..checkpoints.reading import latest_metadata
    from ..errors import UnknownThread
    from .agents import AGENT_AT, AGENTS

    if agent not in AGENTS:
        return {"metadata": {AGENT_AT: agent}, "configurable": {**(told or {})}}
    try:
        latest_metadata(store, thread)
    except UnknownThread:
        from ..training.rollout import worlds_folder
        from ..training.worlds.helpdesk.database import make_world, write_world

        path = worlds_folder(store) / f"{thread}.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_world(make_world("train", world), path)
        return {"configurable": {"world": str(path), **(told or {})}}
    refuse_lost_world(store, thread)
    return {"configurable": {**(told or {})}}
