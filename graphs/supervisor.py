"""The supervisor: an agent that hands tasks over to other agents, each a graph with slots of its own.

Its hand-offs are calls of one tool; act sends each to the node of the agent that is meant, several at the same time.
An agent gets its task and nothing else, begins anew each time, and answers to the supervisor, not to the user.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from langgraph.types import Command, Send

from ..errors import BadSpec
from ..nodes.approval import Approval
from ..nodes.hand_over import make_hand_over
from ..nodes.models.slot import Slot
from ..nodes.taint import words_of_people
from ..nodes.tools.hand_off import HAND_OFF, make_hand_off
from ..nodes.traits import with_traits
from .react import build_react
from .run import graph_digest
from .state import AgentState

HANDING_OVER = (
    "You lead other agents: hand each part of the work to the one it is for, with all that is needed to do it, since "
    "they see nothing else of the conversation. Parts that do not wait for each other can be handed over at once. When "
    "you have what you need, answer the user yourself."
)


def build_supervisor(
    slot: Slot,
    agents: Mapping[str, Any],
    tools: Sequence[BaseTool | Callable[..., Any]] = (),
    *,
    about: Mapping[str, str] | None = None,
    system: str = "",
    name: str = "supervisor",
    approval: Approval | None = Approval(),  # noqa: B008 - frozen
    mark: bool = True,
    dry_run: bool = False,
    **options: Any,
) -> StateGraph[AgentState]:
    """The agent's graph, uncompiled: that of ``build_react`` with a node for each agent; ``options`` are its, too.

    ``agents`` are graphs, compiled or not, by the names of their nodes; they must not have a saver of their own.
    ``about`` says what each is for. ``tools`` are the supervisor's own, and so are ``approval`` and ``limits``. What
    agents answer is marked as data, and not trusted, because they repeat what their tools say. In a ``dry_run`` nothing
    is handed over: an agent would act.

    Raises:
        BadSpec: there is no agent, or one has the name of a node, or is no graph; ``about`` names none of them.
    """
    if not agents:
        raise BadSpec(f"supervisor {name!r} leads nobody; give it agents by name, or a file of each under [agents]")
    parts = {agent: _compiled(agent, graph) for agent, graph in agents.items()}
    if strange := sorted((about or {}).keys() - parts.keys()):
        raise BadSpec(f"supervisor {name!r}: about names {', '.join(strange)}; it leads {', '.join(parts) or 'nobody'}")
    whom = {agent: (about or {}).get(agent, "") for agent in parts}
    hand_off = with_traits(make_hand_off(whom if about else list(parts)), acts=dry_run, trusted=False)
    prompt = f"{system}\n\n{HANDING_OVER}" if system else HANDING_OVER
    others = [one for part in parts.values() for one in slots_of(part.builder)]
    own = {"system": prompt, "name": name, "approval": approval, "mark": mark, "dry_run": dry_run, "others": others}
    graph = build_react(slot, [*tools, hand_off], **own, **options)
    if clash := sorted(parts.keys() & graph.nodes.keys()):
        raise BadSpec(f"supervisor {name!r}: {', '.join(clash)} is the name of a node; call the agent otherwise")

    act = graph.nodes.pop("act")
    graph.add_node("act", make_send(act.runnable), metadata=act.metadata, destinations=("tool", *parts))
    for agent, part in parts.items():
        settings = {"settings": graph_digest(part)}
        graph.add_node(agent, make_hand_over(agent, part, mark=mark), metadata=settings, input_schema=AgentState)
        graph.add_edge(agent, "observe")
    return graph


def make_send(act: Any) -> Callable[..., Command[Any]]:
    """Build a node that decides as ``act`` does and sends hand-offs to the agents that they name."""

    def send(state: Mapping[str, Any], config: RunnableConfig) -> Command[Any]:
        decided: Command[Any] = act.invoke(state, config)
        sends = [one if _is_answered(one.arg) else Send(*_handed(one.arg, state)) for one in decided.goto]  # type: ignore
        return Command(goto=sends, update=decided.update)

    return send


def slots_of(graph: StateGraph[Any, Any, Any, Any]) -> list[Slot]:
    """The slots whose versions are fixed by the observe nodes of ``graph``, and of graphs that are its nodes."""
    found: dict[str, Slot] = {}
    for spec in graph.nodes.values():
        if isinstance(spec.runnable, Pregel):
            found |= {slot.name: slot for slot in slots_of(spec.runnable.builder)}  # type: ignore[attr-defined]
        found |= {slot.name: slot for slot in getattr(getattr(spec.runnable, "func", None), "slots", ())}
    return list(found.values())


def _is_answered(call: Mapping[str, Any]) -> bool:
    """Is this a call for the tool node: of another tool, or one that is not run?"""
    return call["call"]["name"] != HAND_OFF or call["kind"] != "result"


def _handed(call: Mapping[str, Any], state: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    said = words_of_people(state["messages"])
    return call["call"]["args"]["to"], {**call, "versions": state.get("versions", {}), "people": said}


def _compiled(name: str, graph: Any) -> Any:
    if isinstance(graph, StateGraph):
        return graph.compile(name=name)
    if isinstance(graph, Pregel) and hasattr(graph, "builder"):
        if graph.checkpointer:
            raise BadSpec(f"the agent {name!r} has a saver of its own; compile it without one, or give it uncompiled")
        return graph
    raise BadSpec(f"the agent {name!r} is a {type(graph).__name__}, not a LangGraph graph")
