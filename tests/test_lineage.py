"""Lineage both ways: from a message to the threads behind its weights, from a thread to all that learnt from it."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from letter_world import letter_tokenizer, spoken, write_thread
from threadmill.checkpoints.data_sets import Source, record_data_set, sources_of, threads_of
from threadmill.checkpoints.forget import delete_thread
from threadmill.checkpoints.lineage import (
    Origin,
    descendants_of_thread,
    origins_of_message,
    origins_of_version,
    threads_in,
    versions_in,
)
from threadmill.checkpoints.reading import leaf_checkpoints
from threadmill.checkpoints.registry import promote, register_version
from threadmill.checkpoints.store import Store, open_store
from threadmill.cli.main import app
from threadmill.errors import UnknownSlot, UnknownThread, UnknownVersion
from threadmill.graphs import build_react, run_thread
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.training.export import export_sft
from typer.testing import CliRunner

SLOT = "bank.think"


def register(store: Store, folder: Path, base: str | None, *data: str, start: str | None = None) -> str:
    """A version with one run for each of the data sets."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(folder.name.encode())
    (folder / "config.json").write_text("{}")
    runs = [{"recipe": "sft", "steps": 5, "seed": 1, "data": {"digest": digest}} for digest in data]
    if start and runs:
        runs[0]["base"] = start
    return register_version(store, SLOT, folder, lineage={"runs": runs, "libraries": {"trl": "1"}}, base=base).name


def data_set(store: Store, digest: str, *threads: str) -> None:
    """One row of each of ``threads``, in their order."""
    rows = [Source("train", row, 0, thread, f"end-{thread}", "0" * 16) for row, thread in enumerate(threads)]
    record_data_set(store, digest=digest, kind="sft", folder=f"data/{digest}", threads=threads, rows=rows)


def talk(store: Store, thread: str, version: str) -> None:
    slot = Slot.fixed(SLOT, ScriptedModel([AIMessage("Hello.", id="m1")]), version)
    run_thread(build_react(slot, [], name="bank").compile(checkpointer=store.saver), thread, "Hi")


def four_versions(store: Store, tmp_path: Path) -> None:
    """0001 ← 0002 (of a, b and a again) ← 0003 (of c); 0001 ← 0004 (of d)."""
    first = register(store, tmp_path / "v1", None)
    data_set(store, "d1", "a", "b", "a")
    second = register(store, tmp_path / "v2", first, "d1")
    data_set(store, "d2", "c")
    register(store, tmp_path / "v3", second, "d2")
    data_set(store, "d3", "d")
    register(store, tmp_path / "v4", first, "d3")


def drawn(origin: Origin, depth: int = 0) -> list[str]:
    said = f"{'  ' * depth}{origin.kind} {origin.name}"
    return [said, *(line for one in origin.leads for line in drawn(one, depth + 1))]


def test_a_message_leads_to_the_threads_behind_its_weights_back_to_the_first_base(store: Store, tmp_path: Path):
    four_versions(store, tmp_path)
    talk(store, "t", f"{SLOT}@0003")
    found = origins_of_message(store, "t", "m1")
    assert drawn(found) == [
        "message m1",
        "  version bank.think@0003",
        "    run sft",
        "      data set d2",
        "        thread c",
        "    version bank.think@0002",
        "      run sft",
        "        data set d1",
        "          thread a",
        "          thread b",
        "      version bank.think@0001",
    ]
    assert threads_in(found) == ["c", "a", "b"]
    assert drawn(origins_of_message(store, "t")) == drawn(found)
    assert threads_of(store, "d1") == {"a": 2, "b": 1}


def test_a_thread_leads_to_every_version_that_learnt_from_it(store: Store, tmp_path: Path):
    four_versions(store, tmp_path)
    assert drawn(descendants_of_thread(store, "a")) == [
        "thread a",
        "  data set d1",
        "    version bank.think@0002",
        "      version bank.think@0003",
    ]
    assert descendants_of_thread(store, "a").leads[0].details["rows"] == [
        {"split": "train", "row": 0, "checkpoint": "end-a"},
        {"split": "train", "row": 2, "checkpoint": "end-a"},
    ]
    assert versions_in(descendants_of_thread(store, "d")) == ["bank.think@0004"]
    assert descendants_of_thread(store, "never exported").leads == []


def test_what_nobody_knows_is_said(store: Store, tmp_path: Path):
    talk(store, "t", f"{SLOT}@0003")
    with pytest.raises(UnknownThread, match="thread 't' has no message 'm9'; see `threadmill threads show t --json`"):
        origins_of_message(store, "t", "m9")
    with pytest.raises(UnknownSlot, match=r"no slot .bank\.think. is registered"):
        origins_of_message(store, "t", "m1")
    talk(store, "u", "models/mine")
    assert drawn(origins_of_message(store, "u")) == ["message m1", "  weights models/mine"]
    write_thread(store, "w", [HumanMessage("q", id="q"), AIMessage("yes", id="y")])
    with pytest.raises(UnknownVersion, match=r"message 'y' of thread 'w' \(ai\) does not say which weights wrote it"):
        origins_of_message(store, "w")
    register(store, tmp_path / "first", None, "gone", start="Qwen/Qwen3-0.6B")
    assert drawn(origins_of_version(store, f"{SLOT}@0001")) == [
        "version bank.think@0001",
        "  run sft",
        "    data set gone",
        "  weights Qwen/Qwen3-0.6B",
    ]


def test_an_export_notes_what_each_row_was_made_of_and_a_deleted_thread_is_forgotten(store: Store, tmp_path: Path):
    for thread, said in {"t0": "yes", "t1": "no"}.items():
        write_thread(store, thread, [HumanMessage("q"), spoken(thread, "q", said)], success=True)
    digests = [export_sft(store, tmp_path / out, tokenizer=letter_tokenizer())["digest"] for out in ("one", "two")]
    assert digests[0] == digests[1]
    kept = [json.loads(line) for line in (tmp_path / "one" / "origins.jsonl").read_text().splitlines()]
    found = sources_of(store, digests[0])
    assert [[one.split, one.row, [one.thread], [one.checkpoint]] for one in found] == [[*row.values()] for row in kept]
    assert [(one.thread, one.checkpoint) for one in found] == [(t, *leaf_checkpoints(store, t)) for t in ("t0", "t1")]
    assert len({one.digest for one in found}) == 2
    delete_thread(store, "t0")
    assert threads_of(store, digests[0]) == {"t1": 1}


def run(*arguments: Any) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["models", "lineage", *map(str, arguments)])


def test_the_command_prints_trees_and_draws_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with open_store("sqlite:///runs.db") as store:
        four_versions(store, tmp_path)
        promote(store, SLOT, "0004", because="test")
        many = [f"many{n:02d}" for n in range(12)]
        data_set(store, "d4", *many)
        register(store, tmp_path / "v5", f"{SLOT}@0004", "d4")
        talk(store, "t", f"{SLOT}@0002")
        talk(store, "<b>&", f"{SLOT}@0002")
    lines = run(f"{SLOT}@0005").stdout.splitlines()
    assert [line.split("  (")[0] for line in lines[:3]] == [
        "version bank.think@0005",
        "├── run sft",
        "│   └── data set d4",
    ]
    assert "│       └── thread … and 2 more" in lines
    assert lines[-1].startswith("    └── version bank.think@0001")
    assert sum("thread many" in line for line in run(f"{SLOT}@0005", "--all").stdout.splitlines()) == 12
    found = json.loads(run(f"{SLOT}@live", "--json").stdout)
    assert [one["version"] for one in found["lineage"]] == ["bank.think@0004", "bank.think@0001"]
    assert (found["threads"], found["tree"]["leads"][0]["details"]["settings"]) == (["d"], {"data": {"digest": "d3"}})
    assert "0003" in run("--thread", "a").output
    assert "no data set holds it, so no weights learnt from it" in run("--thread", "t").stdout
    assert "thread b" in run("--thread", "t", "--message", "last").stdout
    assert run("--thread", "t", "--message", "m1", "--picture", "l.dot").exit_code == 0
    dot = Path("l.dot").read_text()
    assert '"version bank.think@0002" -> "version bank.think@0001";' in dot
    assert dot.count("{") == dot.count("}") == 1
    drawing = ["models", "lineage", "--thread", "<b>&", "--message", "last", "--picture", "l.html"]
    narrow = CliRunner(env={"COLUMNS": "30"}).invoke(app, drawing)
    assert f"(in thread <b>&, by {SLOT}@0002)" in narrow.stdout  # nothing is cut off
    assert narrow.stderr == "drawn in l.html\n"
    assert run("--thread", "t", "--picture", "nowhere/l.html").exit_code == 2
    page = Path("l.html").read_text()
    assert "in thread &lt;b&gt;&amp;, by" in page
    assert "http" not in page
    reader = Depth()
    reader.feed(page)
    assert (reader.deepest, reader.open) == (5, [])  # message, version 2, run, data set, threads


class Depth(HTMLParser):
    """Counts nested lists, and what was left open."""

    deepest = 0

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag != "meta":
            self.open.append(tag)
        self.deepest = max(self.deepest, self.open.count("ul"))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_command_wants_one_of_both(tmp_path: Path):
    for arguments in (
        [],
        [f"{SLOT}@live", "--thread", "t"],
        ["--message", "m"],
        ["--thread", "t", "--picture", "l.png"],
    ):
        assert run(*arguments, "--db", f"sqlite:///{tmp_path}/runs.db").exit_code == 2
