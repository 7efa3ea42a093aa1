"""The store: threads, labels and registry in one SQLite file."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel
from threadmill.checkpoints.labels import Label, add_label, add_labels, labels_of
from threadmill.checkpoints.reading import (
    checkpoint_tree,
    latest_checkpoint,
    leaf_checkpoints,
    read_messages,
    read_questions,
)
from threadmill.checkpoints.registry import (
    aliases_of,
    history,
    lineage,
    list_versions,
    promote,
    register_version,
    resolve,
    rollback,
)
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.errors import BadDatabase, BadModelFolder, UnknownSlot, UnknownThread, UnknownType, UnknownVersion
from threadmill.graphs import answer_thread, build_react, run_thread
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot

SLOT = "shop.think"


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


def agent_of(store: Store, *replies: AIMessage) -> Any:
    slot = Slot.fixed(SLOT, ScriptedModel(list(replies)), f"{SLOT}@0001")
    graph = build_react(slot, [pay], ask=lambda name, args: "money" if args["amount"] > 9 else None, name="shop")
    return graph.compile(checkpointer=store.saver, name="shop")


class Stranger(BaseModel):
    """A type that no thread of ours holds."""

    number: int


def paying(amount: int) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": amount}, "id": "c1"}])


def make_folder(folder: Path, weights: bytes = b"weights") -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    return folder


def test_the_list_says_how_threads_stand(store: Store) -> None:
    run_thread(agent_of(store, paying(5), AIMessage("Done.")), "a", "Pay 5.", metadata={"task": "t1"})
    run_thread(agent_of(store, paying(50)), "b", "Pay 50.")
    with pytest.raises(Exception, match=r"."):
        run_thread(agent_of(store), "c", "Say nothing.")  # the script is empty: the model fails
    add_label(store, Label("a", None, None, "success", 1.0, "test"))
    threads = {thread.thread: thread for thread in list_threads(store)}
    assert {name: thread.status for name, thread in threads.items()} == {"a": "done", "b": "paused", "c": "failed"}
    assert {name: thread.turns for name, thread in threads.items()} == {"a": 2, "b": 1, "c": 0}
    assert threads["a"].versions == (f"{SLOT}@0001",)
    assert (threads["a"].agent, threads["a"].task) == ("shop", "t1")
    assert [label.value for label in threads["a"].labels] == [1.0]
    assert [thread.thread for thread in list_threads(store, task="t1")] == ["a"]
    assert [thread.thread for thread in list_threads(store, status="paused")] == ["b"]
    assert [thread.thread for thread in list_threads(store, limit=1, offset=1)] == ["b"]


def test_questions_are_read_without_the_graph(store: Store) -> None:
    agent = agent_of(store, paying(50), AIMessage("Paid."))
    run_thread(agent, "b", "Pay 50.")
    (question,) = read_questions(store, "b")
    assert (question["tool"], question["args"], question["why"]) == ("pay", {"amount": 50}, "money")
    answer_thread(agent, "b", [{"id": question["id"], "type": "approve"}])
    assert read_questions(store, "b") == []
    assert [message.text for message in read_messages(store, "b")] == ["Pay 50.", "", "paid 50", "Paid."]


def test_messages_are_what_langgraph_says_at_every_checkpoint_and_branch(store: Store) -> None:
    agent = agent_of(store, paying(5), AIMessage("Done."), AIMessage("Again."))
    run_thread(agent, "a", "Pay 5.")
    run_thread(agent, "a", "And?")
    old = list(agent.get_state_history({"configurable": {"thread_id": "a"}}))[4]
    agent.update_state(old.config, {"messages": [HumanMessage("Otherwise.")]}, as_node="observe")
    assert len(leaf_checkpoints(store, "a")) == 2
    for node in checkpoint_tree(store, "a"):
        config = {"configurable": {"thread_id": "a", "checkpoint_id": node.checkpoint}}
        expected = agent.get_state(config).values.get("messages", [])
        assert [m.id for m in read_messages(store, "a", node.checkpoint)] == [m.id for m in expected]


def test_a_thread_is_read_while_its_checkpoints_are_listed(store: Store) -> None:
    run_thread(agent_of(store, AIMessage("Hello.")), "t", "Hi.")
    place: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    newest = [one.checkpoint["id"] for one in store.saver.list(place)]
    seen = [(one.checkpoint["id"], len(read_messages(store, "t"))) for one in store.saver.list(place)]
    assert seen == [(checkpoint, 2) for checkpoint in newest]
    assert len(seen) == 4


def test_many_threads_write_at_once_and_nothing_is_lost(store: Store) -> None:
    def converse(number: int) -> str:
        agent = agent_of(store, paying(1), AIMessage("a"), paying(2), AIMessage("b"))
        run_thread(agent, f"t{number}", "One.")
        add_label(store, Label(f"t{number}", None, None, "reward", number / 64, "test"))
        return run_thread(agent, f"t{number}", "Two.").status

    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(converse, range(64))) == ["done"] * 64
    for thread in list_threads(store):
        texts = [message.text for message in read_messages(store, thread.thread)]
        assert texts == ["One.", "", "paid 1", "a", "Two.", "", "paid 2", "b"]
    assert sum(len(labels) for labels in labels_of(store).values()) == 64


def test_a_type_that_is_not_on_the_allow_list_is_not_built(store: Store) -> None:
    kind, content = store.saver.serde.dumps_typed({"value": Stranger(number=3)})
    with pytest.raises(UnknownType, match=r"holds a tests\.test_store\.Stranger, which is not on the allow-list"):
        store.saver.serde.loads_typed((kind, content))
    assert store.serde.loads_typed((kind, content)) == {"value": {"number": 3}}


def test_labels_are_added_all_or_none(store: Store) -> None:
    good = Label("a", None, None, "reward", 0.5, "test")
    with pytest.raises(ValueError, match="'mood' is no kind of label"):
        add_labels(store, [good, Label("a", None, None, "mood", 1.0, "test")])  # type: ignore[arg-type]
    assert labels_of(store) == {}
    add_labels(store, [good, Label("a", "cp", "m", "feedback", "too long", "eva")])
    assert labels_of(store, ["a", "b"]) == {"a": [good, Label("a", "cp", "m", "feedback", "too long", "eva")]}


def test_promote_and_rollback_move_live_and_keep_the_history(store: Store, tmp_path: Path) -> None:
    first = register_version(store, SLOT, make_folder(tmp_path / "one"), lineage={"seed": 1})
    second = register_version(store, SLOT, make_folder(tmp_path / "two", b"other"), lineage={}, base=first.name)
    assert (first.name, second.name) == (f"{SLOT}@0001", f"{SLOT}@0002")
    assert first.digest != second.digest
    promote(store, SLOT, first.name, because="first")
    promote(store, SLOT, "0002", because="better")
    assert aliases_of(store, SLOT) == {"live": second.name, "previous": first.name}
    assert rollback(store, SLOT, because="complaints").name == first.name
    assert resolve(store, f"{SLOT}@live") == first
    assert [(m.action, m.from_version, m.to_version, m.because) for m in history(store, SLOT)] == [
        ("promote", None, first.name, "first"),
        ("promote", first.name, second.name, "better"),
        ("rollback", second.name, first.name, "complaints"),
    ]
    assert [version.name for version in lineage(store, second.name)] == [second.name, first.name]
    assert list_versions(store, SLOT) == [first, second]


def test_unknown_names_say_what_there_is(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UnknownSlot, match=r"no slot 'shop.think' is registered; there is none yet"):
        resolve(store, f"{SLOT}@live")
    register_version(store, SLOT, make_folder(tmp_path / "one"), lineage={})
    with pytest.raises(UnknownVersion, match="has no version or alias '0007'; there is 0001"):
        resolve(store, f"{SLOT}@0007")
    with pytest.raises(UnknownVersion, match="'previous'"):
        rollback(store, SLOT, because="x")
    with pytest.raises(UnknownThread, match=r"thread 'x7' has no checkpoints in .*; try `threadmill threads list`"):
        latest_checkpoint(store, "x7")
    with pytest.raises(BadModelFolder, match="holds no"):
        register_version(store, SLOT, tmp_path / "nothing", lineage={})


def test_changed_weights_are_noticed(store: Store, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "one")
    register_version(store, SLOT, folder, lineage={})
    (folder / "model.safetensors").write_bytes(b"other")
    with pytest.raises(BadModelFolder, match="are not those that were registered"):
        resolve(store, f"{SLOT}@0001", verify=True)


def test_bad_databases_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to have a header of its own" * 20)
    for url, complaint in {
        f"sqlite:///{tmp_path / 'none.db'}": "does not exist",
        f"sqlite:///{tmp_path / 'text.db'}": "cannot be opened as an SQLite database",
        f"sqlite:///{tmp_path}": "is a folder",
        f"sqlite:///{tmp_path / 'no' / 'runs.db'}": "the folder of",
        "postgresql://u:secret@localhost:1/db": "cannot be opened as a PostgreSQL database: .*efused",
        "runs.db": "is no database URL",
    }.items():
        with pytest.raises(BadDatabase, match=complaint) as raised:
            open_store(url, create=False)
        assert "secret" not in str(raised.value)


def test_metadata_carries_the_versions_of_the_run(store: Store) -> None:
    run_thread(agent_of(store, AIMessage("Hi.")), "a", "Hello.")
    noted = [node.metadata.get("versions") for node in checkpoint_tree(store, "a")]
    assert noted[-1] == {SLOT: f"{SLOT}@0001"}
