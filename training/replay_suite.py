"""Recorded decisions as a suite: each is a task, met by a candidate that proposes what was done there.

``replay:sqlite:///runs.db#agent=helpdesk,version=helpdesk.think@0001`` names the database and which threads. Where a
person had the last word, theirs is what is wanted. The candidate is asked once, and nothing is run. Tiers are the
tools that were called; half a task is met with the right tools and other arguments.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph

from ..checkpoints.store import open_store
from ..checkpoints.where import parse_where
from ..errors import BadSuite
from ..graphs.state import AgentState
from ..nodes.bound_tools import note_tools
from ..nodes.models.slot import Slot
from ..nodes.observe import make_observe
from .replay_summary import ANSWER
from .replays import Decision, calls_of, compare, names_of, read_decisions
from .suites import Judged
from .worlds.calling.ask_once import ASKED, NOT_RUN_KEY


@dataclass(frozen=True)
class ReplayTask:
    """One decision."""

    id: str
    tier: str
    """The tools that were called, or ``(answer)``."""
    text: str
    """What the user had said last."""
    decision: Decision = field(repr=False)
    split: str = "heldout"
    seed: int = 0

    @property
    def wanted(self) -> AIMessage:
        """What the model did, or what a person wrote instead."""
        return self.decision.instead or self.decision.proposed


@dataclass(frozen=True)
class ReplaySuite:
    """The decisions of one slot."""

    everything: tuple[ReplayTask, ...] = field(repr=False)
    slots: tuple[str, ...]
    digest: str
    name: str = "replay"

    def build(self, slots: Mapping[str, Slot]) -> StateGraph[Any]:
        """An agent of one model call, with the prompt and the tools of the decision that the thread is about."""
        (slot,) = (slots[name] for name in self.slots)
        graph = StateGraph(AgentState)
        graph.add_node("observe", make_observe([slot]), metadata={"agent": self.name})
        graph.add_node("ask", make_ask(slot, {task.id: task.decision for task in self.everything}))
        graph.add_edge(START, "observe")
        graph.add_edge("observe", "ask")
        graph.add_edge("ask", END)
        return graph

    def tasks(self, split: str, per_tier: int, seed: int) -> list[ReplayTask]:
        """``per_tier`` decisions of each tier, or all if there are fewer; more of them begin with the same.

        Raises:
            BadSuite: ``split`` is not ``heldout``.
        """
        if split != "heldout":
            raise BadSuite(f"replays have no split {split!r}: what was recorded is trained on with `threadmill export`")
        chosen: list[ReplayTask] = []
        for tier in dict.fromkeys(task.tier for task in self.everything):
            tasks = [task for task in self.everything if task.tier == tier]
            random.Random(f"{seed}/{tier}").shuffle(tasks)
            chosen += tasks[:per_tier]
        return chosen

    def start(self, task: ReplayTask, place: Path) -> dict[str, Any]:
        """Which decision the thread is about; there is no world."""
        return {ASKED: task.id}

    def review(self, task: ReplayTask, question: dict[str, Any]) -> dict[str, Any]:
        """Rejection; the agent asks nobody."""
        return {"id": question["id"], "type": "reject", "text": "nothing is run here", "by": "reviewer:replay"}

    def reply(self, task: ReplayTask, text: str) -> None:
        """None: there is one answer."""
        return None

    def judge(self, task: ReplayTask, place: Path, messages: Sequence[AnyMessage]) -> Judged:
        """The right tools, and the right arguments; of a rejected call, that it is not made."""
        last = messages[-1] if messages else None
        if not isinstance(last, AIMessage):
            return Judged(0, 2)
        kind = compare(task.wanted, last, task.decision.tools)
        if task.decision.decided == "rejected":
            avoided = kind != "invalid" and not {*task.decision.refused} & {*calls_of(last)}
            return Judged(2 * avoided, 2)
        return Judged({"same": 2, "both_answer": 2, "same_tool": 1}.get(kind, 0), 2)

    def close(self, place: Path) -> None:
        """Nothing to take away."""

    def needed(self, task: ReplayTask) -> tuple[tuple[str, dict[str, Any]], ...] | None:
        """The wanted calls; None where a call was rejected, as nobody knows what was wanted instead."""
        if task.decision.decided == "rejected":
            return None
        return tuple((call["name"], call["args"]) for call in task.wanted.tool_calls)


def make_ask(slot: Slot, decisions: Mapping[str, Decision]) -> Callable[..., dict[str, Any]]:
    """Build a node that asks the model of this run's version what it would do at the thread's decision."""

    def ask(state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
        about = config.get("configurable", {})
        decision = decisions[about[ASKED]]
        version = state["versions"][slot.name]
        model = slot.model(version)
        asked = model.bind_tools([*decision.tools]) if decision.tools else model
        settings = {name: about[name] for name in ("seed", "temperature") if name in about}
        said = asked.invoke([*decision.prompt], config, **settings)
        spoken = {**said.response_metadata, "node": "ask", "version": version, NOT_RUN_KEY: True}
        answer = said.model_copy(update={"response_metadata": spoken})
        return {"messages": [note_tools(answer, decision.tools, state["messages"])]}

    return ask


def make_replay(name: str) -> ReplaySuite:
    """The suite ``URL#conditions``, conditions with commas between them, as in ``sqlite:///runs.db#agent=helpdesk``.

    Raises:
        BadSuite: no URL, no decisions, or decisions of several slots.
        BadDatabase, BadWhere
    """
    url, _, conditions = name.partition("#")
    if "://" not in url:
        raise BadSuite(f"replay:{name} does not say which database; write replay:sqlite:///runs.db#agent=helpdesk")
    if urlsplit(url).password:
        raise BadSuite(
            f"replay:{url.split('://')[0]}://… holds a password, and the names of suites are written into records; "
            "take it out and set PGPASSWORD, or name it in ~/.pgpass"
        )
    with open_store(url, create=False) as store:
        found = read_decisions(store, parse_where(one for one in conditions.split(",") if one)).found
    slots = sorted({decision.slot for decision in found})
    if len(slots) != 1:
        raise BadSuite(
            f"replay:{name} finds {len(found)} decisions of {len(slots)} slots ({', '.join(slots) or 'none'}); choose "
            "those of one with agent=NAME and node=NAME"
        )
    tasks = tuple(_task(decision) for decision in found)
    digest = sha256(repr([(task.id, task.tier, repr(calls_of(task.wanted))) for task in tasks]).encode()).hexdigest()
    return ReplaySuite(tasks, tuple(slots), digest[:12])


def _task(decision: Decision) -> ReplayTask:
    said = [message.text for message in decision.prompt if message.type == "human"]
    name = sha256(f"{decision.thread}\0{decision.message}".encode()).hexdigest()[:12]
    tools = "+".join(dict.fromkeys(names_of(decision.instead or decision.proposed)))
    return ReplayTask(f"replay-{name}", tools or ANSWER, said[-1] if said else "(nothing)", decision)
