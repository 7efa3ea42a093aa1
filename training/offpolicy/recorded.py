"""The decisions of stored threads with the probabilities that they were drawn with; unusable threads by reason. Pure.

A ratio needs the probability that the tokens had when they were drawn. So a thread is left out if that is not known or
was another: turns without recorded tokens, logprobs of another distribution than the one drawn from, a choice narrowed
by a grammar or by top-p, top-k or min-p, temperature 0, a context that was cut. Threads with branches are left out too:
somebody has seen how one went and then chosen another. What a human changed stays in: the proposal is the decision, and
the human is part of the world that answers it.
"""

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from langchain_core.messages import AIMessage

from ...nodes.models.trace import TRACE_KEY
from ..branch_labels import is_recorded_replay
from ..branches import Branch
from ..chosen_nodes import is_turn_of
from ..credit.step_labels import is_continuation
from ..recipes.recorded_groups import is_narrowed
from ..taken import TakenInMemory, span_keys
from ..trajectory import Span
from ..turns import join


@dataclass(frozen=True, slots=True)
class Decision:
    """One model call: ``ids[start:end]`` of its reading were drawn."""

    start: int
    end: int
    temperature: float
    logprob: float
    """Of all drawn tokens together, as recorded."""
    place: int
    """Which of the branch's messages it is."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Tokens that a model read and drew in one go."""

    ids: tuple[int, ...]
    decisions: tuple[Decision, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One episode."""

    thread: str
    task: str
    """Its own thread where it names no task."""
    reward: float
    readings: tuple[Reading, ...]

    @property
    def decisions(self) -> int:
        """How many there are."""
        return sum(len(reading.decisions) for reading in self.readings)


@dataclass
class Usable:
    """Takes the threads that can be screened from, one by one."""

    nodes: Set[str] | None = None
    """Whose turns the candidate would take; None is all. Others would stay as they are, so their ratio is 1."""
    left_out: Counter[str] = field(default_factory=Counter)
    _copies: TakenInMemory = field(default_factory=TakenInMemory)

    def read(self, branches: Sequence[Branch]) -> Recorded | None:
        """The episode of the thread with these branches; None, and one more reason, if it is of no use."""
        found = self._read(branches)
        if isinstance(found, str):
            self.left_out[found] += 1
            return None
        return found

    def _read(self, branches: Sequence[Branch]) -> Recorded | str:
        lived = [branch for branch in branches if branch.path and not is_recorded_replay(branch)]
        inner = [branch for branch in branches if not branch.path]
        if not lived:
            return "no message of a model"
        if len(lived) > 1:
            return "it has branches: somebody chose where to go on"
        (branch,) = lived
        reward = _reward(branch)
        if reward is None:
            return "no reward"
        if not 0 <= reward <= 1:
            return "a reward outside 0 to 1"
        if is_continuation(branch):
            return "a continuation of another thread"
        if branch.forgotten:
            return "its context was cut, so what the model saw is gone"
        if any(self._spoken(one) for one in inner):
            return "turns inside a subgraph"
        spoken = self._spoken(branch)
        if not spoken:
            return f"no turn of {' or '.join(sorted(self.nodes))}" if self.nodes else "no message of a model"
        trouble = next(filter(None, (_trouble(branch.messages[place]) for place in spoken.values())), None)
        if trouble:
            return trouble
        keys = [key for one in branch.trajectories for key in span_keys(branch, one.spans) if key is not None]
        if keys and not any(self._copies.add(keys)):
            return "a copy of another thread"
        return self._episode(branch, reward, spoken)

    def _spoken(self, branch: Branch) -> dict[str | None, int]:
        """The messages of the chosen nodes, and where they stand."""
        return {
            message.id: place
            for place, message in enumerate(branch.messages)
            if isinstance(message, AIMessage) and (self.nodes is None or is_turn_of(branch, message.id, self.nodes))
        }

    def _episode(self, branch: Branch, reward: float, spoken: dict[str | None, int]) -> Recorded | str:
        readings = []
        for trajectory in branch.trajectories:
            proposals = [
                (tuple(join(trajectory.spans[: one.at])), one.span)
                for one in trajectory.proposals
                if one.span.message in spoken
            ]
            drawn, at = [], 0
            for span in trajectory.spans:
                if span.origin == "sampled" and span.message in spoken:
                    drawn.append(_decision(branch, span, at, spoken))
                at += len(span.tokens)
            if drawn:
                readings.append(Reading(tuple(trajectory.ids())[: drawn[-1].end], tuple(drawn)))
            readings += [
                Reading((*before, *span.tokens), (_decision(branch, span, len(before), spoken),))
                for before, span in proposals
            ]
        made = Recorded(branch.thread, branch.task or branch.thread, reward, tuple(readings))
        if made.decisions != len(spoken) or any(one.start == 0 for each in readings for one in each.decisions):
            return "a turn without recorded tokens"
        return made


def _decision(branch: Branch, span: Span, start: int, spoken: dict[str | None, int]) -> Decision:
    place = spoken[span.message]
    settings = branch.messages[place].response_metadata[TRACE_KEY]["settings"]
    end = start + len(span.tokens)
    return Decision(start, end, float(settings["temperature"]), sum(span.logprobs), place)


def _trouble(message: object) -> str | None:
    """Why the probability that a turn was drawn with is not known."""
    assert isinstance(message, AIMessage)
    trace = message.response_metadata.get(TRACE_KEY)
    if trace is None:
        return "a turn without recorded tokens"
    settings = trace.get("settings", {})
    if settings.get("temperature") is None:
        return "how it was sampled is not known"
    if settings.get("logprobs", "sampling") != "sampling":
        return f"logprobs are {settings['logprobs']}"
    if settings["temperature"] <= 0:
        return "sampled at temperature 0"
    if is_narrowed({**settings, "constrained": trace.get("constrained")}):
        return "narrowed by a grammar, top-p, top-k or min-p"
    return None


def _reward(branch: Branch) -> float | None:
    """The reward; where there is none, 1 for a success and 0 for a failure."""
    outcome = branch.outcome
    if outcome.reward is None and outcome.success is not None:
        return float(outcome.success)
    return outcome.reward
