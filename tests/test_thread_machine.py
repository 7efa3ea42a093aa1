"""Random lives of threads (run, pause, answer, fork, replay, crash, copy, prune) against the model in thread_model.py.

A crash is an exception out of the saver or a tool, after which that process writes nothing more and a new one opens
the database; real processes are killed in ``test_crash.py``. It gives its lease back, as a killed one could not.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, InjectedToolCallId, tool
from thread_model import Fate, Node, Said, Thread, diverge, path_to, turns_after
from thread_shop import MAX_CALLS, Call, ModelDown, World, effect, is_asked, reply, result, told
from threadmill.checkpoints import Label, add_label, list_threads, open_store, read_messages, read_questions
from threadmill.checkpoints.prune import keep_only
from threadmill.checkpoints.reading import checkpoint_tree, latest_checkpoint, leaf_checkpoints
from threadmill.errors import BadAnswer, CannotTravel, NotPaused, StillPaused
from threadmill.graphs import (
    answer_thread,
    build_react,
    continue_thread,
    fork_thread,
    read_outcome,
    replay_recorded,
    replay_thread,
    run_thread,
)
from threadmill.nodes import ScriptedModel, Slot

NULL_TASK = "00000000-0000-0000-0000-000000000000"
STOPPED = {"__interrupt__": "asked", "__error__": "failed"}
_examples = count(1)

PICK = st.integers(0, 999)
"""Which of whatever there is: a strategy that depended on that could not be shrunk."""
CALLS = st.sampled_from(
    [
        *(("look", {"item": item}) for item in ("lamp", "desk")),
        *(("pay", {"amount": amount}) for amount in (3, 7, 8, "much")),
        ("fail", {"item": "now"}),
        ("steal", {"item": "gold"}),
    ]
)
WORDS = st.sampled_from(
    ["look lamp", "look desk", "pay 3", "pay 4", "pay 7", "pay 8", "pay seen", "pay much", "fail now", "steal gold"]
)
TURNS = st.lists(WORDS, min_size=1, max_size=3).map(" + ".join)
TEXTS = st.lists(TURNS, min_size=1, max_size=MAX_CALLS + 1).map("; ".join) | st.just("hello")
ANSWERS = st.sampled_from(
    [
        {"type": "approve"},
        {"type": "edit", "args": {"amount": 2}},
        {"type": "edit", "args": {"amount": 9}},
        {"type": "reject", "text": "no"},
        {"type": "respond", "text": "paid 1 by hand"},
    ]
)
BAD_ANSWERS = st.none() | st.sampled_from(
    [
        {},
        {"id": "c99"},
        {"type": "perhaps"},
        {"type": "edit", "args": None},
        {"type": "edit", "args": {"amount": "much"}},
        {"type": "edit", "args": {"amount": 1, "to": "me"}},
        {"type": "respond", "text": ""},
    ]
)
"""What is wrong with the first answer; nothing: it is missing."""
WHEN = st.sampled_from(["before", "after"])
DEATHS = st.one_of(
    st.none(),
    st.tuples(st.sampled_from(["put", "put_writes"]), st.sampled_from([1, 1, 2, 2, 3, 4, 5, 6]), WHEN),
    st.tuples(st.sampled_from(["tool", "result"]), st.integers(1, 3), WHEN),
)
"""The moment at which the process dies, if it does: before or after the n-th checkpoint, writes, act or result."""
VERSIONS = st.sampled_from([None, "v1", "v2"])


class Died(BaseException):
    """The process is no more."""


class Life:
    """One process: when it dies (``DEATHS``), and what the database had acknowledged by then."""

    def __init__(self, how: tuple[str, int, str] | None) -> None:
        self.how = how
        self.counts = Counter[str]()
        self.saved = 0
        self.finished: set[int] = set()
        self.booked: set[int] = set()
        self.stopped: set[str] = set()
        self.dead = False

    @property
    def fate(self) -> Fate | None:
        return Fate(self.saved, self.finished, self.booked, self.stopped) if self.dead else None

    def around(self, act: Callable[[], Any], then: Callable[[], None], *what: str) -> Any:
        """Do ``act``, which is ``what``, and ``then`` remember it, unless death comes before; it may come after."""
        self.counts.update(what)
        moments = [(one, self.counts[one]) for one in what]
        if self.dead or any(self.how == (*moment, "before") for moment in moments):
            self.die()
        done = act()
        then()
        if any(self.how == (*moment, "after") for moment in moments):
            self.die()
        return done

    def die(self) -> None:
        self.dead = True
        raise Died

    def remember_put(self) -> None:
        self.saved += 1
        self.finished, self.booked, self.stopped = set(), set(), set()

    def remember_writes(self, writes: Sequence[tuple[str, Any]], task: str) -> bool:
        """Whether ``task`` is finished by them: not if it only asks or failed."""
        channels = {channel for channel, _ in writes}
        if task == NULL_TASK or channels <= {"__interrupt__", "__resume__", "__error__"}:
            self.stopped |= {STOPPED[channel] for channel in channels & STOPPED.keys()}
            return False
        named = [one.id for channel, given in writes if channel == "messages" for one in listed(given)]
        places = [int(name.rsplit(":", 1)[1]) for name in named if name and ":" in name]
        self.finished.add(places[0] if places else 0)
        return True


class Threads(RuleBasedStateMachine):
    """``real`` threads in a database beside the ``model`` ones, step by step."""

    url: str

    @initialize(text=TEXTS)
    def begin(self, text: str) -> None:
        self.example = next(_examples)
        self.world = World()
        self.threads: dict[str, Thread] = {}
        self.books: dict[tuple[int, int], str] = {}
        self.ledger: dict[str, str] = {}
        self.finished_calls: set[tuple[str, str]] = set()
        self.checkpoint_of: dict[int, str] = {}
        self.nodes_kept: list[Node] = []
        self.id_of: dict[str, str] = {}
        self.key_of: dict[str, str] = {}
        self.life = Life(None)
        self.tools = self.make_tools()
        self.touched: set[str] = set()
        self.open()
        self.turn(0, text, None)

    # what a process is made of

    def open(self) -> None:
        self.store = open_store(self.url)
        saver = self.store.saver
        put, put_writes = saver.put, saver.put_writes

        @wraps(put)
        def watched_put(*given: Any) -> Any:
            return self.life.around(lambda: put(*given), self.life.remember_put, "put")

        @wraps(put_writes)  # LangGraph looks whether it takes the task's path
        def watched_put_writes(config: Any, writes: Any, task_id: str, task_path: str = "") -> None:
            def remember() -> None:
                if self.life.remember_writes(writes, task_id):
                    self.finished_calls.add((config["configurable"]["thread_id"], task_id))

            result = any(isinstance(one, ToolMessage) for _, given in writes for one in listed(given))
            save = lambda: put_writes(config, writes, task_id, task_path)  # noqa: E731
            self.life.around(save, remember, "put_writes", *(["result"] if result else []))

        saver.put, saver.put_writes = watched_put, watched_put_writes  # type: ignore[method-assign]
        slot = Slot("shop.think", lambda: self.world.live, lambda version: ScriptedModel(self.say(version)))
        ask = lambda name, args: "it is money" if is_asked((name, args)) else None  # noqa: E731
        graph = build_react(slot, self.tools, ask=ask, name="shop", max_calls=MAX_CALLS, timeout_s=None)
        self.graph: Any = graph.compile(checkpointer=saver).with_config(max_concurrency=1)

    def say(self, version: str) -> Callable[[list[BaseMessage]], AIMessage]:
        def say(messages: list[BaseMessage]) -> AIMessage:
            if self.world.down:
                raise ModelDown
            text, calls = reply([(message.type, message.text) for message in messages], version)
            return AIMessage(text, tool_calls=named(calls))

        return say

    def make_tools(self) -> list[BaseTool]:
        def act(call: Call, config: RunnableConfig, id_: str) -> str:
            place = config.get("configurable", {})
            key = place["idempotency_key"]
            assert (place["thread_id"], key) not in self.finished_calls, f"{call} was finished and runs again"

            def book() -> None:
                if line := effect(call):
                    self.ledger.setdefault(key, line)

            number = int(id_.rsplit(":")[-1].removeprefix("c"))
            self.life.around(book, lambda: self.life.booked.add(number), "tool")
            return result(call, self.world)

        @tool
        def pay(amount: int, config: RunnableConfig, id_: Annotated[str, InjectedToolCallId]) -> str:
            """Pay."""
            return act(("pay", {"amount": amount}), config, id_)

        @tool
        def look(item: str, config: RunnableConfig, id_: Annotated[str, InjectedToolCallId]) -> str:
            """Look something up."""
            return act(("look", {"item": item}), config, id_)

        @tool
        def fail(item: str) -> str:
            """Fail."""
            raise ValueError(f"no {item}")

        return [pay, look, fail]

    def drive(
        self, name: str, how: Any, real: Callable[[], Any], model: Callable[[Fate | None], Any]
    ) -> tuple[Any, Any]:
        """Let both do something, and the real one perhaps die of it; what came of both."""
        self.life = Life(how)
        came: Any = None
        down = False
        try:
            came = real()
        except Died:
            pass
        except ModelDown:
            down = True
        fate = self.life.fate
        if fate:
            self.store.close()
        self.life = Life(None)
        was = self.threads[name].head
        expected = model(fate)
        if fate:
            came = None
            self.open()
        elif down:
            head = self.threads[name].head
            assert self.world.down
            assert head is None or head is was or head.failed or head.next
        if self.threads[name].head is None:
            del self.threads[name]
        else:
            self.learn(name)
            self.touched.add(name)
        return came, expected

    def learn(self, name: str) -> None:
        """Which real checkpoints are the new nodes of the model."""
        thread = self.threads[name]
        known = {self.checkpoint_of[id(node)] for node in thread.nodes if id(node) in self.checkpoint_of}
        new = [node.checkpoint for node in checkpoint_tree(self.store, name) if node.checkpoint not in known]
        grown = [node for node in thread.nodes if id(node) not in self.checkpoint_of]
        assert len(new) == len(grown), f"{len(new)} new checkpoints, not {[node.next for node in grown]}"
        self.know(zip(grown, new, strict=True))

    def know(self, pairs: Any) -> None:
        for node, checkpoint in pairs:
            self.checkpoint_of[id(node)] = checkpoint
            self.nodes_kept.append(node)  # or its id in Python would be given to another

    def at(self, node: Node) -> str:
        return self.checkpoint_of[id(node)]

    @property
    def waiting(self) -> list[str]:
        return sorted(name for name, thread in self.threads.items() if thread.head and thread.head.waits)

    def pick(self, number: int) -> tuple[str, Thread]:
        name = sorted(self.threads)[number % len(self.threads)]
        self.touched.add(name)
        return name, self.threads[name]

    def newest_leaf(self, thread: Thread, at: Node) -> Node:
        return max((leaf for leaf in thread.leaves if at in path_to(leaf)), key=self.at)

    # what happens

    @rule(number=st.integers(0, 2), text=TEXTS, how=DEATHS)
    def turn(self, number: int, text: str, how: Any) -> None:
        name = f"e{self.example}-t{number}"
        thread = self.threads.setdefault(name, Thread(self.world, self.books))
        refusal = thread.may_begin_turn()
        if refusal:
            with pytest.raises(StillPaused, match=refusal):
                run_thread(self.graph, name, text)
            return
        outcome, _ = self.drive(
            name, how, lambda: run_thread(self.graph, name, text), lambda fate: thread.begin_turn(text, fate)
        )
        self.check_outcome(thread, outcome)

    @precondition(lambda self: self.waiting)
    @rule(number=PICK, given=st.lists(ANSWERS, min_size=3, max_size=3), bad=BAD_ANSWERS, how=DEATHS)
    def answer(self, number: int, given: list[dict[str, Any]], bad: Mapping[str, Any] | None, how: Any) -> None:
        name = self.waiting[number % len(self.waiting)]
        thread = self.threads[name]
        asked = read_questions(self.store, name)
        given = given[: len(asked)]
        answers = [{**one, "id": question["id"]} for one, question in zip(given, asked, strict=True)]
        if bad is not None:
            with pytest.raises(BadAnswer):
                answer_thread(self.graph, name, [{**answers[0], **bad}, *answers[1:]] if bad else answers[1:])
            return
        outcome, _ = self.drive(
            name, how, lambda: answer_thread(self.graph, name, answers), lambda fate: thread.answer(given, fate)
        )
        self.check_outcome(thread, outcome)

    @precondition(lambda self: self.threads)
    @rule(number=PICK, how=DEATHS)
    def go_on(self, number: int, how: Any) -> None:
        stopped = sorted(name for name, thread in self.threads.items() if thread.status in ("running", "failed"))
        name = (stopped or sorted(self.threads))[number % len(stopped or self.threads)]
        thread = self.threads[name]
        if name not in self.waiting:
            with pytest.raises(NotPaused, match="stopped half-way" if stopped else "asks nothing"):
                answer_thread(self.graph, name, [])
        outcome, _ = self.drive(name, how, lambda: continue_thread(self.graph, name), thread.go_on)
        self.check_outcome(thread, outcome)

    @precondition(lambda self: self.threads)
    @rule(number=PICK, place=PICK, how=DEATHS)
    def fork(self, number: int, place: int, how: Any) -> None:
        name, thread = self.pick(number)
        at = thread.nodes[place % len(thread.nodes)]
        fork, node = self.drive(
            name, how, lambda: fork_thread(self.graph, name, self.at(at)), lambda fate: thread.fork(at, fate)
        )
        self.check_fork(fork, at, node)

    @precondition(lambda self: self.threads)
    @rule(number=PICK, place=PICK, which=PICK, text=TEXTS, calls=st.lists(CALLS, max_size=2), how=DEATHS)
    def fork_changed(self, number: int, place: int, which: int, text: str, calls: list[Call], how: Any) -> None:
        name, thread = self.pick(number)
        at = thread.nodes[place % len(thread.nodes)]
        answered = {one.key.partition(":")[0] for one in at.said if one.role == "tool"}
        said = [one for one in at.said if one.role != "tool" and one.key not in answered]
        if not said:
            return
        old = said[-1 - which % len(said)]
        calls = calls if old is at.said[-1] else []
        message: Any = AIMessage(text, tool_calls=named(calls)) if old.role == "ai" else HumanMessage(text)
        message.id = self.id_of[old.key]
        if at.next in ("start", "tool"):
            with pytest.raises(CannotTravel):
                fork_thread(self.graph, name, self.at(at), message=message)
            return
        new = Said(old.key, old.role, text, tuple(map(told, calls)) if old.role == "ai" else ())
        fork, node = self.drive(
            name,
            how,
            lambda: fork_thread(self.graph, name, self.at(at), message=message),
            lambda fate: thread.change(at, new, fate),
        )
        self.check_fork(fork, at, node)

    @precondition(lambda self: self.threads)
    @rule(number=PICK, place=PICK, version=VERSIONS, how=DEATHS)
    def replay_live(self, number: int, place: int, version: str | None, how: Any) -> None:
        name, thread = self.pick(number)
        at = thread.nodes[place % len(thread.nodes)]
        versions = {"shop.think": version} if version else None
        if self.cannot_replay(at, version):
            with pytest.raises(CannotTravel):
                replay_thread(self.graph, name, self.at(at), versions=versions)
            return
        was = turns_after(self.newest_leaf(thread, at), at)
        replay, _ = self.drive(
            name,
            how,
            lambda: replay_thread(self.graph, name, self.at(at), versions=versions),
            lambda fate: thread.replay(at, version, fate),
        )
        if replay is None:
            return
        head = thread.head
        assert head is not None
        self.check_outcome(thread, replay.outcome)
        assert (replay.checkpoint, replay.at) == (self.at(head), self.at(at))
        turn = diverge(was, turns_after(head, at), finished=not head.next)
        assert (replay.divergence and replay.divergence.turn) == turn

    @precondition(lambda self: self.threads)
    @rule(number=PICK, place=PICK, version=VERSIONS, how=DEATHS)
    def replay_from_the_record(self, number: int, place: int, version: str | None, how: Any) -> None:
        name, thread = self.pick(number)
        at = thread.nodes[place % len(thread.nodes)]
        versions = {"shop.think": version} if version else None
        if self.cannot_replay(at, version):
            with pytest.raises(CannotTravel):
                replay_recorded(self.graph, name, self.at(at), versions=versions)
            return
        leaf = self.newest_leaf(thread, at)
        was = turns_after(leaf, at)
        replay, record = self.drive(
            name,
            how,
            lambda: replay_recorded(self.graph, name, self.at(at), versions=versions),
            lambda fate: thread.replay_recorded(at, leaf, version, fate),
        )
        assert how is not None or (replay is None) == (record is None)
        if replay is None:
            return
        end = thread.nodes[-1]
        assert replay.checkpoint == self.at(end)
        assert replay.outcome.status == ("paused" if record.asked else "failed" if record.missed else "done")
        turn = diverge(was, turns_after(end, at), finished=not end.next)
        assert (replay.divergence and replay.divergence.turn) == turn

    def cannot_replay(self, at: Node, version: str | None) -> bool:
        begins = at.next == "start" or (at.next == "observe" and at.said[-1].role == "human")
        return not at.next or (version is not None and begins)

    @precondition(lambda self: self.threads and len(self.threads) < 5)
    @rule(number=PICK)
    def copy(self, number: int) -> None:
        name, thread = self.pick(number)
        target = f"e{self.example}-c{len(self.checkpoint_of)}"
        self.store.saver.copy_thread(name, target)
        self.threads[target] = twin = thread.copy()
        self.know((new, self.at(old)) for old, new in zip(thread.nodes, twin.nodes, strict=True))

    @precondition(lambda self: self.threads)
    @rule(number=PICK, drop=st.lists(PICK, min_size=1, max_size=6))
    def prune(self, number: int, drop: list[int]) -> None:
        name, thread = self.pick(number)
        dropped = {id(thread.nodes[place % len(thread.nodes)]) for place in drop} - {id(thread.head)}
        keep = {id(node) for node in thread.nodes} - dropped
        gone = keep_only(self.store.saver, name, {"": {self.checkpoint_of[one] for one in keep}})
        assert gone == len(dropped)
        thread.prune(keep)

    @precondition(lambda self: self.threads)
    @rule(number=PICK, place=PICK, value=st.integers(0, 9), whole=st.booleans())
    def look_and_label(self, number: int, place: int, value: int, whole: bool) -> None:
        name, thread = self.pick(number)
        node = thread.nodes[place % len(thread.nodes)]
        state = self.graph.get_state({"configurable": {"thread_id": name, "checkpoint_id": self.at(node)}})
        read = read_messages(self.store, name, self.at(node))
        assert state.values.get("messages", []) == read
        assert [task.name for task in state.tasks] == [node.next.replace("start", "__start__")] * len(node.places)
        self.check_messages(node, read)
        label = Label(name, None if whole else self.at(node), None, "reward", value, "test")
        add_label(self.store, label)
        thread.labels.append(label)

    @precondition(lambda self: self.threads)
    @rule(price=st.sampled_from([2, 300]), live=VERSIONS, down=st.sampled_from([False, False, True]), new=st.booleans())
    def change_the_world(self, price: int, live: str | None, down: bool, new: bool) -> None:
        self.world.price, self.world.live, self.world.down = price, live or self.world.live, down
        if new:
            self.store.close()
            self.open()

    # what must hold

    def check_outcome(self, thread: Thread, outcome: Any) -> None:
        """What a run that did not die returned."""
        head = thread.head
        if outcome is None or head is None:
            return
        assert outcome.status == ("paused" if head.waits else "done")
        assert len(outcome.questions) == len(head.questions or () if head.waits else ())
        last = head.said[-1]
        assert outcome.answer == (last.text if last.role == "ai" and not last.calls else None)
        assert outcome.versions == {"shop.think": head.version}

    def check_fork(self, fork: Any, at: Node, node: Node | None) -> None:
        if fork is None:
            return
        assert node is not None
        assert (fork.at, fork.checkpoint) == (self.at(at), self.at(node))
        step = {"start": "__start__"}.get(node.next, node.next)
        assert fork.next == (step,) * len(node.places)

    @invariant()
    def all_is_as_in_the_model(self) -> None:
        if not hasattr(self, "threads"):
            return
        assert sorted(self.ledger.values()) == sorted(self.books.values())
        listed = [one for one in list_threads(self.store) if one.thread.startswith(f"e{self.example}-")]
        assert [one.thread for one in listed] == sorted(self.threads)
        for one in listed:
            thread = self.threads[one.thread]
            if one.thread in self.touched:
                self.check_tree(one.thread, thread)
            assert one.status == thread.status
            assert [*one.labels] == thread.labels
            spoken = {said.key for leaf in thread.leaves for said in leaf.said if said.role == "ai"}
            assert one.turns == len(spoken)
        self.touched.clear()

    def check_tree(self, name: str, thread: Thread) -> None:
        head = thread.head
        assert head is not None
        tree = {node.checkpoint: node.parent for node in checkpoint_tree(self.store, name)}
        assert tree == {self.at(node): self.at(node.above) if node.above else None for node in thread.nodes}
        assert latest_checkpoint(self.store, name) == self.at(head)
        assert leaf_checkpoints(self.store, name) == sorted(map(self.at, thread.leaves))
        for node in {id(node): node for node in (head, *thread.leaves)}.values():
            self.check_messages(node, read_messages(self.store, name, self.at(node)))
            asked = read_questions(self.store, name, self.at(node))
            assert [(one["tool"], one["args"]) for one in asked] == [*(node.questions or () if node.waits else ())]
        outcome = read_outcome(self.graph, name)
        assert outcome.status == ("paused" if head.waits else "failed" if head.next else "done")

    def check_messages(self, node: Node, messages: Sequence[Any]) -> None:
        real = [(message.type, message.text, calls_of(message)) for message in messages]
        assert real == [(one.role, one.text, one.calls) for one in node.said]
        for said, message in zip(node.said, messages, strict=True):
            assert self.id_of.setdefault(said.key, message.id) == message.id
            assert self.key_of.setdefault(message.id, said.key) == said.key

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        if not self.touched:  # or the last step failed
            self.touched = set(self.threads)
            self.all_is_as_in_the_model()
        for name in self.threads:
            self.store.saver.delete_thread(name)
        self.store.close()


def named(calls: Sequence[Call]) -> list[Any]:
    """Calls as models make them: some give ids that they use again, some give none."""
    return [
        {"name": name, "args": args, "id": f"c{place}" if name == "pay" else None, "type": "tool_call"}
        for place, (name, args) in enumerate(calls)
    ]


def listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else [given]


def calls_of(message: BaseMessage) -> tuple[str, ...]:
    return tuple(told((call["name"], call["args"])) for call in getattr(message, "tool_calls", ()))


def run_machine(url: str, **how: Any) -> None:
    machine: Any = type("ThreadsThere", (Threads,), {"url": url})
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine, settings=settings(deadline=None, database=None, suppress_health_check=checks, **how)
    )


def test_threads_in_sqlite_live_as_the_model_says(tmp_path: Path) -> None:
    run_machine(f"sqlite:///{tmp_path / 'runs.db'}", derandomize=True, max_examples=40, stateful_step_count=30)


def test_threads_in_postgresql_live_as_the_model_says(postgres_url: str) -> None:
    run_machine(postgres_url, derandomize=True, max_examples=12, stateful_step_count=25)
