"""The harness in one process: what ends a run early and what it leaves, precision and memory, packing, adapters."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from threadmill.errors import BadConfig, MissingLibrary, TrainingFailed
from threadmill.training.recipes.report import TrainingReport, read_report
from threadmill.training.recipes.settings import Lora, Run
from threadmill.training.recipes.sft import SftConfig, train_sft

LONG = {"input_ids": [300, 301, 310, 311, 312], "labels": [-100, -100, 310, 311, 312], "logprobs": [None] * 5}
SHORT = {"input_ids": [305, 320, 321], "labels": [-100, 320, 321], "logprobs": [None] * 3}


@pytest.fixture
def train(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> Any:
    """A function that trains on four rows for two steps, unless told otherwise."""
    rows = [{**row, "thread": f"x{number}"} for number, row in enumerate([LONG, SHORT, LONG, SHORT])]
    data = write_folder("sft", rows)

    def run(name: str, *, progress: Any = None, **settings: Any) -> TrainingReport:
        given = {"base": str(tiny_folder), "batch_size": 4, "max_steps": 2, "learning_rate": 1e-2, **settings}
        return train_sft(SftConfig(data=data, out=tmp_path / name, **given), progress=progress)

    return run


def test_the_batch_that_broke_a_run_is_kept_with_its_threads(train: Any, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed) as broken:
        train("out", learning_rate=1e30, max_steps=5, run=Run(tokens_at_once=10))
    assert str(broken.value) == (
        f"the gradient became nan at step 3; the batch of that step is in {tmp_path}/out.bad-batch.json. "
        "Look at it, or lower the learning rate (now 1e+30)"
    )
    kept = json.loads((tmp_path / "out.bad-batch.json").read_text())
    rows = [row for rows in kept["passes"] for row in rows]
    assert (kept["step"], kept["log"][-1]["grad_norm"], len(kept["passes"])) == (3, "nan", 2)
    assert sorted(len(row["from"]) for row in rows) == [1, 1, 1, 1]
    assert {tuple(row["labels"]) for row in rows} == {(-100, -100, 310, 311, 312), (-100, 320, 321, -100, -100)}
    assert {row["from"][0]["thread"] for row in rows} <= {"x0", "x1", "x2", "x3"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.bad-batch.json", "sft"]


def test_a_run_whose_time_is_over_is_saved_and_says_so(train: Any, tmp_path: Path) -> None:
    report = train("out", max_steps=9, run=Run(max_minutes=1e-6))
    assert (report.steps, report.stopped) == (1, "after 1e-06 minutes (max_minutes), at step 1 of 9")
    assert read_report(tmp_path / "out").stopped == report.stopped
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_ctrl_c_keeps_the_step_and_the_same_command_goes_on(train: Any, tmp_path: Path) -> None:
    def stop_at_3(done: int, *_: Any, **__: Any) -> None:
        if done == 3:
            signal.raise_signal(signal.SIGINT)

    whole = train("whole", max_steps=6)
    with pytest.raises(KeyboardInterrupt) as stopped:
        train("out", max_steps=6, progress=stop_at_3)
    place = f"{tmp_path}/.out.trainer"
    assert str(stopped.value) == (
        f"stopped after step 4, which is kept in {place}; the same command goes on from there"
    )
    with pytest.raises(TrainingFailed) as refused:
        train("out", max_steps=6, learning_rate=1e-3)
    assert str(refused.value) == (
        f"an unfinished run for {tmp_path}/out stopped at step 4, but had other settings: learning_rate was 0.01, "
        f"now 0.001. Start it with the settings it had and it goes on, or give it up: rm -r {place}"
    )
    report = train("out", max_steps=6, run=Run(tokens_at_once=999))
    assert (report.resumed_at, report.steps) == (4, 6)
    assert [loss for _, loss in report.losses] == pytest.approx([loss for _, loss in whole.losses], abs=1e-6)


def test_steps_tell_their_figures_and_the_folder_has_their_curves(train: Any, tmp_path: Path) -> None:
    told: list[dict[str, float]] = []
    report = train("out", progress=lambda done, total, loss, **figures: told.append(figures))
    assert [sorted(figures) for figures in told] == [
        ["accuracy", "entropy", "gradient", "learning_rate", "tokens_per_second"]
    ] * 2
    assert report.curves["accuracy"] == [(1, told[0]["accuracy"]), (2, told[1]["accuracy"])]
    assert read_report(tmp_path / "out").curves == report.curves
    assert (tmp_path / "out" / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_packed_rows_count_as_they_do_apart(train: Any) -> None:
    padded = train("padded")
    packed = train("packed", packing=16, batch_size=1)  # 5 + 3 + 5 + 3 tokens: all rows in one sequence
    assert [loss for _, loss in packed.losses] == pytest.approx([loss for _, loss in padded.losses], abs=1e-5)
    assert packed.tokens == padded.tokens == 2 * 16


def test_saving_activations_changes_nothing_and_bfloat16_little(train: Any, tmp_path: Path) -> None:
    losses = {
        name: [loss for _, loss in train(name, run=run).losses]
        for name, run in {
            "plain": Run(),
            "saving": Run(gradient_checkpointing=True),
            "coarse": Run(precision="bfloat16"),
        }.items()
    }
    assert losses["saving"] == pytest.approx(losses["plain"], abs=1e-6)
    assert losses["coarse"] == pytest.approx(losses["plain"], abs=0.05)
    assert losses["coarse"] != losses["plain"]
    assert {weight.dtype for weight in load_file(tmp_path / "coarse" / "model.safetensors").values()} == {torch.float32}


def test_an_adapter_is_saved_alone_and_trained_further(train: Any, tmp_path: Path) -> None:
    first = train("first", lora=Lora(rank=2), max_steps=6)
    assert sorted(path.name for path in first.out.glob("*.safetensors")) == ["adapter_model.safetensors"]
    second = train("second", base=str(first.out), max_steps=6)
    assert second.loss_first < first.loss_first - 0.001
    before, after = (load_file(one.out / "adapter_model.safetensors") for one in (first, second))
    assert before.keys() == after.keys()
    assert all(not torch.equal(before[name], after[name]) for name in before)


def test_liger_without_a_gpu_is_refused(train: Any) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises((BadConfig, MissingLibrary), match=r"its kernels need a GPU|needs liger-kernel"):
        train("out", run=Run(liger=True))
