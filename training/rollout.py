"""Play a suite's tasks as ordinary checkpointed threads, many at once, and label them with what they earned.

Every episode has a world of its own, a user who answers when asked, and somebody who reviews what the agent may not
do alone: the suite plays them. A finished thread carries its labels; playing the same tasks again reads finished
threads back and starts anything unfinished from the beginning.
"""

import random
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage
from langgraph.store.memory import InMemoryStore

from ..checkpoints.inner import Conversation, read_inner
from ..checkpoints.labels import Label, add_labels, labels_of
from ..checkpoints.reading import latest_metadata, read_messages
from ..checkpoints.store import Store
from ..checkpoints.writers import slots_noted
from ..errors import ContextOverflow, LeaseLost, OutOfMemory, StoreFull, ThreadBusy, UnknownThread
from ..graphs.run import Agent, Outcome, answer_thread, run_thread
from ..nodes.models.slot import Slot
from ..nodes.models.trace import read_trace
from .episode import Episode, measure
from .rewards.finished import Finished, Status, make_finished
from .suites import Judged, Suite, SuiteTask
from .worlds.calling.ask_once import NOT_RUN_KEY
from .worlds.helpdesk.suite import HelpdeskSuite, Reviewer
from .worlds.helpdesk.tasks import Task

MAX_QUESTIONS = 6
"""Interrupts answered in one episode before it is left as it is."""
NOT_OF_AN_EPISODE = (StoreFull, OutOfMemory, MemoryError, ThreadBusy, LeaseLost)
"""Failures that say nothing of the agent: the next episode would meet them as well, or another process has this one."""


@dataclass(frozen=True, slots=True)
class Trial:
    """An episode that was played."""

    number: int
    finished: Finished
    error: str | None = None
    """The exception that stopped it."""


def play(
    store: Store,
    suite: Suite,
    tasks: Sequence[SuiteTask],
    slots: Mapping[str, Slot],
    *,
    trials: int,
    seed: int,
    workers: int = 32,
    prefix: str = "",
    temperature: float | None = None,
    keep_failures: bool = False,
    seeded_as: str | None = None,
    known: Collection[str] = (),
    ended: Callable[[Trial], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Trial]:
    """``trials`` episodes of each task, in the order of tasks and trials, without the threads that are ``known``.

    Thread ids are ``{prefix}{task id}-t{trial}``. ``workers`` episodes run at a time; those that share a model are
    decoded together. Ctrl-C stops after the model calls in flight; finished threads are kept and not run again.

    An episode that runs out of calls, tokens or context is ``truncated`` and judged as it stands. One that an
    exception stops ends everything, or with ``keep_failures`` is ``failed``, without judgement and labels; playing
    it again starts it anew. ``ended`` is called with each trial, by the caller's own Python thread.

    Every episode samples with a seed of its own, made of ``seed`` and its thread. With ``seeded_as`` that stands for
    the prefix in it: two models that play the same tasks ``seeded_as`` the same are given the same seeds.
    """
    graph = suite.build(slots).compile(checkpointer=store.saver, name=suite.slots[0].partition(".")[0])
    everything = [(task, trial, f"{prefix}{task.id}-t{trial}") for task in tasks for trial in range(trials)]
    wanted = [(task, trial, thread) for task, trial, thread in everything if thread not in known]
    labelled = labels_of(store, [thread for _, _, thread in wanted])
    folder = worlds_folder(store)
    folder.mkdir(parents=True, exist_ok=True)
    source = source_of(suite)
    stop = threading.Event()
    played: dict[str, Trial] = {}

    def one(task: SuiteTask, trial: int, thread: str) -> Trial | None:
        place = folder / thread
        if any(label.kind == "reward" and label.source == source for label in labelled.get(thread, [])):
            from .rewards.stored import read_finished  # which reads what is played here

            return Trial(trial, read_finished(store, thread, suite=suite, task=task))
        if stop.is_set():
            return None
        store.saver.delete_thread(thread)
        try:
            return Trial(trial, play_one(task, trial, thread, place))
        except NOT_OF_AN_EPISODE:
            raise
        except Exception as error:
            if not keep_failures:
                raise
            finished = _finished(store, suite, task, thread, None, status="failed")
            return Trial(trial, finished, f"{type(error).__name__}: {error}")
        finally:
            suite.close(place)

    def play_one(task: SuiteTask, trial: int, thread: str, place: Path) -> Finished:
        configurable = suite.start(task, place)
        seeded = thread if seeded_as is None else f"{seeded_as}{thread.removeprefix(prefix)}"
        configurable["seed"] = random.Random(f"{seed}/{seeded}").randrange(2**31)
        if temperature is not None:
            configurable["temperature"] = temperature
        metadata = {"task": task.id, "trial": trial}
        approved: list[str] = []
        status: Status | None = None
        try:
            agent = remembering(graph, suite, task)
            outcome = run_thread(agent, thread, task.text, metadata=metadata, configurable=configurable)
            _to_the_end(agent, suite, task, outcome, approved)
        except ContextOverflow:
            status = "truncated"  # judged as it stands
        judged = suite.judge(task, place, to_judge(suite, read_messages(store, thread), read_inner(store, thread)))
        add_labels(
            store,
            [
                Label(thread, None, None, "reward", judged.reward, source),
                Label(thread, None, None, "success", float(judged.success), source),
            ],
        )
        return _finished(store, suite, task, thread, judged, approved=approved, status=status)

    with ThreadPoolExecutor(workers, thread_name_prefix="episode") as pool:
        futures = [pool.submit(one, *item) for item in wanted]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                trial = future.result()
                if trial is not None:
                    played[trial.finished.thread] = trial
                    if ended is not None:
                        ended(trial)
                if progress is not None:
                    progress(done, len(futures))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [played[thread] for _, _, thread in wanted]


def run_tasks(
    store: Store,
    tasks: Sequence[Task],
    slot: Slot,
    *,
    trials: int,
    seed: int,
    workers: int = 32,
    reviewer: Reviewer = "approve",
    prefix: str = "",
    temperature: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Episode]:
    """``play`` for tasks of the helpdesk, and what the metrics count of each episode."""
    played = play(
        store,
        HelpdeskSuite(reviewer),
        tasks,
        {slot.name: slot},
        trials=trials,
        seed=seed,
        workers=workers,
        prefix=prefix,
        temperature=temperature,
        progress=progress,
    )
    return [measure(trial.finished, trial.number) for trial in played]


def remembering(graph: Agent, suite: Suite, task: SuiteTask) -> Agent:
    """``graph`` with the memories of one episode: an empty store of its own, or the one that the suite gives it."""
    given = getattr(suite, "memories", None)
    return graph.copy({"store": given(task) if given else InMemoryStore()})


def to_judge(suite: Suite, messages: Sequence[Any], inner: Sequence[Conversation]) -> list[Any]:
    """What ``suite`` judges a thread by: its ``messages``, behind those said inside if the suite ``looks_inside``."""
    if not getattr(suite, "looks_inside", False):
        return [*messages]
    known = {message.id for message in messages}
    said = {message.id: message for one in inner for message in one.messages if message.id not in known}
    return [*said.values(), *messages]


def worlds_folder(store: Store) -> Path:
    """Where the episodes' worlds lie while they run: beside the store's file."""
    return store.place.with_suffix(".worlds")


def source_of(suite: Suite) -> str:
    """Who says what an episode of ``suite`` earned, in its labels."""
    return f"{suite.name}.check"


def status_of(messages: Sequence[BaseMessage]) -> Status:
    """How an episode ended that no exception stopped, by its messages."""
    last = messages[-1] if messages else None
    if not isinstance(last, AIMessage):
        return "truncated"  # no call of the model was left
    if (last.tool_calls or last.invalid_tool_calls) and not last.response_metadata.get(NOT_RUN_KEY):
        return "paused"
    trace = read_trace(last)
    finish = trace.finish if trace else last.response_metadata.get("finish_reason")
    return "truncated" if finish == "length" else "done"


def _finished(
    store: Store,
    suite: Suite,
    task: SuiteTask,
    thread: str,
    judged: Judged | None,
    *,
    approved: Sequence[str] = (),
    status: Status | None = None,
) -> Finished:
    try:
        messages = read_messages(store, thread)
    except UnknownThread:
        messages = []
    inner = read_inner(store, thread) if messages else []
    noted = latest_metadata(store, thread) if messages else {}
    return make_finished(
        thread,
        messages,
        task=task,
        judged=judged,
        needed=suite.needed(task),
        status=status or status_of(messages),
        approved=approved,
        inner=inner,
        slots=slots_noted([*messages, *(message for one in inner for message in one.messages)], noted),
    )


def _to_the_end(graph: Any, suite: Suite, task: SuiteTask, outcome: Outcome, approved: list[str]) -> None:
    """Play the reviewer and the user until the thread is done; questions that were agreed to go to ``approved``."""
    replied = False
    for _ in range(MAX_QUESTIONS):
        if outcome.status == "paused":
            answers = [suite.review(task, question) for question in outcome.questions]
            approved += [answer["id"] for answer in answers if answer["type"] in ("approve", "edit")]
            outcome = answer_thread(graph, outcome.thread, answers)
            continue
        reply = None if replied else suite.reply(task, outcome.answer or "")
        if reply is None:
            return
        replied = True
        outcome = run_thread(graph, outcome.thread, reply)
