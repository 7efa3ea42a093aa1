"""Step values by forking: they converge to the exact ones, cost what they are told to, refuse what they cannot know."""

from dataclasses import dataclass, field
from math import sqrt
from random import Random
from typing import Any

import pytest
from enumerable_world import (
    CounterSuite,
    CounterTask,
    RandomPolicy,
    episodes,
    exact_value,
    fixed_slot,
    play,
    seed_of,
)
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.reading import checkpoint_tree, latest_metadata, read_messages
from threadmill.checkpoints.store import open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.errors import BadCredit, CannotTravel
from threadmill.nodes.models.scripted import ScriptedModel
from threadmill.nodes.models.slot import Slot
from threadmill.training.credit.forking import Forking, value_steps
from threadmill.training.credit.step_values import StepValue
from threadmill.training.credit.think_calls import read_episode
from threadmill.training.credit.which_steps import Path as StatePath
from threadmill.training.credit.which_steps import disagreements, within_budget
from threadmill.training.rollout import run_tasks
from threadmill.training.worlds.helpdesk.suite import HelpdeskSuite
from threadmill.training.worlds.helpdesk.tasks import make_task

SUITE = CounterSuite()
TASK = CounterTask()


@pytest.fixture
def runs(tmp_path):
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def said(store, thread):
    return [message.text for message in read_messages(store, thread) if isinstance(message, AIMessage)]


def played(store, *wanted, suite=SUITE, task=TASK):
    """A thread in which the policy says ``wanted``."""
    thread = "-".join(wanted)
    play(store, suite, thread, store.place.with_name(thread), seed=seed_of([*wanted]), task=task)
    assert said(store, thread) == [*wanted]
    return thread


def forked(store, threads, settings, **options):
    tasks = {thread: TASK for thread in threads}
    return value_steps(store, SUITE, options.pop("slot", None) or fixed_slot(), tasks, settings, **options)


def continuations(store):
    return sorted(one.thread for one in list_threads(store) if ".k" in one.thread)


def test_the_estimates_are_within_their_intervals_around_the_exact_values(runs):
    thread = played(runs, "up", "up", "stop")
    values = forked(runs, [thread], Forking(k=24))[thread]
    exact = [exact_value(0, 0), exact_value(1, 1), exact_value(2, 2)]
    assert [round(value, 3) for value in exact] == [0.354, 0.56, 0.7]
    assert values.reward == 1.0
    for step, value in zip(values.steps, exact, strict=True):
        assert len(step.returns) == 24
        assert step.interval(0.99).low < value < step.interval(0.99).high
    changed = [exact[1] - exact[0], exact[2] - exact[1], 1.0 - exact[2]]
    for advantage, value in zip(values.advantages, changed, strict=True):
        assert abs(advantage.value - value) < 2.7 * advantage.error
    assert sum(one.value for one in values.advantages) == pytest.approx(1.0 - values.steps[0].value)


def test_the_interval_covers_the_exact_value_as_often_as_it_says():
    ways = episodes()
    exact = exact_value(0)
    chance = Random(0)
    missed_by = {}
    for k in (32, 128):
        steps = [
            StepValue("m", "c", tuple(chance.choices([end for *_, end in ways], [p for p, *_ in ways], k=k)))
            for _ in range(1000)
        ]
        covered = sum(found.low <= exact <= found.high for step in steps if (found := step.interval(0.95)))
        assert 932 <= covered <= 968  # 950, give or take 2.6 standard errors of a count out of 1,000
        missed_by[k] = sqrt(sum((step.value - exact) ** 2 for step in steps) / 1000)
    assert missed_by[32] / missed_by[128] == pytest.approx(2.0, abs=0.2)  # as the root of 4


def test_continuations_are_ordinary_labelled_threads_and_the_original_stays_as_it_was(url):
    with open_store(url) as store:
        thread = played(store, "up", "stop")
        before = (checkpoint_tree(store, thread), labels_of(store, [thread]), said(store, thread))
        values = forked(store, [thread], Forking(k=2))[thread]
        assert (checkpoint_tree(store, thread), labels_of(store, [thread]), said(store, thread)) == before
        names = continuations(store)
        mark = names[0].split(".")[2]
        assert names == [f"up-stop.s{turn}.{mark}.k{number}" for turn in (0, 1) for number in (0, 1)]
        for name, reached in zip(names, [*values.steps[0].returns, *values.steps[1].returns], strict=True):
            (reward, success) = labels_of(store, [name])[name]
            assert (reward.kind, reward.value, reward.source) == ("reward", reached, "counter.check")
            assert (success.kind, bool(success.value)) == ("success", reached == 1.0)
            noted = latest_metadata(store, name)
            turn = int(name.split(".s")[1][0])
            assert (noted["task"], noted["forked_from"], noted["forked_turn"]) == ("count-1", thread, turn)
        assert said(store, names[2])[0] == "up"  # what had been said is in the continuation
        assert not store.place.with_suffix(".forks").exists()


def test_what_is_finished_is_not_run_again_and_more_continuations_add_to_it(runs):
    spoken = []

    class Counted(RandomPolicy):
        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            if len(spoken) == 3:
                raise KeyboardInterrupt
            spoken.append(kwargs["seed"])
            return super()._generate(messages, stop, run_manager, **kwargs)

    thread = played(runs, "up", "stop")
    with pytest.raises(KeyboardInterrupt):
        forked(runs, [thread], Forking(k=3, workers=1), slot=fixed_slot(Counted()))
    finished = [name for name in continuations(runs) if name in labels_of(runs)]
    assert len(finished) in (1, 2)
    kept = {name: checkpoint_tree(runs, name) for name in finished}
    values = forked(runs, [thread], Forking(k=3))[thread]
    assert {name: checkpoint_tree(runs, name) for name in finished} == kept
    assert forked(runs, [thread], Forking(k=3), slot=fixed_slot(ScriptedModel([])))[thread] == values
    more = forked(runs, [thread], Forking(k=4))[thread]
    assert [step.returns[:3] for step in more.steps] == [step.returns for step in values.steps]


def test_another_version_or_seed_has_continuations_of_its_own(runs):
    thread = played(runs, "stop")
    other = {"counter.think": Slot.fixed("counter.think", RandomPolicy(), "counter.think@0002")}
    forked(runs, [thread], Forking(k=1))
    forked(runs, [thread], Forking(k=1, seed=1))
    forked(runs, [thread], Forking(k=1), slot=other)
    names = continuations(runs)
    assert len(names) == 3
    spoke = {tuple(one.versions) for one in list_threads(runs) if one.thread in names}
    assert spoke == {("counter.think@0001",), ("counter.think@0002",)}


def test_states_in_which_the_same_was_said_are_valued_once(runs):
    one, other = played(runs, "up", "up", "stop"), played(runs, "up", "stop")
    values = forked(runs, [one, other], Forking(k=2))
    assert [step.returns for step in values[one].steps[:2]] == [step.returns for step in values[other].steps]
    assert len(continuations(runs)) == 6  # three states
    assert all(name.startswith("up-up-stop.") for name in continuations(runs))


@pytest.mark.parametrize(
    ("settings", "valued"),
    [
        ({"first": 1}, {"up-up-stop": [0], "up-stop": [0], "stop": [0]}),
        ({"budget": 5}, {"up-up-stop": [0, 1], "up-stop": [0, 1], "stop": [0]}),  # two states, early ones first
    ],
)
def test_cost_is_what_it_is_told_to_be(runs, settings, valued):
    threads = [played(runs, "up", "up", "stop"), played(runs, "up", "stop"), played(runs, "stop")]
    values = forked(runs, threads, Forking(k=2, **settings))
    assert {
        thread: [turn for turn, step in enumerate(of_thread.steps) if step.value is not None]
        for thread, of_thread in values.items()
    } == valued


def test_where_siblings_of_other_outcome_part():
    long = StatePath("long", "task", 1.0, ("s0", "up", "upup", "won"))
    short = StatePath("short", "task", 0.5, ("s0", "up", "stopped"))
    none = StatePath("none", "task", 0.0, ("s0", "gone"))
    stranger = StatePath("stranger", "other task", 0.0, ("s0", "up", "lost"))
    # long and short part at turn 1, both part from none at turn 0; long is valued behind both turns
    assert disagreements([long, short, none, stranger]) == {
        "long": {0, 1, 2},
        "short": {0, 1},
        "none": {0},
        "stranger": set(),
    }


def test_a_budget_takes_early_states_first_and_none_twice():
    long = StatePath("long", "task", 1.0, ("s0", "up", "upup", "won"))
    short = StatePath("short", "task", 0.5, ("s0", "left", "lost"))
    wanted = {"long": {0, 1, 2}, "short": {0, 1}}
    everything = [("s0", long, 0), ("up", long, 1), ("left", short, 1), ("upup", long, 2)]
    assert within_budget([long, short], wanted, None) == everything
    assert within_budget([long, short], wanted, 2) == everything[:2]
    assert within_budget([long, short], wanted, 0) == []


def test_siblings_of_the_same_outcome_cost_nothing_where_they_disagree(runs):
    threads = [played(runs, "stop"), played(runs, "down", "stop")]
    values = forked(runs, threads, Forking(k=2, steps="disagree"))
    assert [of_thread.values for of_thread in values.values()] == [[None], [None, None]]
    assert continuations(runs) == []


@dataclass(frozen=True)
class Tampered(CounterSuite):
    """A world in which somebody else moves the counter now and then."""

    tampered: list[str] = field(default_factory=list)

    def start(self, task: Any, place: Any) -> dict[str, Any]:
        made = super().start(task, place)
        if task.id in self.tampered:
            place.write_text("5")
        return made


def test_a_world_that_cannot_be_restored_is_refused_by_name_and_the_others_are_valued(runs):
    suite = Tampered()
    good, bad = CounterTask("count-1"), CounterTask("count-2")
    threads = {played(runs, "up", "stop", suite=suite, task=good): good}
    threads[played(runs, "up", "up", "stop", suite=suite, task=bad)] = bad
    suite.tampered.append("count-2")
    values = value_steps(runs, suite, fixed_slot(), threads, Forking(k=1))
    assert values["up-stop"].refused is None
    assert None not in values["up-stop"].values
    assert values["up-up-stop"].values == [None, None, None]
    reason = "thread 'up-up-stop' cannot be restored: move({'by': 'up'}) gave 'at 1' then and gives 'at 6' now"
    assert values["up-up-stop"].refused is not None
    assert values["up-up-stop"].refused.startswith(reason)
    del threads["up-stop"]
    with pytest.raises(CannotTravel, match="thread 'up-up-stop' cannot be restored"):
        value_steps(runs, suite, fixed_slot(), threads, Forking(k=1))


def test_a_call_whose_tool_is_gone_is_refused(runs):
    @tool
    def jump(by: str) -> str:
        """Another tool."""
        return by

    thread = played(runs, "up", "stop")
    with pytest.raises(CannotTravel, match="the agent has no tool 'move' now"):
        value_steps(runs, CounterSuite(tools=(jump,)), fixed_slot(), {thread: TASK}, Forking(k=1))


@dataclass(frozen=True)
class WithOwnNode(CounterSuite):
    def build(self, slots: Any) -> Any:
        graph = super().build(slots)
        graph.add_node("notify", lambda state: {})
        graph.add_edge("notify", "observe")
        return graph


def test_an_agent_with_nodes_that_may_act_is_refused_unless_they_are_said_to_do_nothing(runs):
    thread = played(runs, "up", "stop")
    with pytest.raises(CannotTravel, match="node 'notify' is not one of Threadmill's"):
        value_steps(runs, WithOwnNode(), fixed_slot(), {thread: TASK}, Forking(k=1))
    values = value_steps(runs, WithOwnNode(), fixed_slot(), {thread: TASK}, Forking(k=1), pure=["notify"])
    assert None not in values[thread].values


def test_a_thread_without_an_outcome_is_refused(runs):
    thread = played(runs, "up", "stop")
    with pytest.raises(BadCredit, match=r"thread 'up-stop' has no reward of 'other\.check'"):
        value_steps(runs, CounterSuite(name="other"), fixed_slot(), {thread: TASK}, Forking(k=1))
    given = value_steps(
        runs, CounterSuite(name="other"), fixed_slot(), {thread: TASK}, Forking(k=1), rewards={thread: 7.0}
    )
    assert given[thread].reward == 7.0


def test_returns_are_what_the_caller_makes_of_a_finished_continuation(runs):
    thread = played(runs, "up", "stop")

    def twice(finished):
        return 2.0 * finished.met / finished.conditions - 0.25

    plain = forked(runs, [thread], Forking(k=3))[thread]
    doubled = forked(runs, [thread], Forking(k=3), returns=twice)[thread]
    assert [step.returns for step in doubled.steps] == [
        tuple(2 * reached - 0.25 for reached in step.returns) for step in plain.steps
    ]


def test_a_continuation_that_breaks_ends_everything_or_is_missing(runs):
    thread = played(runs, "up", "stop")

    def breaks(messages):
        if isinstance(messages[-1], ToolMessage):
            raise RuntimeError("the server is gone")
        return AIMessage("stop")

    slot = fixed_slot(ScriptedModel(breaks))
    with pytest.raises(RuntimeError, match="the server is gone"):
        forked(runs, [thread], Forking(k=2), slot=slot)
    failed: list[str] = []
    told = {"on_failure": lambda name, error: failed.append(f"{name}: {error}")}
    values = forked(runs, [thread], Forking(k=2), slot=slot, **told)[thread]
    assert [step.returns for step in values.steps] == [(0.0, 0.0), ()]
    assert [one.rpartition(": ")[2] for one in failed] == ["the server is gone"] * 2


REFUND = make_task("train", "sequential", 2)


def test_what_a_person_edited_is_done_as_edited_and_the_suite_answers_in_continuations(runs):
    ((order, due),) = REFUND.refunds.items()
    wrong = 300 if due != 300 else 290

    def plays(messages):
        if isinstance(messages[-1], ToolMessage):
            return AIMessage(f"Order {order} is refunded.")
        args = {"order_id": order, "amount": wrong}
        return AIMessage("", tool_calls=[{"name": "refund", "args": args, "id": "call"}])

    slot = Slot.fixed("helpdesk.think", ScriptedModel(plays), "helpdesk.think@0001")
    (episode,) = run_tasks(runs, [REFUND], slot, trials=1, seed=0, reviewer="scripted")
    assert (episode.edited, episode.reward) == (True, 1.0)
    values = value_steps(runs, HelpdeskSuite("scripted"), {slot.name: slot}, {episode.thread: REFUND}, Forking(k=1))[
        episode.thread
    ]
    # with the edit the due amount was paid, so either continuation succeeds; without it the second would not
    assert [step.returns for step in values.steps] == [(1.0,), (1.0,)]
    agreeing = value_steps(runs, HelpdeskSuite(), {slot.name: slot}, {episode.thread: REFUND}, Forking(k=1, seed=1))[
        episode.thread
    ]
    assert agreeing.steps[0].value < 1.0  # nobody edits
    assert agreeing.steps[1].value == 1.0


UNNAMED = make_task("train", "complex", 3)


def test_the_user_replies_once_whether_before_the_fork_or_after_it(runs):
    assert UNNAMED.kind == "cancel_unnamed"
    slot = Slot.fixed("helpdesk.think", ScriptedModel(lambda _: AIMessage("Which order?")), "helpdesk.think@0001")
    (episode,) = run_tasks(runs, [UNNAMED], slot, trials=1, seed=0)
    value_steps(runs, HelpdeskSuite(), {slot.name: slot}, {episode.thread: UNNAMED}, Forking(k=1))
    for name in [episode.thread, *continuations(runs)]:
        assert [message.type for message in read_messages(runs, name)] == ["human", "ai", "human", "ai"]
    assert len(continuations(runs)) == 2


def test_questions_that_were_answered_before_the_fork_count(runs):
    ((order, _),) = REFUND.refunds.items()

    def insists(messages):
        args = {"order_id": order, "amount": 300}
        return AIMessage("", tool_calls=[{"name": "refund", "args": args, "id": f"call{len(messages)}"}])

    slot = Slot.fixed("helpdesk.think", ScriptedModel(insists), "helpdesk.think@0001")
    (episode,) = run_tasks(runs, [REFUND], slot, trials=1, seed=0)
    assert [call.rounds for call in read_episode(runs, episode.thread).calls] == [0, 1, 2, 3, 4, 5, 6]
    value_steps(
        runs, HelpdeskSuite(), {slot.name: slot}, {episode.thread: REFUND}, Forking(k=1, budget=1)
    )  # from the first state on
    (name,) = continuations(runs)
    assert len(said(runs, name)) == len(said(runs, episode.thread)) == 7  # the seventh question is left open


@pytest.mark.parametrize(("wrong", "message"), [({"k": 0}, "k is 0"), ({"workers": 0}, "workers is 0")])
def test_settings_that_mean_nothing_are_refused(wrong, message):
    with pytest.raises(BadCredit, match=message):
        Forking(**wrong)
