"""Leases: the second driver of a thread is told who the first is, and takes over when that one died."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, insert, make_url, select, text, update
from threadmill.checkpoints.lease import Leases, open_leases
from threadmill.checkpoints.lease_postgres import application_name
from threadmill.checkpoints.process import this_process
from threadmill.checkpoints.tables import LeaseRow
from threadmill.errors import LeaseLost, ThreadBusy

HOLDER = Path(__file__).with_name("lease_holder.py")
HEARTBEAT = "threadmill leases"


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/runs.db", connect_args={"timeout": 60.0})
    with engine.begin() as connection:
        connection.execute(text("PRAGMA journal_mode=WAL"))
    LeaseRow.__table__.create(engine, checkfirst=True)  # pyright: ignore[reportAttributeAccessIssue]
    yield engine
    engine.dispose()


@pytest.fixture
def postgres_place(postgres_url: str) -> Iterator[Engine]:
    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"))
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> Engine:
    """The engine of an empty database, of either kind."""
    return request.getfixturevalue(f"{request.param}_place")


@pytest.fixture
def open_at() -> Iterator[Callable[..., Leases]]:
    """Opens leases and closes them in the end: each is a driver of its own, as another process would be."""
    with ExitStack() as opened:

        def open_them(engine: Engine, beat_every_s: float = 5.0, stale_after_s: float = 30.0) -> Leases:
            leases = open_leases(engine, beat_every_s=beat_every_s, stale_after_s=stale_after_s)
            opened.callback(leases.close)
            return leases

        yield open_them


class Holder:
    """Another process that holds the lease of thread ``t``."""

    def __init__(self, engine: Engine, beat_every_s: float = 5.0, stale_after_s: float = 30.0) -> None:
        url = engine.url.render_as_string(hide_password=False)
        self.process = subprocess.Popen(
            [sys.executable, HOLDER, url, "t", str(beat_every_s), str(stale_after_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        self.said = self.hear()

    def ask(self, line: str) -> str:
        assert self.process.stdin is not None
        print(line, file=self.process.stdin, flush=True)
        return self.hear()

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __enter__(self) -> "Holder":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


def refusal(leases: Leases, thread: str = "t") -> str:
    with pytest.raises(ThreadBusy) as caught, leases.hold(thread):
        pass
    return str(caught.value)


def is_free(leases: Leases, thread: str = "t") -> bool:
    try:
        with leases.hold(thread):
            return True
    except ThreadBusy:
        return False


def heartbeats() -> int:
    return sum(thread.name == HEARTBEAT for thread in threading.enumerate())


def hang_up(engine: Engine) -> int:
    """Let the server end all connections that hold leases, and wait until it did."""
    end = (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE application_name LIKE 'threadmill %' AND datname = current_database()"
    )
    with engine.begin() as connection:
        return len(connection.execute(text(end)).all())


def eventually(happened: Callable[[], Any]) -> bool:
    deadline = time.monotonic() + 5
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_a_second_process_is_told_who_drives_the_thread(place: Engine, open_at: Callable[..., Leases]):
    leases = open_at(place)
    with Holder(place) as first:
        assert first.said == "held"
        message = refusal(leases)
        assert message.startswith(f"thread 't' is driven by {this_process().holder} pid {first.pid} since 20")
        assert re.search(r"\+00:00, last beat \d s ago; wait until its run ends, or stop that process", message)
        assert is_free(leases, "another")
        assert first.ask("end") == "ended"
        assert is_free(leases)


def test_a_second_process_is_refused_by_this_one(place: Engine, open_at: Callable[..., Leases]):
    with open_at(place).hold("t"), Holder(place) as second:
        assert second.said.startswith(
            f"busy: thread 't' is driven by {this_process().holder} pid {os.getpid()} since 2"
        )


def test_a_killed_holder_is_replaced_at_once_though_nobody_reaped_it(place: Engine, open_at: Callable[..., Leases]):
    leases = open_at(place)
    with Holder(place) as first:
        assert not is_free(leases)
        first.process.send_signal(signal.SIGKILL)
        assert eventually(lambda: is_free(leases))  # as soon as the signal has arrived
        assert first.process.returncode is None  # not reaped: a zombie


def test_a_stopped_holder_is_replaced_and_cannot_write_when_it_wakes(sqlite_place: Engine, open_at: Any):
    leases = open_at(sqlite_place, 0.1, 1.0)
    with Holder(sqlite_place, 0.1, 1.0) as first:
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
            assert not is_free(open_at(sqlite_place))


def test_on_postgresql_a_stopped_holder_keeps_its_lease(postgres_place: Engine, open_at: Callable[..., Leases]):
    leases = open_at(postgres_place)
    with Holder(postgres_place, 0.1, 0.5) as first:
        first.process.send_signal(signal.SIGSTOP)
        time.sleep(0.7)
        assert f"pid {first.pid}" in refusal(leases)
        first.process.send_signal(signal.SIGCONT)
        assert first.ask("check") == "ours"
        first.process.send_signal(signal.SIGSTOP)
        first.process.send_signal(signal.SIGKILL)
        assert eventually(lambda: is_free(leases))


def test_a_check_looks_for_itself_when_the_heartbeat_is_late(sqlite_place: Engine, open_at: Callable[..., Leases]):
    first, second = open_at(sqlite_place, 60.0, 0.4), open_at(sqlite_place, 60.0, 0.4)
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


def test_a_check_asks_the_database_nothing_while_the_heart_beats(sqlite_place: Engine, open_at: Callable[..., Leases]):
    leases = open_at(sqlite_place)
    asked: list[str] = []
    event.listen(sqlite_place, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    leases.check("t")
    with leases.hold("t"):
        leases.check("t")
        leases.check("another")
        assert [statement.split()[0] for statement in asked] == ["INSERT"]
    leases.check("t")
    assert [statement.split()[0] for statement in asked] == ["INSERT", "DELETE"]


def test_opening_opens_nothing(place: Engine, open_at: Callable[..., Leases]):
    connected: list[Any] = []
    event.listen(place, "checkout", lambda *arguments: connected.append(arguments))
    leases = open_at(place)
    leases.check("t")
    leases.close()
    assert connected == []


def test_two_python_threads_of_one_process_exclude_each_other(place: Engine, open_at: Callable[..., Leases]):
    leases = open_at(place)
    with leases.hold("t"):
        with ThreadPoolExecutor(1) as pool:
            assert f"driven by {this_process()} since" in pool.submit(refusal, leases).result()
        assert "last beat 0 s ago" in refusal(leases)  # no way around it: the same Python thread neither
        leases.check("t")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(is_free, leases).result()


def test_an_exception_gives_the_lease_back(place: Engine, open_at: Callable[..., Leases]):
    leases = open_at(place)
    with pytest.raises(ZeroDivisionError), leases.hold("t"):
        raise ZeroDivisionError
    assert is_free(open_at(place))


def test_fifty_threads_are_held_with_one_heartbeat(place: Engine, open_at: Callable[..., Leases]):
    leases, others = open_at(place, 0.1, 0.6), open_at(place, 0.1, 0.6)
    names = [f"t{number}" for number in range(50)]
    assert heartbeats() == 0
    with ThreadPoolExecutor(50) as pool, ExitStack() as held:
        for lease in pool.map(leases.hold, names):
            held.enter_context(lease)
        assert heartbeats() == 1
        time.sleep(0.8)
        assert heartbeats() == 1
        assert [name for name in names if is_free(others, name)] == []
        for name in names:
            leases.check(name)
    assert [name for name in names if not is_free(others, name)] == []
    assert eventually(lambda: heartbeats() == 0)


def test_closing_ends_the_heartbeat_and_gives_everything_back(place: Engine, open_at: Callable[..., Leases]):
    leases, other = open_at(place), open_at(place)
    with leases.hold("t"), leases.hold("u"):
        leases.close()
        assert heartbeats() == 0
        with other.hold("t"), other.hold("u"):
            leases.check("t")
    assert is_free(leases)  # and it can be used again


def test_processes_that_crowd_around_a_thread_never_drive_it_together(place: Engine, tmp_path: Path):
    crowd = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from sqlalchemy import create_engine\n"
        "from threadmill.checkpoints.lease import open_leases\n"
        "from threadmill.errors import ThreadBusy\n"
        "count, leases, done = Path(sys.argv[2]), open_leases(create_engine(sys.argv[1])), 0\n"
        "while done < 25:\n"
        "    try:\n"
        "        with leases.hold('t'):\n"
        "            seen = int(count.read_text())\n"
        "            time.sleep(0.001)\n"
        "            leases.check('t')\n"
        "            count.write_text(str(seen + 1))\n"
        "            done += 1\n"
        "    except ThreadBusy:\n"
        "        time.sleep(0.002)\n"
        "leases.close()\n"
    )
    count = tmp_path / "count"
    count.write_text("0")
    url = place.url.render_as_string(hide_password=False)
    processes = [subprocess.Popen([sys.executable, "-c", crowd, url, count]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert count.read_text() == "100"


def test_a_forked_child_gives_back_nothing_of_its_parent(place: Engine, open_at: Callable[..., Leases]):
    forking = (
        "import os, sys\n"
        "from sqlalchemy import create_engine\n"
        "from threadmill.checkpoints.lease import open_leases\n"
        "from threadmill.errors import ThreadBusy\n"
        "engine = create_engine(sys.argv[1])\n"
        "leases = open_leases(engine)\n"
        "with leases.hold('t'):\n"
        "    child = os.fork()\n"
        "    if child:\n"
        "        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0\n"
        "        leases.check('t')\n"
        "        print('held', flush=True)\n"
        "        sys.stdin.readline()\n"
        "    else:\n"
        "        engine.dispose(close=False)\n"
        "        leases.check('t')\n"
        "        try:\n"
        "            with leases.hold('t'):\n"
        "                sys.exit('the child may drive it too')\n"
        "        except ThreadBusy as error:\n"
        "            assert f'pid {os.getppid()} since' in str(error), error\n"
        "        with leases.hold('u'):\n"
        "            leases.check('u')\n"
        "        leases.close()\n"
    )
    url = place.url.render_as_string(hide_password=False)
    arguments = [sys.executable, "-c", forking, url]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "held\n"
        leases = open_at(place)
        assert f"pid {parent.pid} since" in refusal(leases)
        assert is_free(leases, "u")
        parent.communicate("\n")
    assert parent.returncode == 0
    assert is_free(leases)


def test_a_broken_connection_loses_the_lease_before_the_next_write(postgres_place: Engine, open_at: Any):
    first, second = open_at(postgres_place), open_at(postgres_place)
    with first.hold("t"), first.hold("u"):
        assert hang_up(postgres_place) == 1
        with second.hold("t"):
            with pytest.raises(LeaseLost, match="the connection to the server that held it broke"):
                first.check("t")
            with first.hold("v"):  # on a new connection
                first.check("v")
                with pytest.raises(LeaseLost, match="the connection to the server that held it broke"):
                    first.check("u")
    assert is_free(first, "t")
    assert is_free(second, "u")


def test_the_heartbeat_notices_a_broken_connection(postgres_place: Engine, open_at: Callable[..., Leases]):
    leases = open_at(postgres_place, 0.05, 30.0)
    with leases.hold("t"):
        assert hang_up(postgres_place) == 1
        time.sleep(0.3)
        with pytest.raises(LeaseLost):
            leases.check("t")
    assert is_free(leases)


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
    sqlite_place: Engine, open_at: Callable[..., Leases], changed: dict[str, Any], free: bool
):
    me, now = this_process(), time.time()
    row = {"thread": "t", "token": "x", "holder": "a@b", "host": me.machine, "pid": me.pid, "started": me.started}
    row |= {"acquired_at": now, "beats_at": now} | changed
    row["beats_at"] += now if "beats_at" in changed else 0
    with sqlite_place.begin() as connection:
        connection.execute(insert(LeaseRow).values(row))
    assert is_free(open_at(sqlite_place)) is free


def test_a_beat_in_the_last_moment_saves_a_lease(sqlite_place: Engine, open_at: Callable[..., Leases]):
    """The taker saw a stale row, but before it writes the holder beats."""
    first, second = open_at(sqlite_place, 60.0, 0.2), open_at(sqlite_place, 60.0, 0.2)

    def beat(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        if "DO UPDATE" in statement and not beaten:
            beaten.append(True)
            with sqlite_place.begin() as another:
                another.execute(update(LeaseRow).values(beats_at=time.time()))

    beaten: list[bool] = []
    with first.hold("t"):
        time.sleep(0.3)
        event.listen(sqlite_place, "before_cursor_execute", beat)
        assert not is_free(second)
        assert beaten == [True]
        first.check("t")
    with sqlite_place.begin() as connection:
        assert connection.execute(select(LeaseRow)).all() == []


def test_the_name_that_postgresql_shows_ends_in_the_pid():
    assert application_name("root@host pid 1") == "threadmill root@host pid 1"
    assert application_name("root@" + "h" * 80 + " pid 12345") == "threadmill root@" + "h" * 37 + " pid 12345"
    assert application_name("zoë@host pid 1") == "threadmill zo?@host pid 1"
