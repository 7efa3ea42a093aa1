"""A process follows the alias of its slots: moves are noticed, old versions let go, pins kept, and others see it."""

import io
import os
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psycopg
import pytest
from langchain_core.messages import AIMessage
from sqlalchemy.orm import Session
from threadmill.checkpoints import open_store
from threadmill.checkpoints.assignment import assign_from
from threadmill.checkpoints.pins import pin_thread, unpin_thread
from threadmill.checkpoints.registry import promote, register_version, resolve, rollback
from threadmill.checkpoints.store import Store
from threadmill.checkpoints.tables import WorkerRow
from threadmill.checkpoints.workers import Worker, list_workers
from threadmill.errors import CannotServe, ReadOnly
from threadmill.nodes import ScriptedModel, Slot
from threadmill.training.follow import Follower, follow

V1, V2, V3 = (f"shop.think@000{number}" for number in (1, 2, 3))


@pytest.fixture(autouse=True)
def nobody_looks_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is noticed is noticed because the database told."""
    monkeypatch.setattr("threadmill.training.follow.LOOK_EVERY_S", 1000.0)


def write_versions(store: Store, folder: Path) -> None:
    """Three versions; the first is live."""
    for number in (1, 2, 3):
        place = folder / f"v{number}"
        place.mkdir()
        (place / "model.safetensors").write_bytes(b"x" * number)
        (place / "config.json").write_text("{}")
        register_version(store, "shop.think", place, lineage={})
    promote(store, "shop.think", V1, because="first")


def following_slot(store: Store, loads: list[str] | None = None, broken: Sequence[str] = ()) -> Slot:
    """A slot whose models say which version they are."""

    def load(version: str) -> ScriptedModel:
        if loads is not None:
            loads.append(version)
        if version in broken:
            raise OSError("weights are torn")
        return ScriptedModel(lambda _: AIMessage(version))

    alias = "shop.think@live"
    return Slot(
        "shop.think", lambda: resolve(store, alias).name, load, assign=assign_from(store, "shop.think"), alias=alias
    )


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.01)


def the_worker(store: Store) -> Worker:
    """As it tells of itself; it first does when it has loaded what is live."""
    wait_for(lambda: list_workers(store, "shop.think"))
    (worker,) = list_workers(store, "shop.think")
    return worker


def test_a_move_is_noticed_and_the_version_loaded_though_nobody_asks_for_it(store: Store, tmp_path: Path) -> None:
    write_versions(store, tmp_path)
    loads: list[str] = []
    slot = following_slot(store, loads)
    with follow(store, [slot]):
        wait_for(lambda: slot.loaded == (V1,))
        promote(store, "shop.think", V2, because="better")
        wait_for(lambda: slot.answering == V2)
        wait_for(lambda: the_worker(store).answering == V2)
        worker = the_worker(store)
        assert (worker.pid, worker.live, worker.loaded) == (os.getpid(), V2, (V1, V2))
        assert (worker.alias, worker.trouble, worker.stale) == ("shop.think@live", "", False)
        rollback(store, "shop.think", because="complaints")
        wait_for(lambda: the_worker(store).answering == V1)
        assert loads == [V1, V2]  # what was live before is still at hand
    assert list_workers(store) == []


def test_a_version_that_cannot_be_loaded_is_told_and_the_old_one_answers(store: Store, tmp_path: Path) -> None:
    write_versions(store, tmp_path)
    slot = following_slot(store, broken=[V2])
    with follow(store, [slot]):
        wait_for(lambda: slot.loaded == (V1,))
        promote(store, "shop.think", V2, because="better")
        wait_for(lambda: the_worker(store).trouble)
        worker = the_worker(store)
        assert (worker.answering, worker.live) == (V1, V2)
        assert worker.trouble == f"{V2} could not be loaded: weights are torn"
        promote(store, "shop.think", V3, because="mended")
        wait_for(lambda: (the_worker(store).answering, the_worker(store).trouble) == (V3, ""))


def test_a_move_is_noticed_after_the_server_broke_every_connection(
    postgres_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_store(postgres_url) as store, open_store(postgres_url) as elsewhere:
        write_versions(elsewhere, tmp_path)
        slot = following_slot(store)
        with follow(store, [slot]) as following:
            wait_for(lambda: slot.loaded == (V1,))
            with psycopg.connect(postgres_url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            promote(elsewhere, "shop.think", V2, because="nobody listened")
            wait_for(lambda: slot.answering == V2)
            assert following.trouble == ""
    told = [record.message.partition(",")[0] for record in caplog.records if record.name == "threadmill.follow"]
    assert [one for one in told if not one.startswith("could not say")] == [  # a beat may have been on its way
        f"cannot watch {store.name}"
    ]


def test_what_nobody_asks_for_leaves_the_memory_and_comes_back(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        write_versions(store, tmp_path)
        loads: list[str] = []
        slot = following_slot(store, loads)
        with follow(store, [slot], idle_s=0):
            for version in (V1, V2, V3):
                promote(store, "shop.think", version, because="next")
                wait_for(lambda version=version: slot.answering == version)
            wait_for(lambda: slot.loaded == (V2, V3))
            assert slot.model(V1).invoke("?").text == V1  # a run that began long ago
            assert loads == [V1, V2, V3, V1]
            promote(store, "shop.think", V3, because="so that somebody looks")
            wait_for(lambda: slot.loaded == (V2, V3))


def test_a_pinned_thread_has_its_version_whoever_pins_it_until_it_is_unpinned(url: str, tmp_path: Path) -> None:
    with open_store(url) as store, open_store(url) as elsewhere:
        write_versions(store, tmp_path)
        slot = following_slot(store)
        pin_thread(elsewhere, "x", V1, because="a customer wants it")
        promote(elsewhere, "shop.think", V2, because="better")
        slot.catch_up()
        assert [slot.version_for(thread, V1) for thread in ("x", "y")] == [V1, V2]
        unpin_thread(elsewhere, "x", "shop.think")
        assert slot.version_for("x", V1) == V2


def test_a_pinned_version_that_cannot_be_loaded_is_never_replaced_by_another(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        write_versions(store, tmp_path)
        slot = following_slot(store, broken=[V2])
        slot.catch_up()
        pin_thread(store, "x", V2, because="a customer wants it")
        with pytest.raises(
            CannotServe, match=f"'x' is to be answered by {V2}, which cannot be loaded: weights are torn"
        ):
            slot.version_for("x", V1)


def test_a_worker_that_was_not_heard_of_is_stale_and_later_forgotten(store: Store, tmp_path: Path) -> None:
    write_versions(store, tmp_path)
    slot = following_slot(store)
    hanging = Follower(store, [slot])
    wait_for(lambda: list_workers(store))
    hanging.close()
    with Session(store.engine) as session, session.begin():
        for name, seconds in (("hangs", 30), ("long gone", 4000)):
            row = {"slot": "shop.think", "alias": "shop.think@live", "host": "ada@desk", "machine": "desk", "pid": 1}
            row |= {"started": "", "answering": V1, "live": V1, "loaded": [V1], "trouble": "", "started_at": 0.0}
            session.add(WorkerRow(id=name, **row, seen_at=time.time() - seconds))
    assert [worker.stale for worker in list_workers(store)] == [True, True]
    with follow(store, [slot]):
        wait_for(lambda: [worker.stale for worker in list_workers(store)] == [True, False])
    (left,) = list_workers(store)
    assert (left.host, round(left.seen_s_ago / 10)) == ("ada@desk", 3)


def test_a_forked_child_leaves_the_work_of_its_parent_alone(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        write_versions(store, tmp_path)
        slot = following_slot(store)
        with follow(store, [slot]) as following:
            wait_for(lambda: list_workers(store))
            child = os.fork()
            if child == 0:
                following.close()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            assert the_worker(store).pid == os.getpid()
            promote(store, "shop.think", V2, because="better")
            wait_for(lambda: slot.answering == V2)


def test_slots_that_stay_as_they_are_need_nobody_to_follow(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    with open_store(url) as store, follow(store, [Slot.fixed("shop.think", ScriptedModel([]), V1)]):
        assert list_workers(store) == []
    with open_store(url, read_only=True) as store, pytest.raises(ReadOnly, match="to serve from it"), follow(store, []):
        pass


def test_the_program_in_the_document_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parent.parent / "docs/serving.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.setenv("THREADMILL_DB", f"sqlite:///{tmp_path / 'runs.db'}")
    monkeypatch.setattr("sys.stdin", io.StringIO("ada When are you open?\nbob And on Sunday?\n"))
    exec(compile(program, "serving.md", "exec"), {})
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [["ada", "seed"], ["bob", "seed"]]
