"""``threadmill train``: flags and TOML, one JSON document, registered versions, clear refusals, several processes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from threadmill.checkpoints.registry import lineage, promote, register_version, resolve
from threadmill.checkpoints.store import open_store
from threadmill.cli import main as command
from threadmill.cli.progress import progress_bar
from threadmill.cli.train_launch import launcher
from threadmill.errors import BadConfig
from threadmill.training.recipes import sft

ROW = {
    "input_ids": [300, 301, 310, 311],
    "labels": [-100, -100, 310, 311],
    "logprobs": [None, None, -1.0, -1.0],
}
PAIR = {
    "prompt_ids": [300, 301],
    "chosen_ids": [310, 320, 311],
    "chosen_mask": [1, 0, 1],
    "rejected_ids": [340],
    "rejected_mask": [1],
}


@pytest.fixture
def threadmill(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """A function that runs the command in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["threadmill", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            command.main()
        printed = capsys.readouterr()
        return int(stop.value.code or 0), printed.out, printed.err

    return run


def test_sft_prints_one_document_and_registers_what_it_wrote(
    tmp_path: Path, tiny_folder: Path, write_folder: Any, threadmill: Any
) -> None:
    db = f"sqlite:///{tmp_path / 'runs.db'}"
    with open_store(db) as store:
        first = register_version(store, "shop.think", tiny_folder, lineage={})
        promote(store, "shop.think", first.name, because="the first")
    data, out = write_folder("sft", [ROW] * 4), tmp_path / "out"
    options = ["--max-steps", 2, "--batch-size", 2, "--seed", 7, "--register", "shop.think", "--db", db, "--json"]
    code, printed, errors = threadmill(
        "train", "sft", "--data", data, "--base", "shop.think@live", "--out", out, *options
    )
    assert code == 0, errors
    record = json.loads(printed)
    assert sorted(record) == [
        *("loss_first", "loss_last", "out", "signs", "steps", "stopped", "tokens_per_second", "version")
    ]
    assert (record["version"], record["steps"], record["out"]) == ("shop.think@0002", 2, str(out))
    with open_store(db) as store:
        made = resolve(store, "shop.think@0002")
        assert (made.folder, made.base) == (str(out), "shop.think@0001")
        (run,) = made.lineage["runs"]
        assert (run["recipe"], run["steps"], run["seed"]) == ("sft", 2, 7)
        assert run["data"]["digest"] == json.loads((data / "manifest.json").read_text())["digest"]
        assert sorted(made.lineage["libraries"]) == ["peft", "torch", "transformers", "trl"]


def test_a_version_trained_from_live_is_not_its_own_base_once_it_is_live(
    tmp_path: Path, tiny_folder: Path, write_folder: Any, threadmill: Any
) -> None:
    db = f"sqlite:///{tmp_path / 'runs.db'}"
    with open_store(db) as store:
        promote(
            store, "shop.think", register_version(store, "shop.think", tiny_folder, lineage={}).name, because="first"
        )
    options = ["--max-steps", 1, "--batch-size", 2, "--lora-rank", 4, "--register", "shop.think", "--db", db]
    code, printed, errors = threadmill(
        *("train", "dpo", "--data", write_folder("pairs", [PAIR] * 2), "--base", "shop.think@live"),
        *("--out", tmp_path / "out", *options),
    )
    assert code == 0, errors
    assert "dpo: 1 steps, loss 0.6931 → 0.6931" in printed
    assert printed.splitlines()[-1] == "registered as shop.think@0002"
    with open_store(db) as store:
        promote(store, "shop.think", "shop.think@0002", because="better")
        line = [version.name for version in lineage(store, "shop.think@live")]
    assert line == ["shop.think@0002", "shop.think@0001"]


def test_the_base_is_the_version_that_was_opened_though_live_moves_while_training_runs(
    tmp_path: Path, tiny_folder: Path, write_folder: Any, threadmill: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = f"sqlite:///{tmp_path / 'runs.db'}"
    with open_store(db) as store:
        for _ in range(2):
            register_version(store, "shop.think", tiny_folder, lineage={})
        promote(store, "shop.think", "shop.think@0001", because="first")
    train_sft = sft.train_sft

    def train_while_live_moves(*arguments: Any, **options: Any) -> Any:
        with open_store(db) as store:
            promote(store, "shop.think", "shop.think@0002", because="meanwhile")
        return train_sft(*arguments, **options)

    monkeypatch.setattr(sft, "train_sft", train_while_live_moves)
    options = ["--max-steps", 1, "--batch-size", 1, "--register", "shop.think", "--db", db]
    code, _, errors = threadmill(
        *("train", "sft", "--data", write_folder("sft", [ROW]), "--base", "shop.think@live"),
        *("--out", tmp_path / "out", *options),
    )
    assert code == 0, errors
    with open_store(db) as store:
        assert resolve(store, "shop.think@0003").base == "shop.think@0001"


@pytest.mark.parametrize(
    ("method", "change", "complaint"),
    [
        ("sft", {"--data": "nowhere"}, "nowhere holds no manifest.json"),
        ("dpo", {}, "holds sft, not pairs"),
        ("sft", {"--base": "./nothing"}, "the model folder './nothing' does not exist"),
        ("sft", {"--base": "http://host/v1#name@x"}, "is an endpoint"),
        ("sft", {"--base": "shop.think@live"}, "does not exist"),
        ("sft", {"--out": "sft"}, "sft exists already; versions are never overwritten"),
        ("sft", {"--epochs": "0"}, "training took no step"),
    ],
)
def test_refusals_are_one_line_and_leave_nothing(
    tmp_path: Path,
    tiny_folder: Path,
    write_folder: Any,
    threadmill: Any,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    change: dict[str, str],
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder("sft", [ROW])
    options = {"--data": "sft", "--base": str(tiny_folder), "--out": "out", "--db": "sqlite:///none.db", **change}
    code, printed, errors = threadmill("train", method, *(part for pair in options.items() for part in pair), "--json")
    assert (code, printed) == (1, "")
    last = errors.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert complaint in last
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize(
    "wrong", [("--batch-size", 0), ("--lora-rank", -1), ("--learning-rate", 0), ("--max-steps", "many")]
)
def test_wrong_usage_exits_with_2(tmp_path: Path, threadmill: Any, wrong: tuple[str, object]) -> None:
    code, printed, _ = threadmill("train", "sft", "--data", tmp_path, "--out", tmp_path / "out", *wrong)
    assert (code, printed) == (2, "")


def test_a_printed_config_trains_what_the_flags_would_have(
    tmp_path: Path, tiny_folder: Path, write_folder: Any, threadmill: Any
) -> None:
    options = ["--data", write_folder("sft", [ROW] * 2), "--base", tiny_folder, "--max-steps", 1, "--batch-size", 2]
    code, printed, _ = threadmill("train", "sft", *options, "--out", tmp_path / "out", "--print-config")
    assert code == 0
    (tmp_path / "sft.toml").write_text(printed)
    code, again, _ = threadmill("train", "sft", "--config", tmp_path / "sft.toml", "--print-config")
    assert (code, again) == (0, printed)
    code, told, errors = threadmill("train", "sft", "--config", tmp_path / "sft.toml", "--seed", 3, "--json")
    assert code == 0, errors
    config = json.loads((tmp_path / "out" / "training.json").read_text())["config"]
    assert (json.loads(told)["steps"], config["batch_size"], config["seed"]) == (1, 2, 3)


def test_a_config_that_must_be_completed_can_be_printed(threadmill: Any) -> None:
    code, printed, _ = threadmill("train", "dpo", "--print-config", "--beta", "0.2", "--track", "trackio,tensorboard")
    assert code == 0
    lines = printed.splitlines()
    assert "# data = must be given" in lines
    assert 'base = "seed"' in lines
    assert "beta = 0.2" in lines
    assert lines[lines.index("track = [") + 1].strip() == '"trackio",'


def test_a_wrong_name_in_a_file_is_wrong_usage(tmp_path: Path, threadmill: Any) -> None:
    (tmp_path / "sft.toml").write_text("learning_rat = 1")
    code, printed, errors = threadmill("train", "sft", "--config", tmp_path / "sft.toml")
    assert (code, printed) == (2, "")
    assert errors.endswith("sft.toml sets 'learning_rat', which is no setting; did you mean learning_rate?\n")


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (["step 7 is kept in out"], "step 7 is kept in out\n"),
        ([], "stopped; what was finished is kept, start the same command again to go on\n"),
    ],
)
def test_ctrl_c_is_told_once(monkeypatch: Any, threadmill: Any, told: list[str], says: str) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt(*told)

    monkeypatch.setattr(sft, "train_sft", stopped)
    code, printed, errors = threadmill("train", "sft", "--data", "data", "--out", "out")
    assert (code, printed, errors.endswith(says), errors.count("kept")) == (130, "", True, 1)


def test_help_imports_nothing_heavy() -> None:
    script = """
import sys
from threadmill.cli.main import main
from threadmill.training.recipes.methods import METHODS

for method in METHODS:
    sys.argv = ["threadmill", "train", method, "--help"]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code
heavy = {"torch", "transformers", "trl", "datasets", "matplotlib", "langgraph"}
print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert "--lora-rank" in done.stdout


def test_launching_runs_the_same_command_in_several_processes() -> None:
    command = launcher("ddp", 2, ["train", "sft", "--seed", "1"])
    again = ["-m", "threadmill.cli.main", "train", "sft", "--seed", "1"]
    assert command == [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *again]


@pytest.mark.parametrize(
    ("name", "count", "complaint"),
    [
        ("fsdp", 2, "'fsdp' is no file and none of the configs ddp, fsdp2, zero2, zero3"),
        ("fsdp2", 2, "--launch fsdp2 spreads weights over GPUs, but there is none here; take --launch ddp"),
        ("ddp", None, "takes one process for each GPU, but there is none; say how many"),
    ],
)
def test_a_launch_that_cannot_be_is_refused(name: str, count: int | None, complaint: str) -> None:
    with pytest.raises(BadConfig) as refused:
        launcher(name, count, [])
    assert complaint in str(refused.value)


@pytest.mark.parametrize("name", ["ddp", "fsdp2", "zero2", "zero3"])
def test_named_configs_are_read_by_accelerate(name: str, threadmill: Any) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    code, printed, _ = threadmill("train", "accelerate-config", name)
    assert code == 0
    assert load_config_from_file(printed.strip()).num_processes == 2


def test_a_terminal_of_80_columns_shows_the_times_and_the_loss(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with progress_bar("train offline-grpo") as advance:
        advance(199, 200, 0.5, reward=0.25, kl=0.0125, tokens_per_second=1234.5)
        advance(200, 200, 0.5, reward=0.25, kl=0.0125, tokens_per_second=1234.5)
    shown = capsys.readouterr().err.strip()
    assert shown == "train offline-grpo 200/200 0:00:00 0:00:00 loss 0.5000 reward 0.250 kl 0.0125"
