"""Other people's tools: tau-bench's airline, its recorded runs driven through our act and tool nodes.

A scripted model repeats the recorded messages, tools answer from the record, and every observation must be the recorded
one. Twelve runs are kept here; name a folder with ``tau1_airline`` in ``THREADMILL_SAMPLES`` to drive all 200.
"""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from threadmill.graphs import build_react
from threadmill.nodes import ScriptedModel, Slot

DATA = Path(__file__).parent / "data"
WHOLE = Path(os.environ.get("THREADMILL_SAMPLES", "no folder")) / "tau1_airline"
SCHEMAS = json.loads((DATA / "tau_airline.tools.json").read_text())


def recorded(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def replies_of(run: dict[str, Any]) -> Iterator[AIMessage]:
    """The assistant's messages; ids of calls are used twice in the record, so here each gets one of its own."""
    for place, message in enumerate(run["traj"]):
        if message["role"] == "assistant":
            calls = [
                {"name": call["function"]["name"], "args": json.loads(call["function"]["arguments"]), "id": f"c{place}"}
                for call in message.get("tool_calls") or ()
            ]
            yield AIMessage(message["content"] or "", tool_calls=calls)


def tools_of(run: dict[str, Any]) -> list[BaseTool]:
    """Every tool of the airline, answering with what comes next in the record."""
    answers = iter([message for message in run["traj"] if message["role"] == "tool"])

    def make(schema: dict[str, Any]) -> BaseTool:
        name = schema["function"]["name"]

        def answer(**args: Any) -> str:
            message = next(answers)
            assert message["name"] == name
            return message["content"]

        about = schema["function"]
        return StructuredTool(name=name, description=about["description"], args_schema=about["parameters"], func=answer)

    return [make(schema) for schema in SCHEMAS]


def drive(run: dict[str, Any]) -> list[Any]:
    """The messages of the run, driven through the graph turn by turn of the user."""
    model = ScriptedModel([*replies_of(run), AIMessage("The end of the record.")])
    graph = build_react(Slot.fixed("airline.think", model, "gpt-4o"), tools_of(run), max_calls=100).compile()
    messages: list[Any] = []
    for message in run["traj"]:
        if message["role"] == "user":
            messages = graph.invoke({"messages": [*messages, HumanMessage(message["content"])]})["messages"]
    return messages


def check(run: dict[str, Any]) -> int:
    """How many observations there were; all of them are as recorded."""
    messages = [message for message in drive(run) if message.text != "The end of the record."]
    was = [m["content"] or "" for m in run["traj"] if m["role"] != "system"]
    assert [message.text for message in messages] == was[: len(messages)]
    assert {message["role"] for message in run["traj"][len(messages) + 1 :]} <= {"user"}
    results = [message for message in messages if isinstance(message, ToolMessage)]
    assert [result.additional_kwargs["kind"] for result in results] == ["result"] * len(results)
    return len(results)


def test_every_observation_of_the_kept_runs_is_the_recorded_one() -> None:
    runs = recorded(DATA / "tau_airline.gpt-4o.sample.jsonl.gz")
    assert sum(check(run) for run in runs) == 50


def test_every_schema_compiles_to_a_grammar_that_its_recorded_calls_keep_to() -> None:
    from constrained_world import World

    world = World("hermes")
    longest: dict[str, str] = {}
    for run in recorded(DATA / "tau_airline.gpt-4o.sample.jsonl.gz"):
        for call in (call for reply in replies_of(run) for call in reply.tool_calls):
            text = f'<tool_call>\n{{"name": "{call["name"]}", "arguments": {json.dumps(call["args"])}}}\n</tool_call>'
            longest[call["name"]] = max(longest.get(call["name"], ""), text, key=len)
    assert len(SCHEMAS) == 14
    for schema in SCHEMAS:
        constraint = world.maker.for_tools(world.family, [schema], "required", "")
        assert constraint is not None
        text = longest.get(schema["function"]["name"], "")
        for token in world.tokenizer(text, add_special_tokens=False)["input_ids"]:
            constraint.accept(token)  # which raises at what the grammar forbids
        assert constraint.notes == ()
    assert len(longest) == 9


@pytest.mark.skipif(not WHOLE.exists(), reason="THREADMILL_SAMPLES names no folder with tau1_airline")
def test_every_observation_of_all_runs_is_the_recorded_one() -> None:
    runs = recorded(WHOLE / "trajectories.gpt-4o.jsonl.gz")
    assert (len(runs), sum(check(run) for run in runs)) == (200, 1164)
