"""Which threads are exported at once: those of a task, and those that somebody prefers over one another."""

from pathlib import Path

from langchain_core.messages import HumanMessage
from letter_world import graph_of, ids, letter_tokenizer, spoken, write_thread
from threadmill.checkpoints.labels import Label, add_labels
from threadmill.checkpoints.reading import checkpoint_tree, latest_checkpoint, read_messages
from threadmill.checkpoints.store import open_store
from threadmill.checkpoints.where import Head
from threadmill.training.dataset import read_rows
from threadmill.training.export import export_pairs
from threadmill.training.export.units import in_units

HEADS = [
    (db, Head(thread, "shop", task, "leaf"))
    for thread, task, db in [("e", None, 0), ("d", "y", 0), ("c", "y", 1), ("b", "x", 0), ("a", None, 0), ("b", "z", 1)]
]


def units(**wanted):
    """The threads in order, a bar between two units."""
    told, last = [], None
    for unit, _, head in in_units(HEADS, **wanted):
        told += ["|"] if last not in (None, unit) else []
        told.append(head.thread)
        last = unit
    return " ".join(told)


def test_threads_come_in_the_order_of_task_database_and_id():
    assert units(together=False) == "a | e | b | d | c | b"
    assert units(together=True) == "a | e | b | d c | b"


def test_a_link_puts_whole_tasks_together_behind_the_first_of_their_threads():
    assert units(together=True, links=[("c", "e")]) == "a | e d c | b | b"
    assert units(together=True, links=[("c", "e"), ("a", "c"), ("a", "a")]) == "a e d c | b | b"
    assert units(together=True, links=[("b", "gone"), ("gone", "e")]) == "a | e | b | d c | b"
    assert units(together=False, links=[("c", "e")]) == "a | e | b | d | c | b"


def test_a_thread_of_two_databases_is_linked_in_both():
    assert units(together=True, links=[("a", "b")]) == "a b b | e | d c"


def test_a_thread_is_preferred_over_one_of_another_task(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        for thread, answer, task in [("t0", "yes", "x"), ("t1", "no", None), ("t2", "so", None), ("t3", "well", "y")]:
            asked = [HumanMessage("q", id=f"{thread}-0"), spoken(f"{thread}-1", "q", answer)]
            write_thread(store, thread, asked, task=task)
        labels = [("t3", "over t1"), ("t1", "over t0"), ("t2", "over gone")]
        add_labels(store, [Label(thread, None, None, "preference", over, "ann") for thread, over in labels])
        manifest = export_pairs(store, tmp_path / "pairs", tokenizer=letter_tokenizer())
    assert [row["threads"] for row in read_rows(tmp_path / "pairs")[0]] == [["t1", "t0"], ["t3", "t1"]]
    assert manifest["by_source"] == {"preference": 2}
    assert manifest["left_out"] == {"preference: the other thread is not exported": 1}


def test_a_branch_is_preferred_over_another_by_a_checkpoint_on_its_way(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        write_thread(store, "t", [HumanMessage("q", id="h"), spoken("a", "q", "yes")])
        asked = next(node.checkpoint for node in checkpoint_tree(store, "t") if len(messages_at(store, node)) == 1)
        old = latest_checkpoint(store, "t")
        place = {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": asked}}
        graph = graph_of(store)
        forked = graph.update_state(place, {"messages": [spoken("b", "q", "no")]}, as_node="say")
        graph.update_state(forked, {"messages": [HumanMessage("thanks")]}, as_node="say")
        inner = forked["configurable"]["checkpoint_id"]
        add_labels(store, [Label("t", inner, None, "preference", f"over t@{old}", "ann")])
        export_pairs(store, tmp_path / "pairs", tokenizer=letter_tokenizer())
    (row,) = read_rows(tmp_path / "pairs")[0]
    assert (row["source"], row["chosen_ids"], row["rejected_ids"]) == ("preference", [*ids("no")], [*ids("yes")])
    assert row["checkpoints"][1] == old
    assert row["checkpoints"][0] not in (inner, old)


def messages_at(store, node):
    return read_messages(store, "t", node.checkpoint)
