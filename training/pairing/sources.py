"""What one thread compares by itself: a proposal and what a human put in its place, an invalid call and its repair.

Pure. A turn that several branches share is compared once in each; whoever makes rows drops the repetitions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ...nodes.calls import ANSWERED, NOT_RUN
from ...nodes.repair import repaired_calls
from ..branches import Branch
from ..trajectory import Span
from ..turns import turn_at
from .divergence import Refusal

Source = Literal["human_edit", "preference", "repair", "invented", "branches", "trials"]

INVALID = {"invalid", "unknown_tool"}
"""Kinds of tool messages that answer a call which could not be run as proposed."""
REJECTED = "rejected"
"""The kind of a tool message in place of a call that a person refused."""
REFUSED = {REJECTED, "forbidden"}
"""The same, and where a rule that a person wrote refused it."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two continuations of the same tokens, one of them better."""

    source: Source
    prefix: Sequence[Span]
    chosen: Sequence[Span]
    rejected: Sequence[Span]
    branches: tuple[Branch, Branch]
    """Where the chosen and the rejected one are found."""
    why: str


def human_edits(branches: Sequence[Branch]) -> Iterator[Comparison | Refusal]:
    """Of the branches of a thread: what a human wrote against the model's proposal."""
    compared, reasons = set(), dict[str | None, str]()
    for branch in branches:
        refused = {turn.id for turn, results in turns_with_results(branch.messages) if is_refused(results)}
        for trajectory in branch.trajectories:
            for proposal in trajectory.proposals:
                message = proposal.span.message
                if message in refused or not proposal.replaced:
                    other = "a person refused another call of it"
                    reasons[message] = other if message in refused else "no later call has seen it"
                    continue
                compared.add(message)
                chosen = turn_at(trajectory.spans, proposal.at)
                why = f"a human replaced the proposal of message {message}"
                prefix = trajectory.spans[: proposal.at]
                rejected = proposal.cut or (proposal.span,)
                yield Comparison("human_edit", prefix, chosen, rejected, (branch, branch), why)
    for message, reason in reasons.items():
        if message not in compared:
            yield Refusal(f"human_edit: {reason}")


def repairs(branches: Sequence[Branch]) -> Iterator[Comparison | Refusal]:
    """Of the branches of a thread: the valid call after an invalid one against that."""
    compared, apart = set(), dict[tuple[str, str], None]()
    for branch in branches:
        for bad, good in find_repairs(branch):
            for trajectory in branch.trajectories:
                spans = trajectory.spans
                places = {span.message: at for at, span in reversed(list(enumerate(spans)))}
                if bad in places and good in places:
                    compared.add((bad, good))
                    why = f"the call of message {bad} was invalid, that of message {good} was not"
                    sides = turn_at(spans, places[good]), turn_at(spans, places[bad])
                    yield Comparison("repair", spans[: places[bad]], *sides, (branch, branch), why)
                    break
            else:
                apart[bad, good] = None
    for place in apart:
        if place not in compared:
            yield Refusal("repair: not in one trajectory")


def find_repairs(branch: Branch) -> list[tuple[str, str]]:
    """Ids of messages with an invalid call and of the AI message after each, whose calls are all valid.

    A call that a person refused repairs nothing, nor does one that was not run or had to be put right itself.
    """
    found = []
    mended = repaired_turns(branch)
    for (bad, bad_results), (good, good_results) in pairwise(turns_with_results(branch.messages)):
        repaired = bool(good.tool_calls) and is_run(good_results) and not is_invalid(good, good_results)
        if is_invalid(bad, bad_results) and repaired and good.id not in mended:
            found.append((bad.id or "", good.id or ""))
    return found


def turns_with_results(messages: Sequence[BaseMessage]) -> list[tuple[AIMessage, list[ToolMessage]]]:
    """Each message of a model with the tool messages up to the next one."""
    turns: list[tuple[AIMessage, list[ToolMessage]]] = []
    for message in messages:
        if isinstance(message, AIMessage):
            turns.append((message, []))
        elif isinstance(message, ToolMessage) and turns:
            turns[-1][1].append(message)
    return turns


def is_invalid(message: AIMessage, results: Sequence[ToolMessage]) -> bool:
    """Did the message propose a call that could not be run as it was?"""
    return bool(message.invalid_tool_calls) or any(kind_of(result) in INVALID for result in results)


def is_refused(results: Sequence[ToolMessage]) -> bool:
    """Did a person refuse a call, or a person's rule?"""
    return any(kind_of(result) in REFUSED for result in results)


def is_run(results: Sequence[ToolMessage]) -> bool:
    """Was every call run, or answered in the tool's place? What other agents' tools say is taken for a result."""
    return all(kind_of(result) not in NOT_RUN - ANSWERED for result in results)


def repaired_turns(branch: Branch) -> set[str | None]:
    """Messages in which the model sampled a call that had to be put right, so that its tokens are no example.

    A message without recorded tokens is rendered as it stands, with the call put right.
    """
    if branch.tokens != "recorded":
        return set()
    return {message.id for message in branch.messages if repaired_calls(message)}


def kind_of(result: ToolMessage) -> str | None:
    """What our tool node noted of how the call went."""
    return result.additional_kwargs.get("kind")
