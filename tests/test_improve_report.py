"""What a round remembers and reports: hostile words stay words, and a world that is gone is not judged."""

from pathlib import Path
from typing import Any

import pytest
from hostile_round import hostile_round
from langchain_core.messages import AIMessage
from threadmill.checkpoints.evaluations import RecordedTrial, add_trial, begin_evaluation
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.store import open_store
from threadmill.errors import BadConfig, FolderBusy
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.training.improve.data import evaluated_tasks
from threadmill.training.improve.labelling import judge_threads
from threadmill.training.improve.markdown import render_markdown
from threadmill.training.improve.page import render_page
from threadmill.training.improve.recipes import read_recipes
from threadmill.training.improve.report import make_report
from threadmill.training.improve.state import alone_in, open_round, write_round
from threadmill.training.improve.threads import evaluated_threads, sort_threads
from threadmill.training.rewards.compose import Rewards
from threadmill.training.rollout import run_tasks
from threadmill.training.worlds.helpdesk.suite import make_suite
from threadmill.training.worlds.helpdesk.tasks import make_task


def test_hostile_words_stay_words_in_both_reports() -> None:
    report = make_report(hostile_round(), out=Path("out"), db="sqlite:///runs.db")
    page = render_page(report)
    assert "<script" not in page
    assert "&lt;/td&gt;&lt;script&gt;alert(1)&lt;/script&gt;|`x` ⟨202E⟩gnp" in page
    assert "default-src 'none'" in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is fetched; the curve is a picture in the page
    assert page.count("<img ") == 1

    text = render_markdown(report, Path("out"))
    assert "<script" not in text.replace(r"\<script", "")
    assert "![sft loss](<round-0001/models/sft/curves.png>)" in text
    rows = [line for line in text.splitlines() if line.startswith("| wrong tool")]
    assert rows == [r"| wrong tool | \</td\>\<script\>alert(1)\</script\>\|\`x\` ⟨202E⟩gnp | 0 | 3 |"]


def test_a_round_goes_on_until_another_version_is_live(tmp_path: Path) -> None:
    settings = {"agent": "a", "seed": 0}
    begun = open_round(tmp_path, settings, "a.b@0001", "today")
    begun.candidate = "a.b@0002"
    write_round(tmp_path, begun)
    numbers = {
        "the same": open_round(tmp_path, settings, "a.b@0001", "later").number,
        "its candidate is live": open_round(tmp_path, settings, "a.b@0002", "later").number,
        "another version is live": open_round(tmp_path, settings, "a.b@0003", "later").number,
        "other settings": open_round(tmp_path, {**settings, "seed": 1}, "a.b@0001", "later").number,
    }
    assert numbers == {"the same": 1, "its candidate is live": 1, "another version is live": 2, "other settings": 2}
    begun.finished = True
    write_round(tmp_path, begun)
    assert open_round(tmp_path, settings, "a.b@0001", "later").number == 2


def test_one_process_works_in_a_folder(tmp_path: Path) -> None:
    with alone_in(tmp_path), pytest.raises(FolderBusy, match="another improve is at work"), alone_in(tmp_path):
        pass


def test_a_thread_whose_world_is_gone_is_judged_by_rewards_only(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        says = Slot.fixed("helpdesk.think", ScriptedModel([AIMessage("Done.")]), "helpdesk.think@0001")
        (episode,) = run_tasks(store, [make_task("train", "simple", 1)], says, trials=1, seed=0)
        with store.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM labels")
        threads = sort_threads(store, "helpdesk")
        assert (len(threads.judged), [head.thread for head, _ in threads.unjudged]) == (0, [episode.thread])

        by_suite = judge_threads(store, threads, suite=make_suite(), rewards=None)
        assert by_suite.labels == []
        assert by_suite.refused == {episode.thread: "its world is gone, and without it the suite cannot judge it"}

        by_rewards = judge_threads(store, threads, suite=make_suite(), rewards=Rewards({"safety": 1.0}))
        found: list[Any] = [(label.thread, label.kind, label.value) for label in by_rewards.labels]
        assert found == [(episode.thread, "reward", 0.0)]  # nothing unsafe was done
        assert labels_of(store) == {}


def test_recipes_are_read_by_their_flags_and_strange_settings_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "recipes.toml"
    file.write_text("[sft]\nlearning_rate = 1e-4\n[sft.lora]\nrank = 8\n[grpo.credit]\nassign = 'turns'\n")
    assert read_recipes(file) == {"sft": {"learning_rate": 1e-4, "lora_rank": 8}, "grpo": {"credit_assign": "turns"}}
    for text, says in (
        ("[sft]\nspeed = 3", "sft has no setting speed"),
        ("[sft]\nseed = 3", "sets seed of sft, which improve decides by itself"),
        ("[kto]\nbeta = 3", "has 'kto', which is no table of a method"),
    ):
        file.write_text(text)
        with pytest.raises(BadConfig, match=says):
            read_recipes(file)


def test_what_evaluations_have_played_is_known_and_held_out_unless_it_is_there_to_be_trained_on(store: Any) -> None:
    for name, split in (("one", "heldout"), ("two", "train")):
        begin_evaluation(store, name, suite="echo", versions={}, k=1, settings={"split": split})
        add_trial(store, name, RecordedTrial(f"task {name}", 0, "easy", f"thread {name}", True, 1.0, {}))
    assert evaluated_threads(store) == {"thread one", "thread two"}
    assert evaluated_tasks(store) == {"task one"}
