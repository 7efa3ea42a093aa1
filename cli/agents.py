"""Open an agent by its name, or the path it lies at, for the commands that run or resume one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import BadModelSpec, UnknownSuite

if TYPE_CHECKING:
    from ..checkpoints.store import Store
    from ..nodes.models.slot import Slot

AGENTS = ("helpdesk",)
AGENT_AT = "agent_at"
"""Key in a thread's metadata: the name or path that the command found its agent by."""


def open_agent(store: "Store", agent: str, *, model: str | Sequence[str] | None = None) -> Any:
    """The compiled graph of ``agent``, its saver the store's.

    Built-in agents and those that ``langgraph.json`` here or an installed package names are found by their name,
    others by path: ``shop.toml``, ``agents.py:build``, ``package.module:build``. ``model`` (a SPEC, or ``plan=SPEC``
    for one of several slots) answers for this command; without it what is live, or what the agent's own file names.

    Raises:
        UnknownSuite: no agent of this name is found, or it is empty, as of a thread that names none.
        BadModelSpec: no model is named for a slot, or one is for an agent that brings its own.
    """
    if not agent:
        raise UnknownSuite(
            "the thread does not say which agent wrote it, so no command can run it; run your agents with the config "
            '{"metadata": {"agent": NAME}} and name them in langgraph.json, or go on from Python with '
            "threadmill.graphs.travel.fork_thread or threadmill.graphs.run.continue_thread"
        )
    if agent in AGENTS:
        from ..training.worlds.helpdesk.agent import build_helpdesk
        from ..training.worlds.helpdesk.prompt import SLOT

        return build_helpdesk(_slot_of_helpdesk(store, SLOT, model)).compile(checkpointer=store.saver, name=agent)
    return _open_own(store, agent, model)[0]


def agent_to_open(metadata: Mapping[str, Any]) -> str:
    """What to give ``open_agent`` for a thread with ``metadata``: how its agent was found, or else its name.

    A file that has moved is no place any more, if ``langgraph.json`` says where the agent is now.
    """
    from pathlib import Path

    from ..checkpoints.threads import agent_of
    from .own_agents import own_agents

    name = agent_of(metadata)
    at = str(metadata.get(AGENT_AT) or name)
    file = at if at.endswith(".toml") else at.rpartition(":")[0]
    moved = file.endswith((".py", ".toml")) and not Path(file).exists()
    return name if moved and name in own_agents() else at


def versions_of_model(store: "Store", agent: str, model: str | None) -> dict[str, str] | None:
    """Slot to version for the model SPEC ``model`` of an agent; None if no model is named."""
    if model is None:
        return None
    if agent in AGENTS:
        from ..training.worlds.helpdesk.prompt import SLOT

        return {SLOT: make_slot(store, SLOT, model).version_now()}
    versions = _open_own(store, agent, model)[1].versions()
    if versions:
        return versions
    from ..checkpoints.registry import resolve

    version = resolve(store, model)
    return {version.slot: version.name}


def make_slot(store: "Store", name: str, spec: str | None = None) -> "Slot":
    """The slot ``name`` with the model of ``spec`` (None: the alias ``live``, or the seed policy)."""
    from ..training.slots import open_slot

    return open_slot(store, name, spec)


def _slot_of_helpdesk(store: "Store", name: str, model: str | Sequence[str] | None) -> "Slot":
    from .own_slots import OwnSlots, read_models

    slots = OwnSlots(store, read_models(model), {"think": "seed"})
    slot = slots.open(name)
    slots.check()
    return slot


def _open_own(store: "Store", agent: str, model: str | Sequence[str] | None) -> Any:
    from ..graphs.spec import AgentSpec
    from ..graphs.spec_tools import specs_in
    from .own_agents import build_found, compiled, find_agent, load_agent, own_agents, plugged_agents
    from .own_slots import OwnSlots, read_models

    found = find_agent(agent)
    if found is None and agent.endswith(".py"):
        raise UnknownSuite(f"{agent!r} names a file; say which agent in it is meant, as in {agent}:build")
    if found is None:
        raise UnknownSuite(
            f"no agent {agent!r} is built in (there is {', '.join(AGENTS)}) or named in langgraph.json here "
            f"({', '.join(own_agents()) or 'no such file'}) or by a package "
            f"({', '.join(plugged_agents()) or 'none does'}); name it there, as in "
            f'{{"graphs": {{"{agent}": "./file.py:graph"}}}}, give its path (file.py:build, shop.toml), '
            "or resume its threads from Python with threadmill.graphs.run.answer_thread"
        )
    loaded = load_agent(found)
    specs = specs_in(loaded) if isinstance(loaded, AgentSpec) else []
    first = {f"{one.name}.{node}": named for one in specs for node, named in one.first_models.items()}
    text = {one.name for one in specs if one.style == "text"}
    slots = OwnSlots(store, read_models(model), first, text=text)
    graph = build_found(found, loaded, slots.open)
    if slots.opened:
        slots.check()
    elif any("@" not in spec for spec in slots.models.values()):
        raise BadModelSpec(
            f"agent {agent!r} brings its own models; name a version of one of its slots, not "
            f"{', '.join(slots.models.values())!r}, or let it be "
            "built by a function with a parameter `slot`"
        )
    return compiled(store, graph, specs[0].name if specs else found.name), slots
