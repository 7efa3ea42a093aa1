"""Only the turns of chosen nodes are trained: to every maker of rows the others are given, as if a tool had said them.

A node is chosen by its name, or by that of its slot, which has a dot: ``firm.billing.think``. Pure.
"""

from collections.abc import Set
from dataclasses import replace

from .branches import Branch
from .trajectory import Span, Trajectory


def only_nodes(branch: Branch, nodes: Set[str] | None) -> Branch:
    """``branch`` with the turns of ``nodes`` alone, those of other and unknown nodes made given; None is all of it."""
    if nodes is None:
        return branch
    chosen = {message for message in branch.nodes.keys() | branch.slots.keys() if is_turn_of(branch, message, nodes)}
    return only_messages(branch, chosen)


def only_messages(branch: Branch, chosen: Set[str | None]) -> Branch:
    """``branch`` with these turns alone, the others made given."""
    return replace(branch, trajectories=tuple(_only(trajectory, chosen) for trajectory in branch.trajectories))


def is_turn_of(branch: Branch, message: str | None, nodes: Set[str]) -> bool:
    """Did one of ``nodes`` say it?"""
    return branch.nodes.get(str(message)) in nodes or branch.slots.get(str(message)) in nodes


def turns_of_unknown_nodes(branch: Branch, nodes: Set[str]) -> set[str | None]:
    """The messages of the policy of which nobody knows whether one of ``nodes`` said them."""
    known = branch.slots if any("." in node for node in nodes) else branch.nodes
    spoken = {span.message for trajectory in branch.trajectories for span in trajectory.spans if span.origin != "given"}
    return {one for one in spoken - known.keys() if not is_turn_of(branch, one, nodes)}


def _only(trajectory: Trajectory, chosen: Set[str | None]) -> Trajectory:
    spans = tuple(span if span.message in chosen else Span("given", span.tokens) for span in trajectory.spans)
    return Trajectory(spans, tuple(one for one in trajectory.proposals if one.span.message in chosen))
