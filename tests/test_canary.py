"""Candidates on trial: who takes part, and when they are taken back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage
from sqlalchemy import text
from threadmill.checkpoints.assignment import assign_from
from threadmill.checkpoints.canaries import end_canary, list_canaries, running_canary, start_canary
from threadmill.checkpoints.guards import drop_guard, guard_of, set_guard
from threadmill.checkpoints.labels import Label, add_label
from threadmill.checkpoints.outcomes import outcomes_of, record_outcomes
from threadmill.checkpoints.pins import pin_thread
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.registry import history, promote, register_version, resolve
from threadmill.checkpoints.store import Store, open_store
from threadmill.cli.main import app
from threadmill.errors import BadCanary, BadModelFolder, CannotServe, UnknownSlot, UnknownVersion
from threadmill.graphs import build_react
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.training.failure_bound import Bound, log_evidence
from threadmill.training.live import Watched, has_the_last_word, take_back
from threadmill.training.shadow import Shadow, proposals_of
from typer.testing import CliRunner

SLOT = "desk.think"
BOUND = Bound(0.2).to_dict()


def versions(store: Store, tmp_path: Path, count: int = 2) -> list[str]:
    """Registered versions, the first of them live."""
    names = []
    for number in range(count):
        folder = tmp_path / f"v{number}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(bytes([number]))
        (folder / "config.json").write_text("{}")
        names.append(register_version(store, SLOT, folder, lineage={}).name)
    promote(store, SLOT, names[0], because="first")
    return names


def runs(store: Store, version: str, *failed: bool) -> None:
    for number, bad in enumerate(failed):
        record_outcomes(store, f"{version}/{number}", {SLOT: version}, why="it broke" if bad else "")


def test_under_the_bound_an_alarm_is_rare_however_often_one_looks():
    drawn = np.random.default_rng(0).random((4000, 200)) < 0.2
    failures = np.cumsum(drawn, axis=1)
    known = {
        (int(failed), at): Bound(0.2).is_crossed(int(failed), at)
        for at in range(1, 201)
        for failed in np.unique(failures[:, at - 1])
    }
    alarmed = [any(known[int(row[at - 1]), at] for at in range(1, 201)) for row in failures]
    assert 0.02 < np.mean(alarmed) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)
    assert log_evidence(0, 0, 0.2) == pytest.approx(0.0)
    assert [Bound(0.2).is_crossed(failed, 10) for failed in (4, 5, 6, 7)] == [False, False, True, True]


@pytest.mark.parametrize(("rate", "level"), [(0.0, 0.05), (1.0, 0.05), (0.2, 0.0)])
def test_a_bound_that_makes_no_sense_is_refused(rate: float, level: float):
    with pytest.raises(BadCanary, match="give one between 0 and 1"):
        Bound(rate, level)


def test_a_share_of_the_threads_takes_part_and_always_the_same(store: Store, tmp_path: Path):
    _, candidate = versions(store, tmp_path)
    canary = start_canary(store, candidate, share=0.3, bound=BOUND, because="try")
    chosen = [canary.takes_part(f"t{number}") for number in range(10_000)]
    assert 2_850 < sum(chosen) < 3_150  # three standard deviations are 137
    again = running_canary(store, SLOT)
    assert again is not None
    assert [again.takes_part(f"t{number}") for number in range(50)] == chosen[:50]


def test_one_candidate_at_a_time_and_only_one_that_makes_sense(store: Store, tmp_path: Path):
    live, second, third = versions(store, tmp_path, 3)
    with pytest.raises(BadCanary, match="0001 is live already"):
        start_canary(store, live, share=0.1, bound=BOUND, because="")
    with pytest.raises(BadCanary, match="a share of 0 is none"):
        start_canary(store, second, share=0, bound=BOUND, because="")
    with pytest.raises(UnknownVersion):
        start_canary(store, f"{SLOT}@0009", share=0.1, bound=BOUND, because="")
    start_canary(store, second, share=0.1, bound=BOUND, because="try")
    with pytest.raises(BadCanary, match=r"0002 is on trial in desk.think since .*; end that first"):
        start_canary(store, third, share=0.1, bound=BOUND, because="")
    promote(store, SLOT, third, because="gate")
    start_canary(store, second, share=0.1, bound=BOUND, because="again")
    promote(store, SLOT, second, because="good")
    assert end_canary(store, SLOT, "stopped", because="nothing there") is None
    assert [(one.status, one.ended_because) for one in list_canaries(store, SLOT)] == [
        ("stopped", "desk.think@0003 became live: gate"),
        ("promoted", "desk.think@0002 became live: good"),
    ]


def test_new_threads_of_the_share_begin_on_the_candidate_and_stay_until_it_ends(store: Store, tmp_path: Path):
    live, candidate = versions(store, tmp_path)
    assign = assign_from(store, SLOT)
    start_canary(store, candidate, share=1.0, bound=BOUND, because="try")
    assert assign("new", None, live) == (candidate, False)
    assert assign("old", live, live) == (live, False)
    assert assign("new", candidate, live) == (candidate, False)
    end_canary(store, SLOT, "stopped", because="enough")
    assert assign("new", candidate, live) == (live, False)
    start_canary(store, candidate, share=1.0, bound={}, because="only watch", mode="shadow")
    assert assign("new", None, live) == (live, False)


def test_a_candidate_that_fails_is_taken_back_and_one_that_does_not_stays(store: Store, tmp_path: Path):
    _, candidate = versions(store, tmp_path)
    start_canary(store, candidate, share=0.5, bound=BOUND, because="try")
    runs(store, candidate, False, False, True, False, False)
    assert take_back(store, SLOT) == []
    runs(store, candidate, *[True] * 8)
    (said,) = take_back(store, SLOT)
    assert said.startswith("desk.think@0002 is off trial: 9 of 13 runs failed, where 20% may")
    assert said.endswith("the last was thread desk.think@0002/7: it broke")
    assert [one.status for one in list_canaries(store)] == ["rolled_back"]
    assert resolve(store, f"{SLOT}@live").number == 1
    assert take_back(store, SLOT) == []


def test_complaints_count_as_failures(store: Store, tmp_path: Path):
    _, candidate = versions(store, tmp_path)
    start_canary(store, candidate, share=0.5, bound=BOUND, because="try")
    runs(store, candidate, False, False, False)
    for number in range(3):
        add_label(store, Label(f"{candidate}/{number}", None, None, "success", 0.0, "user"))
    assert [one.why for one in outcomes_of(store, SLOT, candidate)] == ["labelled a failure by user"] * 3
    assert len(take_back(store, SLOT)) == 1


def test_a_guarded_slot_goes_back_once_and_not_to_and_fro(store: Store, tmp_path: Path):
    first, second = versions(store, tmp_path)
    runs(store, second, *[True] * 5)  # before it was promoted: nothing to do with it
    set_guard(store, SLOT, BOUND, because="nights")
    promote(store, SLOT, second, because="gate")
    assert take_back(store, SLOT) == []
    runs(store, second, True, True, True)
    (said,) = take_back(store, SLOT)
    assert said.startswith("desk.think is back on desk.think@0001: by its guard: 3 of 3 runs failed")
    runs(store, first, *[True] * 9)
    assert take_back(store, SLOT) == []
    assert [(move.action, move.to_version) for move in history(store, SLOT)] == [
        ("promote", first),
        ("promote", second),
        ("rollback", first),
    ]
    assert guard_of(store, SLOT) is not None
    assert [drop_guard(store, SLOT), drop_guard(store, SLOT), guard_of(store, SLOT)] == [True, False, None]


def test_a_guard_does_not_go_back_to_what_cannot_be_loaded(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    _, second = versions(store, tmp_path)
    set_guard(store, SLOT, BOUND, because="nights")
    promote(store, SLOT, second, because="gate")
    (tmp_path / "v0" / "model.safetensors").unlink()
    runs(store, second, True, True, True)
    assert take_back(store, SLOT) == []
    assert resolve(store, f"{SLOT}@live").name == second
    assert "desk.think stays on desk.think@0002, though by its guard: 3 of 3 runs failed" in caplog.text


def test_a_judge_that_breaks_costs_nobody_the_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        slot = Slot.fixed(SLOT, ScriptedModel([AIMessage("Hello.")]), f"{SLOT}@0001")
        graph = build_react(slot, [], name="desk").compile(checkpointer=store.saver)
        assert Watched(store, graph, judge=lambda outcome: str(1 / 0)).run("t", "Hi").answer == "Hello."
        assert [one.failed for one in outcomes_of(store, SLOT, f"{SLOT}@0001")] == [False]
    assert "the run of thread t could not be judged: division by zero" in caplog.text


def test_what_counts_as_a_failure(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        first, _ = versions(store, tmp_path)
        said = {"Hi": AIMessage("Hello."), "Break": ValueError("no such weights"), "Silence": AIMessage("")}

        def answer(messages: list[Any]) -> AIMessage:
            found = said[messages[-1].text]
            if isinstance(found, Exception):
                raise found
            return found

        slot = Slot.fixed(SLOT, ScriptedModel(answer), first)
        watched = Watched(store, build_react(slot, [], name="desk").compile(checkpointer=store.saver))
        watched.run("a", "Hi")
        with pytest.raises(ValueError, match="no such weights"):
            watched.run("b", "Break")
        watched.run("c", "Silence")
        found = [(one.thread, one.failed, one.why) for one in outcomes_of(store, SLOT, first)]
        assert found == [("a", False, ""), ("b", True, "ValueError: no such weights"), ("c", True, "no answer")]
        assert has_the_last_word(watched.run("a", "Hi")) == ""


def test_a_shadow_is_asked_the_same_and_nothing_that_it_says_is_done(tmp_path: Path):
    prompts: list[list[str]] = []

    def live(messages: list[Any]) -> AIMessage:
        return AIMessage("Done.") if messages[-1].type == "tool" else calling(2)

    def shadow_says(messages: list[Any]) -> AIMessage:
        prompts.append([message.type for message in messages])
        if messages[-1].type == "tool":
            raise RuntimeError("out of words")
        return calling(3)

    def calling(amount: int) -> AIMessage:
        return AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": amount}, "id": "c1"}])

    paid: list[int] = []

    def pay(amount: int) -> str:
        """Pay."""
        paid.append(amount)
        return "paid"

    from langchain_core.tools import tool

    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        first, candidate = versions(store, tmp_path)
        says = {first: ScriptedModel(live), candidate: ScriptedModel(shadow_says)}
        slot = Slot(SLOT, lambda: first, lambda version: says[version])
        graph = build_react(slot, [tool(pay)], name="desk", system="Be brief.").compile(checkpointer=store.saver)
        canary = start_canary(store, candidate, share=1.0, bound={}, because="look", mode="shadow")
        with Shadow(store, slot) as shadow:
            Watched(store, graph).run("t", "Pay 2")
            shadow.drain()
        Watched(store, graph).run("u", "Pay 2")  # nobody listens any more
        found = proposals_of(store, canary)
        spoken = [m.response_metadata["version"] for m in read_messages(store, "t") if isinstance(m, AIMessage)]
    assert prompts == [["system", "human"], ["system", "human", "ai", "tool"]]
    assert paid == [2, 2]
    assert spoken == [first, first]
    assert [(one["thread"], one["agrees"], one["error"]) for one in found] == [
        ("t", False, None),
        ("t", False, "RuntimeError: out of words"),
    ]
    assert found[0]["live"]["calls"] == [{"name": "pay", "args": {"amount": 2}}]
    assert found[0]["proposed"]["calls"] == [{"name": "pay", "args": {"amount": 3}}]


def test_promoting_what_is_live_already_neither_ends_a_trial_nor_sends_a_guarded_slot_to_and_fro(
    store: Store, tmp_path: Path
):
    first, second, third = versions(store, tmp_path, 3)
    set_guard(store, SLOT, BOUND, because="nights")
    promote(store, SLOT, first, because="confirmed")  # nothing was live before it
    runs(store, first, *[True] * 9)
    assert take_back(store, SLOT) == []
    promote(store, SLOT, second, because="gate")
    canary = start_canary(store, third, share=0.1, bound=BOUND, because="try")
    promote(store, SLOT, second, because="confirmed")
    still = running_canary(store, SLOT)
    assert still is not None
    assert still.id == canary.id
    runs(store, second, True, True, True)
    assert len(take_back(store, SLOT)) == 1
    promote(store, SLOT, first, because="confirmed")
    runs(store, first, *[True] * 9)
    assert take_back(store, SLOT) == []
    assert resolve(store, f"{SLOT}@live").name == first


def test_a_pinned_version_that_cannot_be_loaded_is_no_failure_of_the_one_before(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        first, second = versions(store, tmp_path)
        models = {first: ScriptedModel([AIMessage("Hello.")])}
        assign = assign_from(store, SLOT)
        slot = Slot(SLOT, lambda: first, lambda version: models[version], assign=assign)
        watched = Watched(store, build_react(slot, [], name="desk").compile(checkpointer=store.saver))
        watched.run("a", "Hi")
        pin_thread(store, "a", second, because="vip")
        with pytest.raises(CannotServe, match="which cannot be loaded"):
            watched.run("a", "Hi")
        assert [one.failed for one in outcomes_of(store, SLOT, first)] == [False]


def test_what_cannot_be_noted_or_overheard_never_fails_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        first, _ = versions(store, tmp_path)
        with store.engine.begin() as connection:
            connection.execute(text("DROP TABLE run_outcomes"))
            connection.execute(text("DROP TABLE canaries"))
        slot = Slot.fixed(SLOT, ScriptedModel([AIMessage("Hello."), AIMessage("")]), first)
        watched = Watched(store, build_react(slot, [], name="desk").compile(checkpointer=store.saver))
        with Shadow(store, slot):
            assert watched.run("a", "Hi").answer == "Hello."
            assert watched.run("b", "Hi").answer == ""
            with pytest.raises(IndexError, match="one more was asked for"):
                watched.run("c", "Hi")
    assert "how a run of thread a ended could not be noted" in caplog.text
    assert "a decision of thread a could not be overheard" in caplog.text


def test_the_commands_tell_all_of_it(tmp_path: Path):
    url = f"sqlite:///{tmp_path}/runs.db"

    def run(*arguments: str) -> Any:
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["canary", *arguments, "--db", url])

    with open_store(url) as store:
        versions(store, tmp_path)
    started = run("start", f"{SLOT}@0002", "--share", "0.25", "--because", "try")
    assert (
        started.stdout == "desk.think@0002 answers 25% of the new threads; it is taken back when more than 20% fail\n"
    )
    with open_store(url) as store:
        runs(store, f"{SLOT}@0002", False, True)
        runs(store, f"{SLOT}@0001", False)
    (record,) = json.loads(run("list", "--json").stdout)["canaries"]
    assert (record["runs"], record["failures"], record["status"]) == (2, 1, "running")
    assert record["live"] == {"runs": 1, "failures": 0, "examples": []}
    narrow = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["canary", "list", "--db", url]).stdout
    assert "desk.think@0002" in narrow
    assert "running" in narrow
    assert "1 of 2" in narrow
    told = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["status", "--db", url]).stdout
    assert "  on trial: desk.think@0002 answers 25% of the new threads, since 20" in told
    assert run("stop", SLOT, "--because", "enough").stdout == "desk.think@0002 is off trial\n"
    assert isinstance(run("stop", SLOT, "--because", "again").exception, BadCanary)
    assert isinstance(run("proposals", SLOT).exception, BadCanary)
    assert isinstance(run("list", "other.think").exception, UnknownSlot)
    assert run("start", f"{SLOT}@0002", "--shadow", "--share", "1", "--because", "look").exit_code == 0
    assert run("guard", SLOT, "--max-failure-rate", "0.1").exit_code == 0
    told = CliRunner(env={"COLUMNS": "80"}).invoke(app, ["status", "--db", url]).stdout
    assert "proposes in the shadow of 100% of all threads, since 20" in told
    assert "  guarded: goes back when more than 10% of the runs fail after a promotion" in told
    assert run("stop", SLOT, "--because", "enough").exit_code == 0
    (tmp_path / "v1" / "config.json").write_text("changed")
    changed = run("start", f"{SLOT}@0002", "--because", "try").exception
    assert isinstance(changed, BadModelFolder)
    assert "config.json was changed" in str(changed)
    assert "goes back by itself when more than 10%" in run("guard", SLOT, "--max-failure-rate", "0.1").stdout
    assert json.loads(run("guard", SLOT, "--off", "--json").stdout) == {"slot": SLOT, "guarded": False}
