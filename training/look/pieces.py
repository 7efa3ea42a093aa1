"""A branch or a row as pieces to show: runs of tokens with one author, one role and one fate in training.

What a model sampled and what a human put in its place is recorded, so it is certain. Which of the other tokens a
tool wrote is told by the markers of the chat template (see ``roles``). Where these are not known, the texts of the
branch's tool messages are looked for in the given tokens: that finds all of them unless the template rewrites
them, and may take equal words of somebody else for a tool's. A row has no messages: then no tool is claimed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, Literal

from langchain_core.messages import AIMessage, ToolMessage

from ..branches import Branch
from ..trajectory import Span, Trajectory
from .rendered_chats import render_chat
from .roles import RoleReader, Speech
from .sequences import Tokens, sequences_of

Kind = Literal["sampled", "human", "tool", "context", "masked", "rejected"]
MEANING: dict[Kind, str] = {
    "sampled": "by the model, trained",
    "human": "by a human in its place, trained",
    "tool": "tool output",
    "context": "other context",
    "masked": "by the model, not trained here",
    "rejected": "proposed, replaced by a human",
}


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of tokens of one kind in one message."""

    kind: Kind
    role: str
    """``system``, ``user``, ``assistant`` or ``tool``; empty where nobody knows."""
    ids: tuple[int, ...]
    logprobs: tuple[float | None, ...] = ()
    """One each, or none."""
    version: str | None = None
    message: str | None = None
    opens: bool = False
    """True if a message begins here."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sequence of tokens with what is known about it."""

    title: str
    pieces: tuple[Piece, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    note: str = ""
    """What could not be known."""


def branch_sheets(branch: Branch, reader: RoleReader) -> list[Sheet]:
    """One sheet for each trajectory of a branch."""
    outcome = branch.outcome
    facts = {
        "checkpoint": branch.checkpoint,
        "tokens": branch.tokens,
        "task": branch.task or "",
        "success": "" if outcome.success is None else "yes" if outcome.success else "no",
        "reward": "" if outcome.reward is None else f"{outcome.reward:g}",
    }
    results = [message.text for message in branch.messages if isinstance(message, ToolMessage)]
    notes = []
    if branch.tokens == "recorded" and _is_of_others(branch, reader):
        notes.append("its messages say other things than its tokens: name the tokenizer of its model with --tokenizer")
    if reader.unknown:
        notes.append(f"tool output is found by its text: {reader.unknown}")
    count = len(branch.trajectories)
    return [
        Sheet(
            title=f"{branch.thread}" + (f" · part {place} of {count}" if count > 1 else ""),
            pieces=tuple(_trajectory_pieces(trajectory, reader, results)),
            facts={name: value for name, value in facts.items() if value},
            note=". ".join(notes),
        )
        for place, trajectory in enumerate(branch.trajectories, 1)
    ]


def _is_of_others(branch: Branch, reader: RoleReader) -> bool:
    """Whether most answers are not what their tokens say: another tokenizer made these."""
    said = {message.id: message.text.strip() for message in branch.messages if isinstance(message, AIMessage)}
    spans = [span for trajectory in branch.trajectories for span in trajectory.spans if span.origin == "sampled"]
    told = [said[span.message] in "".join(reader.texts.each(span.tokens)) for span in spans if said.get(span.message)]
    return told.count(False) > len(told) / 2


def row_sheets(row: Mapping[str, Any], number: int, reader: RoleReader) -> list[Sheet]:
    """One sheet for each sequence of a row, its messages rendered if it keeps no tokens; none if it has neither.

    Raises:
        NotAligned: its columns contradict each other.
        CannotRender, NoToolTemplate: its messages cannot be rendered.
    """
    shown = ("source", "tokens", "thread", "threads", "checkpoint", "task", "reward", "why", "label")
    facts = {name: _short(row[name]) for name in shown if row.get(name) is not None}
    about = row.get("facts")
    for name in ("behaviour", "tier", "success", "acts"):
        if isinstance(about, Mapping) and about.get(name) is not None:
            facts[name] = _short(about[name])
    versions = row.get("versions") or []
    version = versions[0] if len(versions) == 1 else None
    note = f"tool output cannot be told apart: {reader.unknown}" if reader.unknown else ""
    sequences = sequences_of(row)
    if not sequences and reader.template is not None:
        sequences = render_chat(row, reader.template)
        note = ". ".join(filter(None, ("rendered here: a trainer may mask otherwise", note)))
    return [
        Sheet(
            title=f"row {number}" + (f" · {tokens.name}" if tokens.name else ""),
            pieces=tuple(_row_pieces(tokens, reader, version, recorded=row.get("tokens") == "recorded")),
            facts=facts,
            note=note,
        )
        for tokens in sequences
    ]


@dataclass(frozen=True, slots=True)
class _Mark:
    """What is known of one token; neighbours that are equal make a piece."""

    kind: Kind
    role: str
    message: str | None = None
    version: str | None = None
    speech: int = 0


def _trajectory_pieces(trajectory: Trajectory, reader: RoleReader, results: Sequence[str]) -> Iterator[Piece]:
    ids = trajectory.ids()
    given = [span.origin == "given" for span in trajectory.spans for _ in span.tokens]
    speeches = reader.read(ids)
    by_text = [] if speeches else _tool_ranges(ids, given, results, reader)
    of = _speech_of(speeches, len(ids))
    marks: list[_Mark] = []
    logprobs: list[float | None] = []
    cuts: dict[int, Span] = {}
    proposals = {proposal.at: proposal.span for proposal in trajectory.proposals}
    for number, span in enumerate([*trajectory.spans, Span("given", ())]):
        if number in proposals:
            cuts[len(marks)] = proposals[number]
        for at in range(len(marks), len(marks) + len(span.tokens)):
            place = of[at] if speeches else number
            if span.origin != "given":
                marks.append(_Mark(span.origin, "assistant", span.message, span.version, place))
            elif speeches:
                marks.append(_given(speeches[place], place, at))
            else:
                tool = any(low <= at < high for low, high in by_text)
                marks.append(_Mark("tool" if tool else "context", "tool" if tool else "", speech=number))
        logprobs += span.logprobs or [None] * len(span.tokens)
    yield from _cut(ids, marks, logprobs, cuts)


def _row_pieces(tokens: Tokens, reader: RoleReader, version: str | None, *, recorded: bool) -> Iterator[Piece]:
    speeches = reader.read(tokens.ids)
    of = _speech_of(speeches, len(tokens.ids))
    logprobs = list(tokens.logprobs) or [None] * len(tokens.ids)
    trained_runs = _numbered(tokens.trained)
    marks: list[_Mark] = []
    for at, trained in enumerate(tokens.trained):
        place = of[at] if speeches else trained_runs[at]
        speech = speeches[place] if speeches else None
        by_human = trained and recorded and bool(tokens.logprobs) and logprobs[at] is None
        own = trained or logprobs[at] is not None
        if own:
            kind: Kind = "human" if by_human else "sampled" if trained else "masked"
            marks.append(_Mark(kind, speech.role if speech else "assistant", None, version, place))
        elif speech:
            said = speech.role == "assistant" and speech.body <= at <= speech.end
            marks.append(_Mark("masked", speech.role, speech=place) if said else _given(speech, place, at))
        else:
            marks.append(_Mark("context", "", speech=place))
    yield from _cut(tokens.ids, marks, logprobs, {})


def _given(speech: Speech, place: int, at: int) -> _Mark:
    tool = speech.role == "tool" and speech.body <= at < speech.end
    return _Mark("tool" if tool else "context", speech.role, speech=place)


def _cut(
    ids: Sequence[int], marks: Sequence[_Mark], logprobs: Sequence[float | None], cuts: Mapping[int, Span]
) -> Iterator[Piece]:
    """The pieces of equal marks; the proposals in ``cuts`` stand in front of the tokens at their places."""
    at, before = 0, -1
    for mark, group in groupby(zip(marks, _numbered([i in cuts for i in range(len(ids))], at_start=True), strict=True)):
        if at in cuts:
            yield _rejected(cuts[at])
        high = at + len(list(group))
        known = tuple(logprobs[at:high])
        yield Piece(
            mark[0].kind,
            mark[0].role,
            tuple(ids[at:high]),
            known if any(value is not None for value in known) else (),
            mark[0].version,
            mark[0].message,
            opens=mark[0].speech != before,
        )
        at, before = high, mark[0].speech
    if len(ids) in cuts:
        yield _rejected(cuts[len(ids)])


def _rejected(span: Span) -> Piece:
    return Piece("rejected", "assistant", span.tokens, span.logprobs, span.version, span.message)


def _speech_of(speeches: Sequence[Speech], length: int) -> list[int]:
    """For each token the place of the message that it belongs to."""
    return [place for place, speech in enumerate(speeches) for _ in range(speech.low, speech.high)] or [0] * length


def _numbered(flags: Sequence[bool], *, at_start: bool = False) -> list[int]:
    """The number of the run that each flag is in; with ``at_start`` a run begins at each true flag only."""
    numbers: list[int] = []
    for at, flag in enumerate(flags):
        last = numbers[-1] if numbers else 0
        new = flag if at_start else at > 0 and flag != flags[at - 1]
        numbers.append(last + int(new))
    return numbers


def _tool_ranges(
    ids: Sequence[int], given: Sequence[bool], results: Sequence[str], reader: RoleReader
) -> list[tuple[int, int]]:
    """Where the texts of tool messages stand among the given tokens, in order."""
    texts = reader.texts.each(ids)
    joined = "".join(text if own else "\0" * len(text) for text, own in zip(texts, given, strict=True))
    starts = [0]
    for text in texts:
        starts.append(starts[-1] + len(text))
    found: list[tuple[int, int]] = []
    after = 0
    for result in results:
        for told in (result, json.dumps(result)[1:-1], json.dumps(result, ensure_ascii=False)[1:-1]):
            low = joined.find(told, after) if told.strip() else -1
            if low >= 0:
                after = low + len(told)
                places = [at for at in range(len(ids)) if starts[at] < after and starts[at + 1] > low]
                found.append((places[0], places[-1] + 1))
                break
    return found


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(dict.fromkeys(map(str, value)))
    return f"{value:g}" if isinstance(value, float) else str(value)
