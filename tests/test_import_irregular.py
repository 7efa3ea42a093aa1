"""What real runs have and nobody expects, each in a row of its own, and files that are no JSON lines."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from threadmill.checkpoints.importers import files, import_files
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.reading import latest_metadata, read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.errors import BadImport

USER = {"role": "user", "content": "Cancel my flight."}
CALL = {"role": "assistant", "content": "I look.", "tool_calls": [{"function": {"name": "look", "arguments": {}}}]}
RESULT = {"role": "tool", "content": "ok"}
RUN = {"task_id": 1, "trial": 0, "reward": 1.0, "traj": [USER, CALL, RESULT]}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def write(file: Path, *rows: Any) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def only(store: Store) -> str:
    (thread,) = list_threads(store)
    return thread.thread


def test_text_and_call_stand_in_one_answer_and_a_thread_may_end_on_a_result(store: Store, tmp_path: Path) -> None:
    import_files(store, [write(tmp_path / "runs.jsonl", RUN)])
    assert only(store) == "tau-airline-1-0"
    _, answer, result = read_messages(store, "tau-airline-1-0")
    assert isinstance(answer, AIMessage)
    assert (answer.text, [call["name"] for call in answer.tool_calls], result.type) == ("I look.", ["look"], "tool")


@pytest.mark.parametrize(
    ("name", "thread"),
    [
        ("gpt-4o-airline.json", "tau-airline-1-gpt-4o-0"),
        ("sonnet-35-new-retail.json", "tau-retail-1-sonnet-35-0"),
        ("tool-calling-gpt-4o-mini-0.0_range_0--1_user-gpt-4o-llm_1234.json", "tau-airline-1-gpt-4o-mini-0"),
        ("runs.jsonl", "tau-airline-1-0"),
    ],
)
def test_a_thread_carries_the_name_of_the_model_if_the_file_does(
    store: Store, tmp_path: Path, name: str, thread: str
) -> None:
    import_files(store, [write(tmp_path / name, RUN)])
    assert only(store) == thread


def test_the_same_tasks_of_two_models_are_two_threads_of_one_task(store: Store, tmp_path: Path) -> None:
    import_files(store, [write(tmp_path / f"{model}-airline.jsonl", RUN) for model in ("gpt-4o", "sonnet")])
    assert [(t.thread, t.task) for t in list_threads(store)] == [
        ("tau-airline-1-gpt-4o-0", "tau-airline-1"),
        ("tau-airline-1-sonnet-0", "tau-airline-1"),
    ]


def test_runs_that_nobody_can_tell_apart_are_not_lost_in_silence(store: Store, tmp_path: Path) -> None:
    other = {**RUN, "traj": [USER]}
    report = import_files(store, [write(tmp_path / "a.jsonl", RUN, RUN), write(tmp_path / "b.jsonl", other)])
    assert (report.imported, report.already) == (1, 1)
    assert [(row["file"], row["line"]) for row in report.set_aside] == [(str(tmp_path / "b.jsonl"), 1)]
    assert "with another content already, from a.jsonl:1" in report.set_aside[0]["reason"]


def test_a_run_that_was_stopped_says_so(store: Store, tmp_path: Path) -> None:
    stopped = {**RUN, "reward": 0.0, "info": {"reward_info": None}}
    whole = {**RUN, "task_id": 2, "info": {"reward_info": {"reward": 1.0}}}
    import_files(store, [write(tmp_path / "runs.jsonl", stopped, whole)])
    assert latest_metadata(store, "tau-airline-1-0")["termination_reason"] == "max_steps"
    assert "termination_reason" not in latest_metadata(store, "tau-airline-2-0")


def test_calls_of_the_user_are_noted_and_never_shown_to_the_model(store: Store, tmp_path: Path) -> None:
    asked = [{"id": "u1", "name": "restart_phone", "arguments": {"how": "hard"}, "requestor": "user"}]
    messages = [
        {"role": "assistant", "content": "Hi!", "usage": None},
        {"role": "user", "content": "No signal."},
        {"role": "assistant", "content": "Restart it.", "usage": {"completion_tokens": 3}},
        {"role": "user", "content": None, "tool_calls": asked},
        {"role": "tool", "id": "u1", "content": "restarted", "requestor": "user", "error": False},
        {"role": "user", "content": "Done."},
    ]
    run = {"id": "s", "task_id": "t", "trial": 0, "reward_info": None, "messages": messages}
    info = {"agent_info": {}, "environment_info": {"domain_name": "telecom", "policy": "Be kind."}}
    import_files(store, [write(tmp_path / "results.json", {"info": info, "simulations": [run]})])
    said = read_messages(store, "tau2-telecom-t-0")
    assert [message.text for message in said] == ["Be kind.", "Hi!", "No signal.", "Restart it.", "Done."]
    assert said[-1].additional_kwargs["user_calls"] == [
        {"name": "restart_phone", "args": {"how": "hard"}, "result": "restarted", "failed": False}
    ]
    assert [m.response_metadata.get("canned", False) for m in said if m.type == "ai"] == [True, False]
    assert labels_of(store) == {}  # nobody computed a reward


def test_one_bad_simulation_of_a_file_is_set_aside_and_the_others_stay(store: Store, tmp_path: Path) -> None:
    good = {"id": "s", "task_id": "t", "messages": [USER], "reward_info": {"reward": 0.5}}
    bad = {**good, "task_id": "u", "reward_info": {"reward": float("nan")}}
    info: dict[str, Any] = {"agent_info": {}, "environment_info": {}}
    report = import_files(store, [write(tmp_path / "r.json", {"info": info, "simulations": [bad, good, 3]})])
    assert (report.imported, [row["reason"] for row in report.set_aside]) == (
        1,
        ["simulation 0: reward is no finite number: nan", "simulation 2: it has no messages"],
    )


def test_an_observation_that_was_cut_says_how_long_it_was(store: Store, tmp_path: Path) -> None:
    turns = {"actions": ["ls", "cat x"], "observations": ["a", "b" * 2001], "rewards": [0, 1]}
    row = {"environment": "ic_bash", "task_id": 1, "query": "?", "turn_history": turns, "summary": {"max_reward": 1}}
    import_files(store, [write(tmp_path / "bash.gpt-4.jsonl", row)])
    results = [m for m in read_messages(store, "intercode-bash-1-gpt-4") if m.type == "tool"]
    assert [len(m.text) for m in results] == [1, 2000]
    assert [m.additional_kwargs for m in results] == [{"kind": "result"}, {"kind": "result", "cut": 2001}]


def test_files_are_read_as_their_projects_keep_them(store: Store, tmp_path: Path) -> None:
    """InterCode: an object of runs; ToolBench: a file for each answer; API-Bank: a file for each dialog."""
    turns = {"actions": ["ls"], "observations": ["a"], "rewards": [1]}
    run = {"environment": "ic_bash", "dataset": "nl2bash_fs_4.json", "task_id": 0, "query": "?", "turn_history": turns}
    runs = {"0": {**run, "summary": {"max_reward": 1}}, "1": {**run, "task_id": 1}}
    (tmp_path / "ic_bash_multiturn_gpt-4_10_turns_fs_4.json").write_text(json.dumps(runs))
    answer = {"node_type": "Thought", "description": "No.", "children": []}
    root = {"node_type": "Action Input", "description": "", "children": [answer]}
    (tmp_path / "G1_answer").mkdir()
    tree = {"answer_generation": {"query": "Find it."}, "win": False, "tree": {"tree": root}}
    (tmp_path / "G1_answer" / "7_DFS.json").write_text(json.dumps(tree))
    (tmp_path / "level-1").mkdir()
    call = {"role": "API", "api_name": "Look", "param_dict": {"at": "x"}, "result": {"output": 3, "exception": None}}
    write(tmp_path / "level-1" / "Look-1.jsonl", {"role": "User", "text": "Look."}, call, {"role": "AI", "text": "3."})
    report = import_files(store, [tmp_path])
    assert [thread.thread for thread in list_threads(store)] == [
        "api-bank-level-1-Look-1",
        "intercode-bash-fs4-0-gpt-4",
        "toolbench-G1-7_DFS",
    ]
    assert [row["reason"] for row in report.set_aside] == ["run 1: no summary"]
    assert [m.text for m in read_messages(store, "api-bank-level-1-Look-1")] == ["Look.", "", "3", "3."]


def test_a_demonstration_was_not_said_by_the_model(store: Store, tmp_path: Path) -> None:
    history = [
        {"role": "system", "content": "Use commands.", "message_type": "system_prompt"},
        {"role": "user", "content": "Fix it.", "message_type": "observation"},
        {"role": "assistant", "content": "```\nls\n```", "action": "ls", "is_demo": True, "message_type": "action"},
        {"role": "assistant", "content": "```\npwd\n```", "action": "pwd", "message_type": "action"},
    ]
    import_files(store, [write(tmp_path / "repo__repo-7.traj", {"history": history})])
    thread = only(store)
    assert thread.startswith("swe-repo__repo-7-text-")
    demo, own = (m.response_metadata for m in read_messages(store, thread) if m.type == "ai")
    assert (demo, own) == ({"canned": True, "action": "ls"}, {"action": "pwd"})


def test_an_older_trajectory_with_its_settings_as_text_is_read(store: Store, tmp_path: Path) -> None:
    said = [("system", "Use commands."), ("user", "Fix it."), ("assistant", "```\nls\n```"), ("user", "a.py")]
    history = [{"role": role, "content": content, "agent": "primary"} for role, content in said]
    config = json.dumps({"problem_statement": {"id": "repo__repo-8"}, "agent": {"model": {"name": "openai/gpt-4o"}}})
    import_files(store, [write(tmp_path / "run.traj", {"history": history, "replay_config": config})])
    thread = only(store)
    assert thread.startswith("swe-repo__repo-8-text-gpt-4o-")
    assert [m.additional_kwargs.get("kind") for m in read_messages(store, thread)] == [None, None, None, "observation"]


def test_a_tree_without_a_prompt_begins_with_its_query(store: Store, tmp_path: Path) -> None:
    leaf = {
        "node_type": "Action Input",
        "description": "{oops",
        "observation": "{}",
        "observation_code": 1,
        "children": [],
    }
    tried = {"node_type": "Action", "description": "invented", "children": [leaf]}
    thought = {"node_type": "Thought", "description": "Hm.", "children": [tried]}
    gave_up = {"node_type": "Thought", "description": "No.", "children": []}
    root = {"node_type": "Action Input", "description": "", "children": [thought, gave_up]}
    row = {"answer_generation": {"query": "Find it."}, "win": False, "tree": {"tree": root}}
    import_files(store, [write(tmp_path / "answers.jsonl", row)])
    assert [m.text for m in read_messages(store, only(store))] == ["Find it.", "No."]
    labels = [(label.checkpoint is None, label.value) for label in labels_of(store)[only(store)]]
    assert labels == [(False, 0), (False, 0), (True, 0)]


def test_chains_that_were_tried_are_paths_of_one_thread(store: Store, tmp_path: Path) -> None:
    def finish(how: str, code: int) -> list[dict[str, Any]]:
        call = {"node_type": "Action Input", "description": json.dumps({"return_type": how}), "observation": "{}"}
        return [{"node_type": "Action", "description": "Finish"}, {**call, "observation_code": code}]

    tried = [
        {"chain": finish("give_up_and_restart", 4), "win": False},
        {"chain": finish("give_answer", 3), "win": True},
    ]
    row = {"win": True, "trys": tried, "answer_generation": {"query": "Find it."}}
    import_files(store, [write(tmp_path / "answers.jsonl", row)])
    assert [label.value for label in labels_of(store)[only(store)]] == [0, 1, 1]
    assert [m.text for m in read_messages(store, only(store))] == ["Find it.", "", "{}"]


ROWS = [{**RUN, "task_id": task} for task in range(3)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("runs.json", json.dumps(ROWS, indent=2)),
        ("runs.json", "\n".join(map(json.dumps, ROWS))),
        ("runs.ndjson", "\r\n".join(map(json.dumps, ROWS))),
        ("runs", "\n\n".join(map(json.dumps, ROWS))),
    ],
    ids=["an array", "lines in .json", "CRLF", "no suffix"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_arrays_and_lines_are_told_apart(store: Store, tmp_path: Path, name: str, content: str, packed: bool) -> None:
    file = tmp_path / name
    file.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    assert import_files(store, [file]).imported == 3


def test_a_table_is_read_row_by_row(store: Store, tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{**row, "traj": [USER, {"role": "assistant", "content": "Done."}]} for row in ROWS]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "runs.parquet")
    assert import_files(store, [tmp_path / "runs.parquet"]).imported == 3
    assert [m.text for m in read_messages(store, "tau-airline-2-0")] == ["Cancel my flight.", "Done."]
    (tmp_path / "no.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(BadImport, match=r"no[.]parquet cannot be read"):
        import_files(store, [tmp_path / "no.parquet"])


def test_files_of_several_formats_are_each_read_in_their_own(store: Store, tmp_path: Path) -> None:
    turns = {"actions": ["SELECT 1"], "observations": ["1"], "rewards": [1]}
    query = {"task_id": 1, "query": "?", "turn_history": turns, "summary": {"max_reward": 1}}
    report = import_files(store, [write(tmp_path / "a.jsonl", RUN), write(tmp_path / "b.jsonl", query)])
    assert (report.format, report.imported) == ("tau-bench, intercode", 2)


def test_rows_that_fit_two_formats_are_not_guessed(store: Store, tmp_path: Path) -> None:
    both = {**RUN, "turn_history": {}}
    with pytest.raises(BadImport, match=r"both[.]jsonl could be of several formats: tau-bench, intercode; name one"):
        import_files(store, [write(tmp_path / "both.jsonl", both)])
    assert import_files(store, [write(tmp_path / "both.jsonl", both)], format="tau-bench").imported == 1
    # a row that fits only one of them decides
    assert import_files(store, [write(tmp_path / "more.jsonl", both, {**RUN, "task_id": 2})]).imported == 1


@pytest.mark.parametrize(
    "line",
    ['{"task_id": 1, "trial": 0, "traj": [{"role": "us', '"text"', "[1]", "\xff\xfe", "7", "null", "\x00"],
)
def test_a_line_that_is_no_row_is_set_aside(store: Store, tmp_path: Path, line: str) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_bytes(line.encode("latin-1") + b"\n" + json.dumps(RUN).encode())
    report = import_files(store, [file])
    assert (report.imported, [row["line"] for row in report.set_aside]) == (1, [1])


def test_a_document_that_was_cut_off_is_one_bad_row(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps({"info": {}, "simulations": ROWS}, indent=2)[:-30])
    report = import_files(store, [file], format="tau2")
    assert [(row["line"], row["reason"][:8]) for row in report.set_aside] == [(1, "not JSON")]


def test_a_line_without_end_does_not_fill_the_memory(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "LONGEST_LINE", 1000)
    long = {**RUN, "task_id": 5, "traj": [{"role": "user", "content": "x" * 5000}]}
    report = import_files(store, [write(tmp_path / "runs.jsonl", RUN, long, {**RUN, "task_id": 6})])
    assert (report.imported, [row["line"] for row in report.set_aside]) == (2, [2])
    assert report.set_aside[0]["reason"] == "the line is longer than 1000 bytes"
