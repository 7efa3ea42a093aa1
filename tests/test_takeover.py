"""Two processes drive the same thread: the second is told who does, and takes over when the first is gone."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import warm
from sqlalchemy import select
from takeover_agent import TURNS, YES, build_shop
from threadmill.checkpoints.lease import open_leases
from threadmill.checkpoints.reading import checkpoint_tree
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import ThreadBusy
from threadmill.graphs import (
    aanswer_thread,
    acontinue_thread,
    answer_thread,
    arun_thread,
    continue_thread,
    run_thread,
)
from threadmill.graphs.travel import fork_thread, replay_thread

AGENT = Path(__file__).with_name("takeover_agent.py")

BEAT_EVERY_S, STALE_AFTER_S = 0.1, 0.8

SAID = [
    ("human", "a lamp"),
    ("ai", ""),
    ("tool", "a lamp"),
    ("ai", "Here is a lamp."),
    ("human", "a desk"),
    ("ai", ""),
    ("tool", "a desk"),
    ("ai", "Here is a desk."),
]


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    """A store in this process, the second one; it gives up on silent holders sooner than usual."""
    (tmp_path / "bought").touch()
    with open_store(url) as opened:
        opened.leases = open_leases(opened.engine, beat_every_s=BEAT_EVERY_S, stale_after_s=STALE_AFTER_S)
        opened.saver.leases = opened.leases
        yield opened


@contextmanager
def holder(url: str, folder: Path, deed: str, how: str = "sync") -> Iterator[warm.Warm]:
    """Another process that drives thread ``t`` and is inside the tool; killed in the end."""
    with warm.started(AGENT, url, folder, deed, how, BEAT_EVERY_S, STALE_AFTER_S) as process:
        assert process.stdout.readline() == "buying\n"
        try:
            yield process
        finally:
            process.kill()


def prepare(deed: str, url: str, folder: Path, shop: Any) -> None:
    """Bring thread ``t`` to where ``deed`` is due."""
    if deed == "answer":
        run_thread(shop, "t", TURNS[0])
        assert run_thread(shop, "t", TURNS[1]).status == "paused"
    if deed == "continue":
        with holder(url, folder, "run"):
            pass


def take_over(drive: Callable[[], Any]) -> Any:
    """What comes of ``drive`` as soon as nobody else drives; a server notices a death within moments."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return drive()
        except ThreadBusy:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def finish(shop: Any) -> None:
    """Bring thread ``t`` to its end."""
    if len(shop.get_state({"configurable": {"thread_id": "t"}}).values["messages"]) < len(SAID):
        assert run_thread(shop, "t", TURNS[1]).status == "paused"
        assert answer_thread(shop, "t", YES).status == "done"


def everything(store: Store) -> dict[str, Any]:
    """The tree of thread ``t`` and all of its rows."""
    rows = {table.name: set(store.tables.read(select(*keys(table)))) for table in store.tables.all}
    return {"tree": checkpoint_tree(store, "t"), **rows}


def keys(table: Any) -> list[Any]:
    return [column for column in table.c if column.primary_key]


@pytest.mark.parametrize(
    ("deed", "how"), [("run", "sync"), ("run", "async"), ("answer", "async"), ("continue", "sync")]
)
def test_the_second_process_is_told_who_drives_and_takes_over_when_that_one_died(
    url: str, store: Store, tmp_path: Path, deed: str, how: str
):
    shop = build_shop(store, tmp_path)
    prepare(deed, url, tmp_path, shop)
    with holder(url, tmp_path, deed, how) as first:
        before = everything(store)
        root = before["tree"][0].checkpoint
        told = (
            rf"^thread 't' is driven by \S+ pid {first.pid} since 20\S+, last beat \d+ s ago; "
            "wait until its run ends, or stop that process: the next try takes over$"
        )
        for drive in (
            lambda: run_thread(shop, "t", "a chair"),
            lambda: answer_thread(shop, "t", YES),
            lambda: continue_thread(shop, "t"),
            lambda: asyncio.run(arun_thread(shop, "t", "a chair")),
            lambda: asyncio.run(aanswer_thread(shop, "t", YES)),
            lambda: asyncio.run(acontinue_thread(shop, "t")),
            lambda: fork_thread(shop, "t", root),
            lambda: replay_thread(shop, "t", root),
        ):
            with pytest.raises(ThreadBusy, match=told):
                drive()
        assert everything(store) == before
    came = take_over(lambda: asyncio.run(acontinue_thread(shop, "t")) if how == "async" else continue_thread(shop, "t"))
    assert came.status == "done"
    finish(shop)
    assert outcome(store, shop, tmp_path) == alone(store, tmp_path)
    runs = {"run": {"a lamp": 2, "a desk": 1}, "answer": {"a lamp": 1, "a desk": 2}}
    runs["continue"] = {"a lamp": 3, "a desk": 1}
    assert Counter((tmp_path / "runs").read_text().splitlines()) == runs[deed]


@pytest.mark.parametrize("how", ["sync", "async"])
def test_a_process_that_was_away_for_too_long_writes_nothing_any_more(url: str, store: Store, tmp_path: Path, how: str):
    shop = build_shop(store, tmp_path)
    with holder(url, tmp_path, "run", how) as first:
        if url.startswith("sqlite"):
            first.send_signal(signal.SIGSTOP)
        else:
            hang_up(url, first.pid)
        assert take_over(lambda: continue_thread(shop, "t")).status == "done"
        before = everything(store)
        first.send_signal(signal.SIGCONT)
        print(file=first.stdin, flush=True)
        said = first.stdout.read()
        assert said.startswith("LeaseLost: thread 't' is no longer driven by this process (")
        assert f"pid {first.pid}): " in said
        assert everything(store) == before
    finish(shop)
    assert outcome(store, shop, tmp_path) == alone(store, tmp_path)


def hang_up(url: str, pid: int) -> None:
    """Let the server end the connection that holds the leases of process ``pid``, and wait until it did."""
    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name LIKE %s"
    with psycopg.connect(url) as connection:
        assert connection.execute(end, [f"threadmill % pid {pid}"]).fetchall() == [(True,)]


def outcome(store: Store, shop: Any, folder: Path, thread: str = "t") -> dict[str, Any]:
    """All that must not depend on who drove ``thread``."""
    values = shop.get_state({"configurable": {"thread_id": thread}}).values
    messages = [message.model_dump() for message in values["messages"]]
    for message in messages:
        message["additional_kwargs"].pop("duration_s", None)
        message.get("response_metadata", {}).pop("seconds", None)
        if message["type"] == "human":
            del message["id"]  # a random one
    tree = checkpoint_tree(store, thread)
    return {
        "messages": messages,
        "versions": values["versions"],
        "steps": [(node.step, node.source) for node in tree],
        "one line": [node.parent for node in tree[1:]] == [node.checkpoint for node in tree[:-1]],
        "bought": [line.split(maxsplit=1)[1] for line in (folder / "bought").read_text().splitlines()],
    }


def alone(store: Store, folder: Path) -> dict[str, Any]:
    """What one process makes of it."""
    books = folder / "alone"
    books.mkdir()
    (books / "bought").touch()
    shop = build_shop(store, books)
    run_thread(shop, "alone", TURNS[0])
    run_thread(shop, "alone", TURNS[1])
    answer_thread(shop, "alone", YES)
    made = outcome(store, shop, books, "alone")
    assert [(message["type"], message["content"]) for message in made["messages"]] == SAID
    assert (made["bought"], made["one line"]) == (["a lamp", "a desk"], True)
    return made
