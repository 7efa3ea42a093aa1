"""Any node or edge of a graph replaced by one's own: what comes back is a changed copy, uncompiled as before.

A node keeps its place: its edges, its note of which agent it belongs to, and what it is given. New nodes are added
to the copy with LangGraph's own ``add_node``.
"""

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping
from copy import copy
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from langgraph.graph import END, START, StateGraph

from ..errors import UnknownNode

Graph = StateGraph[Any, Any, Any, Any]


def replace_node(graph: Graph, name: str, node: Any) -> Graph:
    """A copy of ``graph`` in which ``node``, a function of the state, a runnable or a compiled graph, is ``name``.

    It is called as the one before was: ``act`` gives ``tool`` one call, all others get the state.

    Raises:
        UnknownNode: there is no node ``name``.
    """
    before = graph.nodes.get(name)
    if before is None:
        raise UnknownNode(f"there is no node {name!r}{_near(name, graph)}")
    changed = _copied(graph)
    del changed.nodes[name]
    noted = {**(before.metadata or {}), "replaced": _called(node)}
    changed.add_node(name, node, metadata=noted, input_schema=before.input_schema)
    after = changed.nodes[name]
    kept = replace(before, runnable=after.runnable, metadata=noted, ends=after.ends or before.ends)
    changed.nodes = {known: kept if known == name else spec for known, spec in graph.nodes.items()}
    return changed


def replace_edge(graph: Graph, source: str, target: str, to: str) -> Graph:
    """A copy of ``graph`` in which what led from ``source`` to ``target`` leads to ``to``: an edge, or a route's end.

    ``to`` may be a node that is added to the copy afterwards.

    Raises:
        UnknownNode: no edge and no route leads from ``source`` to ``target``.
    """
    changed = _copied(graph)
    if (source, target) in changed.edges:
        changed.edges = {(source, to) if edge == (source, target) else edge for edge in changed.edges}
        return changed
    joined = {edge for edge in changed.waiting_edges if source in edge[0] and edge[1] == target}
    if joined:
        changed.waiting_edges = (changed.waiting_edges - joined) | {(sources, to) for sources, _ in joined}
        return changed
    routes = {
        name: branch
        for name, branch in graph.branches.get(source, {}).items()
        if target in (branch.ends or {}).values()
    }
    if not routes:
        raise UnknownNode(_no_edge(graph, source, target))
    for name, branch in routes.items():
        ends = {answer: to if end == target else end for answer, end in (branch.ends or {}).items()}
        changed.branches[source][name] = branch._replace(ends=ends)
    return changed


def replace_route(graph: Graph, source: str, question: Callable[..., Any], ends: Mapping[Hashable, str]) -> Graph:
    """A copy of ``graph`` in which ``question`` decides where ``source`` leads: to the end that its answer names.

    All edges and routes from ``source`` are gone.

    Raises:
        UnknownNode: there is no node ``source``.
    """
    if source not in graph.nodes and source != START:
        raise UnknownNode(f"there is no node {source!r}{_near(source, graph)}")
    changed = _copied(graph)
    changed.edges = {edge for edge in changed.edges if edge[0] != source}
    changed.branches.pop(source, None)
    changed.add_conditional_edges(source, question, dict(ends))
    return changed


def _copied(graph: Graph) -> Graph:
    """A graph that can be changed without changing ``graph``."""
    changed = copy(graph)
    changed.compiled = False
    changed.nodes = dict(graph.nodes)
    changed.edges = set(graph.edges)
    changed.waiting_edges = set(graph.waiting_edges)
    changed.branches = defaultdict(dict, {source: dict(routes) for source, routes in graph.branches.items()})
    changed.schemas, changed.channels, changed.managed = dict(graph.schemas), dict(graph.channels), dict(graph.managed)
    return changed


def _called(node: Any) -> str:
    """What to call ``node`` in the graph's digest."""
    named = getattr(node, "name", None) or getattr(node, "__qualname__", None) or type(node).__qualname__
    return f"{getattr(node, '__module__', '')}.{named}"


def _near(name: str, graph: Graph) -> str:
    near = get_close_matches(name, list(graph.nodes))
    return f"; did you mean {' or '.join(near)}?" if near else f"; there are {', '.join(graph.nodes)}"


def _no_edge(graph: Graph, source: str, target: str) -> str:
    if source not in graph.nodes and source != START:
        return f"there is no node {source!r}{_near(source, graph)}"
    spec = graph.nodes.get(source)
    if spec is not None and target in (spec.ends or ()):
        return f"{source} sends to {target} by itself; replace one of the two nodes"
    ends = [end for start, end in sorted(graph.edges) if start == source]
    ends += [end for sources, end in sorted(graph.waiting_edges) if source in sources]
    ends += [end for branch in graph.branches.get(source, {}).values() for end in (branch.ends or {}).values()]
    told = ", ".join("the end" if end == END else end for end in ends) or "nowhere"
    return f"no edge leads from {source} to {'the end' if target == END else target}; it leads to {told}"
