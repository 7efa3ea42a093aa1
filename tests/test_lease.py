"""Leases: the second driver of a thread is told who the first is, whoever the two are."""

import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import warm
from lease_drivers import Holder, eventually, heartbeats, is_free, refusal
from sqlalchemy import Engine, event
from threadmill.checkpoints.lease import Leases
from threadmill.checkpoints.process import this_process


def test_a_second_process_is_told_who_drives_the_thread(engine: Engine, open_at: Callable[..., Leases]):
    leases = open_at(engine)
    with Holder(engine) as first:
        assert first.said == "held"
        message = refusal(leases)
        assert message.startswith(f"thread 't' is driven by {this_process().holder} pid {first.pid} since 20")
        assert re.search(r"\+00:00, last beat \d s ago; wait until its run ends, or stop that process", message)
        assert is_free(leases, "another")
        assert first.ask("end") == "ended"
        assert is_free(leases)


def test_a_second_process_is_refused_by_this_one(engine: Engine, open_at: Callable[..., Leases]):
    with open_at(engine).hold("t"), Holder(engine) as second:
        assert second.said.startswith(
            f"busy: thread 't' is driven by {this_process().holder} pid {os.getpid()} since 2"
        )


def test_two_python_threads_of_one_process_exclude_each_other(engine: Engine, open_at: Callable[..., Leases]):
    leases = open_at(engine)
    with leases.hold("t"):
        with ThreadPoolExecutor(1) as pool:
            assert f"driven by {this_process()} since" in pool.submit(refusal, leases).result()
        assert "last beat 0 s ago" in refusal(leases)  # no way around it: the same Python thread neither
        leases.check("t")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(is_free, leases).result()


def test_an_exception_gives_the_lease_back(engine: Engine, open_at: Callable[..., Leases]):
    leases = open_at(engine)
    with pytest.raises(ZeroDivisionError), leases.hold("t"):
        raise ZeroDivisionError
    assert is_free(open_at(engine))


def test_opening_opens_nothing(engine: Engine, open_at: Callable[..., Leases]):
    connected: list[Any] = []
    event.listen(engine, "checkout", lambda *arguments: connected.append(arguments))
    leases = open_at(engine)
    leases.check("t")
    leases.close()
    assert connected == []


def test_a_check_asks_the_database_nothing_while_the_heart_beats(sqlite_engine: Engine, open_at: Callable[..., Leases]):
    leases = open_at(sqlite_engine)
    asked: list[str] = []
    event.listen(sqlite_engine, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    leases.check("t")
    with leases.hold("t"):
        leases.check("t")
        leases.check("another")
        assert [statement.split()[0] for statement in asked] == ["INSERT"]
    leases.check("t")
    assert [statement.split()[0] for statement in asked] == ["INSERT", "DELETE"]


def test_fifty_threads_are_held_with_one_heartbeat(engine: Engine, open_at: Callable[..., Leases]):
    leases, others = open_at(engine, 0.1, 0.6), open_at(engine, 0.1, 0.6)
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


def test_closing_ends_the_heartbeat_and_gives_everything_back(engine: Engine, open_at: Callable[..., Leases]):
    leases, other = open_at(engine), open_at(engine)
    with leases.hold("t"), leases.hold("u"):
        leases.close()
        assert heartbeats() == 0
        with other.hold("t"), other.hold("u"):
            leases.check("t")
    assert is_free(leases)  # and it can be used again


def test_processes_that_crowd_around_a_thread_never_drive_it_together(engine: Engine, tmp_path: Path):
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
    url = engine.url.render_as_string(hide_password=False)
    with ExitStack() as running:
        processes = [running.enter_context(warm.started(crowd, url, count)) for _ in range(4)]
        assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert count.read_text() == "100"


def test_a_forked_child_gives_back_nothing_of_its_parent(engine: Engine, open_at: Callable[..., Leases]):
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
    url = engine.url.render_as_string(hide_password=False)
    with warm.started(forking, url) as parent:
        assert parent.stdout.readline() == "held\n"
        leases = open_at(engine)
        assert f"pid {parent.pid} since" in refusal(leases)
        assert is_free(leases, "u")
        print(file=parent.stdin, flush=True)
        assert parent.wait() == 0
    assert is_free(leases)
