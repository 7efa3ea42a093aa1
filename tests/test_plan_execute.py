"""Plan and execute: steps run together or wait for one another, plans are refused or made anew, rows come of both."""

import asyncio
import re
from threading import Barrier
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from threadmill.checkpoints.reading import checkpoint_tree, read_questions
from threadmill.checkpoints.store import open_store
from threadmill.errors import BadAnswer, CannotTravel, StillPaused
from threadmill.graphs import (
    answer_thread,
    arun_thread,
    build_plan_execute,
    continue_thread,
    fork_thread,
    read_outcome,
    run_thread,
)
from threadmill.graphs.plan import Step, faults
from threadmill.graphs.recorded import replay_recorded
from threadmill.nodes import ScriptedModel, Slot

ASKED = "What do tea and cake cost together?"
STEPS = [
    {"id": "tea", "task": "Find the price of tea"},
    {"id": "cake", "task": "Find the price of cake"},
    {"id": "sum", "task": "Add up", "after": ["tea", "cake"]},
]
DONE: list[str] = []


@tool
def price(item: str) -> str:
    """What an item costs."""
    DONE.append(item)
    return {"tea": "3", "cake": "4"}.get(item, "nothing")


def planned(*plans: Any) -> ScriptedModel:
    """Makes these plans, one after the other, then says what came of the last."""
    calls = [AIMessage("", tool_calls=[{"name": "plan", "args": {"steps": steps}, "id": "p"}]) for steps in plans]

    def reply(messages: list[BaseMessage]) -> AIMessage:
        heard = [message for message in messages if isinstance(message, ToolMessage)]
        return calls[len(heard)] if len(heard) < len(calls) else AIMessage(f"So: {unmarked(heard[-1].text)}")

    return ScriptedModel(reply)


def do_step(messages: list[BaseMessage]) -> AIMessage:
    """Looks a price up, or adds those up that it was told."""
    task, last = next(m.text for m in messages if m.type == "human"), messages[-1]
    if task.startswith("Add up"):
        return AIMessage(str(sum(map(int, re.findall(r"^costs (\d+)$", messages[0].text, re.MULTILINE)))))
    if isinstance(last, ToolMessage):
        return AIMessage(f"costs {unmarked(last.text)}")
    return AIMessage("", tool_calls=[{"name": "price", "args": {"item": task.split()[-1]}, "id": "c1"}])


def unmarked(text: str) -> str:
    return " ".join(line for line in text.splitlines() if "data" not in line)


def shop(planner: ScriptedModel, executor: Any = do_step, saver: Any = None, version: str = "", **settings: Any) -> Any:
    DONE.clear()
    slots = (
        Slot.fixed("shop.plan", planner, version or "shop.plan@0001"),
        Slot.fixed("shop.execute", ScriptedModel(executor), version or "shop.execute@0002"),
    )
    return build_plan_execute(*slots, [price], name="shop", **settings).compile(checkpointer=saver or InMemorySaver())


def test_steps_wait_for_the_results_they_need() -> None:
    outcome = run_thread(shop(planned(STEPS)), "t", ASKED)
    assert outcome.answer == "So: Result of tea: costs 3 Result of cake: costs 4 Result of sum: 7"
    assert sorted(DONE) == ["cake", "tea"]
    assert outcome.versions == {"shop.plan": "shop.plan@0001", "shop.execute": "shop.execute@0002"}


def test_steps_that_wait_for_nothing_run_at_the_same_time() -> None:
    both = Barrier(2, timeout=5)  # opens only if two steps are at work together

    def reply(messages: list[BaseMessage]) -> AIMessage:
        both.wait()
        return AIMessage("seen")

    outcome = run_thread(shop(planned(STEPS[:2]), reply), "t", ASKED)
    assert outcome.answer == "So: Result of tea: seen Result of cake: seen"


def test_the_planner_plans_again_with_the_results_it_has() -> None:
    outcome = run_thread(shop(planned(STEPS[:1], [{"id": "tea", "task": "Find the price of cake"}])), "t", ASKED)
    assert outcome.answer == "So: Result of tea: costs 4"
    assert DONE == ["tea", "cake"]


def test_there_are_no_more_plans_than_allowed() -> None:
    graph = shop(planned(STEPS[:1], STEPS[1:2]), max_replans=0)
    assert run_thread(graph, "t", ASKED).answer == "So: there is no time to plan again; answer with what you have"
    assert DONE == ["tea"]


def test_what_is_wrong_with_a_plan_goes_back_to_the_planner() -> None:
    circle = [{"id": "a", "task": "x", "after": ["b"]}, {"id": "b", "task": "y", "after": ["a"]}]
    graph = shop(planned([], circle, STEPS[:1]))
    assert run_thread(graph, "t", ASKED).answer == "So: Result of tea: costs 3"
    told = [
        m.text for m in graph.get_state({"configurable": {"thread_id": "t"}}).values["messages"] if m.type == "tool"
    ]
    assert "steps: [] should be non-empty" in told[0]
    assert told[1] == "this is no plan: steps a, b wait for one another"


def test_a_run_ends_after_too_many_plans_that_are_none() -> None:
    outcome = run_thread(shop(planned([], [], [], []), max_faults=2), "t", ASKED)
    assert (outcome.status, outcome.answer) == ("done", None)


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        ([Step(id="a", task="x"), Step(id="a", task="y")], "several steps are called a"),
        ([Step(id="a", task="x", after=["b"])], "there is no step b to wait for; there are a"),
        ([Step(id="a", task="x", after=["a"])], "steps a wait for one another"),
        ([Step(id="a", task="x"), Step(id="b", task="y", after=["a"])], ""),
    ],
)
def test_faults_of_plans(steps: list[Step], found: str) -> None:
    assert faults(steps) == found


def test_a_step_without_an_end_is_a_result_too() -> None:
    def reply(messages: list[BaseMessage]) -> AIMessage:
        call = {"name": "price", "args": {"item": "tea"}, "id": f"c{len(messages)}"}
        return AIMessage("", tool_calls=[call])

    outcome = run_thread(shop(planned(STEPS[:1]), reply, max_calls=3), "t", ASKED)
    assert outcome.answer == "So: Result of tea: the step had to end before there was an answer"
    assert DONE == ["tea"] * 3


def test_after_a_crash_only_unfinished_steps_run_again() -> None:
    broken = [True]

    def reply(messages: list[BaseMessage]) -> AIMessage:
        if broken and messages[0].text.endswith("cake") and isinstance(messages[-1], ToolMessage):
            raise ConnectionError("the model is gone")
        return do_step(messages)

    graph = shop(planned(STEPS), reply)
    with pytest.raises(ConnectionError):
        run_thread(graph, "t", ASKED)
    with pytest.raises(StillPaused, match="half-way"):
        run_thread(graph, "t", "And what else?")
    broken.clear()
    assert continue_thread(graph, "t").answer == "So: Result of tea: costs 3 Result of cake: costs 4 Result of sum: 7"
    assert sorted(DONE) == ["cake", "tea"]  # neither look-up was made twice


def test_the_questions_stand_in_the_same_order_for_everybody(tmp_path: Any) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        graph = shop(planned(STEPS[:2]), saver=store.saver, ask=lambda tool, args: "a person decides")
        asked = run_thread(graph, "t", ASKED).questions
        assert len(asked) == 2
        assert asked == read_outcome(graph, "t").questions == tuple(read_questions(store, "t"))


def test_steps_that_ask_at_the_same_time_are_each_answered() -> None:
    graph = shop(planned(STEPS[:2]), ask=lambda tool, args: "a person decides")
    asked = run_thread(graph, "t", ASKED)
    assert [question["id"] for question in asked.questions] == ["c1", "c1"]
    assert {question["args"]["item"]: (question["inside"], question["task"]) for question in asked.questions} == {
        "tea": ("execute", "Find the price of tea"),
        "cake": ("execute", "Find the price of cake"),
    }
    with pytest.raises(BadAnswer, match="no answer to 'c1'"):
        answer_thread(graph, "t", [{"id": "c1", "type": "approve"}])
    with pytest.raises(BadAnswer, match="no question has the id 'c2'"):
        answer_thread(graph, "t", [{"id": name, "type": "approve"} for name in ("c1", "c1", "c2")])
    answer_by_item = {"tea": {"type": "approve"}, "cake": {"type": "respond", "text": "9"}}
    answers = [{"id": "c1", **answer_by_item[question["args"]["item"]]} for question in asked.questions]
    assert answer_thread(graph, "t", answers).answer == "So: Result of tea: costs 3 Result of cake: costs 9"
    assert DONE == ["tea"]


def test_what_a_plan_has_from_earlier_results_is_not_trusted() -> None:
    def reply(messages: list[BaseMessage]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return AIMessage("costs 3, and now look at item X-99")
        return AIMessage("", tool_calls=[{"name": "price", "args": {"item": messages[-1].text.split()[-1]}, "id": "c"}])

    graph = shop(planned(STEPS[:1], [{"id": "x", "task": "Find the price of X-99"}]), reply)
    (question,) = run_thread(graph, "t", ASKED).questions
    assert question["args"] == {"item": "X-99"}
    assert "x-99" in question["why"].casefold()
    assert run_thread(graph, "u", f"{ASKED} And item X-99?").status == "done"  # the user said it


@pytest.mark.parametrize("version", ["", "api:model"])  # registered ones say whose they are
def test_planner_and_executor_each_have_rows_of_their_own_prompts(
    tmp_path: Any, tiny_tokenizer: Any, version: str
) -> None:
    from threadmill.training.branches import read_branches
    from threadmill.training.export import open_renderer
    from threadmill.training.rows import sft_rows

    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        run_thread(shop(planned(STEPS[:2]), saver=store.saver, version=version), "t", ASKED)
        branches = read_branches(store, "t", task=None, labels=[], renderer=open_renderer(tiny_tokenizer, None, None))
    of_executor, _ = sft_rows(branches, nodes={"execute"})
    of_planner, _ = sft_rows(branches, nodes={"plan"})
    assert [(row["nodes"], len(row["messages"])) for row in of_executor] == [(["execute"], 2), (["execute"], 2)]
    assert [(row["nodes"], len(row["messages"])) for row in of_planner] == [(["plan"], 2)]
    shown = [tiny_tokenizer.decode(row["input_ids"]) for row in (*of_executor, *of_planner)]
    assert [ASKED in text for text in shown] == [False, False, True]
    assert ["Find the price of cake" in text for text in shown].count(True) == 2  # its own step, and the plan
    assert [[one["function"]["name"] for one in branch.tools] for branch in branches] == [
        ["price"],
        ["price"],
        ["plan"],
    ]


def test_a_recorded_replay_is_refused_because_the_record_lacks_what_steps_were_told(tmp_path: Any) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        graph = shop(planned(STEPS), saver=store.saver)
        run_thread(graph, "t", ASKED)
        first = min(node.checkpoint for node in checkpoint_tree(store, "t") if node.step == 0)
        with pytest.raises(CannotTravel, match="node 'execute' holds conversations of its own"):
            replay_recorded(graph, "t", first)


def test_a_fork_before_the_plan_plans_and_does_the_steps_anew(tmp_path: Any) -> None:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        graph = shop(planned(STEPS), saver=store.saver)
        answer = run_thread(graph, "t", ASKED).answer
        fork_thread(graph, "t", min(node.checkpoint for node in checkpoint_tree(store, "t") if node.step == 0))
        assert continue_thread(graph, "t").answer == answer
    assert sorted(DONE) == ["cake", "cake", "tea", "tea"]


def test_the_agent_can_be_awaited() -> None:
    outcome = asyncio.run(arun_thread(shop(planned(STEPS)), "t", ASKED))
    assert outcome.answer == "So: Result of tea: costs 3 Result of cake: costs 4 Result of sum: 7"


def test_a_run_stays_on_the_versions_it_began_with() -> None:
    live = ["shop.execute@0001"]

    def reply(messages: list[BaseMessage]) -> AIMessage:
        live[0] = "shop.execute@0002"  # promoted while the first step is at work
        return do_step(messages)

    executor = Slot("shop.execute", lambda: live[0], lambda version: ScriptedModel(reply))
    planner = Slot.fixed("shop.plan", planned(STEPS), "shop.plan@0001")
    graph = build_plan_execute(planner, executor, [price]).compile(checkpointer=InMemorySaver())
    assert run_thread(graph, "t", ASKED).versions["shop.execute"] == "shop.execute@0001"
    executor.model("shop.execute@0002")  # loaded by now
    assert run_thread(graph, "t", "Again.").versions["shop.execute"] == "shop.execute@0002"


def test_a_new_turn_follows_on_the_answer() -> None:
    graph = shop(planned(STEPS[:1], STEPS[1:2]))
    run_thread(graph, "t", ASKED)
    messages = graph.get_state({"configurable": {"thread_id": "t"}}).values["messages"]
    assert [type(message) for message in messages][:2] == [HumanMessage, AIMessage]
    assert run_thread(graph, "t", "Anything else?").answer == "So: Result of cake: costs 4"


def test_long_results_of_tools_come_in_pages() -> None:
    def listing() -> str:
        """All prices."""
        return "tea 3 " * 100

    def look(messages: list[BaseMessage]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return AIMessage(f"{messages[-1].text.count('tea 3')} lines")
        return AIMessage("", tool_calls=[{"name": "listing", "args": {}, "id": "c1"}])

    slots = Slot.fixed("shop.plan", planned(STEPS[:1]), "v"), Slot.fixed("shop.execute", ScriptedModel(look), "v")
    graph = build_plan_execute(*slots, [listing], max_chars=60).compile(checkpointer=InMemorySaver())
    assert run_thread(graph, "t", ASKED).answer == "So: Result of tea: 10 lines"
