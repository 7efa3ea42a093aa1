"""Statistics and checks of a small world: a shop whose threads are exported as rows and pairs, looked at by command."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from family_tokenizers import qwen_tokenizer
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langgraph.graph import END, START, StateGraph
from threadmill.checkpoints.labels import Label, add_labels
from threadmill.checkpoints.store import Store, open_store
from threadmill.cli.look import app
from threadmill.graphs.state import AgentState
from threadmill.nodes.models.trace import Trace, write_trace
from threadmill.training.export import export_chats, export_groups, export_kto, export_pairs, export_sft
from threadmill.training.look.check import check_folder
from threadmill.training.look.roles import RoleReader
from threadmill.training.look.seen import Seen, row_seen
from threadmill.training.look.stats import Stats
from threadmill.training.look.stats_picture import draw_stats
from threadmill.training.selection.settings import Selection
from typer.testing import CliRunner

ASKED = "<|im_start|>user\nOrder {order}: where?<|im_end|>\n<|im_start|>assistant\n"
TOLD = "\n<|im_start|>user\n<tool_response>\n{result}\n</tool_response><|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return qwen_tokenizer("qwen3")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, tokenizer: Any) -> Iterator[Store]:
    """Four trials of two tasks. Two successes: one looks, one says at once that it cannot. A failure refunds."""
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('shop') / 'runs.db'}") as opened:
        write(opened, tokenizer, "t0", "simple-1", ["look", "It is here."], success=True)
        write(opened, tokenizer, "t1", "simple-1", ["refund", "It is gone."], success=False)
        write(opened, tokenizer, "t2", "hard-2", ["I cannot."], success=True)
        write(opened, tokenizer, "t3", "hard-2", ["refund", "Done."], success=False)
        yield opened


def write(store: Store, tokenizer: Any, thread: str, task: str, said: list[str], *, success: bool) -> None:
    """A thread whose model says these things; ``look`` and ``refund`` are calls."""
    messages: list[BaseMessage] = [HumanMessage(f"Order {task}: where?")]
    prompt = ASKED.format(order=task)
    for at, text in enumerate(said):
        calls = [ToolCall(name=text, args={}, id=f"{thread}-{at}")] if text in ("look", "refund") else []
        spoken = f'<tool_call>\n{{"name": "{text}", "arguments": {{}}}}\n</tool_call>' if calls else text
        ids = tuple(tokenizer(f"{spoken}<|im_end|>")["input_ids"])
        trace = Trace("shop.think@0001", tuple(tokenizer(prompt)["input_ids"]), ids, (-0.5,) * len(ids))
        told = {"trace": write_trace(trace)}
        messages.append(AIMessage("" if calls else text, id=f"{thread}{at}", tool_calls=calls, response_metadata=told))
        if calls:
            messages.append(ToolMessage("here", tool_call_id=f"{thread}-{at}", name=text))
            prompt = TOLD.format(result="here")
    graph = StateGraph(AgentState)
    graph.add_node("say", lambda state: {})
    graph.add_edge(START, "say")
    graph.add_edge("say", END)
    metadata = {"agent": "shop", "task": task, "tier": task.split("-")[0]}
    config: Any = {"configurable": {"thread_id": thread}, "metadata": metadata}
    graph.compile(checkpointer=store.saver).invoke({"messages": messages}, config, durability="sync")
    labels = [Label(thread, None, None, kind, float(success), "check") for kind in ("reward", "success")]
    add_labels(store, labels)


def command(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


def test_what_we_export_has_no_finding(store: Store, tokenizer: Any, tmp_path: Path) -> None:
    reader = RoleReader(tokenizer)
    everything = Selection(test=0.5)
    for name, format in (("jsonl", "jsonl"), ("parquet", "parquet"), ("datasets", "datasets")):
        export_sft(store, tmp_path / name, tokenizer=tokenizer, selection=everything, format=format)  # type: ignore[arg-type]
        report = check_folder(tmp_path / name, reader)
        assert (report.findings.kept, report.splits, report.format) == ([], {"train": 2, "test": 2}, format)
    export_pairs(store, tmp_path / "pairs", tokenizer=tokenizer)
    report = check_folder(tmp_path / "pairs", reader)
    assert (report.findings.kept, report.splits, report.kind) == ([], {"train": 2}, "pairs")
    for name, exported in (("kto", export_kto), ("groups", export_groups)):
        exported(store, tmp_path / name, tokenizer=tokenizer)
        assert check_folder(tmp_path / name, reader).findings.kept == []
    export_chats(store, tmp_path / "chats", chat="openai")
    report = check_folder(tmp_path / "chats", reader)
    assert (report.findings.kept, report.splits, report.kind) == ([], {"train": 2}, "openai")


def test_successes_that_change_nothing_are_counted_and_warned_of(store: Store, tokenizer: Any, tmp_path: Path) -> None:
    export_sft(store, tmp_path / "sft", tokenizer=tokenizer, selection=Selection())
    picture = tmp_path / "pictures" / "stats.png"
    record = json.loads(command("stats", tmp_path / "sft", "--png", picture, "--json").stdout)
    assert record["outcomes"] == {"success": 2, "failure": 2}
    assert record["tiers"] == {"hard": {"success": 1, "failure": 1}, "simple": {"success": 1, "failure": 1}}
    assert record["tools"] == {"refund": 2, "look": 1}
    assert record["successes"] == {"only reads": 1, "runs no tool": 1}
    assert record["behaviours"] == {"failure": 2, "success": 1, "refusal": 1}
    assert record["warnings"] == [
        "2 of 2 successes change nothing (1 run no tool, 1 only read, by the names of tools; --acting TOOL says it "
        "surely): training on successes alone can teach doing nothing"
    ]
    assert (record["rows"], record["png"]) == (4, str(picture))
    assert record["trained_tokens"] == sum(len(row["labels"]) - row["labels"].count(-100) for row in rows(tmp_path))
    assert picture.read_bytes().startswith(b"\x89PNG")
    named = json.loads(command("stats", tmp_path / "sft", "--acting", "look", "--acting", "fly", "--json").stdout)
    assert named["successes"] == {"acts": 1, "runs no tool": 1}
    assert named["warnings"][0].startswith("1 of 2 successes change nothing (1 run no tool, 0 only read, as you named")
    assert named["warnings"][1] == "no row calls fly, named with --acting; called are look, refund"


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "sft" / "train.jsonl").read_text().splitlines()]


def test_threads_of_a_database_are_counted_like_rows(store: Store) -> None:
    record = json.loads(command("stats", "--db", store.url, "--where", "task=simple-*", "--json").stdout)
    assert (record["rows"], record["splits"]) == (2, {"branches": 2})
    assert record["successes"] == {"only reads": 1}
    assert record["lengths"]["min"] > 0
    shown = command("stats", "--db", store.url).stdout
    assert "2 of 2 successes change nothing" in " ".join(shown.split())


def test_without_facts_tools_are_read_from_tokens_or_messages(store: Store, tokenizer: Any, tmp_path: Path) -> None:
    export_sft(store, tmp_path / "sft", tokenizer=tokenizer, selection=Selection())
    bare = [{name: value for name, value in row.items() if name != "facts"} for row in rows(tmp_path)]
    seen = [row_seen(row, "train", RoleReader(tokenizer)) for row in bare]
    assert sorted((one.tools, one.calls) for one in seen) == [
        ((), 0),
        (("look",), 1),
        (("refund",), 1),
        (("refund",), 1),
    ]
    assert {row_seen(row, "train", None).tools for row in bare} == {None}
    call = {"type": "function", "function": {"name": "look", "arguments": "{}"}}
    messages = [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "content": "here"}]
    assert row_seen({"messages": messages, "reward": 1}, "train", None) == Seen(tools=("look",), calls=1, reward=1.0)


def test_a_picture_of_nothing_can_be_drawn(tmp_path: Path) -> None:
    draw_stats(tmp_path / "none.png", Stats.of([Seen(tools=("工具",))]), "$nothing")
    assert (tmp_path / "none.png").read_bytes().startswith(b"\x89PNG")


def test_the_check_exits_with_1_on_errors_and_with_0_on_warnings(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path / "model")
    given, said, end = (tokenizer(text)["input_ids"] for text in (ASKED, "Yes.", "<|im_end|>"))
    data = tmp_path / "train.jsonl"
    for trained, code in (([*said, *end], 0), (said, 1)):
        ids = [*given, *said, *end]
        labels = [-100] * len(given) + trained + [-100] * (len(ids) - len(given) - len(trained))
        data.write_text((json.dumps({"input_ids": ids, "labels": labels}) + "\n") * 2)
        result = command("check", data, "--tokenizer", tmp_path / "model", "--json")
        assert result.exit_code == code, result.stdout
    assert json.loads(result.stdout)["counts"] == {"duplicate": 1, "untrained-end": 2}
    shown = command("check", data, "--tokenizer", tmp_path / "model").stdout
    assert shown.count("error untrained-end, 2 in all\n") == 1
    assert shown.endswith("2 errors, 1 warnings\n")
