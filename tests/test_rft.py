"""RFT trains on different successes of the policy's own, at most so many a task."""

from pathlib import Path
from typing import Any

import pytest
from threadmill.errors import BadDataset
from threadmill.training.recipes.rft import RftConfig, choose, train_rft


def row(
    thread: str, task: str | None, answer: list[int], reward: float | None = 1.0, own: bool = True
) -> dict[str, Any]:
    """One prompt token, then the answer."""
    return {
        "input_ids": [300, *answer],
        "labels": [-100, *answer],
        "logprobs": [None, *([-1.0 if own else None] * len(answer))],
        "thread": thread,
        "checkpoint": "c",
        "task": task,
        "reward": reward,
    }


def test_the_shortest_different_successes_of_each_task_are_kept() -> None:
    rows = [
        row("long", "a", [310, 311, 312]),
        row("short", "a", [310]),
        row("again", "a", [310]),
        row("longest", "a", [310, 311, 312, 313]),
        row("failed", "a", [314], reward=0.5),
        row("edited", "a", [315], own=False),
        row("other task", "b", [310]),
        row("no reward", "c", [310], reward=None),
    ]
    kept, left_out = choose(rows, per_task=2)
    assert [one["thread"] for one in kept] == ["long", "again", "other task", "no reward"]
    assert left_out == {"same_as_another": 1, "beyond_per_task": 1, "not_successful": 1, "not_its_own": 1}


def test_rows_of_a_branch_stay_together_and_rows_without_a_task_are_told_apart_by_their_prompts() -> None:
    first, second = row("x", None, [310, 311]), row("x", None, [320])
    elsewhere = {**row("y", None, [330]), "input_ids": [301, 330]}
    kept, left_out = choose([first, second, row("z", None, [312] * 4), elsewhere], per_task=1)
    assert kept == [first, second, elsewhere]
    assert left_out == {"beyond_per_task": 1}


def test_what_was_chosen_is_trained_and_counted(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    rows = [row("x", "a", [310, 311]), row("y", "a", [310, 311]), row("z", "b", [320], reward=0.0)]
    config = RftConfig(write_folder("sft", rows), str(tiny_folder), tmp_path / "out", max_steps=2, batch_size=1)
    report = train_rft(config)
    data = {name: value for name, value in report.config["data"].items() if name != "digest"}
    counts = {"tasks": 1, "rows": 1, "tokens": 3, "too_long": 0, "nothing_trained": 0}
    assert data == {**counts, "same_as_another": 1, "not_successful": 1}
    assert report.method == "rft"


def test_no_success_says_what_to_do(tmp_path: Path, tiny_folder: Path, write_folder: Any) -> None:
    data = write_folder("sft", [row("x", "a", [310], own=False)])
    with pytest.raises(BadDataset, match=r"a success of the policy's own \(not_its_own: 1\); run tasks more often"):
        train_rft(RftConfig(data, str(tiny_folder), tmp_path / "out"))
