"""Replay a thread from its record: models are asked again, tools and people answer as they did, nothing else happens.

The replay runs in memory and stops at the first call or question that the record has no answer to. Its branch is then
written beside the recorded one, with ids that do not make it the thread's newest: what the thread goes on
from, and what it asks, stays as it was.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import Command, interrupt

from ..checkpoints.branching import branch_at, checkpoint_of, ids_beside, whole_checkpoint
from ..checkpoints.rows import place_of
from ..checkpoints.saver import ThreadSaver
from ..errors import CannotTravel
from ..nodes.calls import NOT_RUN, Call
from ..nodes.tool import RECORD
from .divergence import first_divergence
from .run import Agent, _config, _outcome
from .travel import Replay, _at, _saver, messages_of, module_of, recorded_path, speaking

OUR_NODES = ("threadmill.nodes.", "threadmill.graphs.")
MISSING = "not in the record"


def replay_recorded(
    graph: Agent,
    thread: str,
    checkpoint: str,
    *,
    versions: Mapping[str, str] | None = None,
    pure: Sequence[str] = (),
    by: str = "human",
) -> Replay:
    """What would have happened after ``checkpoint``, with every tool and person answering as recorded.

    ``versions`` (slot to version) speak instead of those of the checkpoint: what would the new model have done?
    Nodes that are not Threadmill's could act in the outside world, so they must be named in ``pure``. The outcome is
    ``paused`` at a question that nobody answered, ``failed`` at a call that the record has no answer to.

    Raises:
        UnknownThread
        CannotTravel: nothing follows the checkpoint, a node or subgraph might act, or the live version would speak
            instead of ``versions``.
    """
    saver = _saver(graph)
    before = _at(graph, thread, checkpoint)
    if not before.next:
        raise CannotTravel(f"the run ends at checkpoint {checkpoint}; replay from an earlier one")
    _refuse_nodes_that_may_act(graph, pure)
    spoken = speaking(graph, before, versions)
    path = recorded_path(saver, thread, checkpoint)
    was = messages_of(graph, thread, path[-1])
    known = before.values.get("messages", [])
    record = _Record(_tools(was, known), _people(saver, thread, path))
    memory = _Memory(serde=saver.serde)
    root = _copy_into(memory, saver, thread, checkpoint, spoken)
    trial = graph.copy({"checkpointer": memory})
    config = _config(graph, thread, before, metadata={"replay": "recorded", "replay_of": checkpoint})
    config["configurable"] = {**config.get("configurable", {}), RECORD: record.serve}
    values = trial.invoke(None, config, durability="sync")
    while answers := record.answers(values.get("__interrupt__", ())):
        values = trial.invoke(Command(resume={"answers": answers}), config, durability="sync")
    stopped = values.get("__interrupt__", ())
    asked = [one for one in stopped if "questions" in one.value]
    outcome = _outcome(thread, values, asked, failed=bool(stopped))
    divergence = first_divergence(was, values["messages"], known, finished=not stopped)
    leaf = _graft(saver, memory, root, thread, checkpoint, by, values=spoken)
    return Replay(outcome, leaf, checkpoint, divergence)


class _Memory(InMemorySaver):
    """Where the replay runs."""

    def __init__(self, serde: Any) -> None:
        super().__init__(serde=serde)
        self.path_of: dict[str, str] = {}
        """Task to its path, which says in what order the results of parallel calls are read."""

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As LangGraph's; its tuples forget the path."""
        self.path_of[task_id] = task_path
        super().put_writes(config, writes, task_id, task_path)


@dataclass(slots=True)
class _Record:
    """What tools and people answered on the recorded branch, each to be used once."""

    tools: dict[str, list[ToolMessage]]
    people: dict[str, list[Mapping[str, Any]]]
    lock: Lock = field(default_factory=Lock)

    def serve(self, call: Call) -> ToolMessage:
        """The recorded answer to ``call``; stops the replay if there is none."""
        key = _key(call["call"]["name"], call["call"]["args"])
        with self.lock:
            waiting = self.tools.get(key, [])
            found = waiting.pop(0) if waiting else None
        if found is None:
            interrupt({MISSING: call["call"]})
            raise AssertionError("a replay is never resumed at a call that is not in the record")
        return found.model_copy(update={"id": call["id"], "tool_call_id": call["call"]["id"] or ""})

    def answers(self, asked: Sequence[Any]) -> list[dict[str, Any]]:
        """The recorded answers to all of these questions; empty if one is missing, or nothing is asked."""
        if not asked or any("questions" not in one.value for one in asked):
            return []
        given = []
        for question in (question for one in asked for question in one.value["questions"]):
            waiting = self.people.get(_key(question["tool"], question["args"]), [])
            if not waiting:
                return []
            given.append({**waiting.pop(0), "id": question["id"]})
        return given


def _tools(messages: Sequence[BaseMessage], known: Sequence[BaseMessage]) -> dict[str, list[ToolMessage]]:
    """What tools answered after ``known``, by the call; not what people did in their place, or a refused call got.

    A call id belongs to the last message before the answer that has it: many models use the same ids in every turn.
    """
    begun = {message.id for message in known if not isinstance(message, AIMessage)}
    asked: dict[str, Any] = {}
    found: dict[str, list[ToolMessage]] = {}
    for message in messages:
        if isinstance(message, AIMessage):
            asked |= {call["id"] or f"{message.id}:{place}": call for place, call in enumerate(message.tool_calls)}
        elif isinstance(message, ToolMessage) and message.tool_call_id in asked and message.id not in begun:
            call = asked[message.tool_call_id]
            if message.additional_kwargs.get("kind") not in NOT_RUN:
                found.setdefault(_key(call["name"], call["args"]), []).append(message)
    return found


def _people(saver: ThreadSaver, thread: str, path: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """What people answered on ``path``, by the call that was asked about."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for checkpoint in path:
        at = saver.get_tuple(place_of(thread, checkpoint))
        asked: list[Any] = []
        answered: dict[str, Mapping[str, Any]] = {}
        for task, channel, value in (at and at.pending_writes) or []:
            if channel == "__interrupt__":
                asked += [one for one in value if isinstance(one.value, dict)]
            elif channel == "__resume__" and not task.startswith("00000000"):
                for resumed in value if isinstance(value, list) else [value]:
                    if isinstance(resumed, dict):
                        answered |= {answer["id"]: answer for answer in resumed.get("answers", [])}
        for question in (question for one in asked for question in one.value.get("questions", [])):
            if question["id"] in answered:
                key = _key(question["tool"], question["args"])
                found.setdefault(key, []).append(answered[question["id"]])
    return found


def _key(name: str, args: Any) -> str:
    return json.dumps([name, args], sort_keys=True, default=str)


def _is_ours(graph: Agent, node: str) -> bool:
    """Whether ``node`` is one of ours, or a subgraph of nothing else."""
    inside = graph.builder.nodes[node].runnable
    if isinstance(inside, CompiledStateGraph):
        return all(_is_ours(inside, name) for name in inside.builder.nodes)
    return module_of(graph, node).startswith(OUR_NODES)


def _has_results_of_its_own(graph: Agent, node: str) -> bool:
    """Whether ``node`` is a subgraph whose messages never become the thread's."""
    inside = graph.builder.nodes[node].runnable
    return isinstance(inside, CompiledStateGraph) and "messages" not in inside.output_channels


def _refuse_nodes_that_may_act(graph: Agent, pure: Sequence[str]) -> None:
    apart = [name for name in graph.builder.nodes if name not in pure and _has_results_of_its_own(graph, name)]
    if apart:
        raise CannotTravel(
            f"node {', '.join(map(repr, apart))} holds conversations of its own, and what tools said there is not in "
            "the thread's messages; replay live"
        )
    strange = [name for name in graph.builder.nodes if name not in pure and not _is_ours(graph, name)]
    if strange:
        raise CannotTravel(
            f"node {', '.join(map(repr, strange))} is not one of Threadmill's, so it cannot be known to do nothing in "
            f"the outside world; if it does nothing, say so with pure={strange}, else replay live"
        )


def _copy_into(
    memory: _Memory, saver: ThreadSaver, thread: str, checkpoint: str, values: Mapping[str, Any]
) -> CheckpointTuple:
    """Begin the thread in ``memory`` with ``checkpoint``, complete in itself."""
    found = saver.get_tuple(place_of(thread, checkpoint))
    assert found is not None
    state = whole_checkpoint(saver, found, values)
    place: RunnableConfig = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    memory.put(place, state, found.metadata, dict(state["channel_versions"]))
    return found


def _graft(
    saver: ThreadSaver,
    memory: _Memory,
    root: CheckpointTuple,
    thread: str,
    checkpoint: str,
    by: str,
    *,
    values: Mapping[str, Any],
) -> str:
    """Write what ``memory`` holds beside ``checkpoint``; the leaf's id."""
    place: RunnableConfig = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    taken = {one.checkpoint["id"] for one in saver.list(place)}
    ids = ids_beside(checkpoint, taken)
    noted = {"replay": "recorded", "replay_of": checkpoint, "editor": by}
    first = branch_at(saver, thread, checkpoint, noted=noted, values=values, new_id=next(ids), whole=True)
    made = {checkpoint: first, root.checkpoint["id"]: first}
    steps = sorted(memory.list(place), key=lambda one: one.checkpoint["id"])
    leaf = first
    for step in steps:
        begun = step.parent_config is None
        name = first if begun else next(ids)
        made[step.checkpoint["id"]] = leaf = name
        under = place_of(thread, name)
        if not begun:
            above = checkpoint_of(step.parent_config) or ""
            config = place_of(thread, made[above])
            copied: Any = {**step.checkpoint, "id": name}
            metadata: Any = {**step.metadata, **noted}
            saver.put(config, copied, metadata, dict(step.checkpoint["channel_versions"]))
        if step is steps[-1]:
            break  # what a task wrote that was not finished
        by_task: dict[str, list[tuple[str, Any]]] = {}
        for task, channel, value in step.pending_writes or []:
            by_task.setdefault(task, []).append((channel, value))
        for task, writes in by_task.items():
            saver.put_writes(under, writes, task, memory.path_of.get(task, ""))
    return leaf
