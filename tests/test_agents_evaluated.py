"""Suites whose agent has several slots, some of them in conversations of their own, are evaluated with all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from evaluation_suite import Sums, adds
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langgraph.graph import StateGraph
from threadmill.checkpoints.registry import promote, register_version
from threadmill.checkpoints.store import open_store
from threadmill.graphs import build_plan_execute, build_react, build_supervisor
from threadmill.nodes import ScriptedModel, Slot
from threadmill.training.evaluation.run import evaluate


def add(text: str) -> str:
    """Add two numbers."""
    return adds("", text)


def result(messages: Sequence[BaseMessage]) -> str | None:
    """The last word of what a tool has just returned, whatever marks stand around it."""
    if not isinstance(messages[-1], ToolMessage):
        return None
    return [line for line in messages[-1].text.splitlines() if "data" not in line][-1].split()[-1]


def call(name: str, **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"{name}1"}])


class Teams(Sums):
    """The sums, by agents that leave the work to another model."""

    def build(self, slots: Mapping[str, Slot]) -> StateGraph[Any]:
        def work(messages: list[BaseMessage]) -> AIMessage:
            said = result(messages)
            return AIMessage(said) if said else call("add", text=messages[-1].text.split()[-1])

        def lead(messages: list[BaseMessage]) -> AIMessage:
            said, text = result(messages), messages[-1].text
            if said:
                return AIMessage(said if said.isdigit() else "many")
            if self.slots[0] == "sums.plan":
                return call("plan", steps=[{"id": "a", "task": f"Add {text}"}])
            return call("hand_off", to="adder", task=f"Add {text}")

        leader, worker = (
            Slot.fixed(name, ScriptedModel(says), slots[name].version_now())
            for name, says in zip(self.slots, (lead, work), strict=True)
        )
        if self.slots[0] == "sums.plan":
            return build_plan_execute(leader, worker, [add], name="sums")
        return build_supervisor(leader, {"adder": build_react(worker, [add], name="adder")}, name="sums")


@pytest.mark.parametrize("slots", [("sums.think", "sums.adder.think"), ("sums.plan", "sums.execute")])
def test_agents_of_several_slots_are_evaluated(tmp_path: Path, tiny_folder: Path, slots: tuple[str, str]) -> None:
    with open_store(f"sqlite:///{tmp_path}/runs.db") as store:
        for slot in slots:
            promote(store, slot, register_version(store, slot, tiny_folder, lineage={}).name, because="a test")
        suite = Teams(tmp_path / "spoken", adds, slots=slots)
        done = evaluate(store, suite, {}, tasks_per_tier=1, k=1, seed=0, workers=1)
    assert done.versions == {slot: f"{slot}@0001" for slot in slots}
    assert [episode.success for episode in done.episodes] == [True, True]
    # Of the thread itself: what the other model called is in a conversation of its own.
    assert (done.summary.metrics["steps"], done.summary.metrics["calls"]) == (2.0, 1.0)
