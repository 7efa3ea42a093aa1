"""An agent as a record: what it is told, what it may do, and which kind of graph it is; ``build_agent`` builds it.

The same record is a TOML file in ``spec_file.py``. A new agent is careful: what its tools return is marked as data, a
call whose arguments stem from there asks a person before it acts, and a run has limits.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import MISSING, dataclass, field, fields, replace
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Literal

from langgraph.graph import StateGraph

from ..errors import BadSpec
from ..nodes.approval import Approval
from ..nodes.limits import Limits
from ..nodes.models.slot import Slot
from ..nodes.traits import is_time_limit

SlotOf = Callable[[str], Slot]
"""From a slot's name (``shop.think``) to the slot."""


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """What an agent is made of. What its kind has no use for must be left as it is."""

    name: str
    """Its slots are named after it: ``<name>.think``."""
    kind: str = "react"
    """One of ``KINDS``."""
    system: str = ""
    """The system prompt: what to do, and what not."""
    persona: str = ""
    """Who it is and how it speaks; stands before the system prompt, two newlines between them."""
    tools: Sequence[Any] = ()
    """Functions and LangChain tools; or names of tools in the box, ``my_tools.py:look``, and tables with settings."""
    models: Mapping[str, str] = field(default_factory=dict)
    """Node to the model SPEC that answers until a version of its slot is promoted."""
    style: Literal["native", "text"] = "native"
    """How models call tools: in a form of their own, or in text (ReAct). Heeded by who opens the slots, as commands do;
    in Python, ``open_slot(…, text=True)``."""
    fallbacks: Sequence[str] = ()
    """Model SPECs to ask, in this order, when the model fails; their slots are ``fallback``, ``fallback_2``, …"""
    retries: int = 0
    """How often a model that fails is asked again."""
    tool_choice: str | None = None
    first: Literal["plan", "reflect"] | None = None
    """A turn without tools before the agent acts."""
    max_calls: int = 12
    """Model calls in one run (one user turn)."""
    timeout_s: float | None = 30
    """For one tool call."""
    mark: bool = True
    """Whether what tools return is marked as data."""
    max_chars: int | None = 20_000
    """How much of a tool's output the model sees at once; it can ask for more pages."""
    approval: Approval = field(default_factory=Approval)
    limits: Limits | None = field(default_factory=Limits)
    dry_run: bool = False
    """Whether calls that act are answered without being run."""
    budget: Any = None
    """What a prompt may have (``nodes.budget.Budget``); None: all of the thread."""
    summarise: bool = False
    """Whether a model, that of the slot ``summarise``, puts in words what does not fit into the budget."""
    memory: Any = None
    """What is remembered from other threads (``nodes.memory.Memory``)."""
    response: Mapping[str, Any] | None = None
    """The JSON Schema of the answer."""
    agents: Mapping[str, Any] = field(default_factory=dict)
    """Of a supervisor: name to ``AgentSpec``, graph, or the place of one."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Other settings of the kind's builder, by name."""
    folder: str = "."
    """Where relative paths begin: the folder of its file."""

    def __post_init__(self) -> None:
        for name, least in (("retries", 0), ("max_calls", 1), ("max_chars", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise BadSpec(f"{name} is {value!r}; give a whole number from {least} on")
        if self.timeout_s is not None and not is_time_limit(self.timeout_s):
            raise BadSpec(f"timeout_s is {self.timeout_s:g}; give seconds, or None (false in TOML) to wait for ever")

    @property
    def prompt(self) -> str:
        """The system prompt as the model gets it."""
        return "\n\n".join(text for text in (self.persona, self.system) if text)

    @property
    def first_models(self) -> dict[str, str]:
        """Node to the model SPEC that answers until something is promoted, fallbacks among them."""
        return {**self.models, **dict(zip(self.fallback_nodes, self.fallbacks, strict=True))}

    @property
    def fallback_nodes(self) -> tuple[str, ...]:
        """What the slots of the fallbacks are called."""
        return tuple("fallback" if n == 1 else f"fallback_{n}" for n in range(1, len(self.fallbacks) + 1))


@dataclass(frozen=True, slots=True)
class Kind:
    """A builder in this folder."""

    builder: str
    """``module:function``."""
    slots: Mapping[str, str]
    """Parameter to the node whose slot it is."""
    maybe: Mapping[str, str] = field(default_factory=dict)
    """The same of slots that are opened only if ``models`` names one."""


KINDS = {
    "react": Kind("react:build_react", {"slot": "think"}),
    "ask": Kind("ask:build_ask", {"slot": "think"}),
    "plan_execute": Kind("plan_execute:build_plan_execute", {"planner": "plan", "executor": "execute"}),
    "reflexion": Kind("reflexion:build_reflexion", {"actor": "trial", "reflector": "reflect", "evaluate": "judge"}),
    "rag": Kind("rag:build_rag", {"slot": "think"}, {"judge": "judge"}),
    "structured": Kind("structured:build_structured", {"slot": "think"}, {"answer": "answer"}),
    "supervisor": Kind("supervisor:build_supervisor", {"slot": "think"}),
}

_NOT_SETTINGS = {
    "name",
    "kind",
    "system",
    "persona",
    "tools",
    "models",
    "style",
    "fallbacks",
    "agents",
    "settings",
    "summarise",
    "folder",
}
_RESPONSE = ("schema", "response_schema")
"""What builders call the field ``response``."""


def build_agent(spec: AgentSpec, slot_of: SlotOf) -> StateGraph[Any, Any, Any, Any]:
    """The agent's graph, uncompiled; ``slot_of`` is asked for each of its slots by name.

    Raises:
        BadSpec: the kind is not known, or has no use for something that is set.
    """
    builder, kind = find_builder(spec), KINDS[spec.kind]
    known = _parameters(builder)
    wanted = {**kind.slots} | {parameter: node for parameter, node in kind.maybe.items() if node in spec.models}
    _check_names(spec, {*kind.slots.values(), *kind.maybe.values(), *spec.fallback_nodes, "summarise"})
    given: dict[str, Any] = {"name": spec.name}
    given |= {parameter: slot_of(f"{spec.name}.{node}") for parameter, node in wanted.items()}
    if "tools" in known:
        from .spec_tools import make_tools

        given["tools"] = make_tools(spec)
        if spec.memory is not None:
            from ..nodes.memory import make_remember

            given["tools"].append(make_remember(spec.memory))
        if "ask" in known:
            from ..nodes.tools.ask_user import ask_for

            given["ask"] = ask_for(given["tools"])
    if "agents" in known:
        from .spec_tools import make_agents

        given["agents"] = make_agents(spec, slot_of)
    if spec.prompt:
        given["system"] = spec.prompt
    if spec.summarise:
        from ..nodes.budget import Budget

        given["budget"] = replace(spec.budget or Budget(), summarise=slot_of(f"{spec.name}.summarise"))
    if spec.fallbacks:
        given["fallbacks"] = [slot_of(f"{spec.name}.{node}") for node in spec.fallback_nodes]
    given = {**_settings(spec, known), **given}
    for name, one in known.items():
        if one.default is one.empty and given.get(name) is None:
            field_name = "response" if name in _RESPONSE else name
            raise BadSpec(f"agent {spec.name!r}: the kind {spec.kind!r} needs {field_name!r}")
    if spec.agents and "agents" not in known:
        given["agents"] = spec.agents
    for name in given:
        if name not in known:
            raise BadSpec(f"agent {spec.name!r}: the kind {spec.kind!r} has no use for {name!r}; leave it out")
    return builder(**given)


def find_builder(spec: AgentSpec) -> Callable[..., StateGraph[Any, Any, Any, Any]]:
    """The function that builds agents of the spec's kind.

    Raises:
        BadSpec: there is none.
    """
    if spec.kind not in KINDS:
        near = get_close_matches(spec.kind, KINDS)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(KINDS)}"
        raise BadSpec(f"agent {spec.name!r}: there is no kind {spec.kind!r}; {hint}")
    module, _, function = KINDS[spec.kind].builder.partition(":")
    return getattr(import_module(f".{module}", __package__), function)


def default_of(name: str) -> Any:
    """What an ``AgentSpec`` has for ``name`` if nobody says otherwise; ``MISSING`` if somebody must."""
    one = next(one for one in fields(AgentSpec) if one.name == name)
    return one.default if one.default_factory is MISSING else one.default_factory()


def _check_names(spec: AgentSpec, nodes: Set[str]) -> None:
    """Refuse a name that no slot can have, and models of slots that the agent has not."""
    if not re.fullmatch(r"[A-Za-z_][\w.-]*", spec.name):
        raise BadSpec(
            f"agent {spec.name!r}: slots are named after it; give letters, digits, '_' and '-', a letter first"
        )
    for node in spec.models:
        if node.removeprefix(f"{spec.name}.") not in nodes:
            near = get_close_matches(node, nodes, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(nodes))}"
            raise BadSpec(
                f"agent {spec.name!r}: models names a slot {node!r} that the kind {spec.kind!r} has not; {hint}"
            )


def _parameters(builder: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """What ``builder`` can be given; ``**options`` are those of ``build_react``."""
    from .react import build_react

    own = dict(inspect.signature(builder).parameters)
    return dict(inspect.signature(build_react).parameters) | own if own.pop("options", None) else own


def _settings(spec: AgentSpec, known: Mapping[str, Any]) -> dict[str, Any]:
    """The spec's fields that builders take, those that the builder does not know only if somebody set them."""
    given = dict(spec.settings)
    for one in fields(AgentSpec):
        parameter, value = one.name, getattr(spec, one.name)
        if parameter == "response":
            parameter = next((name for name in _RESPONSE if name in known), parameter)
        if one.name not in _NOT_SETTINGS and (parameter in known or value != default_of(one.name)):
            given[parameter] = value
    return given
