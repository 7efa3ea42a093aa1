"""What statistics need to know of a row or of a branch; None where it does not say."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..branches import Branch
from ..selection.facts import Facts, facts_of
from .chats import Said, chat_columns
from .roles import RoleReader
from .sequences import Tokens, sequences_of


@dataclass(frozen=True, slots=True)
class Seen:
    """One row, or one branch of a thread."""

    split: str = "train"
    tokens: int | None = None
    trained: int | None = None
    tools: tuple[str, ...] | None = None
    """Names of the tools that it called."""
    calls: int | None = None
    """Calls that were run, whatever they gave."""
    acts: int | None = None
    """How many of them do more than read, as far as the names of their tools tell."""
    behaviour: str | None = None
    tier: str | None = None
    success: bool | None = None
    reward: float | None = None
    source: str | None = None


def row_seen(row: Mapping[str, Any], split: str, reader: RoleReader | None) -> Seen:
    """What a row says: by its ``facts`` if our export wrote them, else by its messages, else by its tokens.

    Raises:
        NotAligned, NoMessages: its columns are damaged.
    """
    sequences = sequences_of(row)
    tokens = sum(len(s.ids) for s in sequences) if sequences else None
    trained = sum(sum(s.trained) for s in sequences) if sequences else None
    facts = row.get("facts")
    if isinstance(facts, str):  # as tables keep it
        with suppress(ValueError):
            facts = json.loads(facts)
    if not isinstance(facts, Mapping):
        facts = _facts_in(row, sequences, reader)
    tools, calls = facts.get("tools"), _whole(facts.get("calls"))
    behaviours = facts.get("behaviours") or facts.get("behaviour")
    behaviour = behaviours[0] if isinstance(behaviours, list) else behaviours
    reward, success = facts.get("reward", row.get("reward")), facts.get("success", row.get("success"))
    return Seen(
        split,
        tokens,
        trained,
        tools=tuple(map(str, tools)) if isinstance(tools, list) else None,
        calls=calls if calls is None else calls + (_whole(facts.get("errors")) or 0),
        acts=_whole(facts.get("acts")),
        behaviour=_word(behaviour),
        tier=_word(facts.get("tier")),
        success=success if isinstance(success, bool) else None,
        reward=float(reward) if isinstance(reward, int | float) else None,
        source=_word(row.get("source")),
    )


def branch_seen(branch: Branch) -> Iterator[Seen]:
    """One for each trajectory of a branch; one without tokens if it has none."""
    facts: Facts = facts_of(branch)
    spans = [trajectory.spans for trajectory in branch.trajectories] or [None]
    for own in spans:
        yield Seen(
            "branches",
            tokens=None if own is None else sum(len(span.tokens) for span in own),
            trained=None if own is None else sum(len(span.tokens) for span in own if span.origin != "given"),
            tools=facts.tools,
            calls=facts.calls + facts.errors,
            acts=facts.acts,
            behaviour=facts.behaviour,
            tier=facts.tier,
            success=facts.success,
            reward=facts.reward,
            source=facts.source,
        )


def _facts_in(row: Mapping[str, Any], sequences: Sequence[Tokens], reader: RoleReader | None) -> Mapping[str, Any]:
    """The tools that a row's messages or tokens tell of."""
    if sequences:
        return _calls_in(sequences[0], reader) if reader and not reader.unknown else {}
    columns = chat_columns(row)
    said: list[Said] = [one for name in _TALK for one in columns.get(name, [])]
    if not said or all(one.role == "text" for one in said):
        return {}
    results = sum(one.role == "tool" for one in said)
    return {"tools": sorted({name for one in said for name in one.calls}) if results else [], "calls": results}


_TALK = ("messages", "conversations", "prompt", "completion", "chosen")


def _calls_in(tokens: Tokens, reader: RoleReader) -> Mapping[str, Any]:
    """Calls that a tool answered, read from the tokens in the form of the template's family."""
    speeches = reader.read(tokens.ids)
    results = sum(speech.role == "tool" for speech in speeches)
    names: set[str] = set()
    for speech, after in pairwise(speeches):
        if speech.role == "assistant" and after.role == "tool" and reader.template is not None:
            opening = "".join(reader.texts.each(tokens.ids[speech.low : speech.body]))
            said = reader.template.read(tokens.ids[speech.body : speech.end], opening)
            names |= {call.name for call in said.calls if call.name}
    return {"tools": sorted(names), "calls": results}


def _word(value: Any) -> str | None:
    return None if value is None else str(value)


def _whole(value: Any) -> int | None:
    """A count; facts of others may say only whether."""
    return int(value) if isinstance(value, int) else None
