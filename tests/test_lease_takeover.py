"""Leases of processes that died, stopped or fell silent: another takes over, and the first can no longer write."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from lease_drivers import Holder, eventually, is_free, refusal
from sqlalchemy import Engine, event, insert, select, update
from threadmill.checkpoints.lease import Leases
from threadmill.checkpoints.process import this_process
from threadmill.checkpoints.tables import LeaseRow
from threadmill.errors import LeaseLost


def test_a_killed_holder_is_replaced_at_once_though_nobody_reaped_it(engine: Engine, open_at: Callable[..., Leases]):
    leases = open_at(engine)
    with Holder(engine) as first:
        assert not is_free(leases)
        first.process.send_signal(signal.SIGKILL)
        assert eventually(lambda: is_free(leases))  # as soon as the signal has arrived
        assert first.process.returncode is None  # not reaped: a zombie


def test_a_stopped_holder_is_replaced_and_cannot_write_when_it_wakes(sqlite_engine: Engine, open_at: Any):
    leases = open_at(sqlite_engine, 0.1, 1.0)
    with Holder(sqlite_engine, 0.1, 1.0) as first:
        time.sleep(1.2)
        assert not is_free(leases)  # it beats
        first.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        assert not is_free(leases)  # it may only be slow
        time.sleep(0.7)
        with leases.hold("t"):
            first.process.send_signal(signal.SIGCONT)
            said = first.ask("check")
            assert said.startswith(
                f"lost: thread 't' is no longer driven by this process ({this_process().holder} pid "
            )
            assert f"pid {first.pid}): {this_process().holder} pid {os.getpid()} took it over at 20" in said
            assert first.ask("check") == said
            leases.check("t")
            assert first.ask("end") == "ended"
            leases.check("t")  # the first gave back nothing of ours
            assert not is_free(open_at(sqlite_engine))


def test_a_check_looks_for_itself_when_the_heartbeat_is_late(sqlite_engine: Engine, open_at: Callable[..., Leases]):
    first, second = open_at(sqlite_engine, 60.0, 0.4), open_at(sqlite_engine, 60.0, 0.4)
    with first.hold("t"):
        time.sleep(0.5)
        first.check("t")  # nobody wanted it
        with second.hold("t"):
            with pytest.raises(LeaseLost, match=f"pid {os.getpid()} took it over at 20"):
                first.check("t")
            second.check("t")
    with first.hold("u"):
        time.sleep(0.5)
        assert is_free(second, "u")
        with pytest.raises(LeaseLost, match="another took it over, and is done with it"):
            first.check("u")
        assert "this process" not in refusal(first, "u")  # the run that lost it has not ended
    assert is_free(first, "u")


@pytest.mark.parametrize(
    ("changed", "free"),
    [
        ({}, False),
        ({"started": "1"}, True),  # the pid was given away again
        ({"started": ""}, False),  # nobody knows
        ({"pid": 4_194_305}, True),  # above the largest pid of Linux
        ({"pid": 4_194_305, "host": "elsewhere"}, False),  # from here nobody can tell
        ({"host": "elsewhere", "beats_at": -31.0}, True),
        ({"beats_at": -29.0}, False),
        ({"beats_at": 31.0}, True),  # the clock was set back
    ],
)
def test_a_lease_is_stale_if_its_process_is_gone_or_silent(
    sqlite_engine: Engine, open_at: Callable[..., Leases], changed: dict[str, Any], free: bool
):
    me, now = this_process(), time.time()
    row = {"thread": "t", "token": "x", "holder": "a@b", "host": me.machine, "pid": me.pid, "started": me.started}
    row |= {"acquired_at": now, "beats_at": now} | changed
    row["beats_at"] += now if "beats_at" in changed else 0
    with sqlite_engine.begin() as connection:
        connection.execute(insert(LeaseRow).values(row))
    assert is_free(open_at(sqlite_engine)) is free


def test_a_beat_in_the_last_moment_saves_a_lease(sqlite_engine: Engine, open_at: Callable[..., Leases]):
    """The taker saw a stale row, but before it writes the holder beats."""
    first, second = open_at(sqlite_engine, 60.0, 0.2), open_at(sqlite_engine, 60.0, 0.2)

    def beat(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if "DO UPDATE" in statement and not beaten:
            beaten.append(True)
            with sqlite_engine.begin() as another:
                another.execute(update(LeaseRow).values(beats_at=time.time()))

    beaten: list[bool] = []
    with first.hold("t"):
        time.sleep(0.3)
        event.listen(sqlite_engine, "before_cursor_execute", beat)
        assert not is_free(second)
        assert beaten == [True]
        first.check("t")
    with sqlite_engine.begin() as connection:
        assert connection.execute(select(LeaseRow)).all() == []
