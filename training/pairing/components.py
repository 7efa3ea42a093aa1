"""What the two sides of a pair did, apart from which is better: the work done, the calls, the steps.

Pure. All is read off the thread, for the turns that stand in the row. A number is None where the thread does not say
it, and higher is better. A reward model learns a head from each.
"""

import json
from collections.abc import Container, Sequence
from typing import TypedDict

from ..branches import Branch, Outcome
from ..selection.behaviour import went_well
from ..selection.conversation import Turn, turns_of
from ..trajectory import Span
from .invented import invents_observation
from .sources import Comparison

TRIED = {"done", "error"}
"""What became of calls that tell how well tools are used; what a person refused or answered does not."""


class Components(TypedDict):
    """One side of a pair."""

    completion: float | None
    """The reward of the branch, else 1 or 0 by its success; None unless the side goes on to the branch's end."""
    tool_use: float | None
    """The part of the calls that gave a result; an invented result is a call that gave none. None without calls."""
    efficiency: float | None
    """Minus the answers of the agent, and minus the calls that it had already made just so; None unless the side goes
    on to the end of a branch that went well: a failure is not better for being short."""


def components_of(found: Comparison) -> dict[str, Components]:
    """Of the ``chosen`` and of the ``rejected`` side; the turns of the shared prefix count for both."""
    chosen, rejected = found.branches
    before = _turns(chosen, _messages(found.prefix))
    sides = {
        "chosen": _side(before, chosen, _messages(found.chosen)),
        "rejected": _side(before, rejected, _messages(found.rejected)),
    }
    if found.source == "human_edit":  # the proposal never ran: the message now tells what became of the human's call
        sides["rejected"] = Components(completion=None, tool_use=None, efficiency=None)
    return sides


def _side(before: Sequence[Turn], branch: Branch, messages: Container[str]) -> Components:
    turns = [*before, *_turns(branch, messages)]
    spoken = [message for trajectory in branch.trajectories for message in _messages(trajectory.spans)]
    ended = bool(spoken) and spoken[-1] in messages
    outcome = branch.outcome
    return Components(
        completion=_completion(outcome) if ended else None,
        tool_use=_tool_use(turns),
        efficiency=_efficiency(turns) if ended and went_well(outcome.success, outcome.reward) else None,
    )


def _completion(outcome: Outcome) -> float | None:
    if outcome.reward is not None:
        return outcome.reward
    return None if outcome.success is None else float(outcome.success)


def _tool_use(turns: Sequence[Turn]) -> float | None:
    endings = [call.ending for turn in turns for call in turn.calls if call.ending in TRIED]
    endings += ["error" for turn in turns if invents_observation(turn.message)]
    return endings.count("done") / len(endings) if endings else None


def _efficiency(turns: Sequence[Turn]) -> float:
    made = [
        (call["name"], json.dumps(call["args"], sort_keys=True, default=str))
        for turn in turns
        for call in turn.message.tool_calls
    ]
    return -float(len(turns) + len(made) - len({*made}))


def _turns(branch: Branch, messages: Container[str]) -> list[Turn]:
    return [turn for turn in turns_of(branch.messages) if turn.message.id and turn.message.id in messages]


def _messages(spans: Sequence[Span]) -> dict[str, None]:
    """Messages of the policy, or of a human in its place, in order."""
    return {span.message: None for span in spans if span.origin != "given" and span.message is not None}
