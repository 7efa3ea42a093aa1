"""``threadmill agents``: the agents that commands find by name, or one at a path; what they are and what they need."""

import json
from typing import Annotated, Any

import typer

from .place import AsJson


def agents_command(
    agent: Annotated[str | None, typer.Argument(help="One agent, by name or path: shop.toml, agents.py:build.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the agents that can be run here, with their slots; no model is opened.

    Example: threadmill agents
    """
    from ..errors import UnknownSuite
    from .agents import AGENTS
    from .own_agents import find_agent, own_agents, plugged_agents

    names = [agent] if agent else list(dict.fromkeys([*AGENTS, *own_agents(), *plugged_agents()]))
    rows = []
    for name in names:
        found = None if name in AGENTS else find_agent(name)
        if found is None and name not in AGENTS:
            raise UnknownSuite(
                f"no agent {name!r} is found; see `threadmill agents`, or give shop.toml or agents.py:build"
            )
        rows.append(_helpdesk() if found is None else _described(found, strict=agent is not None))
    if as_json:
        typer.echo(json.dumps({"agents": rows}, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("agent", "kind", "slots", "where", box=None, pad_edge=False)
    for row in rows:
        told = row["trouble"] or ", ".join(row["slots"]) or "brings its own models"
        table.add_row(row["agent"], row["kind"], told, f"{row['place']} ({row['where']})".removeprefix(" "))
    Console(soft_wrap=True).print(table, markup=False)


def _helpdesk() -> dict[str, Any]:
    return {
        "agent": "helpdesk",
        "kind": "react",
        "slots": ["helpdesk.think"],
        "place": "",
        "where": "built in",
        "trouble": "",
    }


def _described(found: Any, *, strict: bool) -> dict[str, Any]:
    from ..errors import ThreadmillError

    row = {"agent": found.name, "kind": "?", "slots": [], "place": found.place, "where": found.where, "trouble": ""}
    try:
        return {**row, **_looked_at(found)}
    except ThreadmillError as error:
        if strict:
            raise
        return {**row, "trouble": str(error)}


def _looked_at(found: Any) -> dict[str, Any]:
    from ..errors import BadModelSpec
    from ..graphs.spec import AgentSpec
    from ..nodes.models.slot import Slot
    from .own_agents import build_found, load_agent

    slots: dict[str, Slot] = {}

    def slot_of(name: str) -> Slot:
        def no_model(version: str) -> Any:
            raise BadModelSpec(f"{name} asks its model before it is run; build the agent without calling models")

        return slots.setdefault(name, Slot(name, lambda: "none", no_model))

    loaded = load_agent(found)
    build_found(found, loaded, slot_of)
    kind = loaded.kind if isinstance(loaded, AgentSpec) else "function" if slots else "graph"
    name = loaded.name if isinstance(loaded, AgentSpec) else found.name
    return {"agent": name, "kind": kind, "slots": list(slots)}
