"""``threadmill chat``: talk with an agent in the terminal; a pipe's lines are said one after the other."""

from typing import Annotated

import typer

from .place import DEFAULT_DB, Database, Values, at_db, read_values


def chat_command(
    agent: Annotated[str, typer.Argument(help="A name (see `threadmill agents`), or shop.toml, or agents.py:build.")],
    thread: Annotated[str | None, typer.Option(help="The thread to go on with (default: a new one).")] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Model SPEC, or plan=SPEC for one slot (default: what is live).")
    ] = None,
    world: Annotated[int, typer.Option(help="Seed of the shop that a new thread works on.")] = 0,
    values: Values = None,
    db: Database = DEFAULT_DB,
) -> None:
    """Talk with an agent: tokens as they come, what tools do, questions answered in place. /help lists the commands.

    Example: threadmill chat helpdesk
    """
    from uuid import uuid4

    from ..checkpoints.store import open_store
    from ..training.live import Watched
    from .agents import open_agent
    from .chat_lines import Lines
    from .chat_screen import Screen
    from .chat_talk import Talk
    from .run import beginning

    told = read_values(values)
    with open_store(db) as store:
        graph = open_agent(store, agent, model=model)
        talk = Talk(
            store=store,
            agent=agent,
            watched=Watched(store, graph),
            thread=thread or f"{graph.name}-{uuid4().hex[:8]}",
            begin=lambda name: beginning(store, agent, name, world, told),
            screen=Screen(),
            lines=Lines(),
            at_db=at_db(db),
        )
        try:
            talk.go()
        except KeyboardInterrupt:
            raise typer.Exit(130) from None  # the chat told how to come back
    if talk.failed and not talk.lines.is_terminal:
        raise typer.Exit(1)
