"""Open an agent by the name that its threads carry, for the commands that run or resume one."""

from typing import TYPE_CHECKING, Any

from ..errors import BadModelSpec, UnknownSuite

if TYPE_CHECKING:
    from ..checkpoints.store import Store
    from ..nodes.models.slot import Slot

AGENTS = ("helpdesk",)


def open_agent(store: "Store", agent: str, *, model: str | None = None) -> Any:
    """The compiled graph of ``agent``, its saver the store's, its slot following ``model`` (or ``live``).

    Built-in agents are found by their name, others in the ``langgraph.json`` of the current folder.

    Raises:
        UnknownSuite: no agent of this name is found, or it is empty, as of a thread that names none.
        BadModelSpec: ``model`` is given for an agent that is not built in and brings its own.
    """
    if not agent:
        raise UnknownSuite(
            "the thread does not say which agent wrote it, so no command can run it; run your agents with the config "
            '{"metadata": {"agent": NAME}} and name them in langgraph.json, or go on from Python with '
            "threadmill.graphs.travel.fork_thread or threadmill.graphs.run.continue_thread"
        )
    if agent not in AGENTS:
        from .own_agents import open_own_agent, own_agents

        own = own_agents()
        if agent not in own:
            raise UnknownSuite(
                f"no agent {agent!r} is built in (there is {', '.join(AGENTS)}) or named in langgraph.json here "
                f"({', '.join(own) or 'no such file'}); name it there, as in "
                f'{{"graphs": {{"{agent}": "./file.py:graph"}}}}, '
                "or resume its threads from Python with threadmill.graphs.run.answer_thread"
            )
        if model is not None and "@" not in model:
            raise BadModelSpec(
                f"agent {agent!r} brings its own models; name a version of one of its slots, not {model!r}"
            )
        return open_own_agent(store, agent, own[agent])
    from ..training.worlds.helpdesk.agent import build_helpdesk
    from ..training.worlds.helpdesk.prompt import SLOT

    slot = make_slot(store, SLOT, model)
    return build_helpdesk(slot).compile(checkpointer=store.saver, name=agent)


def versions_of_model(store: "Store", agent: str, model: str | None) -> dict[str, str] | None:
    """Slot to version for the model SPEC ``model`` of an agent; None if no model is named."""
    if model is None:
        return None
    if agent not in AGENTS:
        from ..checkpoints.registry import resolve

        version = resolve(store, model)
        return {version.slot: version.name}
    from ..training.worlds.helpdesk.prompt import SLOT

    return {SLOT: make_slot(store, SLOT, model).version_now()}


def make_slot(store: "Store", name: str, spec: str | None = None) -> "Slot":
    """The slot ``name`` with the model of ``spec`` (None: the alias ``live``, or the seed policy)."""
    from ..training.slots import open_slot

    return open_slot(store, name, spec)
