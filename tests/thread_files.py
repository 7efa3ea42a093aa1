"""Thread files that tests write themselves, one small file of a real thread, and how much came of it."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import text
from teller_agent import teller_bank
from threadmill.checkpoints.labels import Label, add_label
from threadmill.checkpoints.portable import export_thread
from threadmill.checkpoints.store import Store
from threadmill.graphs import run_thread


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


def small_file(store: Store, file: Path) -> bytes:
    run_thread(teller_bank(store), "t", "Please pay 30")
    add_label(store, Label("t", None, None, "success", 1.0, "ann"))
    export_thread(store, "t", file)
    return file.read_bytes()


def rows(store: Store) -> int:
    """How much the database holds of any thread."""
    tables = [*(table.name for table in store.tables.all), "labels"]
    return sum(store.tables.read(text(f"SELECT count(*) FROM {name}"))[0][0] for name in tables)
