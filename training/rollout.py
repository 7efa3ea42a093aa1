"""Run helpdesk tasks as ordinary checkpointed threads, many at once, and label them with their reward.

Every episode has a database of its own, a scripted customer who answers when asked, and a reviewer
for what the agent may not do alone. A finished thread carries its labels; running the same tasks
again reads finished threads back and starts anything unfinished from the beginning.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

from ..checkpoints.labels import Label, add_labels, labels_of
from ..checkpoints.reading import read_messages
from ..checkpoints.store import Store
from ..graphs.run import Outcome, answer_thread, run_thread
from ..nodes.models.slot import Slot
from ..nodes.models.trace import EDIT_KEY, read_trace
from .worlds.helpdesk.agent import build_helpdesk
from .worlds.helpdesk.check import check
from .worlds.helpdesk.database import make_world, read_end_state, write_world
from .worlds.helpdesk.prompt import AGENT
from .worlds.helpdesk.tasks import Task

Reviewer = Literal["approve", "scripted"]
SOURCE = "helpdesk.check"
MAX_QUESTIONS = 6
"""Interrupts answered in one episode before it is left as it is."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One trial of one task, with what the metrics count."""

    thread: str
    task: str
    tier: str
    trial: int
    version: str
    reward: float
    success: bool
    steps: int
    """Model calls."""
    calls: int
    """Tool calls, invalid ones included."""
    failed_calls: int
    """Calls that the tool refused or that took too long."""
    invalid_calls: int
    """Calls that could not be parsed, did not fit the schema, or named no tool."""
    unneeded_calls: int
    """Executed calls beyond those of the shortest solution."""
    sampled_tokens: int
    edited: bool


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
    """``trials`` episodes of each task, in the order of tasks and trials.

    Thread ids are ``{prefix}{task id}-t{trial}``. ``workers`` episodes run at a time; those that share
    the slot's model are decoded together. ``reviewer`` answers what the agent must ask: ``approve``
    always agrees, ``scripted`` knows the task and edits a wrong amount and rejects a wrong refund.
    Ctrl-C stops after the model calls in flight; finished threads are kept and not run again.
    """
    graph = build_helpdesk(slot).compile(checkpointer=store.saver, name=AGENT)
    wanted = [(task, trial, f"{prefix}{task.id}-t{trial}") for task in tasks for trial in range(trials)]
    labelled = labels_of(store, [thread for _, _, thread in wanted])
    folder = worlds_folder(store)
    folder.mkdir(parents=True, exist_ok=True)
    stop = threading.Event()
    episodes: dict[str, Episode] = {}

    def one(task: Task, trial: int, thread: str) -> Episode | None:
        finished = {label.kind: label.value for label in labelled.get(thread, []) if label.source == SOURCE}
        if "reward" in finished:
            return _episode(task, trial, thread, read_messages(store, thread), float(finished["reward"]))
        if stop.is_set():
            return None
        store.saver.delete_thread(thread)
        world = folder / f"{thread}.db"
        write_world(make_world(task.split, task.seed), world)
        configurable: dict[str, Any] = {
            "world": str(world),
            "seed": random.Random(f"{seed}/{thread}").randrange(2**31),
        }
        if temperature is not None:
            configurable["temperature"] = temperature
        outcome = run_thread(
            graph, thread, task.text, metadata={"task": task.id, "trial": trial}, configurable=configurable
        )
        outcome = _to_the_end(graph, task, outcome, reviewer)
        result = check(task, read_end_state(world), outcome.answer or "")
        world.unlink()
        add_labels(
            store,
            [
                Label(thread, None, None, "reward", result.reward, SOURCE),
                Label(thread, None, None, "success", float(result.success), SOURCE),
            ],
        )
        return _episode(task, trial, thread, read_messages(store, thread), result.reward)

    with ThreadPoolExecutor(workers, thread_name_prefix="episode") as pool:
        futures = [pool.submit(one, *item) for item in wanted]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                episode = future.result()
                if episode is not None:
                    episodes[episode.thread] = episode
                if progress is not None:
                    progress(done, len(futures))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [episodes[thread] for _, _, thread in wanted]


def worlds_folder(store: Store) -> Path:
    """Where the episodes' databases lie while they run: beside the store's file."""
    return store.place.with_suffix(".worlds")


def _to_the_end(graph: Any, task: Task, outcome: Outcome, reviewer: Reviewer) -> Outcome:
    """Play the reviewer and the customer until the thread is done."""
    replied = False
    for _ in range(MAX_QUESTIONS):
        if outcome.status == "paused":
            answers = [review(task, question, reviewer) for question in outcome.questions]
            outcome = answer_thread(graph, outcome.thread, answers)
        elif task.reply and not replied and "?" in (outcome.answer or ""):
            replied = True
            outcome = run_thread(graph, outcome.thread, task.reply)
        else:
            return outcome
    return outcome


def review(task: Task, question: dict[str, Any], reviewer: Reviewer) -> dict[str, Any]:
    """The reviewer's answer to one question about a refund."""
    answer = {"id": question["id"], "by": f"reviewer:{reviewer}"}
    args = question["args"]
    due = task.refunds.get(args["order_id"])
    if reviewer == "approve" or due == args["amount"]:
        return {**answer, "type": "approve"}
    if due is None:
        return {**answer, "type": "reject", "text": "this order must not be refunded"}
    return {**answer, "type": "edit", "args": {**args, "amount": due}}


def _episode(task: Task, trial: int, thread: str, messages: Sequence[AnyMessage], reward: float) -> Episode:
    spoken = [message for message in messages if isinstance(message, AIMessage)]
    results = [message for message in messages if isinstance(message, ToolMessage)]
    kinds = Counter(str(message.additional_kwargs.get("kind")) for message in results)
    made = Counter(_key(call["name"], call["args"]) for message in spoken for call in message.tool_calls)
    needed = Counter(_key(name, args) for name, args in task.needed)
    traces = [trace for message in spoken if (trace := read_trace(message))]
    return Episode(
        thread=thread,
        task=task.id,
        tier=task.tier,
        trial=trial,
        version=traces[-1].version if traces else "",
        reward=reward,
        success=reward == 1.0,
        steps=len(spoken),
        calls=sum(len(message.tool_calls) + len(message.invalid_tool_calls) for message in spoken),
        failed_calls=kinds["failed"] + kinds["timeout"],
        invalid_calls=kinds["invalid"] + kinds["unknown_tool"],
        unneeded_calls=(made - needed).total(),
        sampled_tokens=sum(len(trace.sampled_ids) for trace in traces),
        edited=any(EDIT_KEY in message.response_metadata for message in spoken),
    )


def _key(name: str, args: dict[str, Any]) -> tuple[str, str]:
    return name, repr(sorted(args.items()))
