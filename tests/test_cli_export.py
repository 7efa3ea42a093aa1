"""What ``threadmill export`` understands: its options, its one JSON document, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from letter_world import letter_tokenizer, spoken, write_thread
from threadmill.checkpoints.store import open_store
from threadmill.cli.export import app
from threadmill.training.dataset import read_manifest
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer, and threads of two tasks: one went well and one did not, each."""
    folder = tmp_path_factory.mktemp("world")
    letter_tokenizer().save_pretrained(folder / "model")
    with open_store(f"sqlite:///{folder / 'runs.db'}") as store:
        for at, (task, answer, went_well) in enumerate(
            [("a", "yes", True), ("a", "no", False), ("b", "sure thing", True), ("b", "never", False)]
        ):
            write_thread(
                store, f"t{at}", [HumanMessage(task), spoken(f"m{at}", task, answer)], task=task, success=went_well
            )
    return folder


def export(world: Path, kind: str, *options: str) -> Any:
    db = f"sqlite:///{world / 'runs.db'}"
    tokens = ["--tokenizer", str(world / "model")]
    return CliRunner().invoke(app, [kind, "--out", str(world / "out"), "--db", db, *tokens, *options])


@pytest.mark.parametrize(
    ("kind", "options", "rows", "splits"),
    [
        ("sft", [], 2, {"train": 2}),
        ("sft", ["--all"], 4, {"train": 4}),
        ("sft", ["--all", "--where", "task=a", "--where", "reward<=0.5"], 1, {"train": 1}),
        ("sft", ["--min-reward", "0"], 4, {"train": 4}),
        ("sft", ["--all", "--best-of", "1"], 2, {"train": 2}),
        ("sft", ["--max-length", "5"], 1, {"train": 1}),
        ("sft", ["--test", "0.5"], 2, {"train": 1, "test": 1}),
        ("sft", ["--all", "--mix", "success=0.5,failure=0.5", "--dedup", "near=0.9"], 4, {"train": 4}),
        ("sft", ["--redact", "--also", "YES=yes", "--kinds", "EMAIL_ADDRESS"], 1, {"train": 1}),
        ("pairs", ["--continuation", "turn"], 2, {"train": 2}),
        ("pairs", ["--max-pairs-per-task", "0"], 0, {"train": 0}),
        ("kto", [], 4, {"train": 4}),
        ("groups", ["--format", "parquet"], 4, {"train": 4}),
        ("openai", ["--thinking", "drop"], 2, {"train": 2}),
        ("anthropic", [], 2, {"train": 2}),
        ("sharegpt", [], 2, {"train": 2}),
    ],
)
def test_options_become_rows(world: Path, kind: str, options: list[str], rows: int, splits: dict[str, int]):
    done = export(world, kind, *options, "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert (printed["rows"], printed["splits"]) == (rows, splits)
    manifest = read_manifest(world / "out")
    assert (manifest["kind"], manifest["digest"]) == (kind, printed["digest"])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--format", "csv"], "'csv' is none of jsonl, parquet, datasets"),
        (["--dedup", "fuzzy"], "'fuzzy' is neither exact nor near=0.8"),
        (["--mix", "success=half"], "'half' is no number"),
        (["--allow", "x"], "go with --redact"),
        (["--redact", "--also", "x"], "'x' is not NAME=REGEX"),
        (["--tools", "nowhere.json"], "nowhere.json cannot be read"),
        (["--best-of", "0"], "greater than or equal to 1"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_right(world: Path, options: list[str], complaint: str):
    done = export(world, "sft", *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert complaint in " ".join(done.stderr.replace("│", " ").split())


def test_conditions_that_nothing_meets_are_named(world: Path):
    done = export(world, "sft", "--where", "agent=nobody", "--json")
    assert (done.exit_code, json.loads(done.stdout)["rows"]) == (0, 0)
    assert "no thread fits agent=nobody" in done.stderr
