"""One continuation: a thread of its own that begins at a checkpoint of another, in a world restored to that point.

It is an ordinary thread (`threadmill threads show` shows it), labelled like any finished episode. It is not a branch of
the thread that it continues: a thread has one driver at a time, and its newest branch counts as its trial.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...checkpoints.branching import begin_thread_at, refuse_subgraphs_with_memory
from ...checkpoints.labels import Label, add_labels, labels_of
from ...checkpoints.reading import read_messages
from ...checkpoints.store import Store
from ...errors import CannotTravel, ContextOverflow
from ...graphs.run import Agent, answer_thread, continue_thread, run_thread
from ..rewards.finished import Finished
from ..rewards.stored import read_finished
from ..rollout import MAX_QUESTIONS, remembering, source_of
from ..suites import Suite, SuiteTask
from .restore import restore_world
from .step_labels import FORKED_FROM
from .think_calls import ThinkCall

Return = Callable[[Finished], float]


@dataclass(frozen=True)
class Place:
    """Where continuations run: what is the same for all of them."""

    store: Store
    suite: Suite
    graph: Agent
    folder: Path
    """For their worlds."""
    versions: Mapping[str, str]
    """Slot to the version that speaks."""
    configurable: Mapping[str, Any]
    """Such as the temperature."""
    returns: Return | None = None
    """The return of a finished continuation; None is the suite's reward."""

    @property
    def source(self) -> str:
        """Of the labels on what was played in the suite."""
        return source_of(self.suite)


def play_continuation(
    place: Place, thread: str, task: SuiteTask, call: ThinkCall, name: str, *, seed: int, turn: int
) -> float:
    """The return of the continuation ``name`` of ``thread`` from the state before ``call``.

    If it is finished already it is not run again, and one that was broken off begins anew.

    Raises:
        CannotTravel: the world cannot be restored, or the thread does not hold the state.
    """
    finished = return_of(place.store, name, place.source)
    if finished is not None:
        return _counted(place, name, task, finished)
    if call.checkpoint is None:
        raise CannotTravel(f"thread {thread!r} holds no checkpoint in front of message {call.message!r}")
    refuse_subgraphs_with_memory(place.store.tables.namespaces(thread), thread)
    place.store.saver.delete_thread(name)
    world = world_of(place.folder, name)
    try:
        graph = remembering(place.graph, place.suite, task)
        about = {**place.configurable, **place.suite.start(task, world), "seed": seed}
        restore_world(graph, thread, call.history, {**about, "thread_id": name}, salt=name)
        begin_thread_at(
            place.store.saver,
            thread,
            call.checkpoint,
            name,
            noted={**about, FORKED_FROM: thread, "fork_of": call.checkpoint, "forked_turn": turn},
            values={"versions": dict(place.versions)},
        )
        _play_on(place, graph, name, task, call.rounds)
        judged = place.suite.judge(task, world, read_messages(place.store, name))
    finally:
        place.suite.close(world)
    add_labels(
        place.store,
        [
            Label(name, None, None, "reward", judged.reward, place.source),
            Label(name, None, None, "success", float(judged.success), place.source),
        ],
    )
    return _counted(place, name, task, judged.reward)


def check_world(place: Place, thread: str, task: SuiteTask, call: ThinkCall) -> None:
    """Nothing, unless the world cannot be restored to where it was before ``call``.

    Raises:
        CannotTravel
    """
    world = world_of(place.folder, thread)
    try:
        about = {**place.configurable, **place.suite.start(task, world), "thread_id": thread}
        graph = remembering(place.graph, place.suite, task)
        restore_world(graph, thread, call.history, about, salt="check")
    finally:
        place.suite.close(world)


def return_of(store: Store, thread: str, source: str) -> float | None:
    """The reward that ``source`` gave ``thread`` in the end; None if there is none."""
    rewards = [
        float(label.value)
        for label in labels_of(store, [thread]).get(thread, ())
        if label.kind == "reward" and label.message is None and label.checkpoint is None and label.source == source
    ]
    return rewards[-1] if rewards else None


def world_of(folder: Path, thread: str) -> Path:
    """Where the world of ``thread`` lies while it runs; ids may hold signs that no file name can."""
    return folder / sha256(thread.encode()).hexdigest()[:24]


def _counted(place: Place, thread: str, task: SuiteTask, reward: float) -> float:
    if place.returns is None:
        return reward
    return place.returns(read_finished(place.store, thread, suite=place.suite, task=task))


def _play_on(place: Place, graph: Agent, thread: str, task: SuiteTask, rounds: int) -> None:
    """Run it to its end, as a rollout would have from there: people answer what is asked, the user replies once.

    ``rounds`` of that were used up before. What runs out of context is judged as it stands.
    """
    try:
        outcome = continue_thread(graph, thread)
        for _ in range(rounds, MAX_QUESTIONS):
            if outcome.status == "paused":
                answers = [place.suite.review(task, question) for question in outcome.questions]
                outcome = answer_thread(graph, thread, answers)
                continue
            replied = sum(message.type == "human" for message in read_messages(place.store, thread)) > 1
            reply = None if replied else place.suite.reply(task, outcome.answer or "")
            if reply is None:
                return
            outcome = run_thread(graph, thread, reply)
    except ContextOverflow:
        pass
