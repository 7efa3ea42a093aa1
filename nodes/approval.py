"""Which calls may run unasked: rules per tool and by its arguments, and what stems from untrusted output.

The first rule that fits decides. A predicate that cannot be evaluated asks: in doubt a person decides.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

from langchain_core.tools import BaseTool

from ..errors import BadApproval
from .calls import Call
from .taint import Sources, find_taint, untrusted_output
from .traits import traits_of

Predicate = Callable[[Mapping[str, Any]], bool]


class Asked(NamedTuple):
    """Why somebody must decide about a call, and who."""

    why: str
    who: str = "human"
    choices: tuple[str, ...] = ()
    """What may be answered; empty: all that there is."""


class Forbidden(NamedTuple):
    """Why a call is not run, whoever would allow it."""

    why: str


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to the calls of some tools."""

    tool: str
    """Its name; ``*`` and ``?`` stand for any characters."""
    when: str | Predicate | None = None
    """For which arguments: an expression such as ``amount > 100 and currency == "EUR"``, or a pure function of them."""
    why: str = ""
    """What the person who is asked, or the model that is refused, gets to read."""
    who: str = "human"
    decision: Literal["ask", "refuse", "allow"] = "ask"
    """``allow`` makes later rules and ``acts`` void, but not ``taint``."""


@dataclass(frozen=True, slots=True)
class Approval:
    """The policy of an agent."""

    rules: Sequence[Rule] = ()
    taint: bool | Literal["strict"] = True
    """Whether a call that acts asks if an argument stems from untrusted output; ``strict``: if there was any at all."""
    acts: Literal["never", "ask"] = "never"
    """What becomes of a call that acts and that no rule fits."""


Judge = Callable[[Mapping[str, Any], Sequence[Call]], list[Asked | Forbidden | None]]
"""From the state and its calls: of each, what must be done before it may run."""


def make_judge(approval: Approval, tools: Sequence[BaseTool], schemas: Mapping[str, Mapping[str, Any]]) -> Judge:
    """``approval`` for these tools.

    Raises:
        BadApproval: a rule names no tool, an argument that its tools don't have, or is no expression.
    """
    if approval.taint not in (True, False, "strict") or approval.acts not in ("never", "ask"):
        raise BadApproval(
            f"taint is {approval.taint!r} and acts is {approval.acts!r}; "
            "taint is true, false or 'strict', acts is 'never' or 'ask'"
        )
    if not isinstance(approval.rules, Sequence) or not all(isinstance(rule, Rule) for rule in approval.rules):
        raise BadApproval(f"rules is {approval.rules!r}; write Rule(tool, …) for each, in a list")
    rules = [(rule, _applies(rule, schemas)) for rule in approval.rules]
    acting = {tool.name for tool in tools if traits_of(tool).acts}
    trusted = {tool.name for tool in tools if traits_of(tool).trusted}
    foreign = _describing_themselves(tools)
    declared = {name: schema.get("properties", {}) for name, schema in schemas.items()}

    def by_rule(name: str, args: Mapping[str, Any]) -> Asked | Forbidden | None:
        for rule, applies in rules:
            if (doubt := applies(name, args)) is not None:
                why = rule.why or _words(rule)
                match rule.decision:
                    case "allow":
                        return Asked(f"{why}; {doubt}", rule.who) if doubt else None
                    case "refuse":
                        return Forbidden(f"{why}; {doubt}" if doubt else why)
                    case _:
                        return Asked(f"{why}; {doubt}" if doubt else why, rule.who)
        return Asked("it acts") if approval.acts == "ask" and name in acting else None

    def judge(state: Mapping[str, Any], calls: Sequence[Call]) -> list[Asked | Forbidden | None]:
        sources: Sources | None = None
        judged = []
        for call in calls:
            if call["kind"] != "result":
                judged.append(None)
                continue
            name, args = call["call"]["name"], call["call"]["args"]
            found = by_rule(name, args)
            if approval.taint and name in acting and not isinstance(found, Forbidden):
                sources = untrusted_output(state, trusted) if sources is None else sources
                tainted = _copied(sources, args, declared[name])
                if not tainted and approval.taint == "strict":
                    tainted = _read_before(sources) or foreign
                if tainted:
                    found = Asked(f"{found.why}; {tainted}", found.who) if found else Asked(tainted)
            judged.append(found)
        return judged

    return judge


def _copied(sources: Sources, args: Mapping[str, Any], declared: Container[str]) -> str:
    """Which of ``args`` stem from untrusted output, in words; empty if none do."""
    found = find_taint(sources, args, declared)
    more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
    return "; ".join(one.words() for one in found[:3]) + more


def _read_before(sources: Sources) -> str:
    if not sources.outputs:
        return ""
    latest = sources.outputs[-1]
    return f"untrusted output was read before, last of {latest.tool} (message {latest.message})"


def _describing_themselves(tools: Sequence[BaseTool]) -> str:
    """Whose descriptions of ``tools`` the model reads although nobody here wrote or pinned them, in words."""
    served = [((tool.metadata or {}).get("mcp"), traits_of(tool)) for tool in tools]
    servers = {about["server"] for about, traits in served if about and not about.get("pinned") and not traits.trusted}
    if not servers:
        return ""
    named = ", ".join(map(repr, sorted(servers)))
    return f"the server {named} describes tools here, in words of its own that nobody pinned"


def _applies(rule: Rule, schemas: Mapping[str, Mapping[str, Any]]) -> Callable[[str, Mapping[str, Any]], str | None]:
    """From a tool and its arguments: None if the rule does not fit, else the doubt that remains, mostly none."""
    fitting = [name for name in schemas if fnmatchcase(name, rule.tool)]
    if not fitting:
        raise BadApproval(f"the rule for {rule.tool!r} fits no tool; there are {', '.join(schemas) or 'none'}")
    if rule.decision not in ("ask", "refuse", "allow"):
        raise BadApproval(f"the decision of the rule for {rule.tool!r} is {rule.decision!r}; ask, refuse or allow")
    if rule.when is None:
        return lambda name, args: "" if name in fitting else None
    holds = rule.when
    if isinstance(holds, str):
        names, holds = _expression(rule.tool, holds)
        having = [name for name in fitting if names <= schemas[name].get("properties", {}).keys()]
        if not having:
            there = sorted({name for tool in fitting for name in schemas[tool].get("properties", {})})
            raise BadApproval(
                f"the rule for {rule.tool!r} asks for {rule.when!r}, but there are only the arguments "
                f"{', '.join(there) or 'none'}"
            )
        fitting = having
    predicate = holds

    def applies(name: str, args: Mapping[str, Any]) -> str | None:
        if name not in fitting:
            return None
        described = schemas[name].get("properties", {})
        known = {key: about.get("default") if isinstance(about, Mapping) else None for key, about in described.items()}
        try:
            return "" if predicate({**known, **args}) else None
        except Exception as error:
            return f"whether {_words(rule)} holds could not be told: {error}"

    return applies


_FUNCTIONS: dict[str, Callable[..., Any]] = {"len": len, "lower": lambda text: str(text).lower(), "abs": abs}


def _expression(tool: str, text: str) -> tuple[set[str], Predicate]:
    """The names that ``text`` asks for, and itself as a function."""
    import ast

    from simpleeval import EvalWithCompoundTypes

    try:
        parsed = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise BadApproval(f"the rule for {tool!r}: {text!r} is no expression: {error}") from error
    called = {id(node.func) for node in ast.walk(parsed) if isinstance(node, ast.Call)}
    seen = [node for node in ast.walk(parsed) if isinstance(node, ast.Name) and id(node) not in called]
    names = {node.id for node in seen} - {node.id for node in seen if isinstance(node.ctx, ast.Store)}
    unknown = {
        node.func.id
        for node in ast.walk(parsed)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id not in _FUNCTIONS
    }
    if unknown:
        raise BadApproval(
            f"the rule for {tool!r}: there is no function {', '.join(sorted(unknown))}; there are "
            f"{', '.join(_FUNCTIONS)}"
        )

    def holds(args: Mapping[str, Any]) -> bool:
        return bool(EvalWithCompoundTypes(names=dict(args), functions=_FUNCTIONS).eval(text, previously_parsed=parsed))

    return names, holds


def _words(rule: Rule) -> str:
    if rule.when is None:
        return f"a rule for {rule.tool}"
    return rule.when if isinstance(rule.when, str) else getattr(rule.when, "__name__", "a predicate")
