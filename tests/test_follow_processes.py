"""Three processes serve one database and follow its alias: nobody fails, and every run stays on its version.

That a promotion takes effect within two seconds is measured by ``benchmarks/follow.py``.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import warm
from conftest import build_tiny
from threadmill.checkpoints import open_store
from threadmill.checkpoints.pins import pin_thread, unpin_thread
from threadmill.checkpoints.registry import promote, register_version, rollback
from threadmill.cli.main import app
from typer.testing import CliRunner

PROGRAM = Path(__file__).with_name("follow_worker.py")
SLOT = "desk.think"
V1, V2 = f"{SLOT}@0001", f"{SLOT}@0002"
PATIENCE_S = 60.0
COUNT = 3

Run = dict[str, Any]


@pytest.fixture(scope="module")
def nursery() -> Iterator[warm.Warm]:
    """The program, which imports everything once and forks workers."""
    with warm.started(PROGRAM) as program:
        yield program


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tiny_tokenizer: Any) -> tuple[Path, Path]:
    """Two folders with weights that differ."""
    import torch

    folders = tmp_path_factory.mktemp("models")
    model = build_tiny(tiny_tokenizer, context=2048)
    for name in ("one", "two"):
        model.save_pretrained(folders / name)
        tiny_tokenizer.save_pretrained(folders / name)
        with torch.no_grad():
            model.model.embed_tokens.weight.mul_(1.5)
    return folders / "one", folders / "two"


class Crowd:
    """The workers, as the test sees them."""

    def __init__(self, nursery: warm.Warm, url: str, folder: Path) -> None:
        self.folder = folder
        print(json.dumps({"url": url, "folder": str(folder), "count": COUNT}), file=nursery.stdin, flush=True)

    def tell(self, worker: int, do: str, thread: str = "", text: str = "") -> None:
        order = {"do": do, "thread": thread, "text": text} if thread else {"do": do}
        with (self.folder / f"{worker}.todo").open("a") as todo:
            todo.write(json.dumps(order) + "\n")

    def runs(self) -> list[Run]:
        files = [self.folder / f"{worker}.done" for worker in range(COUNT)]
        return [json.loads(line) for file in files if file.exists() for line in file.read_text().splitlines()]

    def ended(self, do: str, thread: str, text: str = "") -> Run | None:
        fitting = [run for run in self.runs() if (run["do"], run["thread"], run["text"]) == (do, thread, text)]
        return fitting[-1] if fitting else None

    def chats(self, worker: int, since: float = 0.0) -> list[Run]:
        """Those that began after ``since``, as they began."""
        chats = [run for run in self.runs() if run["worker"] == worker and run["thread"].startswith("chat")]
        return sorted((run for run in chats if run["begun"] > since), key=lambda run: run["begun"])

    def do(self, worker: int, do: str, thread: str, text: str = "") -> Run:
        """Let a worker do something, and what came of it."""
        before = len(self.runs_of(thread))
        self.tell(worker, do, thread, text)
        wait_for(lambda: len(self.runs_of(thread)) > before)
        return self.runs_of(thread)[-1]

    def runs_of(self, thread: str) -> list[Run]:
        return sorted((run for run in self.runs() if run["thread"] == thread), key=lambda run: run["ended"])


def wait_for(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
    return found


def spoke(run: Run) -> tuple[str, str, str]:
    """How a run ended, the version that it was on, and whose weights spoke in it."""
    assert "error" not in run, run
    (weights,) = run["spoke"]
    return run["status"], run["said"], weights


def answers_with(crowd: Crowd, worker: int, version: str, since: float) -> bool:
    return any(run.get("said") == version for run in crowd.chats(worker, since))


def order_faults(chats: list[Run], before: str, after: str) -> list[tuple[Run, Run]]:
    """Runs that were on the version before although one that ended earlier was on the version after."""
    return [
        (new, old)
        for new in chats
        for old in chats
        if (new["said"], old["said"]) == (after, before) and new["ended"] < old["begun"]
    ]


def test_three_workers_follow_a_promotion_and_a_rollback_and_nobody_fails(
    url: str, tmp_path: Path, models: tuple[Path, Path], nursery: warm.Warm
) -> None:
    with open_store(url) as store:
        assert [register_version(store, SLOT, folder, lineage={}).name for folder in models] == [V1, V2]
        promote(store, SLOT, V1, because="first")
        crowd = Crowd(nursery, url, tmp_path)
        for worker in range(COUNT):  # two runs each that began before the promotion: one at work, one that waits
            crowd.tell(worker, "run", f"slow-{worker}", f"slow-{worker}")
            crowd.tell(worker, "run", f"ask-{worker}", f"ask-{worker}")
        wait_for(lambda: all((tmp_path / f"slow-{worker}.begun").exists() for worker in range(COUNT)))
        wait_for(lambda: all(crowd.ended("run", f"ask-{worker}", f"ask-{worker}") for worker in range(COUNT)))
        wait_for(lambda: all(crowd.chats(worker) for worker in range(COUNT)))
        pids = {run["worker"]: run["pid"] for run in crowd.runs()}
        assert spoke(crowd.do(0, "run", "pinned", "hello")) == ("done", V1, V1)
        pin_thread(store, "pinned", V1, because="a customer wants it")

        promoted_at = time.time()
        promote(store, SLOT, V2, because="better")
        os.kill(pids[2], signal.SIGKILL)  # its run at work is not finished
        wait_for(lambda: all(answers_with(crowd, worker, V2, promoted_at) for worker in (0, 1)))
        assert crowd.ended("run", "slow-0", "slow-0") is None  # still at work
        status = wait_for(lambda: told_by(status_of(url), pids[0], pids[1]))  # a worker says so a moment later

        (tmp_path / "go").touch()
        wait_for(lambda: all(crowd.ended("run", f"slow-{worker}", f"slow-{worker}") for worker in (0, 1)))
        for worker in (0, 1):
            assert spoke(crowd.runs_of(f"slow-{worker}")[-1]) == ("done", V1, V1)
        # the run of the killed worker is continued by another one, and questions are answered by whoever is there
        assert spoke(crowd.do(0, "continue", "slow-2")) == ("done", V1, V1)
        for worker, thread in ((1, "ask-0"), (0, "ask-1"), (1, "ask-2")):
            assert spoke(crowd.do(worker, "answer", thread)) == ("done", V1, V1)
            assert spoke(crowd.do(worker, "run", thread, "hello")) == ("done", V2, V2)
        assert spoke(crowd.do(1, "run", "pinned", "hello")) == ("done", V1, V1)
        unpin_thread(store, "pinned", SLOT)
        assert spoke(crowd.do(0, "run", "pinned", "hello")) == ("done", V2, V2)

        back_at = time.time()
        rollback(store, SLOT, because="complaints")
        wait_for(lambda: all(answers_with(crowd, worker, V1, back_at) for worker in (0, 1)))
        for worker in (0, 1):
            crowd.tell(worker, "stop")
        wait_for(lambda: [worker["stale"] for worker in status_of(url)["slots"][0]["workers"]] == [True])

    assert [run for run in crowd.runs() if "error" in run] == []
    assert [run for run in crowd.runs() if run["spoke"] != [run["said"]]] == []
    for worker in (0, 1):
        chats = crowd.chats(worker)
        assert order_faults([run for run in chats if run["ended"] < back_at], V1, V2) == []
        assert order_faults([run for run in chats if run["begun"] > back_at], V2, V1) == []
    (slot,) = status["slots"]
    assert (slot["slot"], slot["live"], slot["previous"]) == (SLOT, V2, V1)
    seen = {worker["pid"]: (worker["answering"], worker["behind"], worker["stale"]) for worker in slot["workers"]}
    assert seen.keys() == set(pids.values())
    assert [seen[pids[worker]] for worker in (0, 1)] == [(V2, False, False)] * 2
    assert seen[pids[2]][2]
    assert [(pin["thread"], pin["version"]) for pin in slot["pins"]] == [("pinned", V1)]
    assert slot["paused"] == [{"version": V1, "threads": ["ask-0", "ask-1", "ask-2"]}]


def told_by(status: Any, *pids: int) -> Any:
    """``status``, if these workers say in it that they answer with what is live; else None."""
    workers = {worker["pid"]: worker for worker in status["slots"][0]["workers"]}
    return status if all(pid in workers and workers[pid]["answering"] == V2 for pid in pids) else None


def status_of(url: str) -> Any:
    done = CliRunner().invoke(app, ["status", "--db", url, "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)
