"""Deleting and pruning threads: nothing is left in any table, and what data sets refer to is named or kept."""

from pathlib import Path
from typing import Any

import pytest
import warm
from bank_agent import bank, build_bank, paying
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from sqlalchemy import inspect, text
from sqlalchemy.orm import Session
from threadmill.checkpoints.branch import questions_and_answers, read_all_steps
from threadmill.checkpoints.canaries import start_canary
from threadmill.checkpoints.data_sets import record_data_set, uses_of
from threadmill.checkpoints.evaluations import RecordedTrial, add_trial, begin_evaluation, trials_of
from threadmill.checkpoints.forget import delete_thread, prune_threads
from threadmill.checkpoints.labels import Label, add_label, labels_of
from threadmill.checkpoints.outcomes import record_outcomes
from threadmill.checkpoints.reading import (
    checkpoint_tree,
    latest_checkpoint,
    leaf_checkpoints,
    list_namespaces,
    read_messages,
    read_questions,
)
from threadmill.checkpoints.registry import promote, register_version
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.tables import ProposalRow
from threadmill.checkpoints.threads import list_threads
from threadmill.errors import ReadOnly, ThreadBusy, UnknownThread
from threadmill.graphs import answer_thread, continue_thread, run_thread
from threadmill.graphs.state import AgentState
from threadmill.graphs.travel import fork_thread
from threadmill.training.export import export_pairs, export_sft

SECRET = "forget-me-7f3a"


def office(store: Store, *replies: AIMessage) -> Any:
    """The bank's agent inside of another graph."""
    outer = StateGraph(AgentState)
    outer.add_node("clerk", build_bank(replies).compile())
    outer.add_edge(START, "clerk")
    return outer.compile(checkpointer=store.saver, name="office")


def chat(store: Store, thread: str, turns: int) -> None:
    graph = bank(store, *(reply for _ in range(turns) for reply in (paying(1, 2), AIMessage("Done."))))
    for turn in range(turns):
        run_thread(graph, thread, f"Turn {turn}.")


def said(store: Store, thread: str, checkpoint: str | None = None) -> list[str]:
    return [message.text for message in read_messages(store, thread, checkpoint)]


def content(store: Store) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    with store.engine.connect() as connection:
        return {
            name: [str([bytes(cell) if isinstance(cell, memoryview) else cell for cell in row]) for row in rows]
            for name in inspect(store.engine).get_table_names()
            for rows in [connection.execute(text(f'SELECT * FROM "{name}"')).all()]
        }


def tables_with(store: Store, word: str) -> list[str]:
    return sorted(name for name, rows in content(store).items() if any(word in row for row in rows))


def weights(folder: Path) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(folder.name.encode())
    (folder / "config.json").write_text("{}")
    return folder


def learn(store: Store, folder: Path, digest: str | None, base: str | None = None) -> str:
    lineage = {"runs": [{"recipe": "sft", "data": {"digest": digest}}]} if digest else {"runs": [{"recipe": "grpo"}]}
    return register_version(store, "bank.think", weights(folder), lineage=lineage, base=base).name


def test_a_deleted_thread_is_in_no_table_and_the_others_are_as_they_were(store: Store, tmp_path: Path) -> None:
    chat(store, "kept", 2)
    first, second = (learn(store, tmp_path / name, None) for name in ("m1", "m2"))
    promote(store, "bank.think", first, because="first")
    shadow = start_canary(store, second, share=1.0, bound={}, because="look", mode="shadow")
    record_outcomes(store, "kept", {"bank.think": first}, why="")
    before = content(store)
    graph = office(store, paying(50), AIMessage("Done."), paying(60))
    run_thread(graph, SECRET, "Pay.")
    answer_thread(graph, SECRET, [{"id": "c50", "type": "reject", "text": "no"}])
    run_thread(graph, SECRET, "Again.")
    checkpoint = latest_checkpoint(store, SECRET)
    add_label(store, Label(SECRET, None, None, "reward", 1.0, "test"))
    add_label(store, Label(SECRET, checkpoint, None, "feedback", "good", "test"))
    record_data_set(store, digest="d1", kind="sft", folder="data", threads=[SECRET, "kept"])
    record_outcomes(store, SECRET, {"bank.think": "bank.think@0001"}, why="no answer")
    said_by_shadow = ProposalRow(canary_id=shadow.id, thread=SECRET, live={"text": SECRET}, proposed=None, agrees=False)
    with Session(store.engine) as session, session.begin():
        session.add(said_by_shadow)
    assert len(list_namespaces(store, SECRET)) == 2
    threads, writes = store.tables.checkpoints.name, store.tables.writes.name
    blobs = [store.tables.blobs.name] if store.tables.blobs is not None else []
    ours = ["labels", "data_set_threads", "run_outcomes", "shadow_proposals"]
    assert tables_with(store, SECRET) == sorted([threads, writes, *blobs, *ours])
    uses = delete_thread(store, SECRET)
    assert [one.digest for one in uses.data_sets] == ["d1"]
    assert tables_with(store, SECRET) == []
    after = content(store)
    assert [row for row in after.pop("data_set_threads") if "kept" in row] != []
    assert len(after.pop("data_sets")) == 1
    assert {name: rows for name, rows in before.items() if name in after} == after
    with pytest.raises(UnknownThread, match=f"thread '{SECRET}' has no checkpoints"):
        delete_thread(store, SECRET)
    run_thread(bank(store, AIMessage("Who are you?")), SECRET, "Hello again.")
    assert said(store, SECRET) == ["Hello again.", "Who are you?"]
    assert uses_of(store, [SECRET, "kept"]).keys() == {"kept"}


def test_an_evaluation_keeps_the_figures_of_a_deleted_thread_but_not_its_words(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        chat(store, "t", 1)
        begin_evaluation(store, "e1", suite="s", versions={}, k=1, settings={})
        wrong = {"kind": "ungrounded", "thread": "t", "message": None, "tool": None, "text": SECRET}
        measured = {"values": {"steps": 2.0}, "failures": [wrong]}
        add_trial(store, "e1", RecordedTrial("task", 0, "simple", "t", False, 0.5, measured))
        delete_thread(store, "t")
        assert tables_with(store, SECRET) == []
        (trial,) = trials_of(store, "e1")
    assert (trial.success, trial.reward, trial.measured["values"]) == (False, 0.5, {"steps": 2.0})
    assert trial.measured["failures"] == [{**wrong, "text": ""}]


def test_data_sets_and_the_versions_that_learnt_from_them_are_named(
    store: Store, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    for thread in ("edited", "plain", "unused"):
        graph = bank(store, paying(10), AIMessage("Done."))
        run_thread(graph, thread, "Pay.")
        edit = {"type": "edit", "args": {"amount": 5}} if thread == "edited" else {"type": "approve"}
        answer_thread(graph, thread, [{"id": "c10", **edit}])
    tokenizer: Any = {"tokenizer": tiny_tokenizer}
    for thread in ("edited", "plain"):
        add_label(store, Label(thread, None, None, "success", 1, "test"))
    sft = export_sft(store, tmp_path / "sft", **tokenizer)["digest"]
    pairs = export_pairs(store, tmp_path / "pairs", **tokenizer)["digest"]
    assert export_sft(store, tmp_path / "sft", **tokenizer)["digest"] == sft  # once more, the same
    seed = learn(store, tmp_path / "m1", None)
    learnt = learn(store, tmp_path / "m2", sft, base=seed)
    child = learn(store, tmp_path / "m3", None, base=learnt)
    other = learn(store, tmp_path / "m4", pairs, base=seed)
    learn(store, tmp_path / "m5", "other data", base=seed)
    found = uses_of(store, ["edited", "plain", "unused"])
    assert found.keys() == {"edited", "plain"}
    assert [(one.kind, one.digest, one.folder) for one in found["edited"].data_sets] == [
        ("sft", sft, str(tmp_path / "sft")),
        ("pairs", pairs, str(tmp_path / "pairs")),
    ]
    assert found["edited"].versions == (learnt, child, other)
    assert [one.kind for one in found["plain"].data_sets] == ["sft"]
    assert found["plain"].versions == (learnt, child)
    assert delete_thread(store, "plain") == found["plain"]
    assert delete_thread(store, "unused").data_sets == ()
    assert (tmp_path / "sft" / "train.jsonl").exists()
    assert [thread.thread for thread in list_threads(store)] == ["edited"]


HOLD = """
import sys
from threadmill.checkpoints.store import open_store
with open_store(sys.argv[1]) as store, store.leases.hold("t"):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_thread_that_another_process_drives_is_neither_deleted_nor_pruned(store: Store, url: str) -> None:
    chat(store, "t", 2)
    before = content(store)
    with warm.started(HOLD, url) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ThreadBusy, match="'t' is driven by"):
            delete_thread(store, "t")
        with pytest.raises(ThreadBusy, match="'t' is driven by"):
            prune_threads(store, ["t"])
        assert {**content(store), "leases": []} == {**before, "leases": []}
        print(file=holder.stdin, flush=True)
    prune_threads(store, ["t"])
    assert len(checkpoint_tree(store, "t")) == 1
    delete_thread(store, "t")
    assert tables_with(store, "'t'") == []


def test_pruned_threads_keep_their_conversations_and_go_on(store: Store) -> None:
    chat(store, "t", 6)
    graph = bank(store, AIMessage("Forked."), AIMessage("More."))
    nodes = checkpoint_tree(store, "t")
    fork_thread(graph, "t", nodes[10].checkpoint)
    continue_thread(graph, "t")
    leaves = leaf_checkpoints(store, "t")
    before = {leaf: read_messages(store, "t", leaf) for leaf in leaves}
    (line,) = list_threads(store)
    total = len(checkpoint_tree(store, "t"))
    done = prune_threads(store, ["t", "t"])
    assert (done.threads, done.checkpoints, done.kept, done.used) == (["t"], total - 2, {}, {})
    assert leaf_checkpoints(store, "t") == leaves
    assert [node.checkpoint for node in checkpoint_tree(store, "t")] == leaves
    assert {leaf: read_messages(store, "t", leaf) for leaf in leaves} == before
    assert list_threads(store) == [line]
    assert prune_threads(store, ["t"]).threads == []
    assert run_thread(graph, "t", "Go on.").answer == "More."
    assert said(store, "t")[-3:] == ["Forked.", "Go on.", "More."]
    chat(store, "other", 1)
    assert prune_threads(store, ["t", "other"]).threads == ["t", "other"]


def test_labels_questions_and_answers_survive(store: Store) -> None:
    graph = bank(store, paying(10), AIMessage("Paid."), paying(20))
    run_thread(graph, "t", "Pay.")
    answer_thread(graph, "t", [{"id": "c10", "type": "edit", "args": {"amount": 1}, "by": "ann", "at": "noon"}])
    labelled = latest_checkpoint(store, "t")
    add_label(store, Label("t", labelled, None, "success", 1, "test"))
    run_thread(graph, "t", "More.")
    asked = latest_checkpoint(store, "t")

    def answers() -> list[Any]:
        pauses = [pause for step in read_all_steps(store, "t") for pause in step.pauses]
        return [pair for pause in pauses for pair in questions_and_answers(pause)]

    before, words = answers(), said(store, "t", labelled)
    assert [answer and (answer["type"], answer["by"], answer["at"]) for _, answer in before] == [
        ("edit", "ann", "noon"),
        None,
    ]
    prune_threads(store, ["t"])
    kept = [node.checkpoint for node in checkpoint_tree(store, "t")]
    assert (len(kept), labelled in kept, asked in kept) == (
        4,
        True,
        True,
    )  # the first question, and what took its answer
    assert answers() == before
    assert said(store, "t", labelled) == words
    assert labels_of(store, ["t"])["t"][0].checkpoint == labelled
    assert [question["id"] for question in read_questions(store, "t")] == ["c20"]
    answered = bank(store, AIMessage("Paid too."))
    assert answer_thread(answered, "t", [{"id": "c20", "type": "approve"}]).answer == "Paid too."
    assert said(store, "t") == ["Pay.", "", "paid 1", "Paid.", "More.", "", "paid 20", "Paid too."]


def test_what_data_sets_refer_to_is_kept_unless_told_otherwise(store: Store, tmp_path: Path) -> None:
    for thread in ("a", "b", "c"):
        chat(store, thread, 1)
    record_data_set(store, digest="d1", kind="sft", folder="data", threads=["a", "b"])
    learnt = learn(store, tmp_path / "m1", "d1")
    before = content(store)
    done = prune_threads(store, ["a", "c"], dry_run=True)
    assert (done.threads, done.checkpoints, [*done.kept]) == (["c"], 7, ["a"])
    assert done.kept["a"].versions == (learnt,)
    whole = prune_threads(store, ["a", "c"], strategy="delete", even_used=True, dry_run=True)
    assert (whole.threads, whole.checkpoints, whole.kept, [*whole.used]) == (["a", "c"], 16, {}, ["a"])
    assert content(store) == before
    assert prune_threads(store, ["a", "c"]).threads == ["c"]
    assert [len(checkpoint_tree(store, thread)) for thread in ("a", "b", "c")] == [8, 8, 1]
    done = prune_threads(store, ["a", "b", "c"], strategy="delete")
    assert (done.threads, [*done.kept]) == (["c"], ["a", "b"])
    done = prune_threads(store, ["a"], even_used=True)
    assert (done.threads, done.used["a"].versions) == (["a"], (learnt,))
    done = prune_threads(store, ["b"], strategy="delete", even_used=True)
    assert (done.threads, done.used["b"].versions) == (["b"], (learnt,))
    assert [thread.thread for thread in list_threads(store)] == ["a"]


def test_threads_with_subgraphs_are_pruned_and_deleted(store: Store) -> None:
    graph = office(store, paying(10), AIMessage("Paid."), paying(20), AIMessage("Paid too."))
    run_thread(graph, "t", "Pay.")
    answer_thread(graph, "t", [{"id": "c10", "type": "approve", "by": "ann"}])
    run_thread(graph, "t", "More.")
    namespaces, words = list_namespaces(store, "t"), said(store, "t")
    inside = [read_messages(store, "t", namespace=namespace) for namespace in namespaces]
    done = prune_threads(store, ["t"])
    assert done.threads == ["t"]
    assert list_namespaces(store, "t") == namespaces
    assert [read_messages(store, "t", namespace=namespace) for namespace in namespaces] == inside
    assert said(store, "t") == words
    answer_thread(graph, "t", [{"id": "c20", "type": "approve"}])
    assert said(store, "t") == ["Pay.", "", "paid 10", "Paid.", "More.", "", "paid 20", "Paid too."]
    delete_thread(store, "t")
    assert tables_with(store, "'t'") == []


def test_a_database_opened_to_be_read_is_not_deleted_from(store: Store, url: str) -> None:
    chat(store, "t", 1)
    before = content(store)
    with open_store(url, read_only=True) as reader:
        with pytest.raises(ReadOnly, match="was opened to be read; open it with open_store"):
            delete_thread(reader, "t")
        with pytest.raises(ReadOnly, match="was opened to be read; open it with open_store"):
            prune_threads(reader, ["t"])
        assert prune_threads(reader, ["t"], dry_run=True).checkpoints == 7
    assert content(store) == before
