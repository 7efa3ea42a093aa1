"""Rows of chat formats: a ``record`` as OpenAI, Anthropic or LLaMA-Factory reads it, and where it comes from.

Pure. Records are what goes into the file for others; the rest belongs beside it, because OpenAI refuses other keys. A
turn that several branches share is trained once: OpenAI's form marks it in the later records, the others cannot, and
so the branch with the most answers is written and those that repeat one of its answers are left out.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import groupby
from typing import Any, Literal

from ...errors import CannotWrite
from ...nodes.models.trace import TRACE_KEY
from ..branches import Branch
from ..taken import Taken, TakenInMemory
from .anthropic import write_anthropic
from .openai import Thinking, write_openai
from .reading import Chat, Said, read_chat
from .sharegpt import write_sharegpt

Format = Literal["openai", "anthropic", "sharegpt"]
REPEATED = "an answer that is trained in another row"
"""Why a branch is left out, where the format cannot say that an answer is not to be trained."""


@dataclass
class ChatRows:
    """Makes the rows of one data set, branch by branch; ``taken`` remembers which answers are trained already."""

    format: Format
    nodes: Set[str] | None = None
    """Only their answers are trained; None is all answers."""
    thinking: Thinking = "refuse"
    """For ``openai`` alone; the others have a place for it."""
    taken: Taken | None = field(default_factory=TakenInMemory)
    """None trains an answer in every row that has it; ``turns`` then says of each ``[place, key, message]``."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why branches were left out, and how many."""

    def of(self, branches: Iterable[Branch]) -> Iterator[dict[str, Any]]:
        """The rows of ``branches``, at most one for each; those of a thread stand together."""
        for _, own in groupby(branches, key=lambda branch: branch.thread):
            read = [(branch, chat) for branch in own if (chat := self._read(branch)) is not None]
            if self.format != "openai":
                read.sort(key=lambda pair: -len(_trained(pair[1])))
            for branch, chat in read:
                row = self._row(branch, chat)
                if row is not None:
                    yield row

    def _read(self, branch: Branch) -> Chat | None:
        try:
            return read_chat(branch, self.nodes)
        except CannotWrite as error:
            self.left_out[error.reason] += 1
            return None

    def _write(self, branch: Branch, chat: Chat) -> dict[str, Any]:
        if self.format == "openai":
            return write_openai(chat, branch, self.thinking)
        return write_anthropic(chat, branch) if self.format == "anthropic" else write_sharegpt(chat, branch)

    def _row(self, branch: Branch, chat: Chat) -> dict[str, Any] | None:
        try:
            record = self._write(branch, chat)
        except CannotWrite as error:
            self.left_out[error.reason] += 1
            return None
        traced = {message.id for message in branch.messages if TRACE_KEY in message.response_metadata}
        trained = _trained(chat)
        keys = [_key("" if one.message in traced else branch.thread, one) for _, one in trained]
        row = {
            "record": record,
            "tokens": "text",
            "thread": branch.thread,
            "checkpoint": branch.checkpoint,
            "messages": [one.message for _, one in trained],
            "nodes": sorted({node for _, one in trained if (node := branch.nodes.get(one.message or ""))}),
            "versions": _versions(branch),
            "agent": branch.agent,
            "task": branch.task,
            "source": branch.outcome.source,
            "reward": branch.outcome.reward,
            "calls": sum(len(one.calls) for one in chat.said),
            "tools": len(chat.tools),
            "turns": [[place, key.hex(), one.message] for (place, one), key in zip(trained, keys, strict=True)],
        }
        if self.taken is None:
            return row
        kept = train_new(row, self.format, self.taken.add(keys))
        if isinstance(kept, str):
            self.left_out[kept] += 1
            return None
        return kept


def train_new(row: dict[str, Any], format: Format, new: Sequence[bool]) -> dict[str, Any] | str:
    """``row`` without its ``turns``, of which only the ``new`` ones are trained; or why it is left out."""
    if not any(new):
        return "every answer is trained in another row"
    if not all(new) and format != "openai":
        return REPEATED
    kept = {key: value for key, value in row.items() if key != "turns"}
    messages = [dict(message) for message in row["record"]["messages"]] if format == "openai" else []
    for (place, _, _), fresh in zip(row["turns"], new, strict=True):
        if not fresh:
            messages[place]["weight"] = 0
    if messages:
        kept["record"] = {**row["record"], "messages": messages}
    kept["messages"] = [message for (_, _, message), fresh in zip(row["turns"], new, strict=True) if fresh]
    return kept


def _trained(chat: Chat) -> list[tuple[int, Said]]:
    """The answers to train, each with its place in the conversation."""
    return [(place, one) for place, one in enumerate(chat.said) if one.role == "assistant" and not one.untrained]


def _key(thread: str, said: Said) -> bytes:
    """Equal for the same answer in two branches, and for a recorded one in a thread and its copy."""
    calls = [[call["name"], call["args"]] for call in said.calls]
    told = json.dumps([thread, said.message, said.text, calls], sort_keys=True)
    return blake2b(told.encode(), digest_size=16).digest()


def _versions(branch: Branch) -> list[str]:
    noted = (message.response_metadata for message in branch.messages)
    found = {about.get("version") or about.get(TRACE_KEY, {}).get("version") for about in noted}
    return sorted(version for version in found if version)
