"""Thread files that are refused, and told why: damaged, made up, in the way, or without room; nothing is written."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from teller_agent import said, teller_bank
from thread_files import a_checkpoint, a_label, rows, small_file, write_file
from threadmill.checkpoints.portable import export_thread, import_thread
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import BadImport, ReadOnly, StoreFull, ThreadBusy, UnknownThread
from threadmill.graphs import run_thread


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


def test_a_full_disk_takes_nothing(tmp_path: Path):
    with open_store(f"sqlite:///{tmp_path}/here.db") as store:
        for _ in range(10):
            run_thread(teller_bank(store), "t", "Please pay 5")
        export_thread(store, "t", tmp_path / "t")
    with open_store(f"sqlite:///{tmp_path}/there.db") as store:
        event.listen(store.engine, "connect", lambda connection, record: connection.execute("PRAGMA max_page_count=40"))
        store.engine.dispose()
        with pytest.raises(StoreFull, match=r"no room for .*; nothing was imported"):
            import_thread(store, tmp_path / "t")
        assert rows(store) == 0
