"""Only the turns of chosen nodes are trained: to every maker of rows the others are given, as if a tool had said them.

Pure.
"""

from collections.abc import Set
from dataclasses import replace

from .branches import Branch
from .trajectory import Span, Trajectory


def only_nodes(branch: Branch, nodes: Set[str] | None) -> Branch:
    """``branch`` with the turns of ``nodes`` alone, those of other and unknown nodes made given; None is all of it."""
    if nodes is None:
        return branch
    chosen = {message for message, node in branch.nodes.items() if node in nodes}
    return replace(branch, trajectories=tuple(_only(trajectory, chosen) for trajectory in branch.trajectories))


def turns_of_unknown_nodes(branch: Branch) -> set[str | None]:
    """The messages of the policy whose node nobody knows."""
    spoken = {span.message for trajectory in branch.trajectories for span in trajectory.spans if span.origin != "given"}
    return spoken - branch.nodes.keys()


def _only(trajectory: Trajectory, chosen: Set[str]) -> Trajectory:
    spans = tuple(span if span.message in chosen else Span("given", span.tokens) for span in trajectory.spans)
    return Trajectory(spans, tuple(one for one in trajectory.proposals if one.span.message in chosen))
