"""The helpdesk agent for LangGraph's own server; ``langgraph.json`` at the repository root names it.

The server brings the saver. The model is the one that ``threadmill run`` would use: the live version in
``THREADMILL_DB`` (default ``sqlite:///runs.db``), or the seed policy where nothing was promoted yet;
``THREADMILL_MODEL`` names another one.
"""

import asyncio
from os import environ
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph_sdk.runtime import ServerRuntime

from ....checkpoints.store import open_store
from ....graphs.run import graph_digest
from ...follow import Follower
from ...slots import open_slot
from .agent import build_helpdesk
from .database import make_world, write_world
from .prompt import AGENT, SLOT

WORLDS = Path(".langgraph_api", "worlds").absolute()
"""Where threads that were given no world have theirs: beside what the server itself keeps of them."""

_store = open_store(environ.get("THREADMILL_DB", "sqlite:///runs.db"))
_slot = open_slot(_store, SLOT, environ.get("THREADMILL_MODEL"))
_following = Follower(_store, [_slot])
"""As long as the server runs."""
_bare = build_helpdesk(_slot).compile(name=AGENT)
_graph = _bare.with_config(metadata={"agent": AGENT, "graph": graph_digest(_bare)})


async def helpdesk(config: RunnableConfig, runtime: ServerRuntime) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The graph for one request. A run goes on in the world that its thread began with.

    A thread that is given none at its first run gets the shop of ``threadmill run --world 0`` to itself.
    """
    if runtime.execution_runtime is None:
        return _graph
    configurable = config.get("configurable", {})
    own = WORLDS / f"{configurable['thread_id']}.db"
    world = configurable.get("world") or await _world_before(config) or str(own)
    if world == str(own):
        await asyncio.to_thread(_write_missing, own)
    return _graph.with_config(configurable={"world": world})


async def _world_before(config: RunnableConfig) -> str | None:
    try:
        before = await _graph.aget_state(config)
    except ValueError:  # a run without a thread has no checkpoints to look into
        return None
    return (before.metadata or {}).get("world")


def _write_missing(world: Path) -> None:
    if not world.exists():
        world.parent.mkdir(parents=True, exist_ok=True)
        write_world(make_world("train", 0), world)
