"""Leases on PostgreSQL: held as long as the connection lives, however silent the process."""

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest
from lease_drivers import Holder, eventually, hang_up, is_free, refusal
from sqlalchemy import Engine
from threadmill.checkpoints.lease import Leases
from threadmill.checkpoints.lease_postgres import application_name
from threadmill.errors import LeaseLost


def test_on_postgresql_a_stopped_holder_keeps_its_lease(postgres_engine: Engine, open_at: Callable[..., Leases]):
    leases = open_at(postgres_engine)
    with Holder(postgres_engine, 0.1, 0.5) as first:
        first.process.send_signal(signal.SIGSTOP)
        time.sleep(0.7)
        assert f"pid {first.pid}" in refusal(leases)
        first.process.send_signal(signal.SIGCONT)
        assert first.ask("check") == "ours"
        first.process.send_signal(signal.SIGSTOP)
        first.process.send_signal(signal.SIGKILL)
        assert eventually(lambda: is_free(leases))


def test_a_broken_connection_loses_the_lease_before_the_next_write(postgres_engine: Engine, open_at: Any):
    first, second = open_at(postgres_engine), open_at(postgres_engine)
    with first.hold("t"), first.hold("u"):
        assert hang_up(postgres_engine) == 1
        with second.hold("t"):
            with pytest.raises(LeaseLost, match="the connection to the server that held it broke"):
                first.check("t")
            with first.hold("v"):  # on a new connection
                first.check("v")
                with pytest.raises(LeaseLost, match="the connection to the server that held it broke"):
                    first.check("u")
    assert is_free(first, "t")
    assert is_free(second, "u")


def test_the_heartbeat_notices_a_broken_connection(postgres_engine: Engine, open_at: Callable[..., Leases]):
    leases = open_at(postgres_engine, 0.05, 30.0)
    with leases.hold("t"):
        assert hang_up(postgres_engine) == 1
        time.sleep(0.3)
        with pytest.raises(LeaseLost):
            leases.check("t")
    assert is_free(leases)


def test_the_name_that_postgresql_shows_ends_in_the_pid():
    assert application_name("root@host pid 1") == "threadmill root@host pid 1"
    assert application_name("root@" + "h" * 80 + " pid 12345") == "threadmill root@" + "h" * 37 + " pid 12345"
    assert application_name("zoë@host pid 1") == "threadmill zo?@host pid 1"
