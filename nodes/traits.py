"""What the loop must know about a tool besides its schema: whether it acts, may be tried again, how long it may take.

The traits stand in the ``metadata`` of LangChain's tool, so they travel with it wherever it goes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from inspect import Parameter, isasyncgenfunction, isfunction, isgeneratorfunction, signature
from threading import TIMEOUT_MAX
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.tools import tool as make_langchain_tool

from ..errors import BadTool, BadTraits

TRAITS_KEY = "threadmill"
"""Key in ``BaseTool.metadata``."""


@dataclass(frozen=True, slots=True)
class Traits:
    """How a tool behaves. What nobody declared is taken to be dangerous: it acts, and is not tried again."""

    acts: bool = True
    """Whether it changes anything outside of the thread (pays, writes, sends); a tool that only reads does not."""
    trusted: bool = False
    """Whether nobody but us can have written what it returns; the output of other tools is marked as data."""
    idempotent: bool = False
    """Whether a second run of the same call does no more than the first; only then is a failed call tried again."""
    retries: int = 2
    """How often a failed call of an idempotent tool is tried again."""
    timeout_s: float | None = None
    """Its own time limit; None: that of the node."""
    max_chars: int | None = None
    """How many characters of its output the model sees at once; None: as the node says."""
    at_once: int | None = None
    """How many calls of it may run at the same time in this process; None: as many as there are."""

    def __post_init__(self) -> None:
        for name in ("acts", "trusted", "idempotent"):
            if not isinstance(value := getattr(self, name), bool):
                raise BadTraits(f"{name} is {value!r}; give True or False")
        for name, least in (("retries", 0), ("max_chars", 1), ("at_once", 1)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < least):
                raise BadTraits(f"{name} is {value!r}; give a whole number from {least} on")
        if self.timeout_s is not None and not is_time_limit(self.timeout_s):
            raise BadTraits(f"timeout_s is {self.timeout_s!r}; give seconds, or None for the time limit of the node")


def is_time_limit(seconds: Any) -> bool:
    """Can a thread wait so long? Not for ever, nor three centuries."""
    return isinstance(seconds, int | float) and 0 < seconds <= TIMEOUT_MAX


def traits_of(tool: BaseTool) -> Traits:
    """The traits that ``tool`` declares, the defaults where it declares none.

    Raises:
        BadTraits: it declares what no tool can have.
    """
    declared = (tool.metadata or {}).get(TRAITS_KEY, {})
    try:
        return Traits(**declared)
    except (TypeError, BadTraits) as error:
        known = ", ".join(one.name for one in fields(Traits))
        raise BadTraits(f"the tool {tool.name!r} declares {declared!r}: {error}; there are {known}") from None


def with_traits(tool: BaseTool | Callable[..., Any], **traits: Any) -> BaseTool:
    """A copy of ``tool`` that declares ``traits`` besides those it has; a plain function becomes a tool.

    >>> def look(order: str) -> str:
    ...     '''Look an order up.'''
    ...     return "shipped"
    >>> traits_of(with_traits(look, acts=False)).acts
    False

    Raises:
        BadTraits: there is no such trait, or it cannot have this value.
    """
    known = as_tool(tool)
    try:
        changed = replace(traits_of(known), **traits)
    except TypeError as error:
        names = ", ".join(one.name for one in fields(Traits))
        raise BadTraits(f"{traits!r} are no traits of a tool: {error}; there are {names}") from None
    declared: Mapping[str, Any] = {one.name: getattr(changed, one.name) for one in fields(Traits)}
    return known.model_copy(update={"metadata": {**(known.metadata or {}), TRAITS_KEY: dict(declared)}})


def as_tools(tools: Sequence[BaseTool | Callable[..., Any]]) -> list[BaseTool]:
    """``tools``, each as ``as_tool`` makes it.

    Raises:
        BadTool: it is no list, something in it is no tool, or several have one name.
    """
    if not isinstance(tools, Sequence):
        raise BadTool(f"the tools are a {type(tools).__name__}, not a list; write […] around it")
    known = [as_tool(tool) for tool in tools]
    names = [tool.name for tool in known]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadTool(
            f"several tools are called {', '.join(twice)}; the model could not choose: rename a copy, as in "
            f"tool.model_copy(update={{'name': '{twice[0]}_2'}})"
        )
    return known


def as_tool(tool: BaseTool | Callable[..., Any]) -> BaseTool:
    """``tool`` itself, or the tool that LangChain makes of a function by its type hints and docstring.

    Raises:
        BadTool: the function says nowhere what it is for.
    """
    if isinstance(tool, BaseTool):
        return tool
    if isinstance(tool, list | tuple):
        raise BadTool("a list of tools stands where a tool should; spread it: [*tools, …]")
    if isfunction(tool) and not tool.__doc__:
        raise BadTool(f"the function {tool.__name__!r} does not say what it is for; give it a docstring")
    if not callable(tool) or not getattr(tool, "__doc__", None) or not hasattr(tool, "__name__"):
        raise BadTool(f"{tool!r} is no tool: give a tool of LangChain's, or a function with type hints and a docstring")
    if odd := _not_callable_by_name(tool):
        raise BadTool(f"{tool.__name__!r} takes {odd}, and the model gives each argument by its name; write them out")
    if isgeneratorfunction(tool) or isasyncgenfunction(tool):
        raise BadTool(f"{tool.__name__!r} yields, so that nobody would run it; return a list, and call report_progress")
    return make_langchain_tool(tool)


def _not_callable_by_name(function: Callable[..., Any]) -> str:
    """Its parameters that have no name of their own in a call; empty if there are none."""
    odd = (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    try:
        return ", ".join(str(one) for one in signature(function).parameters.values() if one.kind in odd)
    except ValueError:  # something of C's that tells nothing
        return "what it does not tell"
