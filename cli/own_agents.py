"""Agents of the user's own, for the commands that run or resume one: those that ``langgraph.json`` here names.

The same file that LangGraph's dev server reads: ``{"graphs": {"shop": "./agents.py:shop"}}``.
"""

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UnknownSuite

if TYPE_CHECKING:
    from ..checkpoints.store import Store

FILE = Path("langgraph.json")


def own_agents() -> dict[str, str]:
    """Name to place, ``module:variable`` or ``file.py:variable``; empty without a ``langgraph.json``.

    Raises:
        UnknownSuite: the file cannot be read.
    """
    if not FILE.exists():
        return {}
    try:
        graphs = json.loads(FILE.read_text(encoding="utf-8")).get("graphs", {})
    except (ValueError, AttributeError, OSError) as error:
        raise UnknownSuite(f"{FILE.absolute()} cannot be read: {error}; mend it, or work in another folder") from error
    return {name: str(place["path"] if isinstance(place, dict) else place) for name, place in graphs.items()}


def open_own_agent(store: "Store", agent: str, place: str) -> Any:
    """The graph at ``place``, its saver the store's; a function there is called without arguments.

    Raises:
        UnknownSuite: there is no graph.
    """
    from langgraph.graph import StateGraph
    from langgraph.pregel import Pregel

    from ..training.suites import load_module

    source, _, variable = place.rpartition(":")
    try:
        found = getattr(load_module(source), variable)
    except (ImportError, AttributeError, OSError) as error:
        raise UnknownSuite(f"agent {agent!r} cannot be loaded from {place!r} in {FILE}: {error}") from error
    if inspect.isfunction(found):
        needs = [name for name, one in inspect.signature(found).parameters.items() if one.default is one.empty]
        if needs or inspect.iscoroutinefunction(found):
            raise UnknownSuite(
                f"agent {agent!r} is made by a function that needs {', '.join(needs) or 'an event loop'}; resume its "
                "threads from Python with threadmill.graphs.run.answer_thread"
            )
        found = found()
    if isinstance(found, StateGraph):
        return found.compile(checkpointer=store.saver, name=agent)
    if isinstance(found, Pregel):
        return found.copy({"checkpointer": store.saver, "name": agent})
    raise UnknownSuite(f"{place!r} in {FILE} is a {type(found).__name__}, not a LangGraph graph")
