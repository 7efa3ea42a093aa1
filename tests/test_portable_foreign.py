"""Threads that plain LangGraph agents wrote, as files: the same in every database, whatever they hold."""

from pathlib import Path

import pytest
from foreign_agents import Customer, Mood, Ticket, write_all
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.sqlite import SqliteSaver
from teller_agent import at
from threadmill.checkpoints.portable import export_thread, import_thread
from threadmill.checkpoints.store import open_store
from threadmill.errors import UnknownType


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def foreign(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str]]:
    """A database that plain LangGraph agents wrote, and its threads."""
    if request.param == "sqlite":
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
