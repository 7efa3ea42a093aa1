"""What ``threadmill export`` understands: its options, its one JSON document, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.graph import START, MessagesState, StateGraph
from letter_world import letter_tokenizer, spoken, write_thread
from threadmill.checkpoints.evaluations import RecordedTrial, add_trial, begin_evaluation
from threadmill.checkpoints.store import open_store
from threadmill.cli.export import app
from threadmill.errors import BadModelFolder
from threadmill.training.dataset import read_manifest
from typer.testing import CliRunner


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer, and threads of two tasks: one went well and one did not, each."""
    folder = tmp_path_factory.mktemp("world")
    letter_tokenizer().save_pretrained(folder / "model")
    with open_store(f"sqlite:///{folder / 'runs.db'}") as store:
        for at, (task, answer, went_well) in enumerate(
            [("a", "yes", True), ("a", "no", False), ("b", "sure thing", True), ("b", "never", False)]
        ):
            write_thread(
                store, f"t{at}", [HumanMessage(task), spoken(f"m{at}", task, answer)], task=task, success=went_well
            )
    return folder


def export(world: Path, kind: str, *options: str) -> Any:
    db = f"sqlite:///{world / 'runs.db'}"
    tokens = ["--tokenizer", str(world / "model")]
    return CliRunner().invoke(app, [kind, "--out", str(world / "out"), "--db", db, *tokens, *options])


@pytest.mark.parametrize(
    ("kind", "options", "rows", "splits"),
    [
        ("sft", [], 2, {"train": 2}),
        ("sft", ["--all"], 4, {"train": 4}),
        ("sft", ["--all", "--where", "task=a", "--where", "reward<=0.5"], 1, {"train": 1}),
        ("sft", ["--min-reward", "0"], 4, {"train": 4}),
        ("sft", ["--all", "--best-of", "1"], 2, {"train": 2}),
        ("sft", ["--max-length", "5"], 1, {"train": 1}),
        ("sft", ["--test", "0.5"], 2, {"train": 1, "test": 1}),
        ("sft", ["--all", "--mix", "success=0.5,failure=0.5", "--dedup", "near=0.9"], 4, {"train": 4}),
        ("sft", ["--redact", "--also", "YES=yes", "--kinds", "EMAIL_ADDRESS"], 1, {"train": 1}),
        ("pairs", ["--continuation", "turn"], 2, {"train": 2}),
        ("pairs", ["--max-pairs-per-task", "0"], 0, {"train": 0}),
        ("kto", [], 4, {"train": 4}),
        ("groups", ["--format", "parquet"], 4, {"train": 4}),
        ("openai", ["--thinking", "drop"], 2, {"train": 2}),
        ("anthropic", [], 2, {"train": 2}),
        ("sharegpt", [], 2, {"train": 2}),
    ],
)
def test_options_become_rows(world: Path, kind: str, options: list[str], rows: int, splits: dict[str, int]):
    done = export(world, kind, *options, "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert (printed["rows"], printed["splits"]) == (rows, splits)
    manifest = read_manifest(world / "out")
    assert (manifest["kind"], manifest["digest"]) == (kind, printed["digest"])


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--format", "csv"], "'csv' is none of jsonl, parquet, datasets"),
        (["--dedup", "fuzzy"], "'fuzzy' is neither exact nor near=0.8"),
        (["--dedup", "exact=7"], "'exact=7' is neither exact nor near=0.8"),
        (["--mix", "success=half"], "'half' is no number"),
        (["--allow", "x"], "go with --redact"),
        (["--redact", "--also", "x"], "'x' is not NAME=REGEX"),
        (["--tools", "nowhere.json"], "nowhere.json cannot be read"),
        (["--best-of", "0"], "greater than or equal to 1"),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_right(world: Path, options: list[str], complaint: str):
    done = export(world, "sft", *options)
    assert (done.exit_code, done.stdout) == (2, "")
    assert complaint in " ".join(done.stderr.replace("│", " ").split())


def test_conditions_that_nothing_meets_are_named(world: Path):
    done = export(world, "sft", "--where", "agent=nobody", "--json")
    assert (done.exit_code, json.loads(done.stdout)["rows"]) == (0, 0)
    assert "no thread fits agent=nobody" in done.stderr


def test_threads_of_evaluations_are_not_taken_without_a_word(tmp_path: Path):
    db = f"sqlite:///{tmp_path / 'own.db'}"
    letter_tokenizer().save_pretrained(tmp_path / "model")
    with open_store(db) as store:
        write_thread(store, "eval-1", [HumanMessage("q"), spoken("m", "q", "yes")], success=True)
        begin_evaluation(store, "e1", suite="shop", versions={}, k=1, settings={})
        add_trial(store, "e1", RecordedTrial("q", 0, "easy", "eval-1", True, 1.0, {}))
    command = ["sft", "--db", db, "--out", str(tmp_path / "out"), "--tokenizer", str(tmp_path / "model")]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0
    assert "1 of the threads were played by evaluations, such as eval-1: their tasks will say nothing" in done.stderr


def test_threads_without_labels_and_without_a_tokenizer_are_explained(tmp_path: Path):
    db = f"sqlite:///{tmp_path / 'own.db'}"
    with open_store(db) as store:
        graph = StateGraph(MessagesState).add_node("say", lambda _: {"messages": [AIMessage("Yes.")]})
        own = graph.add_edge(START, "say").compile(checkpointer=store.saver)
        own.invoke({"messages": [("user", "Hi.")]}, {"configurable": {"thread_id": "t"}})
    command = ["sft", "--db", db, "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, command)
    assert "`threadmill threads label ID success 1`, or take them anyhow with --all" in done.stderr
    done = CliRunner().invoke(app, ["pairs", *command[1:]])
    assert "nothing to compare" in done.stderr
    done = CliRunner().invoke(app, [*command, "--all", "--tokenizer", "seed"])
    assert (done.exit_code, read_manifest(tmp_path / "out")["rows"]) == (0, 1), done.output
    assert ["tokenizer", "seed"] in [
        [cell.strip() for cell in line.split("│")[1:3]] for line in done.stdout.splitlines()
    ]


@pytest.mark.parametrize(
    ("tools", "said"),
    [
        ('[{"function": "look"}]', "tool 0 has no name"),
        ("[{}]", "tool 0 has no name"),
        ("[1]", "tool 0 has no name"),
        ("{}", "holds no list of schemas"),
    ],
)
def test_a_file_without_schemas_is_wrong_usage(world: Path, tmp_path: Path, tools: str, said: str):
    (tmp_path / "tools.json").write_text(tools)
    refused = export(world, "openai", "--tools", str(tmp_path / "tools.json"))
    assert refused.exit_code == 2
    assert said in " ".join(refused.stderr.replace("│", " ").split())


def test_schemas_are_given_as_anthropic_writes_them_too(world: Path, tmp_path: Path):
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    (tmp_path / "tools.json").write_text(json.dumps([{"name": "look", "input_schema": schema}]))
    assert export(world, "openai", "--tools", str(tmp_path / "tools.json")).exit_code == 0
    record = json.loads((world / "out" / "train.jsonl").read_text().splitlines()[0])
    function = {"name": "look", "description": "", "parameters": schema}
    assert record["tools"] == [{"type": "function", "function": function}]


def test_a_template_that_is_none_is_refused_with_its_name(world: Path, tmp_path: Path):
    (tmp_path / "broken.jinja").write_text("{% for m in messages %}{{ m.content ")
    for name in ("broken.jinja", "missing.jinja"):
        refused = export(world, "sft", "--template", str(tmp_path / name))
        assert isinstance(refused.exception, BadModelFolder)
        assert f"no chat template can be read from '{tmp_path / name}'" in str(refused.exception)
