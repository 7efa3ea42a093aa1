"""The forms of a thread file: compressed by its name, and readable though the database is encrypted."""

import gzip
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import select
from teller_agent import at, history, said, teller_bank
from thread_files import small_file
from threadmill.checkpoints.portable import export_thread, import_thread
from threadmill.checkpoints.reading import read_questions
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import BadImport, BadKey
from threadmill.graphs import answer_thread, run_thread


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
        run_thread(teller_bank(store), "t", "A secret: pay 30")
        expected = history(teller_bank(store))
        whole = export_thread(store, "t", tmp_path / "t")
    (tmp_path / "there").mkdir()
    monkeypatch.setenv("THREADMILL_KEY", "cd" * 32)
    with open_store(there) as store:
        import_thread(store, tmp_path / "t")
        assert history(teller_bank(store)) == expected
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
        answer_thread(teller_bank(store), "open", [{"id": question["id"], "type": "approve"}])
    assert {file.name for file in tmp_path.iterdir()} <= {
        "t",
        "again",
        "there",
        "runs.db",
        "runs.db-wal",
        "runs.db-shm",
    }
