"""Our own tables: made and upgraded by Alembic, whatever was there before and however many open at once."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import warm
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Engine, ForeignKey, NullPool, UniqueConstraint, create_engine, inspect, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from threadmill.checkpoints import migrations
from threadmill.checkpoints.labels import Label, add_label, labels_of
from threadmill.checkpoints.migrations import HEAD, TABLE, revision, upgrade
from threadmill.checkpoints.registry import aliases_of, history, list_versions
from threadmill.checkpoints.runs import list_runs
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.tables import Base
from threadmill.errors import BadDatabase


class Old(DeclarativeBase):
    """The tables as they were before there were migrations."""


class LabelRow(Old):
    __tablename__ = "labels"
    id: Mapped[int] = mapped_column(primary_key=True)
    thread: Mapped[str] = mapped_column(index=True)
    checkpoint: Mapped[str | None]
    message: Mapped[str | None]
    kind: Mapped[str]
    value: Mapped[Any] = mapped_column(JSON)
    source: Mapped[str]
    created_at: Mapped[str]


class VersionRow(Old):
    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("slot", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(index=True)
    number: Mapped[int]
    folder: Mapped[str]
    digest: Mapped[str]
    size_bytes: Mapped[int]
    base: Mapped[str | None]
    lineage: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[str]


class AliasRow(Old):
    __tablename__ = "aliases"
    slot: Mapped[str] = mapped_column(primary_key=True)
    alias: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id"))


class MoveRow(Old):
    __tablename__ = "alias_history"
    id: Mapped[int] = mapped_column(primary_key=True)
    slot: Mapped[str] = mapped_column(index=True)
    action: Mapped[str]
    from_number: Mapped[int | None]
    to_number: Mapped[int]
    because: Mapped[str]
    created_at: Mapped[str]


def differences(store: Store) -> list[Any]:
    """What Alembic would change to make the tables those of the models."""
    ours = {*Base.metadata.tables}

    def is_ours(thing: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:
        return name in ours if kind == "table" else True

    with store.engine.connect() as connection:
        options = {"include_object": is_ours, "compare_type": True, "compare_server_default": True}
        found = compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata)
    return [change for changes in found for change in (changes if isinstance(changes, list) else [changes])]


def engine_of(url: str) -> Engine:
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"), poolclass=NullPool)


def test_the_tables_of_before_the_migrations_are_upgraded_with_their_rows(url: str):
    engine = engine_of(url)
    Old.metadata.create_all(engine)
    at = "2026-11-20T08:00:00.000+00:00"
    with Session(engine) as session, session.begin():
        session.add(LabelRow(thread="t", kind="reward", value=0.5, source="check", created_at=at))
        session.add(LabelRow(thread="t", message="m", kind="feedback", value="long", source="eva", created_at=at))
        folder = {"folder": "models/1", "digest": "d1", "size_bytes": 17}
        runs = [{"recipe": "sft", "steps": 9, "seed": 1, "data": {"digest": "rows"}, "epochs": 2}]
        lineage = {"runs": runs, "libraries": {"trl": "1"}}
        first = VersionRow(slot="s.think", number=1, **folder, lineage=lineage, created_at=at)
        session.add(first)
        session.flush()
        session.add(AliasRow(slot="s.think", alias="live", version_id=first.id))
        session.add(MoveRow(slot="s.think", action="promote", to_number=1, because="first", created_at=at))
    for _ in range(2):
        with open_store(url) as store:
            assert labels_of(store)["t"][:2] == [
                Label("t", None, None, "reward", 0.5, "check"),
                Label("t", None, "m", "feedback", "long", "eva"),
            ]
            (version,) = list_versions(store, "s.think")
            assert (version.name, version.digest, version.lineage) == ("s.think@0001", "d1", lineage)
            (run,) = list_runs(store)
            assert (run.version, run.recipe, run.data, run.steps, run.seed) == ("s.think@0001", "sft", "rows", 9, 1)
            assert (run.settings["epochs"], run.libraries) == (2, {"trl": "1"})
            assert aliases_of(store, "s.think") == {"live": "s.think@0001"}
            assert [(move.action, move.because) for move in history(store, "s.think")] == [("promote", "first")]
            add_label(store, Label("t", None, None, "success", 1.0, "check"))
            assert {*Base.metadata.tables} <= {*inspect(store.engine).get_table_names()}
    with open_store(url) as store:
        assert len(labels_of(store)["t"]) == 4
        with store.engine.connect() as connection:
            assert revision(connection) == HEAD


def test_the_models_say_what_the_migrations_make(url: str):
    with open_store(url) as store:
        assert differences(store) == []


def test_a_difference_would_be_seen(url: str):
    with open_store(url) as store:
        with store.engine.begin() as connection:
            connection.execute(text("ALTER TABLE labels ADD COLUMN colour TEXT"))
            connection.execute(text("DROP INDEX ix_labels_thread"))
        assert {difference[0] for difference in differences(store)} == {"remove_column", "add_index"}


def test_the_newest_script_is_the_head():
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    assert ScriptDirectory.from_config(config).get_heads() == [HEAD]


CROWD = """
import os, sys
from threadmill.checkpoints import migrations
from threadmill.checkpoints.labels import Label, add_label
from threadmill.checkpoints.store import open_store
import alembic.command, threadmill.checkpoints.postgres  # so that the children lose no time with it

go, start = os.pipe()
children = []
for number in range(8):
    if (child := os.fork()) == 0:
        os.close(start)
        os.read(go, 1)  # ends when the parent closes its end
        with open_store(sys.argv[1]) as store:
            add_label(store, Label(f"t{number}", None, None, "reward", 1.0, "test"))
        sys.stderr.flush()
        os._exit(0)
    children.append(child)
os.close(start)
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_eight_processes_open_a_new_database_at_once(url: str):
    done = warm.run(CROWD, url)
    assert (done.stdout, done.stderr) == ("[0, 0, 0, 0, 0, 0, 0, 0]\n", "")
    with open_store(url) as store:
        assert sorted(labels_of(store)) == [f"t{n}" for n in range(8)]
        assert differences(store) == []


def test_tables_of_a_newer_threadmill_are_refused_and_stay_as_they_are(url: str):
    with open_store(url) as store, store.engine.begin() as connection:
        connection.execute(text(f"UPDATE {TABLE} SET version_num = '9001'"))
    with pytest.raises(BadDatabase, match=f"are of revision 9001, this Threadmill knows {HEAD}; install the newer Thr"):
        open_store(url)
    with engine_of(url).connect() as connection:
        assert revision(connection) == "9001"
    with open_store(url, read_only=True) as store:
        assert labels_of(store) == {}


def test_upgrading_twice_does_nothing(url: str):
    def shape() -> Any:
        if url.startswith("sqlite"):
            with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
                return connection.execute("SELECT type, name, rootpage, sql FROM sqlite_master").fetchall()
        with psycopg.connect(url) as connection:
            return connection.execute("SELECT oid, relname FROM pg_class WHERE relnamespace = 2200").fetchall()

    with open_store(url) as store:
        before = shape()
        upgrade(store.engine)
        upgrade(store.engine, also=lambda: None)
    open_store(url).close()
    assert shape() == before


def test_a_failed_upgrade_leaves_none_of_our_tables(url: str, monkeypatch: pytest.MonkeyPatch):
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alias_history (id INTEGER)"))  # another program's: has no column slot
    with pytest.raises(BadDatabase, match="slot"):
        open_store(url)
    tables = {*inspect(engine).get_table_names()}
    assert tables & {*Base.metadata.tables, TABLE} == {"alias_history"}


def test_the_revision_of_an_application_in_the_same_database_is_its_own(url: str):
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('fe12ab')"))
    with open_store(url) as store:
        add_label(store, Label("t", None, None, "reward", 1.0, "test"))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).all() == [("fe12ab",)]
        assert revision(connection) == HEAD


def test_a_database_that_is_up_to_date_is_opened_without_alembic(tmp_path: Path, postgres_url: str):
    urls = [f"sqlite:///{tmp_path}/runs.db", postgres_url]
    for url in urls:
        open_store(url).close()
    look = "import sys; from threadmill.checkpoints.store import open_store\n"
    look += "for url in sys.argv[1:]: open_store(url).close()\n"
    look += "print([name for name in sys.modules if name.split('.')[0] == 'alembic'])"
    done = subprocess.run([sys.executable, "-c", look, *urls], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")
