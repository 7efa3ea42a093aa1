"""Processes die by SIGKILL at every step of a thread; what the next ones make of it is what would have been."""

import json
import os
import runpy
from collections.abc import Callable, Iterator
from itertools import chain, permutations, product
from pathlib import Path
from typing import Any

import pytest
import warm
from sqlalchemy import select
from threadmill.checkpoints.reading import checkpoint_tree, read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.errors import NotPaused, StillPaused
from threadmill.graphs import answer_thread, continue_thread, read_outcome, run_thread

AGENT = Path(__file__).with_name("crash_agent.py")
KILLED, LIVED = -9, 0
CHECKPOINTS, WRITES = 20, 24
"""What an uninterrupted run saves."""
STAGES = ["entered", "booked", "committed"]
EVERY_DEATH = os.environ.get("THREADMILL_DEATHS") == "all"
"""As `make fuzz` has it; else every second to seventh."""

SAID = [
    ("human", "Pay the rent and the team.", []),
    ("ai", "", [("rent", 700)]),
    ("tool", "paid 700 to rent", []),
    ("ai", "", [("ann", 1), ("bob", 2), ("cem", 3)]),
    ("tool", "paid 1 to ann", []),
    ("tool", "paid 2 to bob", []),
    ("tool", "paid 3 to cem", []),
    ("ai", "Rent and team are paid.", []),
    ("human", "Pay the state.", []),
    ("ai", "", [("tax", 400), ("fee", 20), ("toll", 5)]),  # a person made 400 of 500
    ("tool", "paid 400 to tax", []),
    ("tool", "paid 20 to fee", []),
    ("tool", "paid 5 to toll", []),
    ("ai", "The state is paid.", []),
]
BOOKED = ["ann 1", "bob 2", "cem 3", "fee 20", "rent 700", "tax 400", "toll 5"]


WorkOff = Callable[..., None]


@pytest.fixture(scope="module")
def agent_process() -> Iterator[warm.Warm]:
    with warm.started(AGENT) as process:
        yield process


@pytest.fixture
def work_off(agent_process: warm.Warm, url: str, tmp_path: Path) -> WorkOff:
    """Lets ``crash_agent.py`` do jobs after the uninterrupted thread 'whole'."""

    def work_off(*jobs: dict[str, Any]) -> None:
        print(json.dumps({"url": url, "folder": str(tmp_path), "jobs": jobs}), file=agent_process.stdin, flush=True)
        assert agent_process.stdout.readline() == "done\n"

    return work_off


def ended(store: Store, folder: Path, thread: str) -> dict[str, Any]:
    """All that must not depend on who died on the way."""
    state = json.loads((folder / f"{thread}.state").read_text())
    for message in state["messages"]:
        message["additional_kwargs"].pop("duration_s", None)
        message.get("response_metadata", {}).pop("seconds", None)
        if message["type"] == "human":
            del message["id"]  # a random one
    tree = checkpoint_tree(store, thread)
    booked = [line.split(maxsplit=1) for line in lines(folder / f"{thread}.ledger")]
    return {
        "messages": state["messages"],
        "versions": state["versions"],
        "read": [message.text for message in read_messages(store, thread)],
        "steps": [(node.step, node.source) for node in tree],
        "one line": [node.parent for node in tree[1:]] == [node.checkpoint for node in tree[:-1]],
        "orphaned writes": orphaned_writes(store, thread),
        "booked": sorted(line for _, line in booked),
        "keys": len({key for key, _ in booked}),
        "run again": [line for line in lines(folder / f"{thread}.runs") if line.endswith("again")],
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    return [(what, one[what], other[what]) for what in other if one[what] != other[what]]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def orphaned_writes(store: Store, thread: str) -> int:
    """Writes without their checkpoint.

    Not those of ``__start__``: LangGraph saves a turn's checkpoint and what ``__start__`` makes of it side by side, so
    a death between them leaves rows that nothing reads, of a turn that was not accepted.
    """
    writes, checkpoints = store.saver.tables.writes.c, store.saver.tables.checkpoints.c
    known = select(checkpoints.checkpoint_id).where(checkpoints.thread_id == thread)
    orphaned = select(writes.task_path).where(writes.thread_id == thread, writes.checkpoint_id.not_in(known))
    return sum("__start__" not in path for (path,) in store.saver.tables.read(orphaned))


def runs(folder: Path, thread: str) -> dict[str, int]:
    """How often the tool ran for each account."""
    accounts = [line.split()[1] for line in lines(folder / f"{thread}.runs")]
    return {account: accounts.count(account) for account in sorted(accounts)}


def test_the_uninterrupted_thread(work_off: WorkOff, url: str, tmp_path: Path):
    work_off()
    with open_store(url) as store:
        whole = ended(store, tmp_path, "whole")
        listed = [(thread.thread, thread.status, thread.turns) for thread in list_threads(store)]
    said = [
        (message["type"], message["content"], [tuple(call["args"].values()) for call in message.get("tool_calls", [])])
        for message in whole["messages"]
    ]
    assert said == SAID
    assert whole["read"] == [content for _, content, _ in SAID]
    assert whole["versions"] == {"bank.think": "v1"}
    assert listed == [("whole", "done", 5)]
    sources = ["input", *["loop"] * 11, "input", *["loop"] * 7]
    assert whole["steps"] == list(zip(range(-1, CHECKPOINTS - 1), sources, strict=True))
    assert (whole["one line"], whole["orphaned writes"], whole["run again"]) == (True, 0, [])
    assert (whole["booked"], whole["keys"]) == (BOOKED, 7)
    saved = json.loads((tmp_path / "whole.state").read_text())["saved"]
    assert saved == {"put": CHECKPOINTS, "put_writes": WRITES}


@pytest.mark.parametrize("is_async", [False, True])
def test_a_death_around_any_checkpoint_or_write_changes_nothing(
    work_off: WorkOff, url: str, tmp_path: Path, is_async: bool
):
    deaths = [{when: "put", "n": n} for n in range(1, CHECKPOINTS + 1) for when in ("before", "after")]
    deaths += [{"after": "put_writes", "n": n} for n in range(1, WRITES + 1)]
    jobs = [{"thread": as_name(how), "deaths": [how], "is_async": is_async} for how in deaths]
    every = 1 if EVERY_DEATH else 7 if url.startswith("postgresql") else 3 if is_async else 2
    jobs = jobs[is_async::every]
    work_off(*jobs)
    with open_store(url) as store:
        whole = ended(store, tmp_path, "whole")
        for job in jobs:
            thread = job["thread"]
            assert (thread, exits(tmp_path, thread)) == (thread, [KILLED, LIVED])
            assert (thread, differences(ended(store, tmp_path, thread), whole)) == (thread, [])


def as_name(how: dict[str, Any]) -> str:
    return " ".join(map(str, chain(*how.items())))


def exits(folder: Path, thread: str) -> list[int]:
    return json.loads((folder / f"{thread}.exits").read_text())


def test_a_death_among_calls_runs_only_the_unfinished_ones_again(work_off: WorkOff, url: str, tmp_path: Path):
    plans = [{"rent": stage} for stage in STAGES]
    plans += [dict(zip(["ann", "bob", "cem"], stages, strict=True)) for stages in product(STAGES, repeat=3)]
    plans += [dict(zip(["tax", "fee", "toll"], stages, strict=True)) for stages in permutations(STAGES)]
    plans = plans[:: 1 if EVERY_DEATH else 4 if url.startswith("postgresql") else 2]
    jobs = [{"thread": as_name(plan), "deaths": [{"stages": plan}]} for plan in plans]
    work_off(*jobs)
    with open_store(url) as store:
        whole = ended(store, tmp_path, "whole")
        for plan, job in zip(plans, jobs, strict=True):
            thread = job["thread"]
            assert (thread, exits(tmp_path, thread)) == (thread, [KILLED, LIVED])
            assert (thread, differences(ended(store, tmp_path, thread), whole)) == (thread, [])
            twice = {account: 2 for account, stage in plan.items() if stage != "committed"}
            assert (thread, runs(tmp_path, thread)) == (thread, {**runs(tmp_path, "whole"), **twice})


def test_who_takes_over_may_die_too(work_off: WorkOff, url: str, tmp_path: Path):
    soon = [{"before": "put", "n": 1}, {"after": "put_writes", "n": 1}, {"after": "put", "n": 2}]
    jobs = [{"thread": str(n), "deaths": [{"after": "put_writes", "n": n}, soon[n % 3]]} for n in range(1, WRITES - 2)]
    jobs = jobs[:: 1 if EVERY_DEATH else 4 if url.startswith("postgresql") else 2]
    jobs += [
        {"thread": "never gets far", "deaths": [{"before": "put", "n": 1}] * 4},
        {"thread": "one step each", "deaths": [{"after": "put", "n": 1}] * CHECKPOINTS},
    ]
    work_off(*jobs)
    with open_store(url) as store:
        whole = ended(store, tmp_path, "whole")
        for job in jobs:
            thread = job["thread"]
            assert (thread, exits(tmp_path, thread)) == (thread, [KILLED] * len(job["deaths"]) + [LIVED])
            assert (thread, differences(ended(store, tmp_path, thread), whole)) == (thread, [])


def test_calls_that_die_again_and_again_are_booked_once(work_off: WorkOff, url: str, tmp_path: Path):
    deaths = [
        {"stages": {"ann": "committed", "bob": "booked", "cem": "entered"}},
        {"stages": {"bob": "committed", "cem": "booked"}},
        {"stages": {"cem": "booked"}},
    ]
    work_off({"thread": "t", "deaths": deaths})
    with open_store(url) as store:
        assert ended(store, tmp_path, "t") == ended(store, tmp_path, "whole")
    assert runs(tmp_path, "t") == {"ann": 1, "bob": 2, "cem": 4, "fee": 1, "rent": 1, "tax": 1, "toll": 1}


def test_a_new_turn_after_a_death_cannot_push_aside_what_was_finished(work_off: WorkOff, url: str, tmp_path: Path):
    deaths = {
        "the team is paid": {"before": "put", "n": 10},
        "the model has said so": {"before": "put", "n": 12},
        "the second turn is accepted": {"after": "put", "n": 13},
        "the second turn is among the messages": {"before": "put", "n": 14},
        "a person has answered": {"before": "put", "n": 17},
    }
    work_off(*[{"thread": thread, "deaths": [how], "lives": False} for thread, how in deaths.items()])
    agent = runpy.run_path(str(AGENT))
    with open_store(url) as store:
        for thread in deaths:
            graph = agent["build"](store, tmp_path, thread, agent["Death"]({}))
            assert (thread, read_outcome(graph, thread).status) == (thread, "failed")
            with pytest.raises(StillPaused, match=f"thread '{thread}' stopped half-way; continue it first"):
                run_thread(graph, thread, "Hello?")
            with pytest.raises(NotPaused, match="asks nothing: its run stopped half-way; continue it"):
                answer_thread(graph, thread, agent["ANSWERS"])
            continue_thread(graph, thread)
            agent["drive"](graph, thread)
            assert [m.text for m in read_messages(store, thread)] == [content for _, content, _ in SAID]
            assert runs(tmp_path, thread) == runs(tmp_path, "whole")
