"""The supervisor hands tasks over to agents that are graphs of their own; their questions are the thread's."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from threadmill.checkpoints.branch import find_message
from threadmill.checkpoints.inner import read_inner
from threadmill.checkpoints.labels import Label, add_labels, labels_of
from threadmill.checkpoints.reading import (
    checkpoint_tree,
    leaf_checkpoints,
    list_namespaces,
    read_messages,
    read_questions,
)
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import BadSpec, CannotTravel, StillPaused
from threadmill.graphs import (
    AgentSpec,
    answer_thread,
    build_agent,
    build_react,
    build_supervisor,
    continue_thread,
    load_spec,
    run_thread,
)
from threadmill.graphs.recorded import replay_recorded
from threadmill.graphs.travel import replay_thread
from threadmill.nodes import Approval, ScriptedModel, Slot
from threadmill.nodes.marking import unmark
from threadmill.training.branches import read_branches
from threadmill.training.credit.restore import check_restorable
from threadmill.training.rollout import play
from threadmill.training.suites import open_suite

PAID: list[int] = []


@pytest.fixture(autouse=True)
def nothing_is_paid() -> None:
    PAID.clear()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def pay(amount: int) -> str:
    """Pay."""
    PAID.append(amount)
    return f"paid {amount}"


def look(item: str) -> str:
    """Look an item up."""
    return f"{item}: 7 in stock, worth 640"


def hand(*tasks: tuple[str, str]) -> AIMessage:
    calls = [
        {"name": "hand_off", "args": {"to": to, "task": task}, "id": f"h{n}"} for n, (to, task) in enumerate(tasks)
    ]
    return AIMessage("", tool_calls=calls)


def lead(messages: list[BaseMessage]) -> AIMessage:
    """Hands over what the user named, then tells what came of it."""
    if isinstance(messages[-1], ToolMessage):
        run = [unmark(m.text) for m in messages if isinstance(m, ToolMessage)]
        return AIMessage(" / ".join(run))
    tasks = [part.split(": ") for part in messages[-1].text.split("; ")]
    return hand(*((to, task) for to, task in tasks))


def cashier(messages: list[BaseMessage]) -> AIMessage:
    if isinstance(messages[-1], HumanMessage):
        amount = int(messages[-1].text.split()[-1])
        return AIMessage("", tool_calls=[{"name": "pay", "args": {"amount": amount}, "id": "c1"}])
    return AIMessage(f"Cashier: {unmark(messages[-1].text)}")


def keeper(messages: list[BaseMessage]) -> AIMessage:
    if isinstance(messages[-1], HumanMessage):
        return AIMessage("", tool_calls=[{"name": "look", "args": {"item": messages[-1].text.split()[-1]}, "id": "k1"}])
    return AIMessage(f"Keeper: {unmark(messages[-1].text)}")


def slot(name: str, say: Callable[[list[BaseMessage]], AIMessage]) -> Slot:
    return Slot.fixed(name, ScriptedModel(say), f"{name}@0001")


def above_100(name: str, args: dict[str, Any]) -> str | None:
    return "a lot" if args["amount"] > 100 else None


def firm(lead_says: Any = lead, **options: Any) -> Any:
    billing = build_react(
        slot("billing.think", cashier), [pay], name="billing", ask=above_100, approval=options.pop("billing", None)
    )
    stock = build_react(slot("stock.think", keeper), [look], name="stock")
    return build_supervisor(slot("firm.think", lead_says), {"billing": billing, "stock": stock}, name="firm", **options)


def test_a_task_is_done_by_the_agent_that_is_meant_and_each_slot_is_noted(store: Store) -> None:
    graph = firm().compile(checkpointer=store.saver)
    outcome = run_thread(graph, "t", "stock: Look up bells; billing: Pay 5")
    assert outcome.answer == "Keeper: bells: 7 in stock, worth 640 / Cashier: paid 5"
    assert outcome.versions == {name: f"{name}@0001" for name in ("firm.think", "billing.think", "stock.think")}
    kinds = [(m.type, m.name) for m in read_messages(store, "t")]
    assert kinds == [("human", None), ("ai", None), ("tool", "hand_off"), ("tool", "hand_off"), ("ai", None)]
    noted = [m.additional_kwargs["agent"] for m in read_messages(store, "t") if isinstance(m, ToolMessage)]
    assert noted == ["stock", "billing"]


def test_the_conversations_of_the_agents_are_kept_and_exported(store: Store) -> None:
    run_thread(firm().compile(checkpointer=store.saver), "t", "billing: Pay 5")
    (namespace,) = list_namespaces(store, "t")
    assert namespace.startswith("billing:")
    inside = [message.text for message in read_messages(store, "t", namespace=namespace)]
    assert inside == ["Pay 5", "", "paid 5", "Cashier: paid 5"]
    spoken = [
        [m.text for m in branch.messages if isinstance(m, AIMessage)]
        for branch in read_branches(store, "t", task=None, labels=(), renderer=None)
    ]
    assert spoken == [["", "Cashier: paid 5"], ["", "Cashier: paid 5"]]


def test_a_question_of_an_agent_pauses_the_thread_and_is_answered_as_usual(store: Store) -> None:
    graph = firm().compile(checkpointer=store.saver)
    paused = run_thread(graph, "t", "billing: Pay 500")
    assert [(q["tool"], q["args"], q["why"]) for q in paused.questions] == [("pay", {"amount": 500}, "a lot")]
    assert [(q["id"], q["inside"], q["task"]) for q in read_questions(store, "t")] == [("c1", "billing", "Pay 500")]
    done = answer_thread(graph, "t", [{"id": "c1", "type": "edit", "args": {"amount": 60}}])
    assert (done.answer, PAID) == ("Cashier: paid 60", [60])


def test_agents_that_ask_at_the_same_time_are_answered_together(store: Store) -> None:
    graph = firm().compile(checkpointer=store.saver)
    paused = run_thread(graph, "t", "billing: Pay 500; billing: Pay 600; billing: Pay 5")
    assert sorted(q["args"]["amount"] for q in paused.questions) == [500, 600]
    answers = [
        {"id": q["id"], "type": "approve"} if q["args"]["amount"] == 500 else {"id": q["id"], "type": "reject"}
        for q in paused.questions
    ]
    done = answer_thread(graph, "t", answers)
    assert done.answer == "Cashier: paid 500 / Cashier: a person refused this call / Cashier: paid 5"
    assert PAID == [5, 500]


def test_an_agent_stays_on_the_version_that_the_run_began_with() -> None:
    live = ["billing.think@0001"]
    said = []

    def load(version: str) -> ScriptedModel:
        def say(messages: list[BaseMessage]) -> AIMessage:
            said.append(version)
            live[0] = "billing.think@0002"
            billing_slot.catch_up()
            return AIMessage("Done.")

        return ScriptedModel(say)

    def twice(messages: list[BaseMessage]) -> AIMessage:
        done = sum(isinstance(message, ToolMessage) for message in messages)
        return hand(("billing", "Pay 5")) if done < 2 else AIMessage("All done.")

    billing_slot = Slot("billing.think", lambda: live[0], load)
    graph = build_supervisor(
        slot("firm.think", twice), {"billing": build_react(billing_slot, [pay], name="billing")}, name="firm"
    ).compile(checkpointer=InMemorySaver())
    assert run_thread(graph, "t", "Go").versions["billing.think"] == "billing.think@0001"
    assert said == ["billing.think@0001", "billing.think@0001"]


def test_what_one_agent_found_is_not_trusted_by_the_next() -> None:
    """The keeper read a number; a task with it is the supervisor's word, not the user's."""

    def relay(messages: list[BaseMessage]) -> AIMessage:
        done = [m for m in messages if isinstance(m, ToolMessage)]
        if not done:
            return hand(("stock", "Look up bells"))
        return hand(("billing", "Pay 640")) if len(done) == 1 else AIMessage("Paid.")

    graph = firm(relay, billing=Approval()).compile(checkpointer=InMemorySaver())
    paused = run_thread(graph, "t", "See to the bells")
    assert [(q["args"], "640" in q["why"]) for q in paused.questions] == [({"amount": 640}, True)]
    assert PAID == []
    (asked,) = run_thread(graph, "u", "See to the bells, pay 640").questions  # now it is the user's
    assert asked["why"] == "a lot"


def test_a_recorded_replay_runs_no_agent_again(store: Store) -> None:
    graph = firm().compile(checkpointer=store.saver)
    run_thread(graph, "t", "billing: Pay 5")
    begun = next(node.checkpoint for node in checkpoint_tree(store, "t") if node.step == 0)
    replay = replay_recorded(graph, "t", begun)
    assert (replay.outcome.status, replay.divergence, PAID) == ("done", None, [5])
    assert len(leaf_checkpoints(store, "t")) == 2
    with pytest.raises(CannotTravel, match="node 'billing', 'stock' holds conversations of its own"):
        check_restorable(graph)  # running the hand-off again would restore no world


def test_what_was_said_inside_has_the_outcome_of_its_branch(store: Store) -> None:
    graph = firm().compile(checkpointer=store.saver)
    run_thread(graph, "t", "stock: Look up bells")
    replay_thread(graph, "t", next(node.checkpoint for node in checkpoint_tree(store, "t") if node.step == 0))
    leaves = zip(leaf_checkpoints(store, "t"), (0.0, 1.0), strict=True)
    add_labels(store, [Label("t", leaf, None, "success", value, "test") for leaf, value in leaves])
    branches = read_branches(store, "t", task=None, labels=labels_of(store, ["t"])["t"], renderer=None)
    outcomes = {(branch.messages[0].text, branch.outcome.success) for branch in branches}
    assert outcomes == {(text, won) for text in ("stock: Look up bells", "Look up bells") for won in (False, True)}
    (conversation,) = read_inner(store, "t")  # of the newest branch alone
    assert conversation.messages[-1].text == "Keeper: bells: 7 in stock, worth 640"
    said = str(conversation.messages[-1].id)
    assert find_message(store, "t", said) == said  # so it can be labelled
    run_thread(graph, "u", "stock: Look up bells")
    store.saver.prune(["u"])
    assert [one.messages[-1].text for one in read_inner(store, "u")] == [conversation.messages[-1].text]


def test_checks_of_calls_look_inside_of_the_agent(store: Store, tmp_path: Path) -> None:
    (tmp_path / "firms.py").write_text(
        "from test_supervisor import firm\n\ndef build_firm(slots):\n    return firm()\n"
    )
    checks = [
        {"called": "pay", "args": {"amount": 5}},
        {"not_called": "look"},
        {"max_calls": 2},
        {"contains": "paid 5"},
    ]
    lines = [{"agent": "firms.py:build_firm"}, {"id": "1", "text": "billing: Pay 5", "checks": checks}]
    (tmp_path / "pays.jsonl").write_text("\n".join(map(json.dumps, lines)))
    suite = open_suite(f"{tmp_path}/pays.jsonl")
    (trial,) = play(store, suite, suite.tasks("heldout", 1, 0), {}, trials=1, seed=0, workers=1)
    assert (trial.finished.met, trial.finished.conditions) == (4, 4)


def test_an_agent_that_breaks_is_taken_up_again_where_it_was(store: Store) -> None:
    breaks = [True]

    def shaky(messages: list[BaseMessage]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage) and breaks.pop():
            breaks.append(False)
            raise ConnectionError("the model is gone")
        return cashier(messages)

    billing = build_react(slot("billing.think", shaky), [pay], name="billing")
    graph = build_supervisor(slot("firm.think", lead), {"billing": billing}, name="firm")
    compiled = graph.compile(checkpointer=store.saver)
    with pytest.raises(ConnectionError):
        run_thread(compiled, "t", "billing: Pay 5")
    with pytest.raises(StillPaused, match=r"stopped half-way; continue it first \(`threadmill threads continue t`"):
        run_thread(compiled, "t", "billing: Pay 6")
    assert continue_thread(compiled, "t").answer == "Cashier: paid 5"
    assert PAID == [5]


def test_an_agent_that_is_not_there_is_told_to_the_model_by_name() -> None:
    def wrong(messages: list[BaseMessage]) -> AIMessage:
        return AIMessage(messages[-1].text) if isinstance(messages[-1], ToolMessage) else hand(("biling", "Pay 5"))

    answer = run_thread(firm(wrong).compile(checkpointer=InMemorySaver()), "t", "Go").answer
    assert "'biling' is not one of ['billing', 'stock']" in (answer or "")


def test_a_supervisor_in_toml_names_its_agents_by_their_files(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text("from test_supervisor import pay\n")
    (tmp_path / "billing.toml").write_text('name = "billing"\ntools = ["tools.py:pay"]\n')
    (tmp_path / "firm.toml").write_text('name = "firm"\nkind = "supervisor"\n[agents]\nbilling = "billing.toml"\n')
    says = {"firm.think": lead, "billing.think": cashier}
    graph = build_agent(load_spec(tmp_path / "firm.toml"), lambda name: slot(name, says[name]))
    assert run_thread(graph.compile(checkpointer=InMemorySaver()), "t", "billing: Pay 5").answer == "Cashier: paid 5"


@pytest.mark.parametrize(
    ("agents", "says"),
    [
        ({"think": AgentSpec("x")}, "the agent 'think' is a AgentSpec, not a LangGraph graph"),
        ({"think": build_react(slot("x.think", lead), [])}, "supervisor 'firm': think is the name of a node"),
        ({"x": build_react(slot("x.think", lead), []).compile(InMemorySaver())}, "'x' has a saver of its own"),
    ],
)
def test_what_is_no_agent_is_named(agents: dict[str, Any], says: str) -> None:
    with pytest.raises(BadSpec, match=says):
        build_supervisor(slot("firm.think", lead), agents, name="firm")


def test_in_a_dry_run_nothing_is_handed_over() -> None:
    outcome = run_thread(firm(dry_run=True).compile(checkpointer=InMemorySaver()), "t", "billing: Pay 5")
    assert PAID == []
    assert outcome.answer == "dry run: hand_off(to='billing', task='Pay 5') would have been called"
