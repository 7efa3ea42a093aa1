"""Rollouts: tasks become labelled threads, a reviewer edits, and an interrupted run goes on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.training.rollout import play, run_tasks, status_of, worlds_folder
from threadmill.training.worlds.helpdesk.suite import HelpdeskSuite
from threadmill.training.worlds.helpdesk.tasks import Task, make_task

REFUND = make_task("train", "sequential", 2)
UNNAMED = make_task("train", "complex", 3)


def agent_that(plays: Any) -> Slot:
    return Slot.fixed("helpdesk.think", ScriptedModel(plays), "helpdesk.think@0001")


def call(name: str, **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call-{name}"}])


def refund_of(amount: int) -> Any:
    order = next(iter(REFUND.refunds))

    def plays(messages: Sequence[BaseMessage]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return AIMessage(f"Order {order} is refunded.")
        return call("refund", order_id=order, amount=amount)

    return plays


def run(folder: Path, task: Task, plays: Any, **options: Any):
    with open_store(f"sqlite:///{folder / 'runs.db'}") as store:
        (episode,) = run_tasks(store, [task], agent_that(plays), trials=1, seed=0, **options)
        return episode, read_messages(store, episode.thread), labels_of(store)[episode.thread]


def test_the_reviewer_edits_a_wrong_amount(tmp_path: Path) -> None:
    assert REFUND.kind == "refund_in_full"
    ((order, due),) = REFUND.refunds.items()
    wrong = 300 if due != 300 else 290
    episode, messages, labels = run(tmp_path, REFUND, refund_of(wrong), reviewer="scripted")
    assert (episode.edited, episode.success, episode.steps, episode.calls) == (True, True, 2, 1)
    assert messages[1].tool_calls[0]["args"] == {"order_id": order, "amount": due}
    edit = messages[1].response_metadata["edit"]
    assert edit["by"] == "reviewer:scripted"
    assert edit["proposal"]["tool_calls"][0]["args"] == {"order_id": order, "amount": wrong}
    assert [(label.kind, label.value, label.source) for label in labels] == [
        ("reward", 1.0, "helpdesk.check"),
        ("success", 1.0, "helpdesk.check"),
    ]


def test_the_reviewer_of_an_evaluation_agrees_to_everything(tmp_path: Path) -> None:
    (due,) = REFUND.refunds.values()
    episode, *_ = run(tmp_path, REFUND, refund_of(due - 10 if due > 110 else due + 200))
    assert (episode.edited, episode.success) == (False, False)
    # 3 conditions: the refund, nothing else, the order's number in the answer; get_order was never called.
    assert episode.reward == pytest.approx(2 / 3)
    assert episode.unneeded_calls == 1


def test_the_customer_answers_when_asked(tmp_path: Path) -> None:
    assert UNNAMED.kind == "cancel_unnamed"
    (order,) = UNNAMED.statuses

    def plays(messages: Sequence[BaseMessage]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return AIMessage(f"Order {order} is cancelled.")
        return call("cancel_order", order_id=order) if order in messages[-1].text else AIMessage("Which order?")

    episode, messages, _ = run(tmp_path, UNNAMED, plays)
    assert [message.text for message in messages if isinstance(message, HumanMessage)] == [
        UNNAMED.text,
        f"It is order {order}.",
    ]
    assert episode.success


def test_a_failed_episode_ends_everything_or_is_kept_and_played_again(tmp_path: Path) -> None:
    tasks = [make_task("train", "simple", index) for index in range(2)]
    spoken: list[str] = []

    def fails_once(messages: Sequence[BaseMessage]) -> AIMessage:
        spoken.append(messages[-1].text)
        if len(spoken) == 1:
            raise ValueError("odd tokens")
        return AIMessage("No.")

    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        slots = {"helpdesk.think": agent_that(fails_once)}
        with pytest.raises(ValueError, match="odd tokens"):
            play(store, HelpdeskSuite(), tasks[:1], slots, trials=1, seed=0, workers=1)
        spoken.clear()
        first, second = play(store, HelpdeskSuite(), tasks, slots, trials=1, seed=0, workers=1, keep_failures=True)
        assert (first.finished.status, first.error, first.finished.met) == ("failed", "ValueError: odd tokens", None)
        assert (second.finished.status, second.error) == ("done", None)
        assert list(labels_of(store)) == [second.finished.thread]
        assert list(worlds_folder(store).iterdir()) == []
        again = play(store, HelpdeskSuite(), tasks, slots, trials=1, seed=0, workers=1)
        assert [trial.finished.status for trial in again] == ["done", "done"]
        assert len(spoken) == 3  # the finished one is read back
        assert again[1].finished == second.finished


def test_how_an_episode_ended_is_read_off_its_messages() -> None:
    said = AIMessage("Done.", response_metadata={"finish_reason": "length"})
    assert status_of([HumanMessage("Hi"), AIMessage("Hello.")]) == "done"
    assert status_of([HumanMessage("Hi"), said]) == "truncated"
    assert status_of([HumanMessage("Hi"), call("refund"), ToolMessage("ok", tool_call_id="1")]) == "truncated"
    assert status_of([HumanMessage("Hi"), call("refund", order_id="O1", amount=200)]) == "paused"


def test_finished_threads_are_kept_and_the_rest_is_run_when_started_again(tmp_path: Path) -> None:
    tasks = [make_task("train", "simple", index) for index in range(4)]
    spoken: list[str] = []

    def fails_at_the_third(messages: Sequence[BaseMessage]) -> AIMessage:
        spoken.append(messages[-1].text)
        if len(spoken) == 3:
            raise KeyboardInterrupt
        return AIMessage("No.")

    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as store:
        with pytest.raises(KeyboardInterrupt):
            run_tasks(store, tasks, agent_that(fails_at_the_third), trials=1, seed=0, workers=1)
        finished = len(labels_of(store))
        assert finished in (2, 3)  # the fourth may have begun before the news got round
        spoken.clear()
        episodes = run_tasks(
            store,
            tasks,
            agent_that(lambda messages: spoken.append(messages[-1].text) or AIMessage("No.")),
            trials=1,
            seed=0,
            workers=1,
        )
        assert len(spoken) == len(tasks) - finished
        assert [episode.task for episode in episodes] == [task.id for task in tasks]
        assert {thread.status for thread in list_threads(store)} == {"done"}
        assert list(worlds_folder(store).iterdir()) == []
