"""The tools and agents that a spec declares, made: those in the box, one's own by place, and what Python gave."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from langchain_core.tools import BaseTool
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel

from ..errors import BadSpec, ThreadmillError
from ..nodes import tools as box
from ..nodes.models.slot import Slot
from ..nodes.traits import as_tool
from .loading import load_object
from .spec import AgentSpec, build_agent

_SQLITE_FILE = re.compile(r"^(sqlite(?:\+\w+)?:///)([^/:].*)$", re.DOTALL)
"""The URL of a file by its relative path."""


def make_tools(spec: AgentSpec) -> list[BaseTool]:
    """The tools of ``spec``, in its order.

    Raises:
        BadSpec: a tool is not known, is in no list, cannot be made with its settings, or has the name of another.
    """
    if isinstance(spec.tools, str):
        raise BadSpec(f"agent {spec.name!r}: tools is {spec.tools!r}; give a list, as in [{spec.tools!r}]")
    made = [tool for declared in spec.tools for tool in _make(spec, declared)]
    names = [tool.name for tool in made]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadSpec(
            f"agent {spec.name!r} has several tools named {', '.join(twice)}; the model could not choose: call those "
            'of one otherwise, as in { name = "sql", as = "orders", … }'
        )
    return made


def make_agents(spec: AgentSpec, slot_of: Callable[[str], Slot]) -> dict[str, Any]:
    """The agents of a supervisor, by name: graphs.

    Raises:
        BadSpec: one cannot be loaded.
    """
    return {name: _agent(spec, name, declared, slot_of) for name, declared in spec.agents.items()}


def specs_in(spec: AgentSpec) -> list[AgentSpec]:
    """``spec`` and the specs of the agents that it leads, and of those that they lead.

    Raises:
        BadSpec: one cannot be loaded.
    """
    declared = (_declared(spec, one) for one in spec.agents.values())
    return [spec, *(inner for one in declared if isinstance(one, AgentSpec) for inner in specs_in(one))]


def _declared(spec: AgentSpec, declared: Any) -> Any:
    """What an agent of ``spec`` is, loaded if its place is given."""
    if not isinstance(declared, str):
        return declared
    if declared.endswith(".toml"):
        from .spec_file import load_spec

        return load_spec(Path(spec.folder) / declared)
    return _load(spec, declared)


def _agent(spec: AgentSpec, name: str, declared: Any, slot_of: Callable[[str], Slot]) -> Any:
    found = _declared(spec, declared)
    if inspect.isfunction(found):
        wanted = inspect.signature(found).parameters
        slots = {"slot": f"{name}.think", **{key: f"{name}.{key.removesuffix('_slot')}" for key in wanted}}
        found = found(**{key: slot_of if key == "slot_of" else slot_of(slots[key]) for key in wanted})
    if isinstance(found, AgentSpec):
        return build_agent(found, slot_of)
    if isinstance(found, StateGraph | Pregel):
        return found
    raise BadSpec(f"agent {spec.name!r}: {name} is a {type(found).__name__}, not an agent; give a graph or a TOML file")


def _make(spec: AgentSpec, declared: Any) -> Sequence[BaseTool]:
    if isinstance(declared, BaseTool) or inspect.isfunction(declared):
        return [as_tool(declared)]
    if isinstance(declared, str):
        return _found(spec, declared, {})
    settings = dict(declared)
    name, called = str(settings.pop("name", "")), settings.pop("as", None)
    made = _found(spec, name, settings)
    return made if called is None else _renamed(spec, name, made, called)


def _renamed(spec: AgentSpec, name: str, tools: Sequence[BaseTool], called: Any) -> Sequence[BaseTool]:
    """Copies of ``tools``: a single one is ``called`` so, the names of several begin with it."""
    if not isinstance(called, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", called):
        raise BadSpec(
            f"agent {spec.name!r}: the tool {name!r} cannot be called {called!r}; give letters, digits and '_'"
        )
    names = [called] if len(tools) == 1 else [f"{called}_{tool.name}" for tool in tools]
    return [tool.model_copy(update={"name": new}) for tool, new in zip(tools, names, strict=True)]


def _found(spec: AgentSpec, name: str, settings: Mapping[str, Any]) -> Sequence[BaseTool]:
    if name in box.TOOL_MAKERS:
        try:
            made = getattr(box, box.TOOL_MAKERS[name].partition(":")[2])
        except ImportError as error:
            raise BadSpec(f"agent {spec.name!r}: the tool {name!r} cannot be loaded: {error}") from error
        return _called(spec, name, made, settings)
    if ":" not in name:
        near = get_close_matches(name, box.TOOL_MAKERS)
        hint = f"did you mean {' or '.join(near)}?" if near else f"in the box are {', '.join(box.TOOL_MAKERS)}"
        raise BadSpec(f"agent {spec.name!r}: there is no tool {name!r}; {hint}; your own is FILE.py:FUNCTION")
    found = _load(spec, name)
    if inspect.isfunction(found) and found.__name__.startswith("make_"):
        return _called(spec, name, found, settings)
    if settings:
        raise BadSpec(f"agent {spec.name!r}: {name} takes no settings; they are for functions named make_…")
    return _tools(spec, name, found)


def _called(spec: AgentSpec, name: str, maker: Callable[..., Any], settings: Mapping[str, Any]) -> Sequence[BaseTool]:
    known = inspect.signature(maker).parameters
    free = any(one.kind is one.VAR_KEYWORD for one in known.values())
    for key in settings:
        if key not in known and not free:
            near = get_close_matches(key, known)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known) or 'none'}"
            raise BadSpec(f"agent {spec.name!r}: the tool {name!r} has no setting {key!r}; {hint}")
    placed = {
        key: _placed(spec.folder, value) if key in known and "Path" in str(known[key].annotation) else value
        for key, value in settings.items()
    }
    if isinstance(url := placed.get("url"), str):
        placed["url"] = _SQLITE_FILE.sub(lambda found: f"{found[1]}{Path(spec.folder) / found[2]}", url)
    try:
        return _tools(spec, name, maker(**placed))
    except ThreadmillError as error:
        raise BadSpec(f"agent {spec.name!r}: the tool {name!r} cannot be made: {error}") from error
    except Exception as error:  # whatever somebody's code does
        given = ", ".join(settings) or "no settings"  # their values may hold passwords
        kind = "" if isinstance(error, TypeError | ValueError | OSError) else f"{type(error).__name__}: "
        raise BadSpec(f"agent {spec.name!r}: the tool {name!r} cannot be made with {given}: {kind}{error}") from error


def _placed(folder: str, value: Any) -> Any:
    """``value`` with the paths in it, if they are relative, beginning in ``folder``."""
    if isinstance(value, list | tuple):
        return [_placed(folder, one) for one in value]
    return str(Path(folder) / value) if isinstance(value, str) else value


def _tools(spec: AgentSpec, name: str, found: Any) -> Sequence[BaseTool]:
    """``found`` as tools: one, or several."""
    several = list(found) if isinstance(found, Sequence) else [found]
    for one in several:
        if not isinstance(one, BaseTool) and not inspect.isfunction(one):
            raise BadSpec(f"agent {spec.name!r}: {name} is a {type(one).__name__}, not a tool or a function")
    return [as_tool(one) for one in several]


def _load(spec: AgentSpec, place: str) -> Any:
    try:
        return load_object(place, spec.folder)
    except (ImportError, AttributeError, OSError) as error:
        raise BadSpec(f"agent {spec.name!r}: {place!r} cannot be loaded: {error}") from error
