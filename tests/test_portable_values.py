"""What thread files can hold: every text and number as it is, unless the database that takes it cannot."""

import doctest
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langgraph.graph import START, StateGraph
from sqlalchemy import text
from teller_agent import at, history, said, teller_bank
from thread_files import a_checkpoint, a_label, a_write, rows, write_file
from threadmill.checkpoints import typed
from threadmill.checkpoints.portable import export_thread, import_thread
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import BadImport

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


def test_messages_of_people_survive_in_every_script(stores: tuple[Store, Store], tmp_path: Path):
    here, there = stores
    messages = [HumanMessage("Grüße 🙂 \u2028 \u0000 end", id="m")]
    teller_bank(here).update_state(at("ü/ß 'x' \"y\""), {"messages": messages})
    export_thread(here, "ü/ß 'x' \"y\"", tmp_path / "t")
    import_thread(there, tmp_path / "t")
    assert said(there, "ü/ß 'x' \"y\"") == ["Grüße 🙂 \u2028 \u0000 end"]


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


def test_examples_run():
    outcome = doctest.testmod(typed)
    assert (outcome.attempted, outcome.failed) == (2, 0)
