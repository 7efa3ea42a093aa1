"""Imports of τ-bench and InterCode SQL samples, and what becomes of malformed rows."""

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from threadmill.checkpoints.importers import import_files
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.reading import checkpoint_tree, latest_metadata, read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.errors import BadImport
from threadmill.training.dataset import read_rows
from threadmill.training.export import export_pairs, export_sft

DATA = Path(__file__).parent / "data"
TAU = DATA / "tau_airline.gpt-4o.sample.jsonl.gz"
INTERCODE = [DATA / f"intercode_sql.{model}.sample.jsonl.gz" for model in ("gpt-4", "gpt-3.5", "vicuna")]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.open(file, "rt", encoding="utf-8")]


def write_rows(file: Path, *rows: Any) -> Path:
    file.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return file


def test_tau_bench_runs_become_threads_with_all_their_messages(store: Store) -> None:
    report = import_files(store, [TAU])
    assert (report.format, report.imported, report.set_aside) == ("tau-bench", 12, [])
    assert (report.messages, report.tool_calls, report.labels) == (280, 50, 24)
    threads = list_threads(store)
    assert len(threads) == 12
    assert {thread.status for thread in threads} == {"done"}
    said = Counter(message.type for thread in threads for message in read_messages(store, thread.thread))
    assert said == {"ai": 128, "human": 90, "tool": 50, "system": 12}
    values = [label.value for labels in labels_of(store).values() for label in labels if label.kind == "success"]
    assert sorted(values) == [0.0] * 8 + [1.0] * 4


def test_a_thread_has_a_checkpoint_for_each_message_and_says_where_it_came_from(store: Store) -> None:
    import_files(store, [TAU])
    messages = read_messages(store, "tau-airline-13-gpt-4o-0")
    tree = checkpoint_tree(store, "tau-airline-13-gpt-4o-0")
    for count, node in zip(range(1, len(messages) + 1), tree[1:], strict=True):
        assert [m.id for m in read_messages(store, "tau-airline-13-gpt-4o-0", node.checkpoint)] == [
            m.id for m in messages[:count]
        ]
    metadata = latest_metadata(store, "tau-airline-13-gpt-4o-0")
    assert {key: metadata[key] for key in ("agent", "task", "trial", "model")} == {
        "agent": "tau-bench-airline",
        "task": "tau-airline-13",
        "trial": 0,
        "model": "gpt-4o",
    }
    assert metadata["source_file"].startswith(TAU.name)


def test_calls_and_results_are_paired_by_position_although_ids_repeat(store: Store) -> None:
    import_files(store, [TAU])
    recorded = next(row for row in rows_of(TAU) if (row["task_id"], row["trial"]) == (13, 0))["traj"]
    messages = read_messages(store, "tau-airline-13-gpt-4o-0")
    calls = [call for message in messages if message.type == "ai" for call in message.tool_calls]
    results = [message for message in messages if message.type == "tool"]
    assert len({call["id"] for call in calls}) == len(calls)
    assert [result.tool_call_id for result in results] == [call["id"] for call in calls]
    assert [result.text for result in results] == [m["content"] for m in recorded if m["role"] == "tool"]
    repeated = [call["id"] for m in recorded for call in m.get("tool_calls") or []]
    assert len(repeated) - len(set(repeated)) == 2


def test_importing_again_doubles_nothing(store: Store) -> None:
    import_files(store, [TAU])
    report = import_files(store, [TAU])
    assert (report.imported, report.already, report.labels) == (0, 12, 0)
    assert len(labels_of(store)["tau-airline-13-gpt-4o-0"]) == 2


def test_sft_rows_come_out_of_tau_bench_and_pairs_are_refused(
    store: Store, tmp_path: Path, tiny_tokenizer: Any
) -> None:
    import_files(store, [TAU])
    sft = export_sft(store, tmp_path / "sft", tokenizer=tiny_tokenizer)
    assert (sft["rows"], sft["left_out"]) == (4, {"failure": 8})
    rows, _ = read_rows(tmp_path / "sft")
    assert {row["tokens"] for row in rows} == {"rendered"}
    # 4 + 3 + 3 pairs of success and failure; only two begin with the same words of the customer
    refused = {"trials: prompts differ": 8, "trials: observations differ first": 2}
    try:
        assert export_pairs(store, tmp_path / "pairs", tokenizer=tiny_tokenizer)["left_out"] == refused
    except ValueError as error:
        pytest.fail(f"an export without rows is still an export: {error}")


def test_intercode_runs_become_pairs(store: Store, tmp_path: Path, tiny_tokenizer: Any) -> None:
    report = import_files(store, INTERCODE)
    assert (report.format, report.imported, report.tool_calls) == ("intercode", 30, 205)
    # one reward a turn, and reward and success for each run
    assert report.labels == 205 + 30 * 2
    manifest = export_pairs(store, tmp_path / "pairs", tokenizer=tiny_tokenizer)
    assert manifest["rows"] > 0
    assert manifest["by_source"] == {"trials": manifest["rows"]}
    rows, _ = read_rows(tmp_path / "pairs")
    assert {row["tokens"] for row in rows} == {"rendered"}
    for row in rows:
        assert row["chosen_ids"] != row["rejected_ids"]
        assert len({thread.split("-")[2] for thread in row["threads"]}) == 1  # of the same question


def test_malformed_rows_are_set_aside_and_the_rest_is_imported(store: Store, tmp_path: Path) -> None:
    good = rows_of(TAU)[0]
    orphan = {**good, "trial": 7, "traj": [good["traj"][0], {"role": "tool", "content": "x"}]}
    broken = {"role": "assistant", "content": None, "tool_calls": [{"function": "f"}]}
    file = write_rows(
        tmp_path / "airline.jsonl",
        good,
        "{not json\n",
        {"task_id": 1},
        orphan,
        {**good, "trial": 8, "traj": [broken]},
        {**good, "trial": 9, "traj": [{"role": "robot", "content": ""}]},
        "[1]\n",
    )
    report = import_files(store, [file])
    assert report.imported == 1
    assert [(row["line"], row["reason"].partition(":")[0]) for row in report.set_aside] == [
        (2, "not JSON"),
        (3, "no trial, reward, traj"),
        (4, "message 1 is a result without a call"),
        (5, "a call of message 0 cannot be read"),
        (6, "message 0 has the unknown role 'robot'"),
        (7, "the row is no JSON object"),
    ]
    assert {row["file"] for row in report.set_aside} == {str(file)}


def test_files_that_cannot_be_read_are_named(store: Store, tmp_path: Path) -> None:
    with pytest.raises(BadImport, match=r"nowhere[.]jsonl cannot be read"):
        import_files(store, [tmp_path / "nowhere.jsonl"])
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(TAU.read_bytes()[:5000])
    with pytest.raises(BadImport, match=r"cut[.]jsonl[.]gz cannot be read"):
        import_files(store, [cut])
    with pytest.raises(BadImport, match="of a format that is known"):
        import_files(store, [write_rows(tmp_path / "other.jsonl", {"a": 1})])
    with pytest.raises(BadImport, match="'csv' is no format; there are tau-bench, tau2, "):
        import_files(store, [TAU], format="csv")
    assert list_threads(store) == []
