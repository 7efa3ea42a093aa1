"""Open an agent by the name that its threads carry, for the commands that run or resume one."""

from typing import TYPE_CHECKING, Any

from ..errors import UnknownSuite

if TYPE_CHECKING:
    from ..checkpoints.store import Store
    from ..nodes.models.slot import Slot

AGENTS = ("helpdesk",)


def open_agent(store: "Store", agent: str, *, model: str | None = None) -> Any:
    """The compiled graph of ``agent``, its saver the store's, its slot following ``model`` (or ``live``).

    Raises:
        UnknownSuite: no agent of this name is built in.
    """
    if agent not in AGENTS:
        raise UnknownSuite(
            f"no agent {agent!r} is built in (there is {', '.join(AGENTS)}); "
            "resume threads of your own agents from Python with threadmill.graphs.run.answer_thread"
        )
    from ..training.worlds.helpdesk.agent import build_helpdesk
    from ..training.worlds.helpdesk.prompt import SLOT

    slot = make_slot(store, SLOT, model)
    return build_helpdesk(slot).compile(checkpointer=store.saver, name=agent)


def versions_of_model(store: "Store", agent: str, model: str | None) -> dict[str, str] | None:
    """Slot to version for the model SPEC ``model`` of a built-in agent; None if no model is named."""
    if model is None:
        return None
    from ..training.worlds.helpdesk.prompt import SLOT

    return {SLOT: make_slot(store, SLOT, model).version_now()}


def make_slot(store: "Store", name: str, spec: str | None = None) -> "Slot":
    """The slot ``name`` with the model of ``spec`` (None: the alias ``live``, or the seed policy)."""
    from ..training.slots import open_slot

    return open_slot(store, name, spec)
