"""Suites whose agent has several slots, some of them in conversations of their own, are evaluated with all of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from evaluation_suite import Sums, adds
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.graph import StateGraph
from threadmill.checkpoints.inner import Conversation
from threadmill.checkpoints.registry import promote, register_version
from threadmill.checkpoints.store import open_store
from threadmill.graphs import build_plan_execute, build_react, build_supervisor
from threadmill.nodes import ScriptedModel, Slot
from threadmill.training.evaluation.measured import measure_episode
from threadmill.training.evaluation.run import evaluate
from threadmill.training.rewards.finished import Finished


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
    # With the conversation of the other model: each calls once, and answers.
    assert (done.summary.metrics["steps"], done.summary.metrics["calls"]) == (4.0, 2.0)
    (counts, _), values = (one.slots for one in done.measured), done.measured[0].values
    assert {slot: (of["steps"], of["calls"], of["timed"]) for slot, of in counts.items()} == dict.fromkeys(
        slots, (2.0, 1.0, 2.0)
    )
    assert values["unneeded_calls"] == 1.0  # the sum; that the work was shared out is no call that a task needs
    assert values["json_validity"] == 1.0  # each by the tools of the model that made it
    assert values["model_seconds"] is not None
    assert values["tool_seconds"] is not None
    assert values["episode_seconds"] == pytest.approx(values["model_seconds"] + values["tool_seconds"], abs=1e-5)


def test_what_goes_on_inside_is_measured_where_it_belongs() -> None:
    def said(text: str, seconds: float, **call: Any) -> AIMessage:
        calls = [{"name": name, "args": args, "id": name} for name, args in call.items()]
        return AIMessage(text, id=f"{text}{seconds}", tool_calls=calls, response_metadata={"seconds": seconds})

    def came(text: str, name: str, seconds: float, kind: str = "result") -> ToolMessage:
        noted = {"kind": kind, "duration_s": seconds}
        return ToolMessage(text, tool_call_id=name, name=name, additional_kwargs=noted)

    look = (HumanMessage("Look"), said("", 2.0, look={"order": 7}), came("sent May 3", "look", 0.5), said("May 3", 1.0))
    fail = (HumanMessage("Look"), said("", 4.0, look={"order": 7}), came("gone", "look", 0.25, "failed"))
    own = (HumanMessage("Where?"), said("", 8.0, hand_off={}), came("see", "hand_off", 99.0), said("On May 3.", 16.0))
    inner = (Conversation("a:1", "c1", look), Conversation("b:1", "c1", fail), Conversation("a:1|x:1", "i1", look[:1]))
    measured = measure_episode(Finished("t", own, met=0, conditions=1, needed=(("look", {"order": 7}),), inner=inner))
    told = {name: measured.values[name] for name in ("steps", "calls", "failed_calls", "repeated_calls", "recovery")}
    assert told == {"steps": 5.0, "calls": 3.0, "failed_calls": 1.0, "repeated_calls": 0.0, "recovery": 0.0}
    assert (measured.values["model_seconds"], measured.values["tool_seconds"]) == (31.0, 0.75)
    assert measured.values["episode_seconds"] == 8 + 16 + max(2 + 0.5 + 1, 4 + 0.25)  # the agents worked at once
    assert (measured.values["tool_selection"], measured.values["unneeded_calls"]) == (1.0, 1.0)
    assert measured.values["groundedness"] == 1.0  # a tool of an agent has said it
    assert "error_not_recovered" in {failure.kind for failure in measured.failures}
