"""Rows that hold a task of an evaluation suite: they must not be trained on.

A thread is contaminated if it was run on a task of the suite, by the task's id; if a person says the very words of
one in it; or if 13 words in a row are from one, as for GPT-3. Runs of words that more than ten tasks of the suite
share are phrases, not tasks, and do not count.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import BadDataset, UnknownSuite
from ..worlds.helpdesk.tasks import make_tasks, split_of
from .facts import Facts
from .fingerprints import RUN, fingerprint, hashes

COMMON = 10
"""Tasks of a suite that may share 13 words in a row."""
PER_TIER = 40
"""Held-out tasks that ``threadmill eval helpdesk`` and the quickstart take of each tier."""
BENCHMARKS = ("bfcl:", "functionchat:")
ID_FIELDS = ("id", "task_id", "task")
TEXT_FIELDS = ("instruction", "question", "text", "query", "prompt")


@dataclass(frozen=True, slots=True)
class Match:
    """A task of a suite that a thread holds."""

    suite: str
    task: str
    by: str
    """``task``, ``text`` or ``13 words``."""


@dataclass(frozen=True)
class Suite:
    """The tasks of an evaluation, in a form in which they can be found."""

    name: str
    tasks: frozenset[str]
    texts: dict[bytes, str] = field(repr=False)
    """Hash of all words of a text to its task."""
    runs: dict[bytes, str] = field(repr=False)
    """Hash of 13 words in a row to their task."""
    judge: Callable[[str], bool | None] = lambda task: None
    """Of a task's id: whether it is of this suite whatever ``tasks`` says; None if that does not tell."""

    def match(self, facts: Facts) -> Match | None:
        """The task that this thread holds, or None."""
        task = facts.task
        known = None if task is None else self.judge(task)
        if task is not None and (known or task in self.tasks):
            return Match(self.name, task, "task")
        if known is False:
            return None
        for key in hashes(facts.asked.texts):
            if key in self.texts:
                return Match(self.name, self.texts[key], "text")
        for key in hashes(facts.asked.runs):
            if key in self.runs:
                return Match(self.name, self.runs[key], f"{RUN} words")
        return None


def build_suite(
    name: str, tasks: Iterable[tuple[str, str]], judge: Callable[[str], bool | None] = lambda task: None
) -> Suite:
    """A suite of tasks, each its id and its text, which may be empty; a task of several texts comes several times."""
    ids: list[str] = []
    texts: dict[bytes, str] = {}
    found: dict[bytes, str] = {}
    spread: Counter[bytes] = Counter()
    for task, text in tasks:
        ids.append(task)
        said = fingerprint([text])
        for key in hashes(said.texts):
            texts.setdefault(key, task)
        for key in hashes(said.runs):
            spread[key] += 1
            found.setdefault(key, task)
    rare = {key: task for key, task in found.items() if spread[key] <= COMMON}
    return Suite(name, frozenset(ids), texts, rare, judge)


def open_suite(name: str) -> Suite:
    """``helpdesk``, a benchmark (``bfcl:FOLDER``, ``functionchat:FILE``), or the suite in a JSONL file.

    Such a file has a task a line, with its ``id`` and its ``text``.

    The id may also be called ``task_id`` or ``task``, the text ``instruction``, ``question``, ``query`` or ``prompt``;
    one of the two is enough. Of a text that is a list of messages, those of the user are taken.

    Raises:
        UnknownSuite: there is neither.
        BadDataset: a line of the file is no task.
    """
    if name == "helpdesk":
        return _helpdesk()
    if name.startswith(BENCHMARKS):
        return _benchmark(name)
    file = Path(name)
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UnknownSuite(
            f"no suite {name!r}: {error.strerror or error}; built in is helpdesk, or name a JSONL file of tasks"
        ) from error
    except ValueError as error:
        raise BadDataset(f"{file} is no text: {error}; name a JSONL file of tasks") from error
    tasks = [task for number, line in enumerate(lines, 1) if line.strip() for task in _read(f"{file}:{number}", line)]
    if not tasks:
        raise BadDataset(f"{file} holds no task; name a file with one a line")
    return build_suite(file.stem, tasks)


def find_match(suites: Sequence[Suite], facts: Facts) -> Match | None:
    """The first match among ``suites``, or None."""
    return next((match for suite in suites if (match := suite.match(facts))), None)


def _helpdesk() -> Suite:
    """All held-out tasks by their ids, whatever their number and seed; training tasks never match.

    The worlds of the two splits differ, so that a training task may ask in the same words and have another answer.
    """

    def judge(task: str) -> bool | None:
        split = split_of(task)
        return None if split is None else split == "heldout"

    return build_suite("helpdesk", ((task.id, task.text) for task in make_tasks("heldout", PER_TIER)), judge)


def _benchmark(name: str) -> Suite:
    """All tasks of a benchmark: nobody trains on any of them."""
    from .. import suites  # which opens agents

    played = suites.open_suite(name)
    return build_suite(played.name, ((task.id, task.text) for task in played.tasks("heldout", sys.maxsize, 0)))


def _read(place: str, line: str) -> list[tuple[str, str]]:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise BadDataset(f"{place}: not JSON ({error}); a suite has one task a line") from error
    if not isinstance(row, dict):
        raise BadDataset(f"{place}: {row!r:.80} is no object; a suite has one task a line")
    task = next((row[name] for name in ID_FIELDS if isinstance(row.get(name), str | int)), None)
    texts = next((found for name in TEXT_FIELDS if (found := [*_texts(row.get(name))])), [])
    if task is None and not texts and "agent" in row:
        return []  # the first line of a suite, which says who plays it
    if task is None and not texts:
        raise BadDataset(f"{place}: neither an id nor a text; name them id and text")
    return [(place if task is None else str(task), text) for text in texts or [""]]


def _texts(value: Any) -> Iterator[str]:
    """What the user says in a text, a message, or lists of them at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, dict) and value.get("role", "user") == "user":
        yield from _texts(value.get("content"))
