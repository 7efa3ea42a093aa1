"""What threads should be, in plain Python: trees of what was said, and an interpreter of the agent's loop.

It knows nothing about LangGraph, databases or messages. A ``Node`` is a checkpoint; a crash is handed in as what the
database had acknowledged when the process died (``Fate``): just that must be there afterwards.
"""

import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, NamedTuple

from thread_shop import (
    MAX_CALLS,
    Call,
    ModelDown,
    Todo,
    World,
    answered,
    complaint,
    effect,
    is_asked,
    reply,
    result,
    told,
)

_fresh = count(1)


class Said(NamedTuple):
    """A message. Wherever its ``key`` turns up, its id must be the same, and no other message's."""

    key: str
    role: str
    text: str
    calls: tuple[str, ...] = ()
    ran: bool = False
    """Did a tool say it?"""


@dataclass(frozen=True)
class Fate:
    """What a process that died had brought to its end."""

    saved: int
    """Checkpoints."""
    finished: AbstractSet[int]
    """Tasks after the last of them, by place."""
    booked: AbstractSet[int]
    """Tools that had acted, by place."""
    stopped: AbstractSet[str] = frozenset()
    """``asked`` or ``failed``, if the last of them stopped so."""

    @property
    def rest(self) -> "Fate":
        """Without the first checkpoint."""
        return replace(self, saved=self.saved - 1)


@dataclass(eq=False)
class Node:
    """A checkpoint: what has been said, which step is next, and what of that step is finished."""

    above: "Node | None"
    said: tuple[Said, ...] = ()
    next: str = "start"
    version: str | None = None
    given: Said | None = None
    """What the user said, while ``next`` is ``start``."""
    todo: tuple[Todo, ...] = ()
    """While ``next`` is ``tool``."""
    ready: dict[int, Any] = field(default_factory=dict)
    """What finished tasks of the next step have written, by place."""
    questions: tuple[Call, ...] | None = None
    answers: tuple[Mapping[str, Any], ...] | None = None
    """Answered, but only of interest once the run has gone on."""
    failed: bool = False
    number: int = field(default_factory=lambda: next(_fresh))
    """Its own: the calls of a copied checkpoint are other calls."""

    @property
    def waits(self) -> bool:
        """Is a person to answer before anything goes on?"""
        return self.questions is not None and not self.ready

    @property
    def places(self) -> range:
        """The tasks of the next step."""
        return range(len(self.todo) if self.next == "tool" else 1 if self.next else 0)


class Thread:
    """A tree of checkpoints, and the interpreter that lets it grow."""

    def __init__(self, world: World, books: dict[tuple[int, int], str]) -> None:
        self.world, self.books = world, books
        self.nodes: list[Node] = []
        self.head: Node | None = None
        self.labels: list[Any] = []

    @property
    def status(self) -> str:
        """As the list of threads has it."""
        assert self.head is not None
        return stands(self.head)

    @property
    def leaves(self) -> list[Node]:
        """The ends of the branches."""
        inner = {id(node.above) for node in self.nodes}
        return [node for node in self.nodes if id(node) not in inner]

    def grow(self, node: Node, *, head: bool = True) -> Node:
        """Add a checkpoint."""
        self.nodes.append(node)
        if head:
            self.head = node
        return node

    def may_begin_turn(self) -> str:
        """Why a new user turn is refused now; empty if it is not."""
        head = self.head
        if head is None or not head.next:
            return ""
        if head.waits:
            return "waits for an answer"
        return "stopped half-way" if head.next in ("start", "act", "tool") or head.ready else ""

    def begin_turn(self, text: str, fate: Fate | None = None) -> None:
        """A new user turn."""
        if fate and not fate.saved:
            return
        before = self.head
        said, version = (before.said, before.version) if before else ((), None)
        self.grow(Node(before, said, "start", version, Said(f"h{next(_fresh)}", "human", text)))
        self.go_on(fate and fate.rest)

    def answer(self, answers: Sequence[Mapping[str, Any]], fate: Fate | None = None) -> None:
        """Answers to all questions of the head, in their order."""
        assert self.head is not None
        self.head.answers = tuple(answers)
        self.go_on(fate)
        if self.head.waits:
            self.head.answers = None

    def go_on(self, fate: Fate | None = None) -> None:
        """Run the head until it ends, asks or fails, or as far as ``fate`` let it come."""
        assert self.head is not None
        self.head = self.run(self.head, Outside(self), fate)

    def run(self, node: Node, outside: "Outside", fate: Fate | None = None, *, head: bool = True) -> Node:
        """``go_on`` for any node; what it grows to."""
        saved = 0
        while node.next:
            last = fate if fate is not None and saved == fate.saved else None
            for place in node.places:
                if place in node.ready:
                    continue
                if last and not last.stopped and place not in last.finished:
                    if place in last.booked:
                        outside.book(node, place)
                    continue
                try:
                    made = self.task(node, place, outside)
                except ModelDown:
                    node.failed = True
                    return node
                if made is None:
                    return node
                node.ready[place] = made
            if last:
                return node
            node = self.grow(self.after(node), head=head)
            saved += 1
        return node

    def task(self, node: Node, place: int, outside: "Outside") -> Any:
        """What one task of the next step writes; None if it must wait."""
        match node.next:
            case "start":
                return node.given
            case "observe":
                begins = node.said[-1].role == "human"
                return self.world.live if begins or node.version is None else node.version
            case "think":
                if self.world.down:
                    raise ModelDown
                text, calls = reply([(one.role, one.text) for one in node.said], node.version)
                return Said(f"a{next(_fresh)}", "ai", text, tuple(map(told, calls)))
            case "act":
                return self.decide(node, outside)
            case _:
                return outside.act(node, place)

    def decide(self, node: Node, outside: "Outside") -> tuple[Said, tuple[Todo, ...]] | None:
        """The message with what people made of its calls, and what is to be done; None if people are to be asked."""
        message = node.said[-1]
        calls: list[Call] = [(name, args) for name, args in map(json.loads, message.calls)]
        todo = [Todo(call, complaint(call)) for call in calls]
        asks = [place for place, one in enumerate(todo) if one.text is None and is_asked(one.call)]
        if asks:
            questions = tuple(calls[place] for place in asks)
            answers = outside.answers(node, questions)
            if answers is None:
                return None
            for place, answer in zip(asks, answers, strict=True):
                todo[place] = answered(todo[place], answer)
        return message._replace(calls=tuple(told(one.call) for one in todo)), tuple(todo)

    def after(self, node: Node) -> Node:
        """The checkpoint that follows ``node``, all of whose tasks are finished."""
        match node.next:
            case "start":
                return Node(node, (*node.said, node.ready[0]), "observe", node.version)
            case "observe":
                return Node(node, node.said, "think" if may_think(node.said) else "", node.ready[0])
            case "think":
                message = node.ready[0]
                return Node(node, (*node.said, message), "act" if message.calls else "", node.version)
            case "act":
                message, todo = node.ready[0]
                return Node(node, (*node.said[:-1], message), "tool", node.version, todo=todo)
            case _:
                return Node(node, (*node.said, *(node.ready[place] for place in node.places)), "observe", node.version)

    def fork(self, at: Node, fate: Fate | None = None, version: str | None = None) -> Node | None:
        """A sibling of ``at`` that becomes the head."""
        if fate and not fate.saved:
            return None
        return self.grow(beside(at, version))

    def change(self, at: Node, message: Said, fate: Fate | None = None) -> Node | None:
        """A child of ``at`` with ``message`` in the place of the one with its key; it becomes the head."""
        if fate and not fate.saved:
            return None
        said = tuple(message if one.key == message.key else one for one in at.said)
        return self.grow(Node(at, said, self.next_after_change(at, said), at.version))

    def next_after_change(self, at: Node, said: tuple[Said, ...]) -> str:
        """The step that follows a changed state: that of the edges of whoever brought the thread to ``at``."""
        if at.next == "observe":
            return "observe"
        if at.next == "think" or (not at.next and at.said[-1].role == "tool"):
            return "think" if may_think(said) else ""
        return "act" if said[-1].calls else ""

    def replay(self, at: Node, version: str | None, fate: Fate | None = None) -> None:
        """Run on from ``at`` as a new branch."""
        if self.fork(at, fate, version):
            self.go_on(fate and fate.rest)

    def replay_recorded(self, at: Node, leaf: Node, version: str | None, fate: Fate | None = None) -> "Record | None":
        """Grow a branch beside ``at`` by the record of that to ``leaf``; None if the model cannot be reached."""
        record = Record(self, path_to(leaf), at)
        before = len(self.nodes)
        end = self.run(self.grow(beside(at, version), head=False), record, head=False)
        if end.next:
            end.ready = {}
        if end.failed:
            del self.nodes[before:]
            return None
        if fate and before + fate.saved < len(self.nodes):
            del self.nodes[before + fate.saved :]
            if fate.saved:
                last = self.nodes[-1]
                last.ready = {place: last.ready[place] for place in fate.finished}
                if not last.ready:
                    last.questions = last.answers = None
        return record

    def copy(self) -> "Thread":
        """The same thread again, without its labels."""
        twin = Thread(self.world, self.books)
        made: dict[int, Node] = {}
        for node in self.nodes:
            above = made[id(node.above)] if node.above else None
            made[id(node)] = twin.grow(
                Node(
                    above,
                    *(node.said, node.next, node.version, node.given, node.todo),
                    *({**node.ready}, node.questions, node.answers, node.failed),
                )
            )
        twin.head = made[id(self.head)]
        return twin

    def prune(self, keep: AbstractSet[int]) -> None:
        """Keep the nodes of these ids (of Python), each below its nearest kept ancestor."""
        kept = [node for node in self.nodes if id(node) in keep]
        for node in kept:
            while node.above is not None and id(node.above) not in keep:
                node.above = node.above.above
        self.nodes = kept


class Outside:
    """The world as a live run meets it: tools act, and people answer what the head was answered."""

    def __init__(self, thread: Thread) -> None:
        self.thread = thread

    def book(self, node: Node, place: int) -> None:
        """The visible effect of a tool."""
        if line := effect(node.todo[place].call):
            self.thread.books.setdefault((node.number, place), line)

    def act(self, node: Node, place: int) -> Said:
        """The answer to a call, from the tool unless there is one already."""
        todo = node.todo[place]
        text = todo.text
        if text is None:
            self.book(node, place)
            text = result(todo.call, self.thread.world)
        return Said(answer_key(node, place), "tool", text, ran=todo.text is None)

    def answers(self, node: Node, questions: tuple[Call, ...]) -> Sequence[Mapping[str, Any]] | None:
        """What people answered; without an answer the question stands."""
        if node.answers is None:
            node.questions = questions
        return node.answers


class Record(Outside):
    """What tools and people did on a branch after a checkpoint, to be done once more, in the order of then."""

    def __init__(self, thread: Thread, path: Sequence[Node], at: Node) -> None:
        super().__init__(thread)
        self.tools: dict[str, list[str]] = {}
        self.people: dict[str, list[Mapping[str, Any]]] = {}
        self.asked = False
        """Whether it stopped at a question that was never answered."""
        self.missed = False
        """Whether it stopped at a call that was never made."""
        begun = {one.key for one in at.said if one.role == "tool"}
        calls = {f"{one.key}:{place}": call for one in path[-1].said for place, call in enumerate(one.calls)}
        for one in path[-1].said:
            if one.ran and one.key not in begun:
                self.tools.setdefault(calls[one.key], []).append(one.text)
        for node in path[path.index(at) :]:
            if node.ready and node.questions and node.answers:
                for call, answer in zip(node.questions, node.answers, strict=True):
                    self.people.setdefault(told(call), []).append(answer)

    def book(self, node: Node, place: int) -> None:
        """Nothing happens again."""

    def act(self, node: Node, place: int) -> Said | None:  # type: ignore[override]
        """The recorded answer; None if there is none."""
        todo = node.todo[place]
        text = todo.text
        if text is None:
            known = self.tools.get(told(todo.call))
            if not known:
                self.missed = True
                return None
            text = known.pop(0)
        return Said(answer_key(node, place), "tool", text, ran=todo.text is None)

    def answers(self, node: Node, questions: tuple[Call, ...]) -> Sequence[Mapping[str, Any]] | None:
        """The recorded answers; None, and no question left behind, unless there are answers to all."""
        given = []
        for call in questions:
            known = self.people.get(told(call))
            if not known:
                self.asked = True
                return None
            given.append(known.pop(0))
        node.questions, node.answers = questions, tuple(given)
        return given


def beside(at: Node, version: str | None = None) -> Node:
    """A copy of ``at`` next to it, of whose next step nothing is done yet."""
    return Node(at.above, at.said, at.next, version or at.version, at.given, at.todo)


def stands(node: Node) -> str:
    """The status of a thread whose head this is."""
    if node.waits:
        return "paused"
    return "failed" if node.failed else "running" if node.next else "done"


def path_to(node: Node | None) -> list[Node]:
    """From the root to ``node``."""
    path: list[Node] = []
    while node is not None:
        path.append(node)
        node = node.above
    return path[::-1]


def turns_after(leaf: Node, at: Node) -> list[tuple[str, tuple[str, ...]]]:
    """What the model said on the branch of ``leaf`` after ``at``."""
    begun = {one.key for one in at.said}
    return [(one.text, one.calls) for one in leaf.said if one.role == "ai" and one.key not in begun]


def diverge(was: Sequence[Any], now: Sequence[Any], *, finished: bool) -> int | None:
    """The first turn, from 1, in which two runs differ; one that is not finished yet may still come to it."""
    for place in range(max(len(was), len(now))):
        if place >= len(now):
            return place + 1 if finished else None
        if place >= len(was) or was[place] != now[place]:
            return place + 1
    return None


def answer_key(node: Node, place: int) -> str:
    return f"{node.said[-1].key}:{place}"


def may_think(said: Sequence[Said]) -> bool:
    begin = max(place for place, one in enumerate(said) if one.role == "human")
    return sum(one.role == "ai" for one in said[begin:]) < MAX_CALLS
