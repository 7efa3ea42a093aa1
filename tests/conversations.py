"""Random conversations for the importers' tests, how to compare them, and rows that were damaged at random."""

import copy
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from threadmill.checkpoints.importers.record import BadRow, Record, check_record

FILE = Path("rows.jsonl")
Turn = dict[str, Any]
"""``role`` and ``text``; an ai turn has ``calls`` (pairs of name and arguments) and ``reasoning``, a tool turn has
``call`` (which of all calls it answers, from 0) and ``failed``."""

LETTERS = st.characters(codec="utf-8", exclude_characters="\x00")
TEXT = st.text(LETTERS, min_size=1, max_size=12).map(str.strip).filter(bool)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(LETTERS, max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(LETTERS, max_size=4), inner, max_size=2),
    max_leaves=5,
)
ARGS = st.dictionaries(st.text(LETTERS, min_size=1, max_size=6), VALUES, max_size=3)
NAMES = st.sampled_from(["look_up", "book", "días"])


@st.composite
def conversations(draw: st.DrawFn, *, parallel: int = 3, system: bool = True, reasoning: bool = True) -> list[Turn]:
    """A conversation: perhaps a system prompt, then exchanges of a user, calls with their results, and an answer."""
    turns: list[Turn] = []
    thought = TEXT if reasoning else st.just("")
    made = 0
    if system and draw(st.booleans()):
        turns.append({"role": "system", "text": draw(TEXT)})
    for _ in range(draw(st.integers(1, 2))):
        turns.append({"role": "human", "text": draw(TEXT)})
        for _ in range(draw(st.integers(0, 2))):
            calls = draw(st.lists(st.tuples(NAMES, ARGS), min_size=1, max_size=parallel))
            said = draw(st.just("") | TEXT)
            turns.append({"role": "ai", "text": said, "calls": calls, "reasoning": draw(st.just("") | thought)})
            for _ in calls:
                failed = draw(st.booleans())
                text = f"Error: {draw(TEXT)}" if failed else f"Found {draw(TEXT)}"
                turns.append({"role": "tool", "text": text, "call": made, "failed": failed})
                made += 1
        turns.append({"role": "ai", "text": draw(TEXT), "calls": [], "reasoning": draw(st.just("") | thought)})
    return turns


def as_turns(messages: Sequence[BaseMessage]) -> list[Turn]:
    """Messages as turns: without their ids, but every result with the place of its call."""
    turns: list[Turn] = []
    calls: list[Any] = []
    for message in messages:
        turn: Turn = {"role": message.type, "text": message.content}
        if isinstance(message, AIMessage):
            turn["calls"] = [(call["name"], call["args"]) for call in message.tool_calls]
            turn["reasoning"] = message.additional_kwargs.get("reasoning_content", "")
            calls += [call["id"] for call in [*message.tool_calls, *message.invalid_tool_calls]]
        elif isinstance(message, ToolMessage):
            turn |= {"call": calls.index(message.tool_call_id), "failed": message.status == "error"}
        turns.append(turn)
    assert len(set(calls)) == len(calls)
    assert len({message.id for message in messages}) == len(messages)
    return turns


def read_all(module: ModuleType, row: dict[str, Any]) -> list[Record]:
    """The records of a row as it comes from a file, each one fit to be stored."""
    read = module.read(json.loads(json.dumps(row)), FILE)
    found = [read] if isinstance(read, Record) else list(read)
    for record in found:
        if isinstance(record, BadRow):
            raise record
    return [check_record(record) for record in found]


def read_one(module: ModuleType, row: dict[str, Any]) -> Record:
    """The only record of a row."""
    (record,) = read_all(module, row)
    return record


def walk(
    turns: Iterable[Turn], write: dict[str, Callable[[Turn, list[str]], Any]], call_id: Callable[[int], str]
) -> list[Any]:
    """What ``write`` makes of each turn, by its role, given the ids of the turn's calls or of the call it answers."""
    written = []
    made = 0
    for turn in turns:
        ids = [call_id(turn["call"])] if turn["role"] == "tool" else []
        for _ in turn.get("calls", []):
            ids.append(call_id(made))
            made += 1
        written.append(write[turn["role"]](turn, ids))
    return written


@st.composite
def damaged(draw: st.DrawFn, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One of ``rows`` with one to three values replaced or taken away, at any depth."""
    row = copy.deepcopy(draw(st.sampled_from(rows)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(row))
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        if draw(st.booleans()):
            holder[key] = draw(VALUES | st.just("\ud800") | st.just(2**70) | st.just(float("nan")))
        else:
            del holder[key]
    return row


def _places(value: Any) -> Iterable[tuple[Any, Any]]:
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, (dict, list)):
            yield from _places(inner)


def survives(module: ModuleType, row: dict[str, Any]) -> None:
    """Nothing, if the row is either read or set aside with a reason."""
    module.fits(row)
    with suppress(BadRow):
        for record in read_all(module, row):
            as_turns(record.messages)
