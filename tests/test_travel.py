"""Forks and replays: branches are siblings, the record is never executed again, and questions are not lost."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import MessagesState
from threadmill.checkpoints.labels import Label
from threadmill.checkpoints.reading import (
    checkpoint_tree,
    latest_checkpoint,
    leaf_checkpoints,
    read_messages,
    read_questions,
)
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import CannotTravel, UnknownThread
from threadmill.graphs import answer_thread, build_react, continue_thread, run_thread
from threadmill.graphs.recorded import replay_recorded
from threadmill.graphs.travel import fork_thread, replay_thread
from threadmill.nodes import ScriptedModel, Slot
from threadmill.nodes.models.trace import EDIT_KEY
from threadmill.training.branches import read_branches

DONE: list[str] = []


@tool
def pay(amount: int) -> str:
    """Pay."""
    DONE.append(f"paid {amount}")
    return f"paid {amount} as number {len(DONE)}"


@tool
def look(item: str) -> str:
    """Look something up."""
    DONE.append(f"looked {item}")
    return f"{item} costs 300"


def call(name: str, **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"{name}-{'-'.join(map(str, args.values()))}"}])


def careful(messages: list[BaseMessage]) -> AIMessage:
    """Looks, then pays what it saw, then says so."""
    last = messages[-1]
    if isinstance(last, HumanMessage):
        return call("look", item="lamp") if "lamp" in last.text else AIMessage(f"You said: {last.text}")
    if isinstance(last, ToolMessage) and last.name == "look":
        return call("pay", amount=300)
    return AIMessage(f"Done: {last.text}")


def hasty(messages: list[BaseMessage]) -> AIMessage:
    """Pays without looking."""
    return call("pay", amount=500) if isinstance(messages[-1], HumanMessage) else AIMessage("Whatever.")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    DONE.clear()
    with open_store(url) as opened:
        yield opened


def bank(store: Store, say: Callable[[list[BaseMessage]], AIMessage] = careful, *, ask: bool = False) -> Any:
    def load(version: str) -> ScriptedModel:
        return ScriptedModel(hasty if version.endswith("0002") else say)

    slot = Slot("bank.think", lambda: "bank.think@0001", load)
    asks = (lambda name, args: "it is money" if name == "pay" else None) if ask else None
    return build_react(slot, [pay, look], name="bank", ask=asks).compile(checkpointer=store.saver)


def said(store: Store, thread: str = "t", checkpoint: str | None = None) -> list[str]:
    def one(message: Any) -> str:
        calls = [
            f"{call['name']}({', '.join(map(str, call['args'].values()))})"
            for call in getattr(message, "tool_calls", [])
        ]
        return f"{message.type}: {', '.join(calls) or message.text}"

    return [one(message) for message in read_messages(store, thread, checkpoint)]


def before_node(graph: Any, node: str, thread: str = "t") -> str:
    """The oldest checkpoint of which ``node`` is the next step."""
    history = list(graph.get_state_history({"configurable": {"thread_id": thread}}))
    found = [state for state in history if state.next and set(state.next) == {node}]
    return found[-1].config["configurable"]["checkpoint_id"]


LAMP = ["human: Buy the lamp.", "ai: look(lamp)", "tool: lamp costs 300", "ai: pay(300)"]


def test_a_fork_is_a_sibling_that_goes_on_from_the_same_state(store: Store) -> None:
    graph = bank(store)
    run_thread(graph, "t", "Buy the lamp.")
    old = latest_checkpoint(store, "t")
    at = before_node(graph, "act")
    fork = fork_thread(graph, "t", at, by="ann")
    assert (fork.at, fork.next) == (at, ("act",))
    assert said(store, checkpoint=fork.checkpoint) == LAMP[:2]
    assert leaf_checkpoints(store, "t") == [old, fork.checkpoint]
    nodes = {node.checkpoint: node for node in checkpoint_tree(store, "t")}
    assert nodes[fork.checkpoint].parent == nodes[at].parent
    noted = nodes[fork.checkpoint].metadata
    assert (noted["editor"], noted["fork_of"], noted["agent"], noted["source"]) == ("ann", at, "bank", "fork")
    outcome = continue_thread(graph, "t")
    assert outcome.answer == "Done: paid 300 as number 4"
    assert DONE == ["looked lamp", "paid 300", "looked lamp", "paid 300"]
    assert said(store, checkpoint=old) == [*LAMP, "tool: paid 300 as number 2", "ai: Done: paid 300 as number 2"]
    assert "fork_of" not in checkpoint_tree(store, "t")[-1].metadata


def test_a_fork_with_another_call_keeps_the_model_s_proposal_beside_it(store: Store) -> None:
    graph = bank(store)
    run_thread(graph, "t", "Buy the lamp.")
    at = before_node(graph, "act")
    proposal = read_messages(store, "t", at)[-1]
    changed = call("look", item="cheap lamp").model_copy(update={"id": proposal.id})
    fork = fork_thread(graph, "t", at, message=changed, by="ann")
    assert fork.next == ("act",)
    edited = read_messages(store, "t", fork.checkpoint)[-1]
    edit = edited.response_metadata[EDIT_KEY]
    assert (edit["by"], edit["proposal"]["tool_calls"][0]["args"]) == ("ann", {"item": "lamp"})
    continue_thread(graph, "t")
    assert said(store)[:3] == ["human: Buy the lamp.", "ai: look(cheap lamp)", "tool: cheap lamp costs 300"]
    nodes = {node.checkpoint: node for node in checkpoint_tree(store, "t")}
    assert nodes[fork.checkpoint].metadata["as_node"] == "think"


def test_a_fork_may_change_what_the_user_said(store: Store) -> None:
    graph = bank(store)
    run_thread(graph, "t", "Buy the lamp.")
    at = before_node(graph, "think")
    human = read_messages(store, "t", at)[0]
    fork_thread(graph, "t", at, message=HumanMessage("Hello.", id=human.id))
    assert continue_thread(graph, "t").answer == "You said: Hello."
    assert said(store) == ["human: Hello.", "ai: You said: Hello."]


def test_a_change_where_calls_are_on_their_way_is_refused_and_nothing_is_written(store: Store) -> None:
    graph = bank(store)
    run_thread(graph, "t", "Buy the lamp.")
    at = before_node(graph, "tool")
    before = checkpoint_tree(store, "t")
    with pytest.raises(CannotTravel, match="fork at the checkpoint before it"):
        fork_thread(graph, "t", at, change={"versions": {}})
    with pytest.raises(UnknownThread, match="there is no message 'm9' at this checkpoint"):
        fork_thread(graph, "t", before_node(graph, "act"), message=AIMessage("x", id="m9"))
    with pytest.raises(UnknownThread, match="has no checkpoint 'c9'"):
        fork_thread(graph, "t", "c9")
    assert checkpoint_tree(store, "t") == before
    fork_thread(graph, "t", at)
    assert continue_thread(graph, "t").status == "done"


def test_a_live_replay_acts_again_and_becomes_what_the_thread_goes_on_from(store: Store) -> None:
    graph = bank(store)
    run_thread(graph, "t", "Buy the lamp.")
    replay = replay_thread(graph, "t", before_node(graph, "act"))
    assert DONE == ["looked lamp", "paid 300", "looked lamp", "paid 300"]
    assert replay.checkpoint == latest_checkpoint(store, "t")
    assert (replay.outcome.status, replay.outcome.answer) == ("done", "Done: paid 300 as number 4")
    assert replay.divergence is not None
    assert replay.divergence.turn == 2
    assert replay.divergence.recorded == {"text": "Done: paid 300 as number 2", "calls": []}
    assert replay.divergence.replayed == {"text": "Done: paid 300 as number 4", "calls": []}


def test_a_live_replay_by_another_version(store: Store) -> None:
    graph = bank(store)
    run_thread(graph, "t", "Buy the lamp.")
    replay = replay_thread(graph, "t", before_node(graph, "think"), versions={"bank.think": "bank.think@0002"})
    assert said(store) == ["human: Buy the lamp.", "ai: pay(500)", "tool: paid 500 as number 3", "ai: Whatever."]
    assert replay.outcome.versions == {"bank.think": "bank.think@0002"}
    assert replay.divergence is not None
    assert replay.divergence.replayed == {"text": "", "calls": [{"name": "pay", "args": {"amount": 500}}]}
    assert run_thread(graph, "t", "Hi.").versions == {"bank.think": "bank.think@0001"}


def test_a_recorded_replay_executes_nothing_and_leaves_the_thread_where_it_was(store: Store) -> None:
    graph = bank(store)
    run_thread(graph, "t", "Buy the lamp.")
    old = latest_checkpoint(store, "t")
    replay = replay_recorded(graph, "t", before_node(graph, "think"))
    assert DONE == ["looked lamp", "paid 300"]
    assert (replay.divergence, replay.outcome.status) == (None, "done")
    assert latest_checkpoint(store, "t") == old
    assert sorted(leaf_checkpoints(store, "t")) == sorted([old, replay.checkpoint])
    assert said(store, checkpoint=replay.checkpoint) == said(store, checkpoint=old)
    nodes = {node.checkpoint: node for node in checkpoint_tree(store, "t")}
    assert nodes[replay.checkpoint].metadata["replay"] == "recorded"
    assert {node.parent for node in nodes.values()} <= {None, *nodes}
    assert run_thread(graph, "t", "Hi.").answer == "You said: Hi."
    assert said(store)[-3:] == ["ai: Done: paid 300 as number 2", "human: Hi.", "ai: You said: Hi."]


def test_a_recorded_replay_by_another_version_stops_at_the_first_call_without_a_record(store: Store) -> None:
    graph = bank(store)
    run_thread(graph, "t", "Buy the lamp.")
    old = latest_checkpoint(store, "t")
    replay = replay_recorded(graph, "t", before_node(graph, "think"), versions={"bank.think": "bank.think@0002"})
    assert DONE == ["looked lamp", "paid 300"]
    assert replay.outcome.status == "failed"
    assert replay.divergence is not None
    assert (replay.divergence.turn, replay.divergence.recorded, replay.divergence.replayed) == (
        1,
        {"text": "", "calls": [{"name": "look", "args": {"item": "lamp"}}]},
        {"text": "", "calls": [{"name": "pay", "args": {"amount": 500}}]},
    )
    assert said(store, checkpoint=replay.checkpoint) == ["human: Buy the lamp.", "ai: pay(500)"]
    assert latest_checkpoint(store, "t") == old
    assert read_questions(store, "t") == []


@pytest.mark.parametrize(
    "answer", [{"type": "approve"}, {"type": "edit", "args": {"amount": 7}}, {"type": "reject", "text": "no"}]
)
def test_a_recorded_replay_takes_people_s_answers_from_the_record(store: Store, answer: dict[str, Any]) -> None:
    graph = bank(store, ask=True)
    run_thread(graph, "t", "Buy the lamp.")
    (question,) = read_questions(store, "t")
    answer_thread(graph, "t", [{**answer, "id": question["id"], "by": "ann"}])
    done = list(DONE)
    replay = replay_recorded(graph, "t", before_node(graph, "think"))
    assert (replay.divergence, replay.outcome.status) == (None, "done")
    assert said(store, checkpoint=replay.checkpoint) == said(store)
    assert done == DONE


def test_an_open_question_survives_a_recorded_replay(store: Store) -> None:
    graph = bank(store, ask=True)
    run_thread(graph, "t", "Buy the lamp.")
    replay = replay_recorded(graph, "t", before_node(graph, "think"))
    assert replay.outcome.status == "paused"
    assert replay.divergence is None
    (question,) = read_questions(store, "t")
    answer_thread(graph, "t", [{"type": "approve", "id": question["id"]}])
    assert said(store)[-1] == "ai: Done: paid 300 as number 2"


def test_a_recorded_replay_refuses_nodes_that_may_act(store: Store) -> None:
    def mail(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage("mailed")]}

    graph = StateGraph(MessagesState)
    graph.add_node("mail", mail)
    graph.add_edge(START, "mail")
    graph.add_edge("mail", END)
    agent = graph.compile(checkpointer=store.saver)
    run_thread(agent, "t", "Mail it.")
    with pytest.raises(CannotTravel, match="node 'mail' is not one of Threadmill's"):
        replay_recorded(agent, "t", before_node(agent, "mail"))
    assert replay_recorded(agent, "t", before_node(agent, "mail"), pure=["mail"]).divergence is None
    with pytest.raises(CannotTravel, match="the run ends at checkpoint"):
        replay_thread(agent, "t", latest_checkpoint(store, "t"))


def test_a_label_on_the_thread_speaks_for_live_replays_and_not_for_recorded_ones(store: Store) -> None:
    graph = bank(store)
    run_thread(graph, "t", "Buy the lamp.")
    at = before_node(graph, "act")
    recorded, live = replay_recorded(graph, "t", at).checkpoint, replay_thread(graph, "t", at).checkpoint
    labels = [Label("t", None, None, "success", 1.0, "ann")]
    branches = read_branches(store, "t", task=None, labels=labels, renderer=None)
    outcomes = {branch.checkpoint: branch.outcome.success for branch in branches}
    assert (outcomes[live], outcomes[recorded]) == (True, None)
