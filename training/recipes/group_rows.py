"""An episode as GRPO trains it: the tokens that the policy in training sampled, and everything else as given. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from langchain_core.messages import BaseMessage

from ..trajectory import Span, read_traces

GIVEN = -1
"""The turn of a token that is not trained."""


@dataclass(frozen=True, slots=True)
class GroupRow:
    """A part of an episode, from the first token of its context on; all lists but the first are aligned."""

    prompt_ids: list[int]
    """Everything in front of the first trained token; never empty."""
    completion_ids: list[int]
    """Up to the last trained token."""
    env_mask: list[int]
    """1 where the policy in training sampled the token."""
    logprobs: list[float]
    """Recorded while sampling; 0 where the token is given."""
    turns: list[int]
    """Which turn of the episode sampled the token; -1 where it is given."""
    versions: tuple[str, ...] = ()
    """The weights that sampled the trained tokens."""

    @property
    def trained(self) -> int:
        """How many tokens are trained."""
        return sum(self.env_mask)


class EpisodeRows(NamedTuple):
    """What of an episode is trained."""

    parts: list[GroupRow]
    """In order, one for each time that its context began anew; those without trained turns are missing."""
    turns: list[str]
    """The message of each trained turn."""


def episode_rows(
    messages: Sequence[BaseMessage],
    is_trained: Callable[[str], bool],
    inner: Sequence[Sequence[BaseMessage]] = (),
) -> EpisodeRows:
    """The rows of an episode, those of the conversations ``inner`` its nodes after the thread's own.

    ``is_trained`` says it of a version: turns of other weights are given, and so is what a human wrote in the
    policy's place, which has no logprob. A turn that several conversations have is trained in the first.

    Raises:
        BadTrace: what was recorded contradicts itself.
    """
    turns: dict[str, int] = {}
    rows = []
    for trajectory in (one for said in (messages, *inner) for one in read_traces(said).trajectories):
        trained = [
            span.origin == "sampled"
            and span.version is not None
            and is_trained(span.version)
            and (span.message is None or span.message not in turns)
            for span in trajectory.spans
        ]
        for span, ours in zip(trajectory.spans, trained, strict=True):
            if ours:
                turns.setdefault(span.message or "", len(turns))
        if any(trained):
            rows.append(_row(trajectory.spans, trained, turns))
    return EpisodeRows(rows, list(turns))


def _row(spans: Sequence[Span], trained: Sequence[bool], turns: dict[str, int]) -> GroupRow:
    first = trained.index(True)
    last = len(trained) - 1 - trained[::-1].index(True)
    prompt = [token for span in spans[:first] for token in span.tokens]
    versions = {span.version or "" for span, ours in zip(spans, trained, strict=True) if ours}
    row = GroupRow(prompt, [], [], [], [], tuple(sorted(versions)))
    for span, ours in zip(spans[first : last + 1], trained[first : last + 1], strict=True):
        row.completion_ids.extend(span.tokens)
        row.env_mask.extend([int(ours)] * len(span.tokens))
        row.logprobs.extend(span.logprobs if ours else [0.0] * len(span.tokens))
        row.turns.extend([turns[span.message or ""] if ours else GIVEN] * len(span.tokens))
    return row
