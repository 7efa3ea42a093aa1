"""One thread as one file: it comes out of any database and into any other exactly, or not at all."""

import doctest
import gzip
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from foreign_agents import Customer, Mood, Ticket, write_all
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from sqlalchemy import event, select, text
from threadmill.checkpoints import typed
from threadmill.checkpoints.copies import snapshot
from threadmill.checkpoints.labels import Label, add_label, add_labels, labels_of
from threadmill.checkpoints.portable import export_thread, import_thread
from threadmill.checkpoints.prune import keep_only
from threadmill.checkpoints.reading import checkpoint_tree, leaf_checkpoints, read_messages, read_questions
from threadmill.checkpoints.records import read_records
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import BadImport, BadKey, ReadOnly, StoreFull, ThreadBusy, UnknownThread, UnknownType
from threadmill.graphs import answer_thread, build_react, continue_thread, run_thread
from threadmill.graphs.travel import fork_thread
from threadmill.nodes import ScriptedModel, Slot

SQLITE, POSTGRES = "sqlite", "postgresql"


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


def teller(messages: list[BaseMessage]) -> AIMessage:
    """Pays when asked to, fails when told to, and repeats the rest."""
    last = messages[-1]
    if isinstance(last, ToolMessage):
        return AIMessage(f"Done: {last.text}")
    if "fail" in last.text:
        raise RuntimeError("the model failed")
    if "pay" not in last.text:
        return AIMessage(f"You said: {last.text}")
    amount = int(last.text.split()[-1])
    return AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": amount}, "id": f"pay-{amount}"}])


def bank(store: Store) -> Any:
    slot = Slot.fixed("bank.think", ScriptedModel(teller), "bank.think@0001")
    graph = build_react(slot, [pay], name="bank", ask=lambda name, args: "it is much" if args["amount"] > 9 else None)
    return graph.compile(checkpointer=store.saver)


def at(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread}}


def history(graph: Any, thread: str = "t") -> list[Any]:
    return list(graph.get_state_history(at(thread)))


def said(store: Store, thread: str = "t", checkpoint: str | None = None) -> list[str]:
    return [message.text for message in read_messages(store, thread, checkpoint)]


def rows(store: Store) -> int:
    """How much the database holds of any thread."""
    tables = [*(table.name for table in store.tables.all), "labels"]
    return sum(store.tables.read(text(f"SELECT count(*) FROM {name}"))[0][0] for name in tables)


def versions(store: Store) -> set[str]:
    """The versions under which PostgreSQL keeps values."""
    return (
        {version for (version,) in store.tables.read(select(store.tables.blobs.c.version))}
        if store.tables.blobs is not None
        else set()
    )


@pytest.fixture(params=[(SQLITE, POSTGRES), (POSTGRES, SQLITE)], ids=" to ".join)
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """A database that a thread comes from, and one of the other kind where it goes."""
    urls = {SQLITE: f"sqlite:///{tmp_path / 'runs.db'}", POSTGRES: request.getfixturevalue("postgres_url")}
    here, there = request.param
    with open_store(urls[here]) as one, open_store(urls[there]) as other:
        yield one, other


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


def test_a_thread_with_a_question_a_fork_and_labels_is_the_same_there(stores: tuple[Store, Store], tmp_path: Path):
    here, there = stores
    graph, same = bank(here), bank(there)
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
    graph, same = bank(here), bank(there)
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
            run_thread(bank(there), "t", f"Please pay {turn}")
        run_thread(bank(there), "t", "Please pay 300")
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
    graph, same = bank(here), bank(there)
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
        run_thread(bank(here), "t", "Please fail.")
    export_thread(here, "t", tmp_path / "t")
    import_thread(there, tmp_path / "t")
    assert "the model failed" in history(bank(there))[0].tasks[0].error
    with pytest.raises(RuntimeError, match="the model failed"):
        continue_thread(bank(there), "t")


@pytest.fixture(scope="module", params=[SQLITE, POSTGRES])
def foreign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """A database that plain LangGraph agents wrote, and its threads."""
    if request.param == SQLITE:
        file = tmp_path_factory.mktemp("foreign") / "foreign.db"
        with SqliteSaver.from_conn_string(str(file)) as saver:
            return f"sqlite:///{file}", write_all(saver)
    url = request.getfixturevalue("postgres_server")
    with PostgresSaver.from_conn_string(url) as saver:
        saver.setup()
        saver.conn.execute("TRUNCATE checkpoints, checkpoint_blobs, checkpoint_writes")
        return url, write_all(saver)


def test_other_people_s_threads_are_the_same_in_every_database(
    foreign: tuple[str, list[str]], url: str, tmp_path: Path
) -> None:
    theirs, threads = foreign
    with open_store(theirs, read_only=True) as here, open_store(url) as there:
        for thread in threads:
            written = export_thread(here, thread, tmp_path / "t")
            import_thread(there, tmp_path / "t")
            assert export_thread(there, thread, tmp_path / "again") == written
            everything = {"configurable": {"thread_id": thread}}
            assert list(there.reader.list(everything)) == list(here.reader.list(everything))
        assert len(threads) > 25


def test_objects_of_types_that_are_not_allowed_come_through_whole_and_are_never_made(
    foreign: tuple[str, list[str]], url: str, tmp_path: Path
) -> None:
    with open_store(foreign[0], read_only=True) as here, open_store(url) as there:
        export_thread(here, "own-types", tmp_path / "t")
        import_thread(there, tmp_path / "t")
        with pytest.raises(UnknownType, match=r"foreign_agents\.\w+, which is not on the allow-list"):
            there.saver.get_tuple(at("own-types"))
    with open_store(url, allow=[Customer, Ticket, Mood]) as there:
        found = there.saver.get_tuple(at("own-types"))
    assert found is not None
    values = found.checkpoint["channel_values"]
    assert values["customer"] == Customer("Ann", ["O1"])
    assert values["ticket"] == Ticket(title="broken parcel", urgent=True)
    assert (values["mood"], values["seen"]) == (Mood.BAD, {"O1", "O2"})


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


NUMBERS = [0, 1, 1.0, -7, 2**100, 1e16, -1.5e300, 5e-324, 1e-7, 0.1, 123456789012345678, True, False, None]


def test_numbers_in_metadata_and_state_stay_what_they_are(stores: tuple[Store, Store], tmp_path: Path):
    class Sums(TypedDict):
        whole: int
        half: float
        name: str | None
        odd: float
        raw: bytes

    def graph_of(store: Store) -> Any:
        graph = StateGraph(Sums)
        graph.add_node("add", lambda state: {"half": state["half"] * 2, "odd": float("inf"), "raw": b"\0\xff"})
        graph.add_edge(START, "add")
        return graph.compile(checkpointer=store.saver)

    here, there = stores
    noted = {f"n{place}": number for place, number in enumerate(NUMBERS) if here.tables.postgres is False}
    begun = {"whole": 2**63, "half": 0.5e16, "name": None}
    graph_of(here).invoke(begun, {**at("t"), "metadata": noted})
    export_thread(here, "t", tmp_path / "t")
    import_thread(there, tmp_path / "t")
    moved, kept = history(graph_of(there)), history(graph_of(here))
    assert repr([state.values for state in moved]) == repr([state.values for state in kept])
    assert repr(sorted(moved[0].metadata.items())) == repr(sorted(kept[0].metadata.items()))
    export_thread(there, "t", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "t").read_bytes()


def write_file(file: Path, *records: dict[str, Any], thread: str = "t") -> None:
    """A thread file of one's own, with a true last line."""
    header = {"format": "threadmill.thread", "thread": thread, "version": 1}
    lines = [json.dumps(one, sort_keys=True, separators=(",", ":")).encode() + b"\n" for one in (header, *records)]
    counts = {f"{kind}s": sum(one["record"] == kind for one in records) for kind in ("checkpoint", "write", "label")}
    end = {"record": "end", **counts, "sha256": sha256(b"".join(lines)).hexdigest()}
    file.write_bytes(b"".join(lines) + json.dumps(end, sort_keys=True, separators=(",", ":")).encode() + b"\n")


def a_checkpoint(metadata: Any, values: dict[str, Any] | None = None, id_: str = "c1") -> dict[str, Any]:
    fields = {"v": 4, "ts": "", "id": id_, "channel_versions": dict.fromkeys(values or {}, "1.0"), "versions_seen": {}}
    place = {"record": "checkpoint", "namespace": "", "id": id_, "parent": None}
    return {**place, "checkpoint": fields, "values": values or {}, "metadata": metadata}


def a_write(task: str) -> dict[str, Any]:
    place = {"namespace": "", "checkpoint": "c1", "task": task, "path": "", "index": 0}
    return {"record": "write", **place, "channel": "x", "value": ["null", ""]}


def a_label(value: Any) -> dict[str, Any]:
    about = {"checkpoint": None, "message": None, "source": "ann", "created_at": "2026-11-21T08:30:00.000+00:00"}
    return {"record": "label", "kind": "feedback", "value": value, **about}


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, postgres_server: str) -> Iterator[tuple[Path, list[Store]]]:
    """A folder, and a database of each kind that serves all examples."""
    folder = tmp_path_factory.mktemp("random")
    with open_store(f"sqlite:///{folder}/runs.db") as sqlite, open_store(postgres_server) as postgres:
        yield folder, [sqlite, postgres]


letters = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0)
labels = st.integers(-(2**63), 2**63 - 1) | st.floats(0.1, 0.9) | st.sampled_from([1e19, 0.5e-9, True, None]) | letters
plain = st.recursive(
    st.none() | st.booleans() | numbers | letters,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(letters, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(metadata=st.dictionaries(letters, plain, max_size=3), label=labels, thread=letters, channel=letters, value=plain)
def test_any_text_and_number_comes_back_in_the_same_bytes(
    both: tuple[Path, list[Store]], metadata: dict[str, Any], label: Any, thread: str, channel: str, value: Any
) -> None:
    folder, stores = both
    content = typed.as_json(typed.typed(value))
    checkpoint = a_checkpoint(metadata, {channel: content})
    write_file(folder / "t", checkpoint, a_label(label), thread=thread)
    for store in stores:
        if content[0] == "json" and not store.tables.postgres:
            continue  # a number of more than 64 bits
        import_thread(store, folder / "t")
        try:
            export_thread(store, thread, folder / "again")
        finally:
            store.saver.delete_thread(thread)
            with store.engine.begin() as connection:
                connection.execute(text("DELETE FROM labels"))
        assert (folder / "again").read_bytes() == (folder / "t").read_bytes()


UNFIT = {
    "nan": (a_checkpoint({"score": float("nan")}), "line 3 of .* cannot be kept in .*: PostgreSQL's JSON has no nan"),
    "infinity": (a_checkpoint({"deep": [{"x": float("-inf")}]}), "PostgreSQL's JSON has no -inf"),
    "nul": (a_checkpoint({"name": "a\0b"}), r"PostgreSQL's JSON cannot hold the text 'a\\x00b'"),
    "label": (a_label(float("nan")), "cannot be kept in .*: Out of range float values are not JSON compliant"),
    "id": (a_checkpoint({}, id_="c\0"), r"PostgreSQL's JSON cannot hold the text 'c\\x00'"),
    "task": (a_write("t\0"), r"cannot be kept in .*: PostgreSQL text fields cannot contain NUL"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_what_postgresql_cannot_hold_is_refused_there_and_kept_in_sqlite(
    name: str, tmp_path: Path, postgres_url: str
) -> None:
    record, reason = UNFIT[name]
    first = [a_checkpoint({}, id_=f"a{number:03}") for number in range(200)] if name == "label" else []
    write_file(tmp_path / "t", *first, a_checkpoint({}, id_="b"), record)
    with open_store(postgres_url) as store:
        with pytest.raises(BadImport, match=reason) as refused:
            import_thread(store, tmp_path / "t")
        assert str(refused.value).endswith("; nothing was imported")
        assert rows(store) == 0
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        import_thread(store, tmp_path / "t")
        export_thread(store, "t", tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == (tmp_path / "t").read_bytes()


def small_file(store: Store, file: Path) -> bytes:
    run_thread(bank(store), "t", "Please pay 30")
    add_label(store, Label("t", None, None, "success", 1.0, "ann"))
    export_thread(store, "t", file)
    return file.read_bytes()


def test_a_damaged_file_is_refused_and_nothing_is_written(store: Store, tmp_path: Path):
    file = tmp_path / "t"
    whole = small_file(store, file)
    before = rows(store)
    lines = whole.splitlines(keepends=True)
    damaged = [b"".join(lines[:number] + lines[number + 1 :]) for number in range(len(lines))]
    damaged += [whole[: len(whole) * part // 20] for part in range(20)]
    damaged += [
        whole[:-1],
        whole + b"\n",
        whole + lines[-1],
        whole + whole,
        lines[0],
        b"\n",
        b"\xff\xfe",
        b"[]\n",
        b"1",
    ]
    damaged += [b"".join([lines[0], lines[2], lines[1], *lines[3:]])]
    step = max(1, len(whole) // 300)
    places = {*range(0, len(whole), step), *range(len(lines[0])), *range(len(whole) - len(lines[-1]), len(whole))}
    damaged += [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :] for place in sorted(places)]
    for content in damaged:
        file.write_bytes(content)
        with pytest.raises(BadImport):
            import_thread(store, file, thread="new")
    assert rows(store) == before
    file.write_bytes(whole)
    import_thread(store, file, thread="new")
    assert rows(store) == 2 * before


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: lines[:-1], "is damaged or cut off: it does not fit its last line; nothing was imported"),
        (lambda lines: [b'{"a": 1}\n'], "is no thread file: .* `threadmill threads import`"),
        (lambda lines: [], "is no thread file"),
        (lambda lines: [lines[0].replace(b":1}", b":2}"), *lines[1:]], "of version 2, and this Threadmill reads 1"),
    ],
)
def test_a_refused_file_is_told_why(store: Store, tmp_path: Path, change: Any, says: str):
    small_file(store, tmp_path / "t")
    lines = (tmp_path / "t").read_bytes().splitlines(keepends=True)
    (tmp_path / "t").write_bytes(b"".join(change(lines)))
    with pytest.raises(BadImport, match=says):
        import_thread(store, tmp_path / "t", thread="new")


BAD_RECORDS: list[tuple[Any, str]] = [
    ({"record": "spell"}, "no records of the kind 'spell'"),
    ({**a_checkpoint({}), "id": 7}, "id is 7 and not text"),
    ({key: one for key, one in a_checkpoint({}).items() if key != "values"}, "it lacks 'values'"),
    (a_checkpoint({}, {"x": ["msgpack", "!!"]}), "line 2"),
    (a_checkpoint({}, {"x": ["msgpack", "wQ=="]}), "line 2"),
    (a_checkpoint({}, {"x": ["msgpack+aes", "wA=="]}), "'msgpack\\+aes' is no kind of value"),
    (a_checkpoint({}, {"x": "abc"}), "line 2"),
    ({**a_label(1), "kind": None}, "cannot be kept"),
]


@pytest.mark.parametrize(("record", "says"), BAD_RECORDS, ids=range(len(BAD_RECORDS)))
def test_a_file_that_somebody_else_made_up_is_refused(store: Store, tmp_path: Path, record: Any, says: str):
    write_file(tmp_path / "t", record)
    if record["record"] == "spell":  # the counts of the last line are as wrong, but the sum is right
        content = (tmp_path / "t").read_bytes().replace(b'"labels":0', b'"labels":1')
        (tmp_path / "t").write_bytes(content)
    with pytest.raises(BadImport, match=says):
        import_thread(store, tmp_path / "t")
    assert rows(store) == 0


def test_a_thread_that_exists_is_refused_another_id_is_taken(store: Store, tmp_path: Path):
    small_file(store, tmp_path / "t")
    before = rows(store)
    with pytest.raises(BadImport, match=r"there is a thread 't' in .* already; .* as in thread='new-id'"):
        import_thread(store, tmp_path / "t")
    assert rows(store) == before
    assert import_thread(store, tmp_path / "t", thread="it's 50% “new”").thread == "it's 50% “new”"
    assert said(store, "it's 50% “new”") == said(store)
    store.saver.delete_thread("t")
    with pytest.raises(BadImport, match="there is a thread 't'"):  # labels of it are left
        import_thread(store, tmp_path / "t")
    with store.leases.hold("new"), pytest.raises(ThreadBusy):
        import_thread(store, tmp_path / "t", thread="new")


def test_files_and_threads_that_are_not_there(store: Store, tmp_path: Path):
    with pytest.raises(UnknownThread, match=r"thread 'x7' has no checkpoints in .*; try `threadmill threads list`"):
        export_thread(store, "x7", tmp_path / "new" / "x7.jsonl")
    assert not (tmp_path / "new").exists()
    with pytest.raises(BadImport, match=r"x7.jsonl cannot be read: .* No such file"):
        import_thread(store, tmp_path / "x7.jsonl")
    with pytest.raises(BadImport, match="cannot be read"):
        import_thread(store, tmp_path)


def test_a_database_that_is_only_read_gives_threads_but_takes_none(url: str, tmp_path: Path):
    with open_store(url) as store:
        whole = small_file(store, tmp_path / "t")
    with open_store(url, read_only=True) as store:
        export_thread(store, "t", tmp_path / "deep" / "er" / "t")
        assert (tmp_path / "deep" / "er" / "t").read_bytes() == whole
        with pytest.raises(ReadOnly):
            import_thread(store, tmp_path / "t", thread="new")


def test_a_name_that_ends_in_gz_is_compressed_and_any_name_is_read(store: Store, tmp_path: Path):
    whole = small_file(store, tmp_path / "t")
    written = export_thread(store, "t", tmp_path / "t.jsonl.gz")
    packed = (tmp_path / "t.jsonl.gz").read_bytes()
    assert gzip.decompress(packed) == whole
    assert written.size_bytes == len(packed) < len(whole)
    assert written.digest == sha256(b"".join(whole.splitlines(keepends=True)[:-1])).hexdigest()
    (tmp_path / "renamed").write_bytes(packed)
    (tmp_path / "t").rename(tmp_path / "plain.gz")
    for name in ("renamed", "plain.gz"):
        assert import_thread(store, tmp_path / name, thread=name).checkpoints == written.checkpoints
    for end in range(0, len(packed), len(packed) // 20):
        (tmp_path / "renamed").write_bytes(packed[:end])
        with pytest.raises(BadImport):
            import_thread(store, tmp_path / "renamed", thread="new")


def test_an_encrypted_thread_is_readable_in_the_file_and_encrypted_again_where_there_is_a_key(
    stores: tuple[Store, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (store.url for store in stores)
    monkeypatch.setenv("THREADMILL_KEY", "ab" * 32)
    with open_store(here) as store:
        run_thread(bank(store), "t", "A secret: pay 30")
        expected = history(bank(store))
        whole = export_thread(store, "t", tmp_path / "t")
    (tmp_path / "there").mkdir()
    monkeypatch.setenv("THREADMILL_KEY", "cd" * 32)
    with open_store(there) as store:
        import_thread(store, tmp_path / "t")
        assert history(bank(store)) == expected
        assert export_thread(store, "t", tmp_path / "again") == whole
        kinds = {kind for table in store.tables.all for (kind,) in store.tables.read(select(table.c.type))} - {None}
        assert all(kind.endswith("+aes") for kind in kinds)
        assert store.saver.get_tuple(at("t")) is not None
    monkeypatch.delenv("THREADMILL_KEY")
    with open_store(there) as store:
        with pytest.raises(BadKey, match="set THREADMILL_KEY to the key"):
            export_thread(store, "t", tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == (tmp_path / "t").read_bytes()
        import_thread(store, tmp_path / "t", thread="open")
        assert said(store, "open") == ["A secret: pay 30", ""]
        (question,) = read_questions(store, "open")
        answer_thread(bank(store), "open", [{"id": question["id"], "type": "approve"}])
    assert {file.name for file in tmp_path.iterdir()} <= {
        "t",
        "again",
        "there",
        "runs.db",
        "runs.db-wal",
        "runs.db-shm",
    }


def test_a_thread_is_exported_as_it_is_at_one_moment_though_it_runs(store: Store, tmp_path: Path):
    graph = bank(store)
    run_thread(graph, "t", "Please pay 1")
    with snapshot(store) as connection:
        before = list(read_records(store, connection, "t"))
    with snapshot(store) as connection:
        records = read_records(store, connection, "t")
        seen = [next(records)]
        run_thread(graph, "t", "Please pay 2")
        add_label(store, Label("t", None, None, "success", 1.0, "ann"))
        assert [*seen, *records] == before


def test_a_full_disk_takes_nothing(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/here.db") as store:
        for _ in range(10):
            run_thread(bank(store), "t", "Please pay 5")
        export_thread(store, "t", tmp_path / "t")
    with open_store(f"sqlite:///{tmp_path}/there.db") as store:
        event.listen(store.engine, "connect", lambda connection, record: connection.execute("PRAGMA max_page_count=40"))
        store.engine.dispose()
        with pytest.raises(StoreFull, match=r"no room for .*; nothing was imported"):
            import_thread(store, tmp_path / "t")
        assert rows(store) == 0


def test_examples_run():
    outcome = doctest.testmod(typed)
    assert (outcome.attempted, outcome.failed) == (2, 0)


def test_messages_of_people_survive_in_every_script(stores: tuple[Store, Store], tmp_path: Path):
    here, there = stores
    bank(here).update_state(at("ü/ß 'x' \"y\""), {"messages": [HumanMessage("Grüße 🙂 \u2028 \u0000 end", id="m")]})
    export_thread(here, "ü/ß 'x' \"y\"", tmp_path / "t")
    import_thread(there, tmp_path / "t")
    assert said(there, "ü/ß 'x' \"y\"") == ["Grüße 🙂 \u2028 \u0000 end"]
