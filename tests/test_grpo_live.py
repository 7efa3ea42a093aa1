"""Live GRPO: a suite's agent plays while it learns; what crashes or runs out is counted, other slots stay."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch
from grpo_world import Chat, Chats, Firm, duo
from threadmill.checkpoints.inner import read_inner
from threadmill.checkpoints.labels import labels_of
from threadmill.checkpoints.reading import read_messages
from threadmill.checkpoints.store import Store, open_store
from threadmill.checkpoints.threads import list_threads
from threadmill.errors import BadConfig, BadDataset, TrainingFailed, UnknownSlot
from threadmill.nodes.models.folder import load_model
from threadmill.training.credit.advantages import Credit
from threadmill.training.curriculum import Curriculum
from threadmill.training.recipes.grpo import Forks, GrpoConfig, run_name, train_grpo
from threadmill.training.recipes.live_groups import LiveGroups
from threadmill.training.recipes.settings import Run
from threadmill.training.recipes.step_notes import StepNotes
from threadmill.training.rewards.compose import Rewards
from threadmill.training.rewards.series import read_series

RUN = Run(save_every=0)
SMALL: dict[str, Any] = {"steps": 2, "tasks": 2, "tasks_per_step": 2, "group_size": 4, "max_new_tokens": 6, "run": RUN}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 'runs.db'}") as opened:
        yield opened


def test_two_steps_on_fresh_episodes_move_the_weights(tmp_path: Path, tiny_folder: Path, store: Store) -> None:
    told: list[dict[str, float]] = []
    wishes = {**SMALL, "steps": 3, "minibatches": 2, "evaluate_every": 2, "evaluation_tasks": 1}
    config = GrpoConfig("talk", str(tiny_folder), tmp_path / "out", **wishes)
    report = train_grpo(config, store, suite=Chats(), progress=lambda *_, **figures: told.append(figures))
    generations = [note for note in report.noted if note["kind"] == "generation"]
    updates = [note for note in report.noted if note["kind"] == "update"]
    assert [note["step"] for note in generations] == [0, 2]
    assert [note["step"] for note in updates] == [0, 1, 2]
    assert [note["staleness"] for note in updates] == [0, 1, 0]
    assert [round(updates[step]["ratio"]["mean"], 4) for step in (0, 2)] == [1.0, 1.0]
    assert set(updates[0]["seconds"]) == {"rollout", "scoring", "update"}
    assert report.config["data"]["episodes"] == 16
    assert report.config["data"]["groups"] == 4
    assert {"reward", "ratio_max", "clipped"} <= told[0].keys()
    episodes = generations[0]["episodes"] | generations[1]["episodes"]
    held_out = {
        f"{run_name(config)}-{step:04d}-heldout-{task}-t0" for step in (0, 2, 3) for task in ("easy-0", "hard-0")
    }
    assert {thread.thread for thread in list_threads(store)} == episodes.keys() | held_out
    series = read_series(report.out)
    assert [seen.step for seen in series.steps] == [0, 2]
    assert list(series.held_out) == [0, 2, 3]  # the last with what was learnt
    assert series.steps[0].total == fmean(generations[0]["episodes"].values())
    assert series.held_out[0].keys() == {"easy-0", "hard-0"}
    thread, reward = next(iter(episodes.items()))
    labels = {(label.kind, label.source): label.value for label in labels_of(store, [thread])[thread]}
    assert labels["reward", "talk.check"] == reward
    assert json.loads(str(labels["feedback", "rewards"]))["components"] == {"partial": reward}
    assert json.loads((report.out / "training.json").read_text())["noted"] == report.noted
    before = load_model(str(tiny_folder), device="cpu")[0].state_dict()
    after = load_model(str(report.out), device="cpu")[0].state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


Make = Callable[..., tuple[LiveGroups, Any]]


@pytest.fixture
def live(tmp_path: Path, tiny_folder: Path, store: Store) -> Make:
    """A function that gives a source of generations and the model it plays."""

    def make(suite: Chats, **settings: Any) -> tuple[LiveGroups, Any]:
        config = GrpoConfig(suite.name, str(tiny_folder), tmp_path / "out", **{**SMALL, **settings})
        model, tokenizer = load_model(str(tiny_folder), device="cpu")
        notes = StepNotes(tmp_path / "steps.jsonl")
        source = LiveGroups(store, suite, config, Rewards({"partial": 1.0}), notes, tokenizer)
        source.run = "talks"  # the name, and with it the seeds, would come from where pytest put the files
        return source, model.eval()

    return make


def note_of(source: LiveGroups) -> dict[str, Any]:
    return source.notes.of("generation")[-1]


@contextmanager
def broken(kind: type[Exception], *tasks: str) -> Iterator[Chats]:
    """The suite, whose judge raises for the first trial of these tasks."""
    met: set[str] = set()

    def breaks(task: Any, messages: Any) -> None:
        if task.id in tasks and messages and task.id not in met:
            met.add(task.id)
            raise kind("no more")

    yield Chats(breaks=breaks)


def test_an_episode_that_an_exception_stops_is_counted_and_left_out(live: Make) -> None:
    with broken(RuntimeError, "easy-0", "easy-1", "hard-0", "hard-1") as suite:
        source, model = live(suite)
        found = source(model, 0)
    assert note_of(source)["statuses"]["failed"] == 2
    assert note_of(source)["counts"]["failed and left out"] == 2
    assert found.episodes == 6
    assert sum(reward is None for reward in note_of(source)["episodes"].values()) == 2


def test_if_every_episode_fails_the_run_says_so(live: Make) -> None:
    def breaks(task: Any, messages: Any) -> None:
        raise OSError("the world is gone")

    source, model = live(Chats(breaks=breaks))
    with pytest.raises(TrainingFailed, match=r"all 8 episodes of step 1 .* OSError: the world is gone; try one with"):
        source(model, 0)


@pytest.mark.parametrize(("truncated", "episodes"), [("reward", 8), ("leave_out", 0)])
def test_episodes_that_ran_out_of_tokens_are_as_judged_or_left_out(live: Make, truncated: Any, episodes: int) -> None:
    source, model = live(Chats(), truncated=truncated, max_new_tokens=1)
    assert source(model, 0).episodes == episodes
    assert note_of(source)["statuses"] == {"truncated": 8}
    assert note_of(source)["counts"].get("truncated and left out", 0) == 8 - episodes


def test_finished_episodes_are_read_back_and_not_played_again(live: Make, store: Store) -> None:
    source, model = live(Chats())
    first = source(model, 0)
    assert first.rows
    before = {thread.thread: len(read_messages(store, thread.thread)) for thread in list_threads(store)}
    again, other = live(Chats())
    torch.nn.init.zeros_(other.model.norm.weight)  # it would speak otherwise
    assert again(other, 0).rows == first.rows
    assert {thread.thread: len(read_messages(store, thread.thread)) for thread in list_threads(store)} == before
    assert again.notes.of("generation")[0]["episodes"] == source.notes.of("generation")[0]["episodes"]


def test_only_the_slot_in_training_is_trained(live: Make, tiny_folder: Path, store: Store) -> None:
    source, model = live(duo(), train_slots=("duo.plan",), frozen={"duo.work": str(tiny_folder)})
    found = source(model, 0)
    threads = list(note_of(source)["episodes"])
    plans, works = zip(*(read_messages(store, thread)[1:3] for thread in threads), strict=True)
    run = source.run
    assert {message.response_metadata["version"] for message in plans} == {f"{run}@0000"}
    assert {message.response_metadata["version"] for message in works} == {str(tiny_folder)}
    planned = {tuple(source_ids(message)) for message in plans}
    for one in found.rows:
        sampled = [token for token, bit in zip(one.row.completion_ids, one.row.env_mask, strict=True) if bit]
        assert tuple(sampled) in planned
        assert one.row.env_mask == [1] * len(sampled)


def test_only_the_agent_in_training_is_trained_inside_a_supervisor(live: Make, tiny_folder: Path, store: Store) -> None:
    source, model = live(Firm(), train_slots=("firm.one.think",), frozen={"firm.two.think": str(tiny_folder)})
    found = source(model, 0)
    said: dict[str, set[tuple[int, ...]]] = {"one": set(), "two": set()}
    for thread in note_of(source)["episodes"]:
        for inner in read_inner(store, thread):
            who = inner.namespace.partition(":")[0]
            answers = [message for message in inner.messages if message.type == "ai"]
            said[who] |= {source_ids(answer) for answer in answers}
            versions = {answer.response_metadata["version"] for answer in answers}
            assert versions == {{"one": "talks@0000", "two": str(tiny_folder)}[who]}
    trained = {turn for one in found.rows for turn in turns_of(one.row)}
    assert trained
    assert trained <= said["one"] - said["two"]
    assert found.tokens == sum(map(len, said["one"]))  # also of groups without variance
    again, _ = live(Firm(), train_slots=("firm.one.think",), frozen={"firm.two.think": str(tiny_folder)})
    assert again(model, 0).rows == found.rows  # read back, and one in which the context of "two" was full is as it was


def turns_of(row: Any) -> list[tuple[int, ...]]:
    """The tokens of each trained turn of ``row``."""
    turns: dict[int, list[int]] = {}
    for token, bit, turn in zip(row.completion_ids, row.env_mask, row.turns, strict=True):
        if bit:
            turns.setdefault(turn, []).append(token)
    return [tuple(tokens) for tokens in turns.values()]


def source_ids(message: Any) -> tuple[int, ...]:
    from threadmill.nodes.models.trace import read_trace

    trace = read_trace(message)
    assert trace is not None
    return trace.sampled_ids


def test_every_part_of_an_episode_that_begins_anew_has_its_advantage(live: Make) -> None:
    source, model = live(duo(), credit=Credit(scale="none"))  # the prompts differ, so each call starts a row
    found = source(model, 0)
    assert note_of(source)["counts"]["episodes of several parts"] == 8
    assert found.rows
    assert len(found.rows) % 2 == 0
    assert found.episodes == 8
    for plan, work in zip(found.rows[::2], found.rows[1::2], strict=True):
        assert set(plan.row.turns) == {0}
        assert set(work.row.turns) == {1}
        assert {round(value, 6) for value in plan.advantages} == {round(value, 6) for value in work.advantages}


def test_turns_are_credited_by_forking_them(live: Make, store: Store) -> None:
    source, model = live(Chats(), credit=Credit("forks", scale="none"), forks=Forks(k=2), tasks_per_step=1)
    found = source(model, 0)
    episodes = note_of(source)["episodes"]
    earned = {
        name: float(label.value) for name, of in labels_of(store).items() for label in of if label.kind == "reward"
    }
    values = [value for name, value in earned.items() if name not in episodes and ".s0." in name]
    assert len(values) == 2  # all four began in the same state; what looked like a broken call has a second turn
    for name, reward in episodes.items():
        said = source_ids(read_messages(store, name)[1])
        told = (one.advantages[0] for one in found.rows if tuple(one.row.completion_ids[: len(said)]) == said)
        assert next(told, 0.0) == pytest.approx(reward - sum(values) / 2)


def test_groups_without_variance_are_replaced_in_as_many_rounds_as_are_wanted(live: Make) -> None:
    hopeless = Chats(earns=lambda task, messages: 0)
    source, model = live(hopeless, resample=1)
    assert source(model, 0).rows == []
    assert note_of(source)["counts"]["groups replaced"] == 2
    assert note_of(source)["counts"]["groups without variance"] == 2
    assert len(note_of(source)["tasks"]) == 4
    assert note_of(source)["tiers"]["easy"]["components"] == {"partial": 0.0}


def test_the_curriculum_stays_with_a_tier_until_it_succeeds(live: Make) -> None:
    wins = Chats(earns=lambda task, messages: int(task.tier == "easy"))
    source, model = live(wins, tasks=4, curriculum=Curriculum("stages", threshold=0.8))
    for step in range(3):
        source(model, step)
    tiers = [{task.partition("-")[0] for task in note["tasks"]} for note in source.notes.of("generation")]
    assert tiers[0] == {"easy"}
    assert "hard" in tiers[1] | tiers[2]


@pytest.mark.parametrize(
    ("suite", "settings", "error", "words"),
    [
        (Chats(), {"tasks_per_step": 5}, BadDataset, "draws 5 tasks for each step, but 4 were given"),
        (Chats(), {"train_slots": ("duo.plan",)}, UnknownSlot, "has no slot 'duo.plan'; it has talk.think"),
        (Chats(), {"frozen": {"talk.think": "seed"}}, BadConfig, "all slots of talk are frozen"),
        (duo(), {"train_slots": ("duo.plan",), "frozen": {"duo.plan": "seed"}}, BadConfig, "'duo.plan' is to be"),
    ],
)
def test_what_cannot_be_played_is_refused(
    live: Make, suite: Chats, settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        live(suite, **settings)


def test_a_full_context_ends_an_episode_and_not_the_run(live: Make) -> None:
    class Long(Chats):
        def tasks(self, split: str, per_tier: int, seed: int) -> list[Chat]:
            return [replace(task, text="Order O123? " * 80) for task in super().tasks(split, per_tier, seed)]

    source, model = live(Long(), tasks=1)
    assert source(model, 0).rows == []
    assert note_of(source)["statuses"] == {"truncated": 8}
    again, _ = live(Long(), tasks=1)  # read back
    assert again(model, 0).rows == []
    assert note_of(again)["statuses"] == {"truncated": 8}


def test_a_run_that_was_stopped_goes_on_and_ends_as_one_that_was_not(tmp_path: Path, tiny_folder: Path) -> None:
    judged: list[str] = []

    def train(place: Path, stop_after: int) -> Path:
        def breaks(task: Any, messages: Any) -> None:
            if messages:  # none where a finished thread is read back
                judged.append(task.id)
            if len(judged) == stop_after:
                raise KeyboardInterrupt

        place.mkdir(exist_ok=True)
        config = GrpoConfig("talk", str(tiny_folder), place / "out", **{**SMALL, "run": Run(save_every=1)})
        with open_store(f"sqlite:///{place / 'runs.db'}") as store:
            return train_grpo(config, store, suite=Chats(breaks=breaks)).out

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", stop_after=12)  # of 16, in the second step
    judged.clear()
    stopped = train(tmp_path / "stopped", stop_after=-1)
    assert len(judged) <= 5  # of the second step's eight, three at least were finished
    whole = train(tmp_path / "whole", stop_after=-1)
    one, other = (load_model(str(folder), device="cpu")[0].state_dict() for folder in (stopped, whole))
    assert all(torch.allclose(one[name], other[name], atol=1e-5) for name in one)
