"""Evaluations are recorded, read back, and go on: after a crash of the agent, of the process, and with more tasks."""

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import evaluation_suite
import pytest
import warm
from evaluation_suite import Sums, adds, adds_one_digit
from threadmill.checkpoints.evaluations import list_evaluations, read_evaluation, trials_of
from threadmill.checkpoints.reading import checkpoint_tree
from threadmill.checkpoints.registry import promote, register_version
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import BadEvaluation, BadModelFolder, ThreadBusy, UnknownEvaluation, UnknownSlot
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.training.evaluation.identity import fixed_versions, suite_digest
from threadmill.training.evaluation.run import Evaluation, evaluate
from threadmill.training.worlds.reasoning.suite import ReasoningSuite

SLOT = "sums.think"


def registered(store: Store, folder: Path, *slots: str) -> None:
    for slot in slots or (SLOT,):
        version = register_version(store, slot, folder, lineage={})
        promote(store, slot, version.name, because="a test")


def run(store: Store, suite: Sums, spec: str | None = None, **options: Any) -> Evaluation:
    options = {"tasks_per_tier": 2, "k": 1, "seed": 0, "workers": 1, **options}
    return evaluate(store, suite, {} if spec is None else {SLOT: spec}, **options)


def sums(tmp_path: Path, says: Callable[[str, str], str] = adds) -> Sums:
    (tmp_path / "spoken").write_text("")
    return Sums(tmp_path / "spoken", says)


def spoken(suite: Sums) -> list[str]:
    return suite.spoken.read_text().splitlines()


def test_an_evaluation_is_recorded_and_read_back(store: Store, tmp_path: Path, tiny_folder: Path) -> None:
    registered(store, tiny_folder)
    suite = sums(tmp_path, adds_one_digit)
    told: list[tuple[int, int]] = []
    done = run(store, suite, k=2, progress=lambda *at: told.append(at))
    assert done.summary.by_tier["easy"]["success"] == 1.0
    assert done.summary.by_tier["hard"]["success"] == 0.0
    assert done.versions == {SLOT: "sums.think@0001"}
    assert told == [(at, 8) for at in range(1, 9)]
    recorded = read_evaluation(store, done.id)
    assert (recorded.suite, recorded.status, recorded.k) == ("sums", "done", 2)
    assert recorded.summary is not None
    assert recorded.summary["pass_at_1"] == 0.5
    trials = trials_of(store, done.id)
    assert [(trial.task, trial.trial, trial.success) for trial in trials[:2]] == [
        ("heldout-easy-0", 0, True),
        ("heldout-easy-0", 1, True),
    ]
    assert [episode.thread for episode in done.episodes] == [trial.thread for trial in trials]

    again = run(store, suite, "sums.think@live", k=2)
    assert again == done
    assert len(spoken(suite)) == 8
    assert [one.id for one in list_evaluations(store, suite="sums", version="sums.think@0001")] == [done.id]
    assert list_evaluations(store, version="sums.think@0002") == []


def test_another_version_seed_or_agent_is_another_evaluation(tmp_path: Path, tiny_folder: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        registered(store, tiny_folder)
        suite = sums(tmp_path)
        first = run(store, suite)
        registered(store, tiny_folder)
        others = [run(store, suite), run(store, suite, seed=1), run(store, suite, temperature=0.5)]
        assert others[0].versions == {SLOT: "sums.think@0002"}
        ids = {first.id, *(other.id for other in others)}
        threads = {episode.thread for done in (first, *others) for episode in done.episodes}
        assert (len(ids), len(threads), len(spoken(suite))) == (4, 16, 16)


def test_two_versions_are_sampled_with_the_same_seeds(tmp_path: Path, tiny_folder: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        registered(store, tiny_folder)
        registered(store, tiny_folder)
        suite = sums(tmp_path)

        def seeds(done: Evaluation) -> list[int]:
            return [checkpoint_tree(store, episode.thread)[-1].metadata["seed"] for episode in done.episodes]

        first, second = seeds(run(store, suite, "sums.think@0001")), seeds(run(store, suite, "sums.think@0002"))
        assert first == second
        assert len(set(first)) == 4


def test_more_tasks_and_trials_play_only_what_is_new(tmp_path: Path, tiny_folder: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        registered(store, tiny_folder)
        suite = sums(tmp_path)
        few = run(store, suite)
        more = run(store, suite, tasks_per_tier=3, k=2)
        assert len(more.episodes) == 12
        assert {one.thread for one in few.episodes} < {one.thread for one in more.episodes}
        assert len(spoken(suite)) == 12
        assert more.measured[0] == few.measured[0]


def test_an_episode_whose_agent_crashes_is_a_failed_trial(tmp_path: Path, tiny_folder: Path) -> None:
    def stumbles(version: str, text: str) -> str:
        return adds(version, text) if text != "1+1" else str(1 // 0)

    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        registered(store, tiny_folder)
        suite = sums(tmp_path, stumbles)
        done = run(store, suite)
        assert [episode.success for episode in done.episodes] == [True, False, True, True]
        assert done.errors == [None, "ZeroDivisionError: integer division or modulo by zero", None, None]
        (failure,) = done.measured[1].failures
        assert (failure.kind, failure.thread) == ("crashed", done.episodes[1].thread)
        assert failure.text == done.errors[1]
        assert run(store, suite) == done
        assert len(spoken(suite)) == 4

        suite.says = adds  # a larger evaluation gives the trial that crashed no other chance
        larger = run(store, suite, k=2)
        assert [episode.success for episode in larger.episodes] == [True, True, False, True, *[True] * 4]
        assert larger.errors[2] == done.errors[1]
        assert len(spoken(suite)) == 8


def test_crashes_in_a_row_end_the_evaluation_and_are_played_again(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("threadmill.training.evaluation.run.CRASHES_IN_A_ROW", 3)

    def breaks(version: str, text: str) -> str:
        raise OSError("no disk")

    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        registered(store, tiny_folder)
        with pytest.raises(BadEvaluation, match=r"3 episodes in a row crashed.*OSError: no disk; mend that"):
            run(store, sums(tmp_path, breaks))
        (begun,) = list_evaluations(store)
        assert (begun.status, trials_of(store, begun.id)) == ("running", [])
        done = run(store, sums(tmp_path))
        assert (done.id, done.summary.pass_at_1) == (begun.id, 1.0)


def test_a_model_that_cannot_be_opened_ends_it_before_the_first_episode(tmp_path: Path, tiny_folder: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_folder, broken)
    (broken / "config.json").write_text("{}")
    suite = sums(tmp_path)
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        with pytest.raises(BadModelFolder):
            run(store, suite, str(broken))
        assert spoken(suite) == []


def test_a_folder_is_known_by_its_content(tmp_path: Path, tiny_folder: Path) -> None:
    here, there, other = (tmp_path / name for name in ("here", "there", "other"))
    for folder in (here, there, other):
        shutil.copytree(tiny_folder, folder)
    (other / "generation_config.json").write_text('{"temperature": 0.5}')
    suite = sums(tmp_path)
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        assert run(store, suite, str(here)).id == run(store, suite, str(there)).id
        assert len(spoken(suite)) == 4
        assert run(store, suite, str(other)).id != run(store, suite, str(here)).id


def test_two_at_once_do_not_play_the_same(tmp_path: Path, tiny_folder: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        registered(store, tiny_folder)
        refused: list[str] = []

        def says(version: str, text: str) -> str:
            if not refused:
                with pytest.raises(ThreadBusy) as told:
                    run(store, sums(tmp_path), k=2)
                refused.append(str(told.value))
            return adds(version, text)

        done = run(store, Sums(tmp_path / "spoken", says))
        assert refused[0].startswith("the same evaluation runs already: ")
        assert done.summary.pass_at_1 == 1.0


def test_a_closed_slot_closes_what_it_loaded() -> None:
    closed: list[str] = []

    class Closing(ScriptedModel):
        def close(self) -> None:
            closed.append("v1")

    slot = Slot(SLOT, lambda: "v1", lambda _: Closing(replies=[]))
    slot.model("v1")
    slot.close()
    assert (closed, slot.loaded) == (["v1"], ())


def test_a_suite_with_other_settings_is_another_suite() -> None:
    words = [
        ReasoningSuite(tiers={"words": {name: {}}}) for name in ("gsm_symbolic", "simple_equations", "gsm_symbolic")
    ]
    first, other, equal = (suite_digest(suite) for suite in words)
    assert (first == equal, first == other) == (True, False)


def test_slots_that_are_not_named_follow_live(tmp_path: Path, tiny_folder: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        registered(store, tiny_folder, "sums.plan", SLOT)
        registered(store, tiny_folder, "sums.plan")
        suite = sums(tmp_path)
        suite.slots = ("sums.plan", "sums.write", SLOT)
        chosen = fixed_versions(store, suite, {SLOT: "sums.plan@0001"})  # a version of another slot, on purpose
        assert chosen == {"sums.plan": "sums.plan@0002", "sums.write": "seed", SLOT: "sums.plan@0001"}
        with pytest.raises(UnknownSlot, match=r"has no slot 'sums\.thnk'; it has sums\.plan, sums"):
            fixed_versions(store, suite, {"sums.thnk": "seed"})


def test_a_killed_evaluation_goes_on_where_it_stopped(tmp_path: Path, tiny_folder: Path) -> None:
    url, suite = f"sqlite:///{tmp_path / 'runs.db'}", sums(tmp_path)
    with open_store(url) as store:
        registered(store, tiny_folder)
    with open_store(url) as store:
        with warm.started(Path(evaluation_suite.__file__), url, suite.spoken) as worker:
            try:
                while len(spoken(suite)) < 4 or len(trials_of(store, list_evaluations(store)[0].id)) < 3:
                    assert worker.poll() is None
                    time.sleep(0.1)
            finally:
                worker.kill()
        (begun,) = list_evaluations(store)
        assert (begun.status, len(trials_of(store, begun.id))) == ("running", 3)
        done = run(store, suite, tasks_per_tier=3)
        assert (done.id, done.errors) == (begun.id, ["ValueError: no nought", *[None] * 5])
        assert [episode.success for episode in done.episodes] == [False, *[True] * 5]
        assert [line.rpartition(" ")[2] for line in spoken(suite)] == [
            "0+1", "1+1", "2+1", "0+10",  # the last was not answered
            "0+10", "1+10", "2+10",
        ]  # fmt: skip


def test_an_unknown_evaluation_is_named(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store, pytest.raises(UnknownEvaluation, match="'x'"):
        read_evaluation(store, "x")
