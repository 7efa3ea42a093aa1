"""One thread as one file: it comes out of any database and into any other exactly, and goes on there."""

from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from sqlalchemy import select
from teller_agent import at, history, said, teller_bank
from threadmill.checkpoints.copies import snapshot
from threadmill.checkpoints.labels import Label, add_label, add_labels, labels_of
from threadmill.checkpoints.portable import export_thread, import_thread
from threadmill.checkpoints.prune import keep_only
from threadmill.checkpoints.reading import checkpoint_tree, leaf_checkpoints, read_questions
from threadmill.checkpoints.records import read_records
from threadmill.checkpoints.store import Store, open_store
from threadmill.graphs import answer_thread, continue_thread, run_thread
from threadmill.graphs.travel import fork_thread


def versions(store: Store) -> set[str]:
    """The versions under which PostgreSQL keeps values."""
    return (
        {version for (version,) in store.tables.read(select(store.tables.blobs.c.version))}
        if store.tables.blobs is not None
        else set()
    )


def test_a_thread_with_a_question_a_fork_and_labels_is_the_same_there(stores: tuple[Store, Store], tmp_path: Path):
    here, there = stores
    graph, same = teller_bank(here), teller_bank(there)
    run_thread(graph, "t", "Please pay 5", metadata={"task": "pay-5"})
    fork_thread(graph, "t", history(graph)[2].config["configurable"]["checkpoint_id"], by="ann")
    continue_thread(graph, "t")
    run_thread(graph, "t", "Please pay 300")
    add_labels(here, [Label("t", None, None, "reward", 1.0, "ann"), Label("t", "c1", "m1", "feedback", "good", "bob")])
    written = export_thread(here, "t", tmp_path / "t.jsonl")
    assert import_thread(there, tmp_path / "t.jsonl") == written
    assert export_thread(there, "t", tmp_path / "again.jsonl") == written
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "t.jsonl").read_bytes()
    assert (written.labels, written.size_bytes) == (2, (tmp_path / "t.jsonl").stat().st_size)
    assert len(history(same)) == written.checkpoints
    assert history(same) == history(graph)
    assert checkpoint_tree(there, "t") == checkpoint_tree(here, "t")
    assert labels_of(there) == labels_of(here)
    assert len(leaf_checkpoints(there, "t")) == 2

    (question,) = read_questions(there, "t")
    answer = [{"id": question["id"], "type": "edit", "args": {"amount": 7}, "by": "ann"}]
    for store, agent in ((here, graph), (there, same)):
        assert answer_thread(agent, "t", answer).answer == "Done: paid 7"
        begin = history(agent)[-2].config["configurable"]["checkpoint_id"]
        fork_thread(agent, "t", begin)
        assert continue_thread(agent, "t").answer == "Done: paid 5"
        assert run_thread(agent, "t", "Hi.").answer == "You said: Hi."
        assert said(store) == ["Please pay 5", "", "paid 5", "Done: paid 5", "Hi.", "You said: Hi."]


def test_a_long_thread_keeps_its_deltas_and_snapshots_and_goes_on(stores: tuple[Store, Store], tmp_path: Path):
    here, there = stores
    graph, same = teller_bank(here), teller_bank(there)
    for turn in range(12):
        run_thread(graph, "t", f"Please pay {turn % 9}")
    export_thread(here, "t", tmp_path / "t")
    import_thread(there, tmp_path / "t")
    assert len(said(there)) == 48
    assert not any("#" in key for key in versions(there))  # no snapshot was taken for a second value
    assert history(same) == history(graph)
    for turn in range(6):
        run_thread(same, "t", f"Again {turn}")
    assert said(there)[:48] == said(here)
    assert said(there)[48:] == [line for turn in range(6) for line in (f"Again {turn}", f"You said: Again {turn}")]
    export_thread(there, "t", tmp_path / "t")
    import_thread(here, tmp_path / "t", thread="back")
    assert said(here, "back") == said(there)


def test_the_rows_in_postgresql_are_those_that_its_saver_wrote(store: Store, postgres_url: str, tmp_path: Path):
    with open_store(postgres_url) as there:
        for turn in range(5):
            run_thread(teller_bank(there), "t", f"Please pay {turn}")
        run_thread(teller_bank(there), "t", "Please pay 300")
        query = [select(*(c for c in table.c if c.key != "thread_id")) for table in there.tables.all]
        expected = [sorted(map(repr, there.tables.read(one))) for one in query]
        export_thread(there, "t", tmp_path / "t")
        if store.tables.postgres is False:
            import_thread(store, tmp_path / "t")
            export_thread(store, "t", tmp_path / "t")
        there.saver.delete_thread("t")
        import_thread(there, tmp_path / "t")
        assert [sorted(map(repr, there.tables.read(one))) for one in query] == expected


def test_a_pruned_thread_keeps_the_snapshots_that_it_stands_on(stores: tuple[Store, Store], tmp_path: Path):
    here, there = stores
    graph, same = teller_bank(here), teller_bank(there)
    for turn in range(6):
        run_thread(graph, "t", f"Please pay {turn}")
    snapshots = [state.config["configurable"]["checkpoint_id"] for state in history(graph) if state.next == ("think",)]
    fork_thread(graph, "t", snapshots[3])
    run_thread(graph, "t", "Please pay 300")
    leaves = leaf_checkpoints(here, "t")
    keep_only(here.saver, "t", {"": {*leaves, *snapshots[:2]}})
    export_thread(here, "t", tmp_path / "t")
    import_thread(there, tmp_path / "t")
    assert history(same) == history(graph)
    assert [said(there, checkpoint=leaf) for leaf in leaves] == [said(here, checkpoint=leaf) for leaf in leaves]
    export_thread(there, "t", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "t").read_bytes()


def test_a_thread_that_failed_is_taken_up_there(stores: tuple[Store, Store], tmp_path: Path):
    here, there = stores
    with pytest.raises(RuntimeError, match="the model failed"):
        run_thread(teller_bank(here), "t", "Please fail.")
    export_thread(here, "t", tmp_path / "t")
    import_thread(there, tmp_path / "t")
    assert "the model failed" in history(teller_bank(there))[0].tasks[0].error
    with pytest.raises(RuntimeError, match="the model failed"):
        continue_thread(teller_bank(there), "t")


def test_a_thread_is_exported_as_it_is_at_one_moment_though_it_runs(store: Store, tmp_path: Path):
    graph = teller_bank(store)
    run_thread(graph, "t", "Please pay 1")
    with snapshot(store) as connection:
        before = list(read_records(store, connection, "t"))
    with snapshot(store) as connection:
        records = read_records(store, connection, "t")
        seen = [next(records)]
        run_thread(graph, "t", "Please pay 2")
        add_label(store, Label("t", None, None, "success", 1.0, "ann"))
        assert [*seen, *records] == before


class Box(TypedDict):
    items: Annotated[list[str], lambda old, new: new]
    count: int


def packer(store: Store) -> Any:
    def put(state: Box) -> dict[str, Any]:
        state["items"].append("changed in place")
        return {"count": state["count"] + 1}

    graph = StateGraph(Box)
    graph.add_node("put", put)
    graph.add_edge(START, "put")
    graph.add_edge("put", END)
    return graph.compile(checkpointer=store.saver)


def test_what_a_node_changed_in_place_is_not_lost(stores: tuple[Store, Store], tmp_path: Path):
    here, there = stores
    for _ in range(3):
        packer(here).invoke({"items": ["a"], "count": 1}, at("t"), durability="sync")
    changed = [] if here.tables.postgres else ["changed in place"]  # LangGraph's savers differ in this
    assert packer(here).get_state(at("t")).values["items"] == ["a", *changed]
    export_thread(here, "t", tmp_path / "t")
    import_thread(there, tmp_path / "t")
    assert any("#" in key for key in versions(there)) == there.tables.postgres
    assert [state.values for state in history(packer(there))] == [state.values for state in history(packer(here))]
    export_thread(there, "t", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "t").read_bytes()
    packer(there).invoke({"items": ["b"], "count": 5}, at("t"))
    assert packer(there).get_state(at("t")).values["count"] == 6
