"""Agents of the user's own: where they are found, and what they are made of.

By name in the ``langgraph.json`` of the current folder (the file that LangGraph's dev server reads too) or as an entry
point of an installed package in the group ``threadmill.agents``; by path as ``shop.toml``, ``agents.py:build`` or
``package.module:build``. There may be a graph, an ``AgentSpec``, or a function that builds one of them.
"""

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ThreadmillError, UnknownSuite
from .driven import told

if TYPE_CHECKING:
    from ..checkpoints.store import Store
    from ..nodes.models.slot import Slot

FILE = Path("langgraph.json")
GROUP = "threadmill.agents"
"""The group of entry points in which packages name their agents."""
_WORK_THERE = f"work in the folder that its path begins in, or name it in {FILE}"
UNNAMED = {"build", "make", "agent", "graph", "main"}
"""Names that say nothing about an agent: it is called after its file."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an agent was found."""

    name: str
    """What it is called, and its slots after it, unless it says itself."""
    place: str
    """``module:variable``, ``file.py:variable`` or a TOML file."""
    where: str
    """Who names it: ``langgraph.json``, a package, or ``path``."""


def own_agents() -> dict[str, str]:
    """Name to place, of those in ``langgraph.json``; empty without one.

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


def plugged_agents() -> dict[str, Place]:
    """The agents that installed packages name."""
    return {
        point.name: Place(point.name, point.value, point.dist.name if point.dist else GROUP)
        for point in entry_points(group=GROUP)
    }


def find_agent(agent: str) -> Place | None:
    """Where ``agent``, a name or a path, is; None if it is neither named anywhere nor looks like a path."""
    if (place := own_agents().get(agent)) is not None:
        return Place(agent, place, str(FILE))
    if (plugged := plugged_agents().get(agent)) is not None:
        return plugged
    if agent.endswith(".toml"):
        return Place(Path(agent).stem, agent, "path")
    source, _, variable = agent.rpartition(":")
    if not source or not variable.isidentifier():
        return None
    called = variable.removeprefix("build_").removeprefix("make_")
    stem = Path(source).stem if source.endswith(".py") else source.rpartition(".")[2]
    return Place(stem if called in UNNAMED else called, agent, "path")


def load_agent(found: Place) -> Any:
    """What stands at the place: a graph, an ``AgentSpec``, or a function that builds one.

    Raises:
        UnknownSuite: nothing can be loaded from there.
        BadSpec: the TOML file is wrong.
    """
    if found.place.endswith(".toml"):
        from ..graphs.spec_file import load_spec

        return load_spec(found.place)
    from ..graphs.loading import load_object

    try:
        return load_object(found.place)
    except (ImportError, AttributeError, OSError) as error:
        named = f" in {found.where}" if found.where != "path" else ""
        near = get_close_matches(error.name or "", dir(error.obj)) if isinstance(error, AttributeError) else []
        hint = f"did you mean {' or '.join(near)}?" if near else _WORK_THERE
        if isinstance(error.__cause__, Exception):  # it is there, and broken
            hint = "mend it there, or install what it needs"
        raise UnknownSuite(
            f"agent {found.name!r} cannot be loaded from {found.place!r}{named}: {error}; {hint}"
        ) from error


def build_found(found: Place, loaded: Any, slot_of: "Callable[[str], Slot]") -> Any:
    """The graph that ``loaded`` is or builds, with the slots that it asks ``slot_of`` for.

    A function is given what its parameters are named for: ``slot_of`` itself; ``slots``, from which it takes them by
    name; ``slot``, which is ``<agent>.think``; ``plan_slot``, or ``plan`` of the type ``Slot``: ``<agent>.plan``.

    Raises:
        UnknownSuite: it is no graph, or the function needs something else.
    """
    from langgraph.graph import StateGraph
    from langgraph.pregel import Pregel

    from ..graphs.spec import AgentSpec, build_agent

    is_function = inspect.isfunction(loaded)
    if is_function:
        given = _arguments(found, loaded, slot_of)
        try:
            loaded = loaded(**given)
        except ThreadmillError:
            raise
        except Exception as error:  # whatever somebody's code does
            raise UnknownSuite(f"agent {found.name!r} cannot be built by {found.place!r}: {told(error)}") from error
    if isinstance(loaded, AgentSpec):
        return build_agent(loaded, slot_of)
    if isinstance(loaded, StateGraph | Pregel):
        return loaded
    what = f"{'gives' if is_function else 'is a'} {type(loaded).__name__}"
    raise UnknownSuite(
        f"{found.place!r} ({found.where}) {what}, not a LangGraph graph, an AgentSpec, or a function that builds one"
    )


def open_own_agent(store: "Store", agent: str, place: str) -> Any:
    """The graph at ``place``, called ``agent``, its saver the store's; its slots answer with what is live.

    Raises:
        UnknownSuite: there is no graph.
    """
    from .own_slots import OwnSlots

    found = Place(agent, place, str(FILE))
    loaded = load_agent(found)
    return compiled(store, build_found(found, loaded, OwnSlots(store, {}).open), agent)


def compiled(store: "Store", graph: Any, name: str) -> Any:
    """``graph`` under ``name`` with the store's saver and memories; one that is compiled already, as a copy.

    One that was compiled with a store remembers there.
    """
    from langgraph.graph import StateGraph

    if isinstance(graph, StateGraph):
        return graph.compile(checkpointer=store.saver, store=store.memories, name=name)
    memories = store.memories if graph.store is None else graph.store
    return graph.copy({"checkpointer": store.saver, "store": memories, "name": name})


class _SlotsByName(dict[str, "Slot"]):
    """``slots["shop.think"]``, opened when it is asked for."""

    def __init__(self, slot_of: "Callable[[str], Slot]") -> None:
        self.slot_of = slot_of

    def __missing__(self, name: str) -> "Slot":
        return self.slot_of(name)


def _arguments(found: Place, function: Any, slot_of: "Callable[[str], Slot]") -> dict[str, Any]:
    given: dict[str, Any] = {}
    needs = []
    for name, one in inspect.signature(function).parameters.items():
        if name == "slot_of":
            given[name] = slot_of
        elif name == "slots":
            given[name] = _SlotsByName(slot_of)
        elif name == "slot":
            given[name] = slot_of(f"{found.name}.think")
        elif name.endswith("_slot"):
            given[name] = slot_of(f"{found.name}.{name.removesuffix('_slot')}")
        elif getattr(one.annotation, "__name__", one.annotation) == "Slot":
            given[name] = slot_of(f"{found.name}.{name}")
        elif one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
            needs.append(name)
    if needs or inspect.iscoroutinefunction(function):
        raise UnknownSuite(
            f"agent {found.name!r} is made by a function that needs {', '.join(needs) or 'an event loop'}; resume its "
            "threads from Python with threadmill.graphs.run.answer_thread, or let it need nothing but slots "
            "(`slot`, `plan_slot`, … or `slot_of`)"
        )
    return given
