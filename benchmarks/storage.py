"""Bytes and loading time of threads: our `messages` channel against plain `add_messages`, with the same saver.

Every turn is a run of a small graph: a human message in, an AI message with a call and a tool message out, of
390 characters each, in four checkpoints. Bytes are those of the whole database file after its log was
written back. Loading is `graph.get_state`, once of the newest checkpoint and once of the checkpoint that has
the longest way back to a snapshot, interleaved, CPU time.

The plain thread of 1,000 turns takes about 3 GB in a temporary folder (set TMPDIR to choose it), which is
removed at the end, and some minutes. `--quick` stops at 200 turns.
"""

import argparse
import gc
import json
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Annotated, Any, TypedDict

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from rich.console import Console
from rich.table import Table
from threadmill.checkpoints import Store, open_store
from threadmill.checkpoints.messages import Messages

SIZES = (10, 50, 200, 1000)
BYTES_GOAL = 1 / 50
LOAD_GOAL = 1.5
TEXT = ("The order was sent on Monday and has not arrived. " * 8)[:390]
THREAD: Any = {"configurable": {"thread_id": "t"}}


class Ours(TypedDict):
    """The state with our channel."""

    messages: Messages


class Plain(TypedDict):
    """The state as LangGraph's own examples have it."""

    messages: Annotated[list[AnyMessage], add_messages]


def think(state: Any) -> dict[str, Any]:
    """Propose a call."""
    return {"messages": [AIMessage(TEXT, tool_calls=[{"name": "look_up", "args": {"order": "A1"}, "id": "c1"}])]}


def tool(state: Any) -> dict[str, Any]:
    """Answer it."""
    return {"messages": [ToolMessage(TEXT, tool_call_id="c1", name="look_up")]}


def build(state: type, store: Store) -> Any:
    """The graph with ``state`` on ``store``."""
    graph = StateGraph(state)
    graph.add_node("think", think)
    graph.add_node("tool", tool)
    graph.add_edge(START, "think")
    graph.add_edge("think", "tool")
    return graph.compile(checkpointer=store.saver)


def measure(folder: Path, sizes: Sequence[int], ours: type = Ours) -> list[dict[str, Any]]:
    """One record for each of ``sizes`` (turns), which grow."""
    records = []
    with ExitStack() as stack:
        stores = {name: stack.enter_context(open_store(f"sqlite:///{folder / name}.db")) for name in ("ours", "plain")}
        graphs = {"ours": build(ours, stores["ours"]), "plain": build(Plain, stores["plain"])}
        turns = 0
        for size in sizes:
            for _ in range(size - turns):
                for graph in graphs.values():
                    graph.invoke({"messages": [HumanMessage(TEXT)]}, THREAD, durability="sync")
            turns = size
            paths = {name: folder / f"{name}.db" for name in graphs}
            checkpoints = {name: checkpoints_of(path) for name, path in paths.items()}
            farthest = longest_way_back(checkpoints["ours"])
            places = {"newest": -1, "farthest": farthest}
            records.append(
                {
                    "turns": size,
                    "checkpoints": {name: len(found) for name, found in checkpoints.items()},
                    "bytes": {name: file_bytes(path) for name, path in paths.items()},
                    **{
                        place: time_loading(graphs, {name: found[at][0] for name, found in checkpoints.items()})
                        for place, at in places.items()
                    },
                    "steps_back": [checkpoints["ours"][at][1] for at in places.values()],
                }
            )
        same = [[(m.type, m.text) for m in graph.get_state(THREAD).values["messages"]] for graph in graphs.values()]
        assert same[0] == same[1]
        assert len(same[0]) == 3 * turns
    return records


def checkpoints_of(path: Path) -> list[tuple[str, int]]:
    """Id and steps since the last snapshot, oldest first."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT checkpoint_id, metadata FROM checkpoints ORDER BY checkpoint_id").fetchall()
    counters = [json.loads(noted).get("counters_since_delta_snapshot", {}) for _, noted in rows]
    return [(row[0], counter.get("messages", (0, 0))[1]) for row, counter in zip(rows, counters, strict=True)]


def longest_way_back(checkpoints: Sequence[tuple[str, int]]) -> int:
    """The place of the checkpoint with the most steps to replay, in the second half: of about the full size."""
    half = len(checkpoints) // 2
    return max(range(half, len(checkpoints)), key=lambda at: checkpoints[at][1])


def file_bytes(path: Path) -> int:
    """The size of the database with everything in the file itself."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return path.stat().st_size


def time_loading(graphs: dict[str, Any], checkpoints: dict[str, str]) -> dict[str, Any]:
    """Milliseconds to load the state at ``checkpoints``: CPU and wall, medians over some seconds."""
    configs: dict[str, Any] = {
        name: {"configurable": {**THREAD["configurable"], "checkpoint_ns": "", "checkpoint_id": checkpoints[name]}}
        for name in graphs
    }
    cpu: dict[str, list[float]] = {name: [] for name in graphs}
    wall: dict[str, list[float]] = {name: [] for name in graphs}
    for graph, config in zip(graphs.values(), configs.values(), strict=True):
        graph.get_state(config)
    gc.collect()
    end = perf_counter() + 4
    while perf_counter() < end or len(cpu["ours"]) < 9:
        for name, graph in graphs.items():
            began_wall, began = perf_counter(), process_time()
            graph.get_state(configs[name])
            cpu[name].append(1000 * (process_time() - began))
            wall[name].append(1000 * (perf_counter() - began_wall))
    return {
        "cpu_ms": {name: round(median(times), 3) for name, times in cpu.items()},
        "wall_ms": {name: round(median(times), 3) for name, times in wall.items()},
        "ratio": round(median(cpu["ours"]) / median(cpu["plain"]), 3),
        "repetitions": len(cpu["ours"]),
    }


def judge(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The benchmark's document."""
    last = records[-1]
    stored = last["bytes"]["ours"] / last["bytes"]["plain"]
    slowest = max(record[place]["ratio"] for record in records for place in ("newest", "farthest"))
    results = [
        {
            "what": f"bytes at {last['turns']} turns, ours over plain add_messages",
            "ratio": round(stored, 5),
            "goal": BYTES_GOAL,
            "met": stored <= BYTES_GOAL,
        },
        {
            "what": "CPU time to load, ours over plain add_messages, the worst of all sizes and places",
            "ratio": slowest,
            "goal": LOAD_GOAL,
            "met": slowest <= LOAD_GOAL,
        },
    ]
    if last["turns"] < max(SIZES):  # the goal for bytes is one for long threads
        results = results[1:]
    return {
        "name": "storage",
        "ratio": results[0]["ratio"],
        "ratio_of": results[0]["what"],
        "goal": results[0]["goal"],
        "met": all(result["met"] for result in results),
        "detail": {"results": results, "sizes": list(records)},
    }


def show(document: dict[str, Any]) -> None:
    """The tables for people."""
    sizes = Table("turns", "KB/turn ours", "KB/turn plain", "fraction", "load ours ms", "plain ms", "ratio", "farthest")
    for record in document["detail"]["sizes"]:
        stored, newest = record["bytes"], record["newest"]
        sizes.add_row(
            f"{record['turns']:,}",
            *(f"{stored[name] / record['turns'] / 1000:.1f}" for name in ("ours", "plain")),
            f"1/{stored['plain'] / stored['ours']:.1f}",
            *(f"{newest['cpu_ms'][name]:.2f}" for name in ("ours", "plain")),
            f"{newest['ratio']:.2f}",
            f"{record['farthest']['ratio']:.2f}",
        )
    console = Console()
    console.print(sizes)
    for result in document["detail"]["results"]:
        says = "met" if result["met"] else "missed"
        console.print(f"{result['what']}: {result['ratio']:.3f} (goal: at most {result['goal']:.3g}) {says}")


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--quick", action="store_true", help="stop at 200 turns")
    arguments = parser.parse_args()
    sizes = [size for size in SIZES if size <= 200 or not arguments.quick]
    with TemporaryDirectory() as folder:
        document = judge(measure(Path(folder), sizes))
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        show(document)


if __name__ == "__main__":
    main()
