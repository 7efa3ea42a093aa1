"""Rows of real runs, damaged at random: an import sets them aside or keeps them, and never breaks off."""

import gzip
import json
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from conversations import damaged
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadmill.checkpoints.importers import import_files
from threadmill.checkpoints.importers.formats import FORMATS
from threadmill.checkpoints.importers.react_text import rows
from threadmill.checkpoints.importers.record import BadRow, Record, check_record
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.errors import BadImport

DATA = Path(__file__).parent / "data"
SAMPLES = {
    "tau-bench": "tau_airline.gpt-4o.sample.jsonl.gz",
    "tau2": "tau2_airline/results.qwen2.5-7b.sample.json.gz",
    "swe-agent": "swe_agent/marshmallow.text.traj.json.gz",
    "intercode": "intercode_bash.gpt-4.fs1.sample.jsonl.gz",
    "toolbench": "toolbench.sample.jsonl.gz",
    "responses": "responses.sample.jsonl.gz",
    "functionchat": "functionchat.sample.jsonl.gz",
    "api-bank": "api_bank.sample.jsonl.gz",
}
numbers = count()


@cache
def sample(format: str) -> list[dict[str, Any]]:
    """The rows of a sample, each short enough to be damaged in a moment."""
    content = gzip.decompress((DATA / SAMPLES[format]).read_bytes())
    read = [json.loads(line) for line in content.splitlines()]
    for row in read:
        row["traj"] = row.get("traj", [])[:8]
        row["simulations"] = [{**run, "messages": run["messages"][:8]} for run in row.get("simulations", [])]
        for key in ("traj", "simulations"):
            if not row[key]:
                del row[key]
    return read


@pytest.mark.parametrize("format", SAMPLES)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_format_reads_a_damaged_row_or_says_why_not(format: str, data: st.DataObject) -> None:
    row, module = data.draw(damaged(sample(format))), FORMATS[format]
    module.fits(row)
    with suppress(BadRow):
        found = module.read(row, Path("rows.jsonl"))
        for record in [found] if isinstance(found, Record) else found:
            with suppress(BadRow):
                assert isinstance(record, BadRow) or check_record(record)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data(), format=st.sampled_from(sorted(SAMPLES)))
def test_damaged_rows_are_kept_or_set_aside(tmp_path: Path, data: st.DataObject, format: str) -> None:
    bad = data.draw(st.lists(damaged(sample(format)), min_size=3, max_size=5))
    folder = tmp_path / str(next(numbers))
    folder.mkdir()
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in bad))
    with open_store(f"sqlite:///{folder / 'runs.db'}") as store:
        report = import_files(store, [file], format=format)
        assert report.imported + report.already + len(report.set_aside) >= len(bad)
        threads = list_threads(store)
        assert len(threads) == report.imported
        assert all(read_messages(store, thread.thread) for thread in threads)
        assert import_files(store, [file], format=format).imported == 0


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), suffix=st.sampled_from([".txt", ".json", ".jsonl", ".traj", ".parquet", ".jsonl.gz", ""]))
def test_any_file_is_imported_or_refused(tmp_path: Path, data: st.DataObject, suffix: str) -> None:
    """Bytes of a real file with a hole, a stretch twice, or noise in it, under any suffix."""
    name = data.draw(st.sampled_from([*sorted(SAMPLES.values()), "react_hotpotqa.sample.txt.gz"]))
    content = (DATA / name).read_bytes()
    if data.draw(st.booleans()):
        content = gzip.decompress(content)[:20_000]
    low, high = sorted(data.draw(st.tuples(*[st.integers(0, len(content))] * 2)))
    noise = data.draw(st.sampled_from([b"", content[low : low + 50] * 3, b"\x00\xff\n", b'{"a": [', b"\nQuestion: \n"]))
    folder = tmp_path / str(next(numbers))
    folder.mkdir()
    file = folder / f"rows{suffix}"
    file.write_bytes(content[:low] + noise + content[high if high - low < 500 else low :])
    with open_store(f"sqlite:///{folder / 'runs.db'}") as store:
        try:
            report = import_files(store, [file])
        except BadImport:
            report = None
        assert len(list_threads(store)) == (report.imported if report else 0)


def test_the_runs_of_a_damaged_text_keep_their_lines() -> None:
    file = DATA / "react_hotpotqa.sample.txt.gz"
    lines = gzip.decompress(file.read_bytes()).decode().split("\n")
    assert all(lines[line - 1].startswith("Question: ") for line, _ in rows(file))
    assert len(list(rows(file))) == 10
