"""A suite in a JSONL file: a task a line with checks of its answer and calls, for an agent of ours or the user's own.

The first line may name the agent: ``{"agent": "shop.py:build_shop"}``, a function from slots to a ``StateGraph``, or
``{"agent": "helpdesk"}``. Whatever is wrong with a line is said before anything runs: an evaluation with tasks missing
would look like one without.
"""

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from typing import Any, ClassVar

from langchain_core.messages import AnyMessage
from langgraph.graph import StateGraph

from ..errors import BadSuite
from ..graphs.loading import load_module
from ..nodes.models.slot import Slot
from .answer_checks import Check, make_check
from .evaluation.identity import code_of
from .suites import Judged

SHOWN = 5
"""So many wrong lines are named."""
_FIELDS: dict[str, tuple[type, ...]] = {
    "id": (str, int),
    "text": (str,),
    "checks": (list,),
    "tier": (str,),
    "split": (str,),
    "seed": (int,),
    "reply": (str,),
    "approve": (bool,),
    "configurable": (dict,),
}
_NEEDED = ("id", "text", "checks")
_ID = re.compile(r"[\w.-]{1,80}")


@dataclass(frozen=True)
class JsonlTask:
    """One line."""

    id: str
    """With the suite's name in front, and behind it digits that change with the line: another task, another thread."""
    text: str
    checks: tuple[Check, ...] = field(repr=False)
    tier: str = "all"
    split: str = "heldout"
    seed: int = 0
    """Of its world, where the agent has one of ours."""
    reply: str | None = None
    approve: bool = True
    configurable: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Builder:
    """How the agent of a file is made."""

    slots: tuple[str, ...]
    build: Callable[[Mapping[str, Slot]], StateGraph[Any]]
    start: Callable[[JsonlTask, Path], None] = field(default=lambda task, place: None)
    """Makes the world of a task, if the agent has one."""
    code: Sequence[str] = ()
    """Changes with the file that it is written in."""


@dataclass(frozen=True)
class JsonlSuite:
    """The tasks of a file; a world is whatever the agent's tools keep at ``configurable["world"]``."""

    name: str
    everything: tuple[JsonlTask, ...] = field(repr=False)
    agent: Builder = field(repr=False)
    digest: str = ""
    """Changes with the file, and with the name and the code of its agent."""
    looks_inside: ClassVar[bool] = True
    """Checks of calls count those of agents and steps inside of the agent too."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Of the agent."""
        return self.agent.slots

    def build(self, slots: Mapping[str, Slot]) -> StateGraph[Any]:
        """The agent."""
        return self.agent.build(slots)

    def tasks(self, split: str, per_tier: int, seed: int) -> list[JsonlTask]:
        """``per_tier`` tasks of each tier in the order of the file, drawn with ``seed``; all where there are fewer.

        Raises:
            BadSuite: no task is of this split.
        """
        fitting = [task for task in self.everything if task.split == split]
        if not fitting:
            raise BadSuite(
                f'{self.name} has no task of the split {split!r}; mark some lines with {{"split": "{split}"}} '
                "(a line without is heldout)"
            )
        chosen: set[str] = set()
        for tier in dict.fromkeys(task.tier for task in fitting):
            ids = [task.id for task in fitting if task.tier == tier]
            random.Random(f"{seed}/{tier}").shuffle(ids)
            chosen |= {*ids[:per_tier]}
        return [task for task in fitting if task.id in chosen]

    def start(self, task: JsonlTask, place: Path) -> dict[str, Any]:
        """A world anew, and what the line says about the run."""
        self.close(place)
        self.agent.start(task, place)
        return {**task.configurable, "world": str(place)}

    def review(self, task: JsonlTask, question: dict[str, Any]) -> dict[str, Any]:
        """As the line's ``approve`` says."""
        answer = {"id": question["id"], "by": f"reviewer:{self.name}"}
        return {**answer, "type": "approve"} if task.approve else {**answer, "type": "reject", "text": "no"}

    def reply(self, task: JsonlTask, text: str) -> str | None:
        """The line's ``reply``, if the answer asks something."""
        return task.reply if "?" in text or "？" in text else None

    def judge(self, task: JsonlTask, place: Path, messages: Sequence[AnyMessage]) -> Judged:
        """How many of the line's checks are met."""
        return Judged(sum(check(messages) for check in task.checks), len(task.checks))

    def close(self, place: Path) -> None:
        """Remove the world, a file or a folder."""
        if place.is_dir():
            rmtree(place)
        place.unlink(missing_ok=True)

    def needed(self, task: JsonlTask) -> None:
        """None: a line does not say what would have sufficed."""
        return None


def open_jsonl(file: Path, agent: str | None = None) -> JsonlSuite:
    """The suite in ``file``, played by ``agent``, or by whom its first line names.

    Raises:
        BadSuite: a line is no task, two have one id, there is none, or no agent that can be built is named.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise BadSuite(f"{file} cannot be read: {error}; name a JSONL file with a task a line") from error
    wrong: list[str] = []
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                rows.append((number, _read(line)))
            except ValueError as error:
                wrong.append(f"{file}:{number}: {error}")
    named = rows.pop(0)[1] if rows and "agent" in rows[0][1] else {}
    tasks: dict[str, JsonlTask] = {}
    for number, row in rows:
        try:
            task = _task(file.stem, row)
            if str(row["id"]) in tasks:
                raise ValueError(f"the id {row['id']!r} is that of an earlier line; every task needs its own")
            tasks[str(row["id"])] = task
        except ValueError as error:
            wrong.append(f"{file}:{number}: {error}")
    if wrong:
        more = f"\n… and {len(wrong) - SHOWN} lines more" if len(wrong) > SHOWN else ""
        raise BadSuite("nothing was run, because lines are no tasks:\n" + "\n".join(wrong[:SHOWN]) + more)
    if not tasks:
        raise BadSuite(f'{file} holds no task; write lines such as {{"id": "1", "text": "…", "checks": […]}}')
    builder = _agent(file, named, agent)
    digest = sha256(
        json.dumps([[row for _, row in rows], named, agent, builder.code], sort_keys=True).encode()
    ).hexdigest()
    return JsonlSuite(_safe(file.stem), tuple(tasks.values()), builder, digest[:12])


def _read(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(row, dict):
        raise ValueError(f"{row!r:.60} is no object")
    return row


def _task(suite: str, row: dict[str, Any]) -> JsonlTask:
    unknown = sorted(row.keys() - _FIELDS.keys())
    missing = [name for name in _NEEDED if name not in row]
    if unknown or missing:
        problem = f"a task has no field {unknown[0]!r}" if unknown else f"the field {missing[0]!r} is missing"
        raise ValueError(f"{problem}; there are {', '.join(_FIELDS)}")
    for name, value in row.items():
        if type(value) not in _FIELDS[name]:
            raise ValueError(f"{name!r} is {json.dumps(value):.60}, which is none of {_words(_FIELDS[name])}")
    if not _ID.fullmatch(str(row["id"])):
        raise ValueError(f"the id {row['id']!r} becomes part of thread ids; write letters, digits, '.', '_' and '-'")
    if not row["text"].strip():
        raise ValueError("'text' is empty; it is what the user says")
    if row.get("split", "heldout") not in ("train", "heldout"):
        raise ValueError(f"'split' is {row['split']!r}; write train or heldout")
    if not row["checks"]:
        raise ValueError("'checks' is empty, so that anything would be a success; write at least one")
    checks = tuple(make_check(said) for said in row["checks"])
    digest = sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()[:6]
    kept = {name: value for name, value in row.items() if name not in ("id", "checks")}
    return JsonlTask(f"{_safe(suite)}-{row['id']}-{digest}", checks=checks, **kept)


def _agent(file: Path, named: Mapping[str, Any], agent: str | None) -> Builder:
    unknown = sorted(named.keys() - {"agent", "slots"})
    place = agent or named.get("agent")
    slots = named.get("slots", []) if agent is None else []
    if unknown or not isinstance(place, str) or not isinstance(slots, list):
        raise BadSuite(
            f"{file} does not say which agent plays its tasks; begin it with "
            '{"agent": "shop.py:build_shop"} (or "helpdesk"), or name one behind it: '
            f"{file}:shop.py:build_shop"
        )
    if place == "helpdesk":
        return _helpdesk()
    source, colon, function = place.rpartition(":")
    if not colon:
        raise BadSuite(
            f"{file}: no agent {place!r} is built in (there is helpdesk); name a function from slots to a graph, as in "
            "shop.py:build_shop. A graph that brings its own model cannot be given another one to evaluate"
        )
    beside = file.parent / source
    try:
        module = load_module(str(beside) if agent is None and source.endswith(".py") else source)
        build = getattr(module, function)
    except (ImportError, AttributeError, OSError) as error:
        raise BadSuite(f"{file}: the agent {place!r} cannot be loaded: {error}") from error
    if not callable(build):
        raise BadSuite(f"{file}: {place!r} is a {type(build).__name__}; name a function from slots to a graph")
    plain = re.sub("^(build|make)_", "", function)
    return Builder(tuple(map(str, slots)) or (f"{plain}.think",), build, code=code_of(module))  # pyright: ignore[reportArgumentType]


def _helpdesk() -> Builder:
    """The built-in agent, in the world of the task's split and seed."""
    from .worlds.helpdesk.suite import HelpdeskSuite

    helpdesk = HelpdeskSuite()

    def start(task: JsonlTask, place: Path) -> None:
        helpdesk.start(task, place)  # pyright: ignore[reportArgumentType]

    return Builder(helpdesk.slots, helpdesk.build, start, code_of(HelpdeskSuite))


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def _words(kinds: tuple[type, ...]) -> str:
    said = {str: "a text", int: "a whole number", bool: "true or false", list: "a list", dict: "an object"}
    return ", ".join(said[kind] for kind in kinds)
