"""Exports that meet trouble: a work file that is damaged or in use, places that cannot be written, a full disk."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from letter_world import letter_tokenizer, spoken, write_thread
from threadmill.checkpoints.store import open_store
from threadmill.errors import BadDataset, StoreFull
from threadmill.training.dataset import read_rows, write_dataset
from threadmill.training.export import export_sft, pipeline
from threadmill.training.export.journal import FILE, Journal

TOKENIZER = letter_tokenizer()
ROW = {"input_ids": [1], "labels": [1], "logprobs": [None]}


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """Three threads that all went well."""
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        for at in range(3):
            write_thread(opened, f"t{at}", [HumanMessage("q"), spoken(f"a{at}", "q", "yes")], success=True)
        yield opened


def export(store: Any, out: Path, **wishes: Any) -> dict[str, Any]:
    return export_sft(store, out, tokenizer=TOKENIZER, **wishes)


def interrupt(store: Any, out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An export that stops when two of three threads are done; its work file."""

    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "COMMIT_EVERY", 1)
    with pytest.raises(KeyboardInterrupt):
        export(store, out, progress=stop)
    return out.with_name(f".{out.name}.part") / FILE


def test_a_work_file_that_is_garbage_or_cut_off_is_begun_anew(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = interrupt(store, tmp_path / "a", monkeypatch)
    whole = file.read_bytes()
    for damaged in (b"garbage" * 1000, b"", whole[: len(whole) // 2], whole[:4096] + bytes(len(whole) - 4096)):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(damaged)
        assert export(store, tmp_path / "a")["rows"] == 3
        assert not file.parent.exists()


def test_a_work_file_that_was_never_finished_being_made_is_begun_anew(store: Any, tmp_path: Path):
    (tmp_path / ".a.part").mkdir()
    with sqlite3.connect(tmp_path / ".a.part" / FILE) as connection:
        connection.execute("create table about(fingerprint text, done integer)")
    connection.close()
    assert export(store, tmp_path / "a")["rows"] == 3


def test_a_folder_is_written_by_one_export_at_a_time(store: Any, tmp_path: Path):
    def meanwhile(done: int, _: int) -> None:
        with pytest.raises(BadDataset, match="another export is writing to it; wait for it, or choose another folder"):
            export(store, tmp_path / "a")

    assert export(store, tmp_path / "a", progress=meanwhile)["rows"] == 3


def test_a_link_to_a_folder_stays_a_link(store: Any, tmp_path: Path):
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to(tmp_path / "there")
    for _ in range(2):
        export(store, tmp_path / "here")
        assert (tmp_path / "here").is_symlink()
        assert len(read_rows(tmp_path / "there")[0]) == 3
    assert not list(tmp_path.glob(".*"))


def test_places_that_cannot_be_written_are_refused_with_their_name(store: Any, tmp_path: Path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file" / "a", tmp_path / ("a" * 250)):
        with pytest.raises(BadDataset, match=r"cannot be written: .*; choose another folder"):
            export(store, out)
    (tmp_path / ".a.part").write_text("mine")
    with pytest.raises(BadDataset, match=r"cannot be written: .*; choose another folder"):
        export(store, tmp_path / "a")


def test_a_full_disk_says_so_and_loses_nothing(store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    export(store, tmp_path / "a")
    before = json.loads((tmp_path / "a" / "manifest.json").read_text())
    write_thread(store, "t3", [HumanMessage("q"), spoken("a3", "q", "yes")], success=True)
    finish = Journal.commit

    def commit(journal: Journal, done: int) -> None:
        if done == 3:
            journal._connection.execute("pragma max_page_count = 1")
            journal.leave_out(0, "x" * 100_000, None, "")
        finish(journal, done)

    monkeypatch.setattr(Journal, "commit", commit)
    monkeypatch.setattr(pipeline, "COMMIT_EVERY", 1)
    with pytest.raises(StoreFull, match=r"no room for .*; what was done is kept, make room and export again"):
        export(store, tmp_path / "a")
    assert json.loads((tmp_path / "a" / "manifest.json").read_text()) == before
    monkeypatch.undo()
    seen: list[int] = []
    assert export(store, tmp_path / "a", progress=lambda done, _: seen.append(done))["rows"] == 4
    assert seen == [3, 4]


def test_a_column_that_the_first_row_lacks_is_not_lost_in_a_table(tmp_path: Path):
    with pytest.raises(
        BadDataset, match="some rows have task and some do not, which a table cannot say; write jsonl instead"
    ):
        write_dataset(tmp_path / "a", [ROW, {**ROW, "task": "x"}], {"kind": "sft"}, format="parquet")
