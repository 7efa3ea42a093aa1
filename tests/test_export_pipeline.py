"""The way from threads to a folder: interrupted, in every format, from several databases, selected, split, redacted."""

import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import datasets
import pytest
import warm
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from letter_world import graph_of, ids, letter_tokenizer, spoken, write_thread
from threadmill.checkpoints.copies import copy_thread
from threadmill.checkpoints.data_sets import uses_of
from threadmill.checkpoints.labels import Label, add_labels
from threadmill.checkpoints.store import open_store
from threadmill.errors import BadDataset
from threadmill.training.dataset import read_rows
from threadmill.training.export import export_chats, export_groups, export_kto, export_pairs, export_sft, pipeline
from threadmill.training.export.journal import Journal
from threadmill.training.selection.redactor import Redactor
from threadmill.training.selection.settings import Selection

TOKENIZER = letter_tokenizer()
ALL = Selection()


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def write_answers(store: Any, answers: dict[str, str], *, task: str | None = None, asked: str = "q") -> None:
    """One thread for each answer, all successes."""
    for thread, answer in answers.items():
        asked_and_said = [HumanMessage(asked, id=f"{thread}-0"), spoken(f"{thread}-1", asked, answer)]
        write_thread(store, thread, asked_and_said, task=task, success=True)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def trained(row: dict[str, Any]) -> str:
    return TOKENIZER.decode([i for i in row["labels"] if i >= 0])


EXPORTS = {"sft": export_sft, "pairs": export_pairs, "kto": export_kto}


def write_trials(store: Any) -> None:
    """Threads with the tasks 0, 0, 1, 1, 2, 2, of which every second fails; the pair of the first task comes again."""
    for at in range(6):
        write_answers(store, {f"t{at}": "no" if at % 2 else f"yes{at // 4}"}, task=str(at // 2))
        if at % 2:
            add_labels(store, [Label(f"t{at}", None, None, name, 0.0, "check") for name in ("success", "reward")])


@pytest.mark.parametrize(("kind", "done"), [("sft", 3), ("pairs", 4)])
def test_a_killed_export_goes_on_and_gives_the_same_bytes(store: Any, tmp_path: Path, kind: str, done: int):
    write_trials(store)
    TOKENIZER.save_pretrained(tmp_path / "model")
    program = Path(__file__).with_name("export_killed.py")
    ended = warm.run(program, store.url, tmp_path / "a", tmp_path / "model", done, kind)
    assert ended.returncode == -9
    assert not (tmp_path / "a").exists()
    assert_goes_on(store, kind, tmp_path, first_seen={"sft": 3, "pairs": 6}[kind])


@pytest.mark.parametrize(("kind", "done"), [("sft", 1), ("kto", 3)])
def test_a_stopped_export_goes_on_and_gives_the_same_bytes(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, done: int
):
    def stop(at: int, _: int) -> None:
        if at == done:
            raise KeyboardInterrupt

    write_trials(store)
    TOKENIZER.save_pretrained(tmp_path / "model")
    monkeypatch.setattr(pipeline, "COMMIT_EVERY", 2)
    with pytest.raises(KeyboardInterrupt):
        EXPORTS[kind](store, tmp_path / "a", tokenizer=tmp_path / "model", progress=stop)
    assert_goes_on(store, kind, tmp_path, first_seen=done)


def assert_goes_on(store: Any, kind: str, folder: Path, first_seen: int) -> None:
    """Only what was not kept is done again, and the folder is as if nothing had happened."""
    seen: list[int] = []
    wishes = {"tokenizer": folder / "model"}
    first = EXPORTS[kind](store, folder / "a", progress=lambda at, of: seen.append(at), **wishes)
    again = EXPORTS[kind](store, folder / "b", **wishes)
    assert seen[0] == first_seen
    assert first["rows"] == {"sft": 3, "pairs": 2, "kto": 6}[kind]
    assert {**first, "query": 0} == {**again, "query": 0}
    for name in ("train.jsonl", "left_out.jsonl", "origins.jsonl"):
        assert (folder / "a" / name).read_bytes() == (folder / "b" / name).read_bytes()
    assert not list(folder.glob(".*"))


def test_a_query_that_changed_begins_anew(store: Any, tmp_path: Path):
    write_answers(store, {"t0": "yes", "t1": "no"})
    journal = Journal(tmp_path / "a", "another query")
    journal.add({"input_ids": [1]}, *_nothing())
    journal.commit(2)
    journal.close()
    assert export_sft(store, tmp_path / "a", tokenizer=TOKENIZER)["rows"] == 2


def _nothing() -> Any:
    from threadmill.training.export.journal import Entry

    return Entry(0, {}, b"", 1, "", "x", None, {}), []


@pytest.mark.parametrize("format", ["jsonl", "parquet", "datasets"])
def test_every_format_holds_the_same_rows_and_the_same_digest(store: Any, tmp_path: Path, format: Any):
    write_answers(store, {"t0": "yes", "t1": "no"}, task="x")
    add_labels(store, [Label("t1", None, None, kind, 0.0, "check") for kind in ("success", "reward")])
    for name, export in {"sft": export_sft, "pairs": export_pairs, "kto": export_kto, "groups": export_groups}.items():
        wishes: Any = {"tokenizer": TOKENIZER, "selection": Selection(test=0.5)}
        plain = export(store, tmp_path / f"{name}-jsonl", **wishes)
        other = export(store, tmp_path / name, format=format, **wishes)
        again = export(store, tmp_path / f"{name}-again", format=format, **wishes)
        assert plain["digest"] == other["digest"]
        assert other["files"] == again["files"]
        assert plain["rows"] > 0
        for split, rows in plain["splits"].items():
            if rows:
                found = [read_rows(tmp_path / folder, split=split)[0] for folder in (f"{name}-jsonl", name)]
                assert found[0] == found[1]


def test_a_datasets_folder_is_loaded_by_its_library(store: Any, tmp_path: Path):
    write_answers(store, {"t0": "yes"})
    export_sft(store, tmp_path / "a", tokenizer=TOKENIZER, format="datasets")
    loaded = datasets.load_from_disk(str(tmp_path / "a"))
    assert loaded["train"][0]["labels"] == [-100, *ids("yes")]


def test_chats_fit_no_table_and_nothing_is_lost_by_asking(store: Any, tmp_path: Path):
    write_answers(store, {"t0": "yes"})
    with pytest.raises(BadDataset, match="openai rows hold JSON of any shape, which parquet has no types for"):
        export_chats(store, tmp_path / "a", chat="openai", format="parquet")
    assert export_chats(store, tmp_path / "a", chat="openai")["rows"] == 1
    assert [message["content"] for message in lines(tmp_path / "a" / "train.jsonl")[0]["messages"]] == ["q", "yes"]
    assert lines(tmp_path / "a" / "origins.jsonl")[0]["threads"] == ["t0"]


def test_every_row_and_everything_left_out_can_be_traced_back(store: Any, tmp_path: Path):
    write_answers(store, {"t0": "yes", "t1": "no", "t2": "no"})
    write_thread(store, "u", [HumanMessage("q"), spoken("u", "q", "oh")], success=False)
    manifest = export_sft(
        store, tmp_path / "a", tokenizer=TOKENIZER, selection=Selection(success_only=True, max_tokens=3)
    )
    assert manifest["left_out"] == {"failure": 1, "longer than 3 tokens": 1}
    assert manifest["threads"] == 4
    origins = lines(tmp_path / "a" / "origins.jsonl")
    assert [(one["split"], one["row"], one["threads"]) for one in origins] == [
        ("train", 0, ["t1"]),
        ("train", 1, ["t2"]),
    ]
    rows, _ = read_rows(tmp_path / "a")
    assert [one["checkpoints"] for one in origins] == [[row["checkpoint"]] for row in rows]
    left = [(one["thread"], one["reason"]) for one in lines(tmp_path / "a" / "left_out.jsonl")]
    assert left == [("u", "failure"), ("t0", "longer than 3 tokens")]
    assert manifest["token_histogram"] == {"at_most": {"4": 2}, "longest": 3}
    assert {*uses_of(store, ["t0", "t1", "t2", "u"])} == {"t1", "t2"}


def test_a_turn_is_trained_in_the_first_row_that_stays(store: Any, tmp_path: Path):
    """The branch that came first is left out for its length; what it shares with the other is trained there."""
    write_thread(store, "t", [HumanMessage("q"), spoken("a", "q", "hm"), spoken("b", "r", "long answer")], success=True)
    graph = graph_of(store)
    history = list(graph.get_state_history({"configurable": {"thread_id": "t"}}))
    before = next(state for state in history if [m.id for m in state.values.get("messages", [])][1:] == ["a"])
    graph.update_state(before.config, {"messages": [spoken("c", "r", "no")]}, as_node="say")
    both = export_sft(store, tmp_path / "both", tokenizer=TOKENIZER)
    assert [trained(row) for row in read_rows(tmp_path / "both")[0]] == ["hmlong answer", "no"]
    short = export_sft(store, tmp_path / "short", tokenizer=TOKENIZER, selection=Selection(max_tokens=8))
    assert [trained(row) for row in read_rows(tmp_path / "short")[0]] == ["hmno"]
    assert (both["trained_tokens"], short["trained_tokens"]) == (15, 4)


def test_a_copy_of_a_thread_trains_nothing_twice(store: Any, tmp_path: Path):
    write_answers(store, {"t0": "yes"})
    copy_thread(store, "t0", "t0-copy")
    manifest = export_sft(store, tmp_path / "a", tokenizer=TOKENIZER)
    assert (manifest["rows"], manifest["trained_tokens"]) == (1, 3)
    assert manifest["left_out"] == {"every turn is trained in another row": 1}
    assert [one["threads"] for one in lines(tmp_path / "a" / "origins.jsonl")] == [["t0"]]
    left = [(one["thread"], one["reason"]) for one in lines(tmp_path / "a" / "left_out.jsonl")]
    assert left == [("t0-copy", "every turn is trained in another row")]


def test_several_databases_are_one_data_set(store: Any, tmp_path: Path):
    write_answers(store, {"t0": "yes", "t1": "no"}, task="x")
    add_labels(store, [Label("t1", None, None, "success", 0.0, "check")])
    with open_store(f"sqlite:///{tmp_path / 'more.db'}") as more:
        write_answers(more, {"t0": "si"}, task="x")
        manifest = export_sft([store, more], tmp_path / "sft", tokenizer=TOKENIZER)
        pairs = export_pairs([store, more], tmp_path / "pairs", tokenizer=TOKENIZER)
        assert {*uses_of(more, ["t0", "t1"])} == {"t0"}
    assert manifest["databases"] == [store.name, more.name]
    assert [row["thread"] for row in read_rows(tmp_path / "sft")[0]] == ["t0 (database 1)", "t0 (database 2)"]
    assert [one["databases"] for one in lines(tmp_path / "sft" / "origins.jsonl")] == [[store.name], [more.name]]
    assert pairs["by_source"] == {"trials": 2}
    assert {row["threads"][0] for row in read_rows(tmp_path / "pairs")[0]} == {"t0 (database 1)", "t0 (database 2)"}


def test_no_task_and_no_opening_is_on_both_sides_of_a_split(store: Any, tmp_path: Path):
    for task in range(12):
        answers = {f"t{task}-{trial}": f"yes {task} {trial}" for trial in range(2)}
        write_answers(store, answers, task=f"task-{task}", asked=f"what about {task}")
    manifest = export_sft(store, tmp_path / "a", tokenizer=TOKENIZER, selection=Selection(success_only=True, test=0.3))
    assert all(manifest["splits"].values())
    sides = {split: {row["task"] for row in read_rows(tmp_path / "a", split=split)[0]} for split in ("train", "test")}
    assert manifest["splits"].keys() == {"train", "test"}
    assert sum(manifest["splits"].values()) == 24
    assert all(not one & other for one, other in combinations(sides.values(), 2))
    assert len(sides["train"] | sides["test"]) == 12


def test_only_the_turns_of_a_node_are_trained(store: Any, tmp_path: Path):
    graph_messages = [HumanMessage("q"), spoken("a", "q", "yes")]
    write_thread(store, "t", graph_messages, success=True)  # recorded as of a.think@0001
    assert export_sft(store, tmp_path / "a", tokenizer=TOKENIZER, where=["node=think"])["trained_tokens"] == 3
    none = export_sft(store, tmp_path / "b", tokenizer=TOKENIZER, where=["node=plan"])
    assert (none["rows"], none["left_out"]) == (0, {"no turn of plan": 1})


def test_threads_that_give_no_row_are_named_with_the_reason(store: Any, tmp_path: Path):
    write_answers(store, {"t0": "yes"})
    copy_thread(store, "t0", "t0-copy")
    write_thread(store, "asked", [HumanMessage("q", id="a-0")], success=True)
    silent = spoken("s-1", "q", "")
    write_thread(store, "silent", [HumanMessage("q", id="s-0"), silent], success=True)
    said = {
        "sft": {("asked", "no message of a model"), ("silent", "nothing to train")},
        "kto": {("asked", "no message of a model"), ("t0-copy", "every turn is trained in another row")},
        "groups": {(thread, "no task") for thread in ("asked", "silent", "t0", "t0-copy")},
    }
    exports = {"sft": export_sft, "kto": export_kto, "groups": export_groups}
    for kind, left_out in said.items():
        manifest = exports[kind](store, tmp_path / kind, tokenizer=TOKENIZER)
        found = [(one["thread"], one["reason"]) for one in lines(tmp_path / kind / "left_out.jsonl")]
        assert left_out <= {*found}
        assert Counter(reason for _, reason in found) == manifest["left_out"]


def test_what_is_redacted_is_counted_and_never_trained(store: Any, tmp_path: Path):
    answer = "write to ada@example.org soon"
    write_answers(store, {"t0": answer})
    manifest = export_sft(store, tmp_path / "a", tokenizer=TOKENIZER, redactor=Redactor(TOKENIZER))
    assert manifest["redacted"] == {"EMAIL_ADDRESS": 1}
    (row,), _ = read_rows(tmp_path / "a")
    assert row["redacted"] == 1
    assert trained(row) == "write to  soon"
    assert "ada" not in (tmp_path / "a" / "train.jsonl").read_text()
    assert "ada@" not in TOKENIZER.decode(row["input_ids"])
    chats = export_chats(store, tmp_path / "b", chat="openai", redactor=Redactor())
    assert chats["redacted"] == {"EMAIL_ADDRESS": 1}
    said = lines(tmp_path / "b" / "train.jsonl")[0]["messages"][1]["content"]
    assert said == "write to [EMAIL_ADDRESS] soon"


def test_every_row_says_how_much_of_it_was_redacted_and_only_rows_that_are_written_count(store: Any, tmp_path: Path):
    write_answers(store, {"t0": "yes", "t1": "write to ada@example.org"})
    copy_thread(store, "t1", "t1-copy")
    for format in ("jsonl", "parquet"):
        wishes: Any = {"tokenizer": TOKENIZER, "redactor": Redactor(TOKENIZER), "format": format}
        manifest = export_sft(store, tmp_path / format, **wishes)
        assert manifest["left_out"] == {"every turn is trained in another row": 1}
        assert manifest["redacted"] == {"EMAIL_ADDRESS": 1}
        assert [row["redacted"] for row in read_rows(tmp_path / format)[0]] == [0, 1]


def test_tools_that_were_not_noted_can_be_given(store: Any, tmp_path: Path):
    write_thread(store, "t", [HumanMessage("q"), AIMessage("yes", id="a")], success=True)
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    call = {"name": "look", "args": {}, "id": "c1"}
    results = [
        AIMessage("", id="b", tool_calls=[call]),
        ToolMessage("red", tool_call_id="c1"),
        AIMessage("red", id="c"),
    ]
    write_thread(store, "u", [HumanMessage("r"), *results], success=True)
    lacking = export_chats(store, tmp_path / "a", chat="openai")
    assert lacking["noted"] == {"rows with calls of tools that nobody noted": 1}
    assert "tools" not in lines(tmp_path / "a" / "train.jsonl")[0]
    assert "noted" not in export_chats(store, tmp_path / "a", chat="openai", tools=[tool])
    assert lines(tmp_path / "a" / "train.jsonl")[0]["tools"] == [tool]


def test_a_system_prompt_that_was_not_noted_can_be_given(store: Any, tmp_path: Path):
    write_thread(store, "t", [HumanMessage("q"), AIMessage("yes", id="a")], success=True)
    write_thread(store, "u", [SystemMessage("own"), HumanMessage("q"), AIMessage("no", id="b")], success=True)
    export_chats(store, tmp_path / "a", chat="openai", system="be kind")
    said = [[message["content"] for message in row["messages"]] for row in lines(tmp_path / "a" / "train.jsonl")]
    assert said == [["be kind", "q", "yes"], ["own", "q", "no"]]
    export_sft(store, tmp_path / "b", tokenizer=TOKENIZER, system="be kind")
    rows, manifest = read_rows(tmp_path / "b")
    assert [TOKENIZER.decode(row["input_ids"]).count("be kind") for row in rows] == [1, 0]
    assert manifest["query"]["system"] == "be kind"
