"""Improve: whole rounds of a tiny agent, what is not learnt twice, what is skipped, killed, planned, refused."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import warm
from improve_world import make_even
from threadmill.checkpoints.labels import Label, add_label
from threadmill.checkpoints.registry import aliases_of, list_versions, promote, register_version
from threadmill.checkpoints.store import open_store
from threadmill.cli.main import app
from threadmill.training.rollout import play
from threadmill.training.slots import open_slot
from typer.testing import CliRunner

WORLD = Path(__file__).with_name("improve_world.py")
POLICY = """
minimum_tasks = 2
metrics = {}

[[suites]]
name = "%s:%s"
tasks_per_tier = %d
k = 1
"""
RECIPES = """
[sft]
max_steps = 2

[dpo]
max_steps = 1

[grpo]
steps = 1
tasks = 2
tasks_per_step = 2
group_size = 2
max_new_tokens = 8
"""


@pytest.fixture(scope="module")
def threads(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A database in which the first version of ``echo.think`` has played eight tasks three times."""
    folder = tmp_path_factory.mktemp("echo")
    with open_store(f"sqlite:///{folder / 'runs.db'}") as store:
        register_version(store, "echo.think", tiny_folder, lineage={})
        promote(store, "echo.think", "0001", because="the first")
        suite = make_even()
        slot = open_slot(store, "echo.think", max_new_tokens=8)
        play(store, suite, suite.tasks("train", 4, 0), {"echo.think": slot}, trials=3, seed=0)
        slot.close()
    return folder / "runs.db"


@pytest.fixture
def improve(tmp_path: Path, threads: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``threadmill improve echo --json …`` on a copy of the threads: what it printed."""
    monkeypatch.chdir(tmp_path)
    with closing(sqlite3.connect(threads)) as there, closing(sqlite3.connect("runs.db")) as here:
        there.backup(here)
    for name, tasks in (("even", 4), ("better", 10), ("crashing", 10)):
        Path(f"{name}.toml").write_text(POLICY % (WORLD, f"make_{name}", tasks))
    Path("recipes.toml").write_text(RECIPES)

    def run(*options: str, exit_code: int = 0) -> Any:
        told = ["improve", "echo", "--out", "out", "--recipes", "recipes.toml", "--json", *options]
        done = CliRunner().invoke(app, told)
        assert done.exit_code == exit_code, (done.output, done.exception)
        return json.loads(done.stdout) if exit_code == 0 else f"{done.output}{done.exception}"

    return run


@contextmanager
def opened() -> Iterator[Any]:
    with open_store("sqlite:///runs.db") as store:
        yield store


def test_no_better_candidate_is_held_and_the_same_threads_are_not_learnt_twice(improve: Callable[..., Any]) -> None:
    first = improve("--policy", "even.toml")
    assert (first["decision"], first["candidate"], first["promoted"]) == ("hold", "echo.think@0002", False)
    assert "+0.0 points" in first["reasons"][0]
    assert first["stages"]["label"]["told"]["judged_before"] == {"echo.check": 24}
    assert [one["method"] for one in first["stages"]["train"]["told"]["lessons"]] == ["sft", "dpo", "grpo"]
    played = [*first["stages"]["baseline"]["told"]["suites"].values()]
    played += first["stages"]["evaluate"]["told"]["suites"].values()
    assert first["stages"]["gate"]["told"]["verdict"]["evaluations"] == [one["id"] for one in played]  # read back
    with opened() as store:
        candidate = list_versions(store, "echo.think")[1]
        assert candidate.base == "echo.think@0001"
        assert [run["recipe"] for run in candidate.lineage["runs"]] == ["sft", "dpo", "grpo"]
        assert aliases_of(store, "echo.think") == {"live": "echo.think@0001", "candidate": "echo.think@0002"}

    again = improve("--policy", "even.toml", "--out", "elsewhere", "--seed", "1")
    assert again["decision"] == "nothing to do"
    assert again["reasons"] == [
        "Nothing new: echo.think@0002 was trained from echo.think@0001 on these very rows already, in the same way."
    ]
    evaluated = {"played in an evaluation": 16, "played by a training run for itself": 4}
    assert again["stages"]["label"]["told"]["left_out"] == evaluated
    with opened() as store:
        assert len(list_versions(store, "echo.think")) == 2


def test_a_candidate_that_only_crashes_is_held_and_does_not_stop_all_later_rounds(improve: Callable[..., Any]) -> None:
    only = ("--policy", "crashing.toml", "--method", "sft")
    first = improve(*only)
    assert (first["decision"], first["promoted"], first["finished"]) == ("hold", False, True)
    assert first["reasons"][0].startswith("echo.think@0002 cannot be judged: 20 episodes in a row crashed")
    assert "ValueError: it only stammers" in Path("out/report.md").read_text()
    assert improve(*only)["decision"] == "nothing to do"


def test_a_better_candidate_goes_live_and_its_own_data_teach_nothing_more(improve: Callable[..., Any]) -> None:
    only = ("--policy", "better.toml", "--method", "sft")
    Path("stops").touch()
    assert "kept in out: label, export, baseline, train; the same command goes on" in improve(*only, exit_code=130)
    trained = json.loads(Path("out/improve.json").read_text())["stages"]["train"]

    held = improve(*only, "--skip", "promote")
    assert held["stages"]["train"] == trained
    assert (held["decision"], held["promoted"]) == ("promote", False)
    assert "threadmill models promote echo.think@0002" in held["reasons"][-1]

    looked = improve(*only, "--skip", "label,export,train")  # the same candidate, and this time it may
    assert (looked["decision"], looked["candidate"], looked["promoted"]) == ("promote", "echo.think@0002", True)
    report = Path("out/report.md").read_text()
    assert report.startswith("# echo: echo.think@0002 is live")
    assert 'threadmill models rollback echo.think --because "…" --db sqlite:///runs.db' in report

    again = improve(*only)
    assert again["reasons"] == ["Nothing new: echo.think@0002 has learnt from these very rows already."]
    with opened() as store:
        assert aliases_of(store, "echo.think")["live"] == "echo.think@0002"


def test_held_out_tasks_are_not_trained_on(improve: Callable[..., Any]) -> None:
    with opened() as store:
        suite, slot = make_even(), open_slot(store, "echo.think", max_new_tokens=8)
        (task,) = suite.tasks("heldout", 1, 1100)[:1]  # the gate's first
        (trial,) = play(store, suite, [task], {"echo.think": slot}, trials=1, seed=0, prefix="mine-")
        slot.close()
        add_label(store, Label(trial.finished.thread, None, None, "success", 1.0, "somebody"))
    done = improve("--policy", "even.toml", "--skip", "baseline,train,evaluate")
    data = done["stages"]["export"]["told"]["data"]
    assert data["sft"]["left_out"]["decontaminated: heldout"] == 1


def test_without_a_suite_it_trains_and_says_that_there_is_nothing_to_evaluate_on(improve: Callable[..., Any]) -> None:
    done = improve("--method", "sft,grpo")
    assert (done["decision"], done["candidate"]) == ("hold", "echo.think@0002")
    assert done["reasons"][0].startswith("Nothing to evaluate on: no suite is known for this agent")
    assert done["stages"]["train"]["told"]["refused"] == {"grpo": "there is no suite whose tasks could be played"}
    assert done["stages"]["gate"]["left_out"] == "there is no suite"


def test_a_killed_round_goes_on_with_what_it_had(improve: Callable[..., Any]) -> None:
    Path("dies").touch()
    wishes = ["--method", "sft", "--policy", "even.toml", "--recipes", "recipes.toml"]
    killed = warm.run("from threadmill.cli.main import main; main()", "improve", "echo", "--out", "out", *wishes)
    assert killed.returncode == -9
    left = json.loads(Path("out/improve.json").read_text())
    assert ([*left["stages"]], left["decision"], left["finished"]) == (["label"], None, False)

    done = improve("--policy", "even.toml", "--method", "sft", "--skip", "evaluate")
    assert (done["number"], done["stages"]["label"]) == (1, left["stages"]["label"])
    assert (done["candidate"], done["finished"]) == ("echo.think@0002", True)


def test_a_dry_run_counts_and_changes_nothing(improve: Callable[..., Any]) -> None:
    def contents() -> list[str]:
        with closing(sqlite3.connect("runs.db")) as database:
            return [*database.iterdump()]

    before = contents()
    plan = {one["stage"]: one["would"] for one in improve("--policy", "even.toml", "--dry-run")["plan"]}
    assert plan["label"] == "judge 0 of 0 threads that nobody has judged; judged already: 24 by echo.check"
    assert plan["export"].startswith("24 threads give ")
    assert plan["baseline"] == "play 8 episodes with echo.think@0001"
    assert contents() == before
    assert not Path("out").exists()


def test_threads_without_any_good_outcome_are_nothing_to_learn_from(improve: Callable[..., Any]) -> None:
    with opened() as store, store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM labels")
    done = improve("--policy", "even.toml", "--skip", "label")
    assert (done["decision"], done["candidate"]) == ("nothing to do", None)
    assert done["reasons"] == ["Nothing new: no thread gave a row or a pair to learn from."]


def test_threads_that_nobody_has_judged_are_judged_by_their_suite(improve: Callable[..., Any]) -> None:
    with opened() as store, store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM labels WHERE thread LIKE '%easy%'")
    done = improve("--policy", "even.toml", "--skip", "export,baseline,train,evaluate")
    told = done["stages"]["label"]["told"]
    assert (told["judged_before"], told["labelled"]) == ({"echo.check": 12}, {"echo.check": 12})


def test_threads_that_their_suite_fails_to_judge_stay_as_they_are(improve: Callable[..., Any]) -> None:
    with opened() as store, store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM labels WHERE thread LIKE '%easy%'")
    done = improve("--policy", "crashing.toml", "--skip", "export,baseline,train,evaluate")
    told = done["stages"]["label"]["told"]
    assert told["labelled"] == {}
    assert told["unlabelled"] == {"the suite echo failed to judge it: ValueError: it cannot count": 12}


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (("--budget", "soon"), "'soon' is no time to spend", 2),
        (("--skip", "bake"), "there is no stage 'bake'", 2),
        (("--slot", "echo.plan"), "no slot 'echo.plan'; it has echo.think", 1),
        (("--suite", "helpdesk"), "plays the agent of helpdesk.think, not 'echo'", 1),
    ],
)
def test_what_cannot_be_done_is_said(
    improve: Callable[..., Any], options: tuple[str, ...], says: str, code: int
) -> None:
    assert says in improve(*options, exit_code=code)


def test_a_budget_that_evaluations_eat_up_trains_nothing(improve: Callable[..., Any]) -> None:
    done = improve("--budget", "1s", "--policy", "even.toml")
    assert (done["decision"], done["candidate"]) == ("hold", None)
    assert done["reasons"][0].startswith("A budget of 1 s leaves no time to train: ")
