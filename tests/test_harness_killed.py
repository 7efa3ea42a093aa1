"""Real processes: a killed run goes on exactly, two learn what one learns, no memory gives advice."""

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors.torch import load_file
from threadmill.training.dataset import write_dataset


class Runs(NamedTuple):
    """What ``train_forked.py`` did."""

    folder: Path
    codes: dict[str, int]

    def losses(self, name: str) -> dict[int, float]:
        return {step: loss for step, loss in self.report(name)["losses"]}

    def report(self, name: str) -> dict[str, Any]:
        return json.loads((self.folder / name / "training.json").read_text())

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.err").read_text()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Runs:
    folder = tmp_path_factory.mktemp("runs")
    rows = [
        {"input_ids": [300 + i, 301, 310 + i, 311], "labels": [-100, -100, 310 + i, 311], "logprobs": [None] * 4}
        for i in range(8)
    ]
    long = [{"input_ids": [300] * 250, "labels": [300] * 250, "logprobs": [None] * 250}]
    for name, held in (("sft", rows), ("long", long * 200)):
        write_dataset(folder / name, held, {"kind": "sft", "rows": len(held)})
    quiet = {
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
        "HF_HUB_OFFLINE": "1",
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
    }
    script = Path(__file__).with_name("train_forked.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tiny_folder)], cwd=folder, env=quiet, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return Runs(folder, json.loads(done.stdout.splitlines()[-1]))


def test_a_killed_run_ends_like_one_that_was_left_alone(runs: Runs) -> None:
    named = {name: runs.codes[name] for name in ("whole", "killed", "ended")}
    assert named == {"whole": 0, "killed": -9, "ended": 0}, runs.said("ended")
    assert (runs.report("w")["resumed_at"], runs.report("k")["resumed_at"] >= 4) == (None, True)
    assert list(runs.losses("k")) == list(range(1, 21))
    assert runs.losses("k") == pytest.approx(runs.losses("w"), abs=1e-6)
    whole, killed = (load_file(runs.folder / name / "model.safetensors") for name in ("w", "k"))
    assert all(float((whole[name] - killed[name]).abs().max()) < 1e-6 for name in whole)
    assert not (runs.folder / ".k.trainer").exists()


def test_two_processes_learn_what_one_learns_and_one_of_them_speaks(runs: Runs) -> None:
    assert [runs.codes[name] for name in ("rank0", "rank1")] == [0, 0], runs.said("rank0")
    assert runs.losses("t") == pytest.approx(runs.losses("w"), abs=1e-4)
    one, both = (load_file(runs.folder / name / "model.safetensors") for name in ("w", "t"))
    assert all(float((one[name] - both[name]).abs().max()) < 1e-3 for name in one)
    assert json.loads((runs.folder / "rank0.out").read_text())["steps"] == 20
    assert (runs.folder / "rank1.out").read_text() == ""


def test_out_of_memory_says_what_to_lower(runs: Runs) -> None:
    assert runs.codes["memory"] == 1
    assert "error: out of memory at step 1; what needs less: a lower --tokens-at-once" in runs.said("memory")
    assert "(now 1,000,000: 200 rows of up to 250 tokens a pass)" in runs.said("memory")


def test_trackers_hold_the_losses(runs: Runs) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tracking = runs.folder / "tracking"
    events = EventAccumulator(str(tracking / "tensorboard" / "t"))
    events.Reload()
    written = {point.step: point.value for point in events.Scalars("train/loss")}
    assert written == pytest.approx(runs.losses("t"), abs=1e-4)
    with sqlite3.connect(tracking / "trackio" / "threadmill.db") as database:
        rows = database.execute("SELECT step, metrics FROM metrics ORDER BY step").fetchall()
    database.close()
    logged = {step: json.loads(metrics)["train/loss"] for step, metrics in rows if b"train/loss" in metrics}
    assert logged == pytest.approx(runs.losses("t"), abs=1e-4)
