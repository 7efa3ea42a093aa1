"""A branch as the tokens that the policy saw and sampled, read from the traces on its messages.

Pure: messages in, spans out. Nothing is tokenized here; a message without a trace contributes nothing
of its own, because its text is in the prompt that the next trace recorded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

from langchain_core.messages import BaseMessage

from ..errors import BadTrace
from ..nodes.models.trace import EDIT_KEY, Trace, read_trace, starts_anew

Origin = Literal["given", "sampled", "human"]


@dataclass(frozen=True, slots=True)
class Span:
    """A run of tokens with one origin."""

    origin: Origin
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...] = ()
    """One per token if sampled, else empty."""
    message: str | None = None
    """The message that these tokens are the policy's turn of; None for given tokens."""
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """What the model sampled and a human replaced: no part of the spans."""

    span: Span
    at: int
    """How many spans of the trajectory the model had seen when it proposed this."""
    replaced: bool
    """True if ``spans[at]`` is what the human wrote instead, seen by a later call."""
    cut: tuple[Span, ...] = ()
    """``span`` in pieces, if a part of it was redacted: that part is given, and ``span`` as a whole then too."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """Spans in order; joined, they are exactly the ids that the model saw and sampled."""

    spans: tuple[Span, ...]
    proposals: tuple[Proposal, ...] = ()

    def ids(self) -> list[int]:
        """All tokens, joined."""
        return list(chain.from_iterable(span.tokens for span in self.spans))


def loss_mask(spans: Sequence[Span]) -> list[int]:
    """Mark the tokens to train: the policy's own and those that a human put in their place.

    One 0/1 per token, in span order, before any shift or padding.

    >>> loss_mask([Span("given", (7, 8)), Span("sampled", (9,), (-0.1,)), Span("human", (5,))])
    [0, 0, 1, 1]
    """
    return [int(span.origin != "given") for span in spans for _ in span.tokens]


class Read(NamedTuple):
    """What the traces on a branch say."""

    trajectories: list[Trajectory]
    forgotten: list[str]
    """Messages whose tokens follow on others that were taken out of the branch: nobody knows what the model saw."""


def read_trajectory(messages: Sequence[BaseMessage]) -> list[Trajectory]:
    """The trajectories of a branch: one, and another wherever a trace says ``restart``.

    Empty if no message carries a trace.

    Raises:
        BadTrace: a trace is damaged, or its human ranges do not lie in its prompt.
    """
    return read_traces(messages).trajectories


def read_traces(messages: Sequence[BaseMessage]) -> Read:
    """``read_trajectory``, and the turns that are in none because what they follow on is gone.

    Raises:
        BadTrace
    """
    done: list[Trajectory] = []
    forgotten: list[str] = []
    spans: list[Span] = []
    proposals: list[Proposal] = []
    edited: list[str | None] = []  # messages a human edited, oldest first
    seen = 0  # how many of them an earlier trace has shown
    length = 0  # of the spans
    for message in messages:
        trace = read_trace(message)
        is_edited = EDIT_KEY in message.response_metadata
        if trace is None:
            if is_edited:
                edited.append(message.id)
            continue
        follows = not starts_anew(trace)
        if follows and proposals and proposals[-1].at == len(spans):
            proposed = proposals[-1].span.tokens
            if trace.before == length + len(proposed):  # it was replaced when this call had seen it
                spans.append(Span("given", proposed))
                length += len(proposed)
        follows = follows and trace.before in (None, length)
        if spans and not follows:
            done.append(Trajectory(tuple(spans), tuple(proposals)))
            spans, proposals, length = [], [], 0
        if not follows and not starts_anew(trace):
            forgotten += [message.id] if message.id and trace.sampled_ids else []
            edited += [message.id] if is_edited else []
            seen = len(edited)
            continue
        seen = seen if follows else 0
        prompt = _prompt_spans(trace, edited[seen:], message.id)
        if proposals and proposals[-1].at == len(spans) and prompt and prompt[0].origin == "human":
            proposals[-1] = Proposal(proposals[-1].span, proposals[-1].at, replaced=True)
        spans += prompt
        length += len(trace.prompt_ids)
        seen = len(edited)
        sampled = Span("sampled", trace.sampled_ids, trace.logprobs, message.id, trace.version)
        if is_edited:
            edited.append(message.id)
            proposals.append(Proposal(sampled, len(spans), replaced=False))
        elif sampled.tokens:
            spans.append(sampled)
            length += len(sampled.tokens)
    if spans:
        done.append(Trajectory(tuple(spans), tuple(proposals)))
    return Read(done, forgotten)


def _prompt_spans(trace: Trace, edited: Sequence[str | None], message: str | None) -> list[Span]:
    """Given and human spans of one recorded prompt; its human ranges are the last of ``edited``."""
    authors = [None] * (len(trace.human) - len(edited)) + list(edited)[max(0, len(edited) - len(trace.human)) :]
    spans = []
    start = 0
    for (low, high), author in zip(trace.human, authors, strict=True):
        if not start <= low < high <= len(trace.prompt_ids):
            raise BadTrace(
                f"message {message!r}: human range [{low}, {high}) does not lie in order in its "
                f"{len(trace.prompt_ids)} prompt tokens; leave this thread out"
            )
        spans.append(Span("given", trace.prompt_ids[start:low]))
        spans.append(Span("human", trace.prompt_ids[low:high], message=author))
        start = high
    spans.append(Span("given", trace.prompt_ids[start:]))
    return [span for span in spans if span.tokens]
