"""Rows and files that are damaged in less common ways: set aside or refused, never a crash, never doubled."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from threadmill.checkpoints.importers import import_files
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.reading import latest_metadata, read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.errors import BadImport

DATA = Path(__file__).parent / "data"
TAU = DATA / "tau_airline.gpt-4o.sample.jsonl.gz"
USER = {"role": "user", "content": "Cancel my flight."}
CALL = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]}
RUN = {"task_id": 1, "trial": 0, "reward": 1.0, "traj": [USER, CALL, {"role": "tool", "content": "ok"}]}
TURNS = {"actions": ["SELECT 1"], "observations": ["[(1,)]"], "rewards": [1.0]}
QUERY = {"task_id": 1, "query": "How many?", "turn_history": TURNS, "summary": {"max_reward": 1.0}}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def asks(calls: Any) -> dict[str, Any]:
    return {**RUN, "traj": [USER, {"role": "assistant", "content": "", "tool_calls": calls}]}


@pytest.mark.parametrize(
    ("format", "row", "reason"),
    [
        ("tau-bench", {**RUN, "reward": None}, "reward is no number: None"),
        ("tau-bench", {**RUN, "reward": float("nan")}, "reward is no finite number: nan"),
        ("tau-bench", {**RUN, "trial": float("inf")}, "trial is no finite number: inf"),
        ("tau-bench", asks(3), "the tool_calls of message 1 are no list"),
        ("tau-bench", asks([{"function": {"name": 3, "arguments": "{}"}}]), "a call names no tool: 3"),
        (
            "tau-bench",
            {**RUN, "traj": [USER, CALL, USER, CALL, {"role": "tool", "content": "of the second"}]},
            "message 2 comes before the result of the call of 'look'",
        ),
        ("tau-bench", {**RUN, "task_id": None}, "task_id is neither a whole number nor text: None"),
        ("tau-bench", {**RUN, "trial": 0.5}, "trial is no whole number: 0.5"),
        ("intercode", {**QUERY, "environment": "ic_ctf"}, "environment is 'ic_ctf', not 'ic_sql' or 'ic_bash'"),
        (
            "intercode",
            {**QUERY, "turn_history": {**TURNS, "observations": [None]}},
            "observation 0 is no text",
        ),
        (
            "intercode",
            {**QUERY, "turn_history": {**TURNS, "valid_action": [True, True]}},
            "valid_action is no list of 1",
        ),
        ("intercode", {**QUERY, "query": None}, "query is no text: None"),
        ("intercode", {**QUERY, "turn_history": {**TURNS, "rewards": [None]}}, "reward 0 is no number: None"),
        (
            "intercode",
            {**QUERY, "turn_history": {**TURNS, "actions": 3}},
            "turn_history holds no lists of actions, observations and rewards",
        ),
        (
            "intercode",
            {**QUERY, "turn_history": {"actions": [], "observations": [], "rewards": []}},
            "turn_history holds no lists of actions, observations and rewards",
        ),
    ],
)
def test_a_damaged_row_is_set_aside_beside_a_good_one(
    store: Store, tmp_path: Path, format: str, row: dict[str, Any], reason: str
) -> None:
    file = tmp_path / "runs.jsonl"
    good = {**(RUN if format == "tau-bench" else QUERY), "task_id": 2}
    file.write_text(f"{json.dumps(row)}\n{json.dumps(good)}\n")
    report = import_files(store, [file], format=format)
    assert report.set_aside == [{"file": str(file), "line": 1, "reason": reason}]
    assert report.imported == 1


@pytest.mark.parametrize(
    "arguments",
    [
        '{"amount": 123456789012345678901234567890}',
        '{"amount": NaN}',
        '{"name": "\\ud83d"}',
        '{"deep": ' + "[" * 600 + "]" * 600 + "}",
    ],
    ids=["65 bits", "NaN", "half a character", "deep"],
)
def test_a_call_that_cannot_be_stored_as_it_is_is_set_aside(store: Store, tmp_path: Path, arguments: str) -> None:
    file = tmp_path / "runs.jsonl"
    odd = asks([{"function": {"name": "look", "arguments": arguments}}])
    file.write_text(f"{json.dumps(odd)}\n{json.dumps({**RUN, 'task_id': 2})}\n")
    report = import_files(store, [file])
    assert [row["line"] for row in report.set_aside] == [1]
    assert [thread.thread for thread in list_threads(store)] == ["tau-airline-2-0"]


@pytest.mark.parametrize("arguments", ["{", "[1]", '{"deep": ' + "[" * 99_999 + "]" * 99_999 + "}"])
def test_a_call_that_cannot_be_read_is_kept_as_it_was_spelled(store: Store, tmp_path: Path, arguments: str) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text(json.dumps(asks([{"function": {"name": "look", "arguments": arguments}}])) + "\n")
    assert import_files(store, [file]).set_aside == []
    answer = read_messages(store, "tau-airline-1-0")[-1]
    assert answer.type == "ai"
    assert (answer.tool_calls, [call["args"] for call in answer.invalid_tool_calls]) == ([], [arguments])


def test_a_row_nested_without_end_is_set_aside(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text("[" * 99_999 + "\n" + json.dumps(RUN) + "\n")
    report = import_files(store, [file])
    assert (report.imported, [row["line"] for row in report.set_aside]) == (1, [1])


def test_a_file_that_begins_with_a_byte_order_mark_is_read(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(RUN).encode() + b"\r\n")
    assert import_files(store, [file]).imported == 1


def test_what_intercode_refused_to_run_is_a_failed_call(store: Store, tmp_path: Path) -> None:
    turns = {
        "actions": ["USE shop;", "SELECT x", "SELECT 1"],
        "observations": ["No SQL code was found in your last response.", "Error executing query: x", "[(1,)]"],
        "rewards": [0, 0, 1.0],
        "valid_action": [False, False, True],
    }
    file = tmp_path / "runs.jsonl"
    file.write_text(json.dumps({**QUERY, "turn_history": turns}) + "\n")
    import_files(store, [file])
    messages = read_messages(store, "intercode-sql-1-runs")
    assert [m.status for m in messages if m.type == "tool"] == ["error", "error", "success"]
    assert latest_metadata(store, "intercode-sql-1-runs")["format"] == "intercode"


def test_a_file_named_twice_is_imported_once(store: Store) -> None:
    report = import_files(store, [TAU, TAU])
    assert (report.imported, report.already, report.messages, report.labels) == (12, 12, 280, 24)
    assert sum(len(labels) for labels in labels_of(store).values()) == 24


def test_a_call_at_the_end_may_lack_its_result(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text(json.dumps({**RUN, "traj": [USER, CALL]}) + "\n")
    report = import_files(store, [file])
    assert (report.imported, report.tool_calls, report.set_aside) == (1, 1, [])


def test_schemas_in_a_folder_are_no_runs(store: Store, tmp_path: Path) -> None:
    (tmp_path / "runs.jsonl").write_text(json.dumps({**RUN, "traj": [USER, CALL]}) + "\n")
    (tmp_path / "tools.json").write_text("[]")
    report = import_files(store, [tmp_path])
    assert (report.imported, report.set_aside) == (1, [])


def test_damaged_gzip_and_empty_folders_are_refused(store: Store, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.jsonl.gz"
    whole = gzip.compress(b'{"traj": []}\n', mtime=0)
    damaged.write_bytes(whole[:10] + b"\xff" * 8 + whole[18:])  # zlib's own error, not one of gzip
    with pytest.raises(BadImport, match=r"damaged[.]jsonl[.]gz cannot be read"):
        import_files(store, [damaged])
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadImport, match="is a directory without files that can be imported"):
        import_files(store, [tmp_path / "empty"])
    with pytest.raises(BadImport, match="no file was named"):
        import_files(store, [])
