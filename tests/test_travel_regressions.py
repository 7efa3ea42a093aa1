"""Ways in which forks and replays once went wrong, found by ``test_thread_machine.py``."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import tool
from threadmill.checkpoints.prune import keep_only
from threadmill.checkpoints.reading import checkpoint_tree, latest_checkpoint, read_messages, read_questions
from threadmill.checkpoints.store import Store, open_store
from threadmill.errors import CannotTravel
from threadmill.graphs import (
    answer_thread,
    build_react,
    continue_thread,
    fork_thread,
    replay_recorded,
    replay_thread,
    run_thread,
)
from threadmill.nodes import ScriptedModel, Slot


@tool
def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as opened:
        yield opened


def calls(*amounts: int, id_: str | None = "c0") -> AIMessage:
    """A model's turn; ids begin anew in every turn, or there are none."""
    ids = [id_ and f"c{place}" for place in range(len(amounts))]
    proposed = [{"name": "pay", "args": {"amount": one}, "id": id_} for one, id_ in zip(amounts, ids, strict=True)]
    return AIMessage("", tool_calls=proposed)


def bank(store: Store, *turns: AIMessage, ask: bool = False) -> Any:
    """An agent that does ``turns`` after every user message, and then is done."""

    def say(messages: list[BaseMessage]) -> AIMessage:
        begin = max(place for place, message in enumerate(messages) if isinstance(message, HumanMessage))
        spoken = sum(isinstance(message, AIMessage) for message in messages[begin:])
        return turns[spoken].model_copy() if spoken < len(turns) else AIMessage("Done.")

    slot = Slot("bank.think", lambda: "v1", lambda version: ScriptedModel(say))
    why: Callable[..., str | None] = lambda name, args: "it is money" if ask else None  # noqa: E731
    return build_react(slot, [pay], name="bank", ask=why).compile(checkpointer=store.saver)


def answer(graph: Any, store: Store, **given: Any) -> None:
    answer_thread(graph, "t", [{"id": question["id"], **given} for question in read_questions(store, "t")])


def said(store: Store, checkpoint: str | None = None) -> list[str]:
    return [
        message.text or " ".join(f"pay({call['args']['amount']})" for call in getattr(message, "tool_calls", []))
        for message in read_messages(store, "t", checkpoint)
    ]


def before_step(graph: Any, *nodes: str) -> str:
    """The newest checkpoint of which these are the next steps."""
    history = graph.get_state_history({"configurable": {"thread_id": "t"}})
    return next(one.config["configurable"]["checkpoint_id"] for one in history if one.next == nodes)


def oldest_before(graph: Any, node: str) -> str:
    history = graph.get_state_history({"configurable": {"thread_id": "t"}})
    return [one.config["configurable"]["checkpoint_id"] for one in history if one.next == (node,)][-1]


def test_a_recorded_replay_where_the_thread_stands_does_not_take_its_question_away(store: Store) -> None:
    graph = bank(store, calls(300), ask=True)
    run_thread(graph, "t", "Pay.")
    asking = latest_checkpoint(store, "t")
    first = replay_recorded(graph, "t", asking)
    second = replay_recorded(graph, "t", asking)
    assert latest_checkpoint(store, "t") == asking
    assert first.checkpoint < second.checkpoint < asking
    nodes = {node.checkpoint: node for node in checkpoint_tree(store, "t")}
    assert nodes[first.checkpoint].parent == nodes[second.checkpoint].parent == nodes[asking].parent
    assert nodes[first.checkpoint].created_at != ""
    answer(graph, store, type="approve")
    assert said(store) == ["Pay.", "pay(300)", "paid 300", "Done."]


def test_a_recorded_replay_of_a_recorded_replay_stays_behind_the_thread(store: Store) -> None:
    graph = bank(store, calls(300), ask=True)
    run_thread(graph, "t", "Pay.")
    asking = latest_checkpoint(store, "t")
    first = replay_recorded(graph, "t", asking)
    again = replay_recorded(graph, "t", first.checkpoint)
    assert first.checkpoint < again.checkpoint < asking == latest_checkpoint(store, "t")


def test_results_of_parallel_calls_stay_in_order_in_a_recorded_replay(store: Store) -> None:
    graph = bank(store, calls(1, 2, 3, 4, 5, 6))
    run_thread(graph, "t", "Pay.")
    replay = replay_recorded(graph, "t", before_step(graph, "act"))
    assert replay.divergence is None
    for node in checkpoint_tree(store, "t"):
        results = [text for text in said(store, node.checkpoint) if text.startswith("paid")]
        assert results in ([], ["paid 1", "paid 2", "paid 3", "paid 4", "paid 5", "paid 6"])


def test_a_recorded_replay_takes_answers_from_the_branch_it_follows_only(store: Store) -> None:
    graph = bank(store, calls(300), ask=True)
    run_thread(graph, "t", "Pay.")
    begin = before_step(graph, "think")
    answer(graph, store, type="edit", args={"amount": 7})
    replay_thread(graph, "t", before_step(graph, "act"))
    answer(graph, store, type="approve")
    assert said(store) == ["Pay.", "pay(300)", "paid 300", "Done."]
    replay = replay_recorded(graph, "t", begin)
    assert replay.divergence is None
    assert said(store, replay.checkpoint) == ["Pay.", "pay(300)", "paid 300", "Done."]


def test_a_refused_call_s_answer_is_not_served_when_the_same_call_ran_later(store: Store) -> None:
    graph = bank(store, calls(300), calls(300), ask=True)
    run_thread(graph, "t", "Pay.")
    answer(graph, store, type="reject", text="no")
    answer(graph, store, type="approve")
    replay = replay_recorded(graph, "t", oldest_before(graph, "think"))
    assert replay.divergence is None
    assert said(store, replay.checkpoint) == said(store)
    assert said(store)[2:5] == ["a person refused this call: no", "pay(300)", "paid 300"]


@pytest.mark.parametrize("id_", ["c0", None])
def test_call_ids_that_begin_anew_in_every_turn_or_are_missing_are_no_obstacle_to_a_recorded_replay(
    store: Store, id_: str | None
) -> None:
    graph = bank(store, calls(1, id_=id_), calls(2, id_=id_))
    run_thread(graph, "t", "Pay.")
    replay = replay_recorded(graph, "t", oldest_before(graph, "think"))
    assert replay.divergence is None
    assert said(store, replay.checkpoint) == ["Pay.", "pay(1)", "paid 1", "pay(2)", "paid 2", "Done."]


@pytest.mark.parametrize("replay", [replay_thread, replay_recorded])
def test_versions_are_refused_where_the_live_one_would_speak_instead(store: Store, replay: Callable[..., Any]) -> None:
    graph = bank(store)
    run_thread(graph, "t", "Hi.")
    before = checkpoint_tree(store, "t")
    for step in ("__start__", "observe"):
        with pytest.raises(CannotTravel, match="replay from the next checkpoint"):
            replay(graph, "t", before_step(graph, step), versions={"bank.think": "v2"})
    assert checkpoint_tree(store, "t") == before
    assert replay(graph, "t", before_step(graph, "observe")).divergence is None
    assert replay(graph, "t", before_step(graph, "think"), versions={"bank.think": "v2"}).outcome.versions == {
        "bank.think": "v2"
    }


def test_a_change_that_would_lose_what_the_user_just_said_is_refused(store: Store) -> None:
    graph = bank(store)
    run_thread(graph, "t", "Hi.")
    run_thread(graph, "t", "Pay.")
    first = read_messages(store, "t")[0]
    with pytest.raises(CannotTravel, match="fork at the checkpoint after it"):
        fork_thread(graph, "t", before_step(graph, "__start__"), message=HumanMessage("Ho.", id=first.id))


def test_a_change_of_a_change_goes_on_from_the_same_step(store: Store) -> None:
    graph = bank(store, calls(1))
    run_thread(graph, "t", "Pay.")
    at = before_step(graph, "act")
    proposal = read_messages(store, "t", at)[-1]
    once = fork_thread(graph, "t", at, message=calls(2).model_copy(update={"id": proposal.id}))
    twice = fork_thread(graph, "t", once.checkpoint, message=calls(3).model_copy(update={"id": proposal.id}))
    assert twice.next == ("act",)
    continue_thread(graph, "t")
    assert said(store) == ["Pay.", "pay(3)", "paid 3", "Done."]


@pytest.mark.parametrize("step", ["observe", "think", "act"])
@pytest.mark.parametrize("versions", [None, {"bank.think": "v2"}])
def test_a_change_goes_on_from_the_right_step_though_the_checkpoint_before_it_was_pruned(
    store: Store, step: str, versions: dict[str, str] | None
) -> None:
    graph = bank(store, calls(1))
    run_thread(graph, "t", "Pay.")
    replay_thread(graph, "t", before_step(graph, "act"), versions=versions)
    at = before_step(graph, step)
    keep_only(store.saver, "t", {"": {at, latest_checkpoint(store, "t")}})
    human = read_messages(store, "t", at)[0]
    assert fork_thread(graph, "t", at, message=HumanMessage("Pay now.", id=human.id)).next == (step,)
    assert continue_thread(graph, "t").answer == "Done."
    assert said(store) == ["Pay now.", "pay(1)", "paid 1", "Done."]
