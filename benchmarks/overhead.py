"""CPU time of a superstep: our ReAct loop against the same loop written by hand in LangGraph, with the same saver.

Both ask the same scripted model (`.invoke`) and run the same tool (`.invoke`), with as many supersteps and
messages: five calls, then an answer. The bare loop does no more than that: it checks no call, has no time limit,
notes no version, and keeps its messages with `add_messages`. Repetitions are interleaved; a ratio is
that of the medians, with the middle half of the ratios of neighbours beside it.
"""

import argparse
import gc
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import process_time
from typing import Annotated, Any, Literal
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send
from rich.console import Console
from rich.table import Table
from threadmill.checkpoints import open_store
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot
from typing_extensions import TypedDict

CALLS = 5
SAVERS = ("none", "memory", "sqlite", "langgraph-sqlite")
GOALS = {"none": 1.25, "sqlite": 1.10}


@tool
def look_up(order: str) -> str:
    """Look up an order."""
    return f"{order} was sent on Monday"


def reply(messages: list[BaseMessage]) -> AIMessage:
    """Five calls, then the answer."""
    made = sum(message.type == "ai" for message in messages)
    if made == CALLS:
        return AIMessage("It was sent on Monday.")
    call = {"name": "look_up", "args": {"order": f"A{made}"}, "id": f"c{made}", "type": "tool_call"}
    return AIMessage("I look it up.", tool_calls=[call])


class BareState(TypedDict):
    """What LangGraph's own examples keep."""

    messages: Annotated[list[AnyMessage], add_messages]


def build_bare(model: ScriptedModel, tools: list[BaseTool]) -> StateGraph[BareState]:
    """The loop by hand."""
    bound = model.bind_tools(tools)
    tools_by_name = {tool.name: tool for tool in tools}

    def observe(state: BareState) -> dict[str, Any]:
        return {}

    def think(state: BareState) -> dict[str, Any]:
        return {"messages": [bound.invoke(state["messages"])]}

    def act(state: BareState) -> Command[Literal["tool"]]:
        message: Any = state["messages"][-1]
        return Command(goto=[Send("tool", call) for call in message.tool_calls])

    def run_tool(call: Any) -> dict[str, Any]:
        return {"messages": [tools_by_name[call["name"]].invoke(call)]}

    def wants_call(state: BareState) -> bool:
        message: Any = state["messages"][-1]
        return bool(message.tool_calls)

    graph = StateGraph(BareState)
    graph.add_node("observe", observe)
    graph.add_node("think", think)
    graph.add_node("act", act)
    graph.add_node("tool", run_tool)
    graph.add_edge(START, "observe")
    graph.add_edge("observe", "think")
    graph.add_conditional_edges("think", wants_call, {True: "act", False: END})
    graph.add_edge("tool", "observe")
    return graph


@contextmanager
def open_saver(name: str, path: Path) -> Iterator[Any]:
    """The saver called ``name``."""
    match name:
        case "sqlite":
            with open_store(f"sqlite:///{path}") as store:
                yield store.saver
        case "langgraph-sqlite":
            with SqliteSaver.from_conn_string(str(path)) as saver:
                yield saver
        case "memory":
            yield InMemorySaver()
        case _:
            yield None


def run(graph: Any) -> float:
    """CPU seconds of a new thread from its first message to its answer."""
    config = {"configurable": {"thread_id": str(uuid4())}}
    given = {"messages": [HumanMessage("Where are my orders?")]}
    began = process_time()
    graph.invoke(given, config, durability="sync") if graph.checkpointer else graph.invoke(given)
    return process_time() - began


def count_supersteps(graph: Any) -> int:
    """How many supersteps a thread takes."""
    config = {"configurable": {"thread_id": "counted"}}
    return len([*graph.stream({"messages": [HumanMessage("Where are my orders?")]}, config, stream_mode="updates")])


def measure(saver: str, folder: Path, repetitions: int) -> dict[str, Any]:
    """One saver's record."""
    model = ScriptedModel(reply)
    builders: dict[str, Any] = {
        "ours": build_react(Slot.fixed("agent.think", model, "v1"), [look_up]),
        "bare": build_bare(model, [look_up]),
    }
    with open_saver(saver, folder / "ours.db") as ours, open_saver(saver, folder / "bare.db") as bare:
        graphs = {
            "ours": builders["ours"].compile(checkpointer=ours),
            "bare": builders["bare"].compile(checkpointer=bare),
        }
        supersteps = {name: count_supersteps(graph) for name, graph in graphs.items()}
        assert supersteps["ours"] == supersteps["bare"], supersteps
        for graph in graphs.values():
            for _ in range(10):
                run(graph)
        gc.collect()
        seconds: dict[str, list[float]] = {"ours": [], "bare": []}
        for turn in range(repetitions):
            for name in ("ours", "bare") if turn % 2 else ("bare", "ours"):
                seconds[name].append(run(graphs[name]))
    ratios = [mine / theirs for mine, theirs in zip(seconds["ours"], seconds["bare"], strict=True)]
    low, _, high = quantiles(ratios, n=4)
    return {
        "saver": saver,
        "ratio": round(median(seconds["ours"]) / median(seconds["bare"]), 3),
        "middle_half": [round(low, 3), round(high, 3)],
        "cpu_us_per_superstep": {
            name: round(1e6 * median(times) / supersteps[name], 1) for name, times in seconds.items()
        },
        "supersteps": supersteps["ours"],
        "repetitions": repetitions,
    }


def judge(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The benchmark's document."""
    results: list[Mapping[str, Any]] = [
        {
            "what": f"CPU per superstep with saver {record['saver']}, ours over bare LangGraph",
            "ratio": record["ratio"],
            "goal": GOALS[record["saver"]],
            "met": record["ratio"] <= GOALS[record["saver"]],
        }
        for record in records
        if record["saver"] in GOALS
    ]
    first = next(result for result in results if "sqlite" in result["what"])
    return {
        "name": "overhead",
        "ratio": first["ratio"],
        "ratio_of": first["what"],
        "goal": first["goal"],
        "met": all(result["met"] for result in results),
        "detail": {"results": results, "savers": records},
    }


def show(document: dict[str, Any]) -> None:
    """The table for people."""
    table = Table("saver", "ours µs", "bare µs", "ratio", "middle half", "goal")
    for record in document["detail"]["savers"]:
        goal = GOALS.get(record["saver"])
        table.add_row(
            record["saver"],
            *(f"{record['cpu_us_per_superstep'][name]:.0f}" for name in ("ours", "bare")),
            f"{record['ratio']:.3f}",
            "{:.3f} to {:.3f}".format(*record["middle_half"]),
            "" if goal is None else f"{goal:.2f} {'met' if record['ratio'] <= goal else 'missed'}",
        )
    Console().print(table)


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--repetitions", type=int, default=200, help="threads of each loop for each saver")
    arguments = parser.parse_args()
    records = []
    for saver in SAVERS:
        with TemporaryDirectory() as folder:
            records.append(measure(saver, Path(folder), arguments.repetitions))
    document = judge(records)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        show(document)


if __name__ == "__main__":
    main()
