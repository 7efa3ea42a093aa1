"""Many processes write to one database for a while: every turn, every step and every call is there, exactly once.

``THREADMILL_CROWD_S`` says for how many seconds; `make crowd` takes a minute and prints how they fared.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import psycopg
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from sqlalchemy import exists, func, select, text
from threadmill.checkpoints import labels_of, list_threads, open_store, read_messages
from threadmill.checkpoints.reading import CheckpointNode, checkpoint_tree, leaf_checkpoints, path_to
from threadmill.checkpoints.store import Store
from threadmill.nodes.models.trace import EDIT_KEY

AGENT = Path(__file__).with_name("crowd_agent.py")
SECONDS = float(os.environ.get("THREADMILL_CROWD_S", "3"))
CROWD = {"sqlite": 8, "postgresql": 32}
CONNECTIONS = 97
"""What a PostgreSQL server of default settings has for its users."""

SAID = {
    "one": [
        ("human", "TURN", []),
        ("ai", "", ["TURN a"]),
        ("tool", "booked TURN a", []),
        ("ai", "TURN: done", []),
    ],
    "three": [
        ("human", "TURN", []),
        ("ai", "", ["TURN a", "TURN b", "TURN c"]),
        ("tool", "booked TURN a", []),
        ("tool", "booked TURN b", []),
        ("tool", "booked TURN c", []),
        ("ai", "TURN: done", []),
    ],
    "ask": [
        ("human", "TURN", []),
        ("ai", "", ["TURN a instead", "TURN b"]),  # who answered put the first there
        ("tool", "booked TURN a instead", []),
        ("tool", "booked TURN b", []),
        ("ai", "TURN: done", []),
    ],
    "unanswered": [
        ("human", "TURN", []),
        ("ai", "", ["TURN a", "TURN b"]),
    ],
}
"""What each kind of turn adds to a thread: who speaks, what, and the calls proposed."""
CHECKPOINTS = {"one": 8, "three": 8, "ask": 8, "unanswered": 4}
"""And how many checkpoints: the input, its message, then observe, think, act, tool, observe, think."""

Shape = tuple[str, str, list[str]]


@dataclass
class Account:
    """What the workers say that they did in one thread."""

    branches: list[list[str]] = field(default_factory=lambda: [[]])
    """The turns of each branch; in shared threads those of one worker after those of the other."""
    answers: list[tuple[str, int]] = field(default_factory=list)
    """Turns that asked, and who answered."""
    labels: list[str] = field(default_factory=list)
    """Who set one."""


def test_a_crowd_loses_and_doubles_nothing(url: str, tmp_path: Path):
    crowd = CROWD[url.split(":")[0]]
    connections = gather(url, tmp_path, crowd)
    reports = [json.loads((tmp_path / f"{number}.report").read_text()) for number in range(crowd)]
    accounts = accounts_of(tmp_path, crowd)
    with open_store(url) as store:
        status = {thread.thread: thread.status for thread in list_threads(store)}
        assert sorted(status) == sorted(accounts)
        for thread, account in accounts.items():
            branches = [read_messages(store, thread, leaf) for leaf in leaf_checkpoints(store, thread)]
            if thread.startswith("shared"):  # only the thread itself knows who came first
                assert by_worker(turns_in(branches[0])) == by_worker(account.branches[0])
                account.branches[0] = turns_in(branches[0])
            expected = [list(chain(*(said(account, turn) for turn in branch))) for branch in account.branches]
            assert (thread, [[shape(message) for message in branch] for branch in branches]) == (thread, expected)
            assert (thread, sorted(answered_by([*chain(*branches)]))) == (thread, sorted(account.answers))
            asks = kind_of(account, account.branches[-1][-1]) == "unanswered"
            assert (thread, status[thread]) == (thread, "paused" if asks else "done")
            assert (thread, faults(checkpoint_tree(store, thread), account)) == (thread, [])
        labels = {thread: [label.source for label in labels] for thread, labels in labels_of(store).items()}
        assert labels == {thread: account.labels for thread, account in accounts.items() if account.labels}
        assert rows(store) == sum(report["saved"] for report in reports)  # no checkpoint took another's place
        assert (orphaned_writes(store), leases_left(store)) == (0, 0)
    runs = [line.split(maxsplit=1) for line in lines(tmp_path, "runs", crowd)]
    assert sorted(thing for _, thing in runs) == sorted(booked(accounts))
    assert len({key for key, _ in runs}) == len(runs)
    print("\n" + fared(reports, accounts), f"at most {max(connections)} connections" if connections else "")
    for report in reports:
        assert set(report["holders"]) <= {other["pid"] for other in reports} - {report["pid"]}
        assert report["refused"].get("ThreadBusy", 0) == report["told who"]
    assert max(connections, default=0) <= CONNECTIONS


def gather(url: str, folder: Path, crowd: int) -> list[int]:
    """Let the crowd work. How many connections the server had from time to time; none for SQLite."""
    connections: list[int] = []
    command = [sys.executable, str(AGENT), url, str(folder), str(crowd), str(SECONDS)]
    with (folder / "errors").open("w") as errors, subprocess.Popen(command, stderr=errors) as process:
        while process.poll() is None:
            if not url.startswith("sqlite"):
                connections.append(connections_of(url))
            time.sleep(0.2)
    assert (process.returncode, (folder / "errors").read_text()) == (0, "")
    return connections


def connections_of(url: str) -> int:
    counted = (
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "
        "AND datname = current_database()"
    )
    with psycopg.connect(url) as connection:
        return (connection.execute(counted).fetchone() or [0])[0]


def lines(folder: Path, kind: str, crowd: int) -> Iterator[str]:
    for number in range(crowd):
        yield from (folder / f"{number}.{kind}").read_text().splitlines()


def accounts_of(folder: Path, crowd: int) -> dict[str, Account]:
    accounts: dict[str, Account] = {}
    for line in lines(folder, "did", crowd):
        number, thread, did, about = json.loads(line)
        account = accounts.setdefault(thread, Account())
        if did == "turn":
            account.branches[-1].append(about)
        elif did == "fork":
            account.branches.append(account.branches[-1][:about])
        elif did == "answer":
            account.answers.append((about, number))
        elif did == "label":
            account.labels.append(str(number))
    return accounts


def said(account: Account, turn: str) -> list[Shape]:
    return [
        (speaker, content.replace("TURN", turn), [call.replace("TURN", turn) for call in calls])
        for speaker, content, calls in SAID[kind_of(account, turn)]
    ]


def kind_of(account: Account, turn: str) -> str:
    kind = turn.split()[0]
    return "unanswered" if kind == "ask" and turn not in dict(account.answers) else kind


def shape(message: AnyMessage) -> Shape:
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    return message.type, message.text, [call["args"]["thing"] for call in calls]


def turns_in(messages: Sequence[AnyMessage]) -> list[str]:
    return [message.text for message in messages if isinstance(message, HumanMessage)]


def by_worker(turns: Sequence[str]) -> dict[str, list[str]]:
    """Turns of a shared thread such as ``ask shared.0.3/12/57``: the 57th round of worker 12."""
    found: dict[str, list[str]] = {}
    for turn in turns:
        found.setdefault(turn.split("/")[1], []).append(turn)
    return found


def answered_by(messages: Sequence[AnyMessage]) -> set[tuple[str, int]]:
    """Whose answer a message carries, by turn."""
    return {
        (message.tool_calls[1]["args"]["thing"].removesuffix(" b"), int(message.response_metadata[EDIT_KEY]["by"]))
        for message in messages
        if isinstance(message, AIMessage) and EDIT_KEY in message.response_metadata
    }


def faults(tree: list[CheckpointNode], account: Account) -> list[str]:
    """What is wrong with the checkpoints of a thread."""
    parents = Counter(node.parent for node in tree)
    known = {node.checkpoint for node in tree}
    forks = len(account.branches) - 1
    expected = sum(CHECKPOINTS[kind_of(account, turn)] for turn in turns_of(account)) + forks
    paths = [path_to(tree, node.checkpoint) for node in tree if node.checkpoint not in parents]
    found = {
        "roots": parents[None] != 1,
        "orphans": not parents.keys() <= known | {None},
        "branches": sorted(parents.values())[len(parents) - forks :] != [2] * forks or len(paths) != forks + 1,
        "steps": any([node.step for node in path] != list(range(-1, len(path) - 1)) for path in paths),
        f"{len(tree)} checkpoints, not {expected}": len(tree) != expected,
    }
    return [fault for fault, is_so in found.items() if is_so]


def turns_of(account: Account) -> set[str]:
    return set(chain(*account.branches))


def booked(accounts: dict[str, Account]) -> Iterator[str]:
    """What the tool must have been run for."""
    for account in accounts.values():
        for turn in turns_of(account):
            yield from (text.removeprefix("booked ") for kind, text, _ in said(account, turn) if kind == "tool")


def rows(store: Store) -> int:
    return store.tables.read(select(func.count()).select_from(store.tables.checkpoints))[0][0]


def orphaned_writes(store: Store) -> int:
    writes, checkpoints = store.tables.writes.c, store.tables.checkpoints.c
    theirs = (checkpoints.thread_id == writes.thread_id) & (checkpoints.checkpoint_id == writes.checkpoint_id)
    query = select(func.count()).select_from(store.tables.writes).where(~exists().where(theirs))
    return store.tables.read(query)[0][0]


def leases_left(store: Store) -> int:
    ours = "(SELECT oid FROM pg_database WHERE datname = current_database())"
    locks = f"pg_locks WHERE locktype = 'advisory' AND database = {ours}"
    return store.tables.read(text(f"SELECT count(*) FROM {locks if store.tables.postgres else 'leases'}"))[0][0]


def fared(reports: list[dict[str, Any]], accounts: dict[str, Account]) -> str:
    """How fast it went, for people."""
    seconds = max(report["ended"] for report in reports) - min(report["began"] for report in reports)
    saved = sum(report["saved"] for report in reports)
    refused = sum((Counter(report["refused"]) for report in reports), Counter())
    write, run = (max(report["longest"][what] for report in reports) for what in ("write", "run"))
    turns = sum(len(turns_of(account)) for account in accounts.values())
    return (
        f"{len(reports)} processes, {seconds:.1f} s: {len(accounts)} threads, {turns} turns, "
        f"{sum(len(account.answers) for account in accounts.values())} answers, "
        f"{sum(len(account.branches) - 1 for account in accounts.values())} forks, {saved} checkpoints "
        f"({saved / seconds:.0f} a second); longest write {write:.2f} s, longest run {run:.2f} s; "
        f"refused: {dict(refused)}"
    )
