"""Export from a database: selection, determinism, what is set aside, and folders that cannot be read."""

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from letter_world import END_OF_TURN, START_OF_TURN, graph_of, ids, letter_tokenizer, spoken, write_thread
from threadmill.checkpoints.store import open_store
from threadmill.cli.export import app
from threadmill.errors import BadDataset, BadModelFolder
from threadmill.training.dataset import read_rows, write_dataset
from threadmill.training.export import export_pairs, export_sft
from threadmill.training.selection.settings import Selection
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def tokenizer():
    return letter_tokenizer()


@pytest.fixture
def store(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def test_only_successes_are_exported_and_the_rest_is_counted(store, tokenizer, tmp_path):
    write_thread(store, "t0", [HumanMessage("q"), spoken("a", "q", "yes")], success=True)
    write_thread(store, "t1", [HumanMessage("q"), spoken("b", "q", "no")], success=False)
    write_thread(store, "t2", [HumanMessage("q"), spoken("c", "q", "oh")])
    manifest = export_sft(store, tmp_path / "sft", tokenizer=tokenizer)
    rows, read = read_rows(tmp_path / "sft", "sft")
    assert [row["thread"] for row in rows] == ["t0"]
    assert rows[0]["labels"] == [-100, *ids("yes")]
    assert manifest == read
    assert manifest["left_out"] == {"failure": 1, "no outcome": 1}
    assert (manifest["rows"], manifest["tokens"], manifest["trained_tokens"]) == (1, 4, 3)
    assert manifest["by_source"] == {"check": 1}
    everything = export_sft(store, tmp_path / "all", tokenizer=tokenizer, selection=Selection())
    assert (everything["rows"], everything["left_out"]) == (3, {})
    assert export_sft(store, tmp_path / "some", tokenizer=tokenizer, where=["thread=t[12]"])["rows"] == 0
    assert export_sft(store, tmp_path / "reward", tokenizer=tokenizer, selection=Selection(min_reward=0.0))["rows"] == 2


def test_the_same_threads_give_the_same_bytes_in_the_order_of_their_ids(store, tokenizer, tmp_path):
    for at in (2, 0, 1):
        write_thread(store, f"t{at}", [HumanMessage("q"), spoken(f"a{at}", "q", "yes")], success=True)
    first = export_sft(store, tmp_path / "one", tokenizer=tokenizer)
    again = export_sft(store, tmp_path / "other", tokenizer=tokenizer)
    replaced = export_sft(store, tmp_path / "one", tokenizer=tokenizer)
    assert first == again == replaced
    assert (tmp_path / "one" / "train.jsonl").read_bytes() == (tmp_path / "other" / "train.jsonl").read_bytes()
    assert [row["thread"] for row in read_rows(tmp_path / "one")[0]] == ["t0", "t1", "t2"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["one", "other"]


def test_a_fork_is_a_second_row_that_trains_only_what_is_new(store, tokenizer, tmp_path):
    write_thread(store, "t", [HumanMessage("q"), spoken("a", "q", "hm"), spoken("b", "r", "yes")], success=True)
    graph = graph_of(store)
    history = list(graph.get_state_history({"configurable": {"thread_id": "t"}}))
    before = next(state for state in history if [m.id for m in state.values.get("messages", [])][1:] == ["a"])
    graph.update_state(before.config, {"messages": [spoken("c", "r", "no")]}, as_node="say")
    export_sft(store, tmp_path / "sft", tokenizer=tokenizer)
    rows, _ = read_rows(tmp_path / "sft")
    trained = sorted(tuple(i for i in row["labels"] if i >= 0) for row in rows)
    assert trained == sorted([ids("hmyes"), ids("no")])


def test_threads_without_traces_are_rendered(store, tokenizer, tmp_path):
    write_thread(store, "t", [HumanMessage("q"), AIMessage("yes", id="a")], success=True)
    export_sft(store, tmp_path / "sft", tokenizer=tokenizer)
    (row,), _ = read_rows(tmp_path / "sft")
    turn = [*ids("yes"), END_OF_TURN]
    assert row["tokens"] == "rendered"
    assert row["input_ids"] == [START_OF_TURN, *ids("q"), END_OF_TURN, START_OF_TURN, *turn]
    assert row["labels"] == [-100, -100, -100, -100, *turn]


def test_an_answer_that_says_nothing_is_not_trained(store, tokenizer, tmp_path):
    write_thread(store, "t", [HumanMessage("q"), AIMessage("yes", id="a"), HumanMessage("r"), AIMessage("", id="b")])
    export_sft(store, tmp_path / "sft", tokenizer=tokenizer, selection=Selection())
    (row,), _ = read_rows(tmp_path / "sft")
    assert [i for i in row["labels"] if i >= 0] == [*ids("yes"), END_OF_TURN]
    assert row["input_ids"].count(END_OF_TURN) == 4


def test_a_thread_with_broken_tokens_is_set_aside_and_the_rest_exported(store, tokenizer, tmp_path):
    broken = AIMessage("no", id="x", response_metadata={"trace": {"version": "a.think@0001"}})
    write_thread(store, "t0", [HumanMessage("q"), broken], success=True)
    write_thread(store, "t1", [HumanMessage("q"), spoken("a", "q", "yes")], success=True)
    manifest = export_sft(store, tmp_path / "sft", tokenizer=tokenizer)
    assert manifest["rows"] == 1
    assert manifest["left_out"] == {"tokens cannot be read": 1}


def test_pairs_of_trials_and_edits(store, tokenizer, tmp_path):
    write_thread(store, "t0", [HumanMessage("q"), spoken("a", "q", "yes")], task="x", success=True)
    write_thread(store, "t1", [HumanMessage("q"), spoken("b", "q", "no")], task="x", success=False)
    write_thread(store, "t2", [HumanMessage("r"), spoken("c", "r", "no")], task="x", success=False)
    edit = {"by": "ann", "at": "", "proposal": {}}
    messages = [spoken("d", "q", "bad", edit=edit), spoken("e", "good-", "yes", human=((0, 4),))]
    write_thread(store, "t3", messages)
    manifest = export_pairs(store, tmp_path / "pairs", tokenizer=tokenizer)
    rows, _ = read_rows(tmp_path / "pairs", "pairs")
    assert manifest["by_source"] == {"human_edit": 1, "trials": 1}
    assert manifest["left_out"] == {"trials: prompts differ": 1}
    assert [(row["chosen_ids"], row["rejected_ids"]) for row in rows] == [
        ([*ids("good")], [*ids("bad")]),
        ([*ids("yes")], [*ids("no")]),
    ]


def test_the_command_prints_one_json_document(store, tokenizer, tmp_path):
    write_thread(store, "t", [HumanMessage("q"), spoken("a", "q", "yes")], success=True)
    tokenizer.save_pretrained(tmp_path / "model")
    given = ["--db", store.url, "--tokenizer", str(tmp_path / "model"), "--json"]
    result = CliRunner().invoke(app, ["sft", "--out", str(tmp_path / "sft"), *given], catch_exceptions=False)
    printed = json.loads(result.stdout)
    assert (printed["rows"], printed["trained_tokens"], printed["out"]) == (1, 3, str(tmp_path / "sft"))
    assert {"tokens", "left_out", "by_source", "digest"} <= set(printed)
    result = CliRunner().invoke(app, ["preview", "t", *given], catch_exceptions=False)
    (sheet,) = json.loads(result.stdout)["sheets"]
    assert [piece["text"] for piece in sheet["pieces"]] == ["q", "yes"]


def test_folders_that_hold_no_tokenizer_or_data_set_are_refused(store, tmp_path):
    with pytest.raises(BadModelFolder, match="no tokenizer can be opened"):
        export_sft(store, tmp_path / "sft", tokenizer=str(tmp_path))
    with pytest.raises(BadDataset, match=r"holds no manifest\.json"):
        read_rows(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadDataset, match="choose a new folder"):
        write_dataset(tmp_path, [], {"kind": "sft"})
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_data_sets_that_are_empty_changed_or_of_another_kind_are_refused(tmp_path):
    write_dataset(tmp_path / "empty", [], {"kind": "sft", "left_out": {"failure": 3}})
    with pytest.raises(BadDataset, match=r"holds no train row \(left out: failure: 3\)"):
        read_rows(tmp_path / "empty")
    row = {"input_ids": [1, 2], "labels": [-100], "logprobs": [None, None]}
    write_dataset(tmp_path / "sft", [row], {"kind": "sft"})
    with pytest.raises(BadDataset, match=r"sft, row 1: 2 input_ids but 1 labels"):
        read_rows(tmp_path / "sft")
    with pytest.raises(BadDataset, match="holds sft, not pairs"):
        read_rows(tmp_path / "sft", "pairs")
    (tmp_path / "sft" / "train.jsonl").write_text("{}\n")
    with pytest.raises(BadDataset, match="is not what its manifest describes"):
        read_rows(tmp_path / "sft")
