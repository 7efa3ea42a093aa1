"""A crowd of processes that drives threads in one database for a while: what ``test_crowd.py`` starts.

    python crowd_agent.py URL FOLDER WORKERS SECONDS

Worker 3 drives threads of its own, two at a time (``3.0.0`` and ``3.1.0``, then ``3.0.1`` …), answers what those of
worker 2 ask, and quarrels with all the others about the shared ones (``shared.0.0`` …). Workers know of each other only
by the database. Everything is imported once and every process is forked from here, before any database is open.
Into FOLDER go, by worker: ``.did`` (what it brought about, a JSON line each), ``.runs`` (every run of the tool) and, in
the end, ``.report`` (how it fared). An exception that is not expected here ends the worker with exit code 1.
"""

import asyncio
import gc
import json
import os
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from threading import Lock
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, tool
from threadmill import graphs
from threadmill.checkpoints import Label, Store, add_label, open_store, read_messages
from threadmill.checkpoints.reading import checkpoint_tree
from threadmill.errors import BadAnswer, NotPaused, StillPaused, ThreadBusy, ThreadmillError, UnknownThread
from threadmill.graphs import Outcome, build_react, read_outcome
from threadmill.graphs.travel import fork_thread
from threadmill.nodes import ScriptedModel, Slot

TURNS = ["one", "three", "ask", "three", "ask", "one"]
"""What a worker says in each of its own threads; every other one then gets a branch."""
KEPT = 3
"""Turns of a thread that its branch begins with."""
CALLS = {"one": ["a"], "three": ["a", "b", "c"], "ask": ["a", "b"]}
AT_ONCE = 2
"""Own threads at a time, and shared threads."""
LONG = 20
"""Turns after which a shared thread is left for a new one."""
OVERTAKEN = (ThreadBusy, StillPaused, NotPaused, BadAnswer)
"""What a worker may be told about a shared thread if others were faster."""
LAZY = ["threadmill.checkpoints.postgres", "threadmill.checkpoints.lease_postgres", "alembic.command"]
LAZY += ["sqlalchemy.dialects.postgresql.psycopg"]


def say(messages: list[BaseMessage]) -> AIMessage:
    """Propose the calls that the last turn is about; when they have been answered, say so."""
    last = max(place for place, message in enumerate(messages) if isinstance(message, HumanMessage))
    turn = messages[last].text
    if last < len(messages) - 1:
        return AIMessage(f"{turn}: done", id=f"{turn}: done")
    things = [f"{turn} {thing}" for thing in CALLS[turn.split()[0]]]
    calls = [{"name": "book", "args": {"thing": thing}, "id": thing} for thing in things]
    return AIMessage("", tool_calls=calls, id=f"{turn}: calls")


def ask(tool: str, args: dict[str, Any]) -> str | None:
    return "somebody must decide" if args["thing"].startswith("ask") else None


def make_book(runs: Path) -> BaseTool:
    @tool
    def book(thing: str, config: RunnableConfig) -> str:
        """Book."""
        append(runs, f"{config.get('configurable', {})['idempotency_key']} {thing}")
        return f"booked {thing}"

    return book


def append(path: Path, line: str) -> None:
    file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
    os.write(file, f"{line}\n".encode())
    os.close(file)


@dataclass
class Series:
    """Threads one after the other."""

    name: str
    number: int = 0
    turns: int = 0

    @property
    def thread(self) -> str:
        return f"{self.name}.{self.number}"

    def move_on(self) -> None:
        self.number, self.turns = self.number + 1, 0


class Worker:
    """One process of the crowd; the odd ones are async."""

    def __init__(self, store: Store, folder: Path, number: int, crowd: int) -> None:
        self.store, self.folder, self.number = store, folder, number
        self.runner = asyncio.Runner() if number % 2 else None
        slot = Slot.fixed("crowd.think", ScriptedModel(say), "v1")
        book = make_book(folder / f"{number}.runs")
        self.graph = build_react(slot, [book], ask=ask, name="crowd").compile(checkpointer=store.saver)
        self.own = [Series(f"{number}.{place}") for place in range(AT_ONCE)]
        self.neighbours = [Series(f"{(number - 1) % crowd}.{place}") for place in range(AT_ONCE)]
        self.shared = [Series(f"shared.{place}") for place in range(AT_ONCE)]
        self.rounds = 0
        self.refused: Counter[str] = Counter()
        self.holders: set[int] = set()
        self.told_who = 0
        self.longest = {"write": 0.0, "run": 0.0}
        self.saved = 0
        self.lock = Lock()
        for name in ("put", "put_writes"):
            setattr(store.saver, name, self.timed(getattr(store.saver, name)))

    def timed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """``method`` of the saver, its longest wait noted."""

        @wraps(method)
        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = time.monotonic()
            result = method(*args, **kwargs)
            with self.lock:
                self.longest["write"] = max(self.longest["write"], time.monotonic() - begun)
                self.saved += method.__name__ == "put"
            return result

        return timed

    def work(self, seconds: float) -> None:
        began = time.monotonic()
        while time.monotonic() < began + seconds:
            self.rounds += 1
            moved = [self.go_on(series) for series in self.own] + [self.help(series) for series in self.neighbours]
            moved.append(self.quarrel(self.shared[self.rounds % AT_ONCE]))
            if not any(moved):
                time.sleep(0.005)
        report = {
            "pid": os.getpid(),
            "began": began,
            "ended": time.monotonic(),
            "saved": self.saved,
            "refused": self.refused,
            "holders": sorted(self.holders),
            "told who": self.told_who,
            "longest": self.longest,
        }
        (self.folder / f"{self.number}.report").write_text(json.dumps(report))

    def go_on(self, series: Series) -> bool:
        """The next turn of a thread of mine, or what comes when it has had all."""
        thread = series.thread
        if series.turns and read_outcome(self.graph, thread).status != "done":
            return False
        if series.turns < len(TURNS):
            moved = self.turn(thread, f"{TURNS[series.turns]} {thread}/{series.turns}", (ThreadBusy,))
            series.turns += moved
            return moved
        self.label(thread)
        if series.number % 2 == 0:
            begins = [node.parent for node in checkpoint_tree(self.store, thread) if node.source == "input"]
            fork_thread(self.graph, thread, begins[KEPT] or "", by=str(self.number))
            self.did(thread, "fork", KEPT)
            self.turn(thread, f"one {thread}/again")
        series.move_on()
        return True

    def help(self, series: Series) -> bool:
        """Answer what my neighbour's thread asks."""
        status = self.status(series.thread)
        if status == "paused":
            return self.answer(series.thread, (ThreadBusy,))
        series.number += status == "done" and self.status(f"{series.name}.{series.number + 1}") is not None
        return False

    def quarrel(self, series: Series) -> bool:
        """Try what any other worker may be trying too."""
        thread = series.thread
        status = self.status(thread)
        if status == "paused":
            return self.answer(thread, OVERTAKEN)
        if status is not None and self.rounds % 5 == 0:
            self.attempt("continue_thread", (ThreadBusy,), thread)
        kind = TURNS[self.rounds % len(TURNS)]
        moved = self.turn(thread, f"{kind} {thread}/{self.number}/{self.rounds}", OVERTAKEN)
        if moved and sum(message.type == "human" for message in read_messages(self.store, thread)) >= LONG:
            series.move_on()
        return moved

    def turn(self, thread: str, text: str, expected: tuple[type[ThreadmillError], ...] = ()) -> bool:
        accepted = self.attempt("run_thread", expected, thread, text)
        if accepted:
            self.did(thread, "turn", text)
        return accepted is not None

    def answer(self, thread: str, expected: tuple[type[ThreadmillError], ...]) -> bool:
        """Book something else first, and what was proposed second."""
        questions = read_outcome(self.graph, thread).questions
        if len(questions) != 2:
            return False
        first, second = questions
        instead = {"thing": f"{first['args']['thing']} instead"}
        by = {"by": str(self.number)}
        answers = [
            {"id": first["id"], "type": "edit", "args": instead, **by},
            {"id": second["id"], "type": "approve", **by},
        ]
        accepted = self.attempt("answer_thread", expected, thread, answers)
        if accepted:
            self.did(thread, "answer", first["id"].removesuffix(" a"))
        return accepted is not None

    def attempt(self, name: str, expected: tuple[type[ThreadmillError], ...], *args: Any) -> Outcome | None:
        begun = time.monotonic()
        try:
            if self.runner is None:
                return getattr(graphs, name)(self.graph, *args)
            return self.runner.run(getattr(graphs, f"a{name}")(self.graph, *args))
        except expected as refusal:
            self.refused[type(refusal).__name__] += 1
            if isinstance(refusal, ThreadBusy):
                named = [int(pid) for pid in re.findall(r"is driven by \S+ pid (\d+) since", str(refusal))]
                self.holders |= {*named}
                self.told_who += len(named)
            return None
        finally:
            self.longest["run"] = max(self.longest["run"], time.monotonic() - begun)

    def status(self, thread: str) -> str | None:
        try:
            return read_outcome(self.graph, thread).status
        except UnknownThread:
            return None

    def label(self, thread: str) -> None:
        add_label(self.store, Label(thread, None, None, "reward", 1.0, str(self.number)))
        self.did(thread, "label", 1.0)

    def did(self, thread: str, what: str, about: Any) -> None:
        append(self.folder / f"{self.number}.did", json.dumps([self.number, thread, what, about]))


def fork(work: Callable[[], None]) -> int:
    """The id of a new process that does ``work`` and exits with 0, or with 1 if it raises."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def live(url: str, folder: Path, number: int, crowd: int, seconds: float) -> None:
    signal.alarm(int(seconds) + 120)
    with open_store(url) as store:
        worker = Worker(store, folder, number, crowd)
        worker.work(seconds)
        if worker.runner is not None:
            worker.runner.close()


def warm_up(folder: Path) -> None:
    """Let a small crowd import what is imported late, and import it here: the processes to come need not."""
    folder.mkdir()

    def live_and_tell() -> None:
        for number in (0, 1):
            live(f"sqlite:///{folder / 'runs.db'}", folder, number, 2, 0.5)
        (folder / "imported").write_text("\n".join(sys.modules))

    assert exit_code(fork(live_and_tell)) == 0
    for name in LAZY + (folder / "imported").read_text().splitlines():
        with suppress(ImportError):
            import_module(name)
    gc.freeze()  # or the first collection in every process would copy all of it


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(url: str, folder: Path, crowd: int, seconds: float) -> None:
    warm_up(folder / "warm-up")
    pids = [fork(lambda number=number: live(url, folder, number, crowd, seconds)) for number in range(crowd)]
    sys.exit(any([exit_code(pid) != 0 for pid in pids]))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
