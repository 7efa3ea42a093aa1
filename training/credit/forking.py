"""Step values by forking: K continuations from the state before each turn of finished threads, with the agent as it is.

Continuations are threads named ``{thread}.s{turn}.{mark}.k{number}`` (turns and numbers from 0); the mark tells the
versions, settings and seed apart. Those that are finished are not run again. Many run at once, and those that share a
slot's model are decoded together. States in which the same was said in the same task are valued once.
"""

import json
import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Literal

from ...checkpoints.store import Store
from ...errors import BadCredit, CannotTravel
from ...nodes.models.slot import Slot
from ..rollout import NOT_OF_AN_EPISODE
from ..suites import Suite, SuiteTask
from .continuation import Place, Return, check_world, play_continuation, return_of
from .restore import check_restorable
from .step_values import StepValue, StepValues
from .think_calls import Episode, read_episode, state_key
from .which_steps import Path as StatePath
from .which_steps import disagreements, within_budget

OnFailure = Callable[[str, Exception], None]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Forking:
    """What to spend on step values."""

    k: Annotated[int, "Continuations from each state."] = 8
    steps: Annotated[Literal["all", "disagree"], "Value all states, or those where siblings of other outcome part."] = (
        "all"
    )
    first: Annotated[int | None, "Only the states before the first so many turns of a thread."] = None
    budget: Annotated[int | None, "At most so many continuations in all; late turns go without first."] = None
    seed: Annotated[int, "Of the continuations' sampling."] = 0
    workers: Annotated[int, "Continuations that run at a time."] = 32

    def __post_init__(self) -> None:
        for name, value, least in (("k", self.k, 1), ("workers", self.workers, 1)):
            if value < least:
                raise BadCredit(f"{name} is {value}; give at least {least}")
        if self.steps not in ("all", "disagree"):
            raise BadCredit(f"steps is {self.steps!r}; there are 'all' and 'disagree'")


def value_steps(
    store: Store,
    suite: Suite,
    slots: Mapping[str, Slot],
    threads: Mapping[str, SuiteTask],
    settings: Forking,
    *,
    rewards: Mapping[str, float] | None = None,
    returns: Return | None = None,
    temperature: float | None = None,
    pure: Sequence[str] = (),
    on_failure: OnFailure | None = None,
    progress: Progress | None = None,
) -> dict[str, StepValues]:
    """The values of the turns of finished ``threads`` (id to the task it played), in their order.

    The versions that the slots answer with now speak in all continuations. ``rewards`` are the outcomes of the threads
    (default: their ``reward`` labels of the suite), ``returns`` makes a number of the same kind out of a finished
    continuation (default: the suite's reward). ``temperature`` None is that of the thread. Nodes that are not
    Threadmill's and do nothing to the world are named in ``pure``.

    A thread whose world cannot be restored has no values, and says why (``refused``); the others are not held up. A
    continuation that an exception stops ends everything; with ``on_failure``, which is told its name and the exception
    (from any Python thread), it is only missing among the returns. Ctrl-C stops after the model calls in
    flight; call it again to go on.

    Raises:
        CannotTravel: the agent does not allow it, or every one of ``threads`` is refused.
        BadCredit: a thread has no outcome.
        UnknownThread: there is no such thread.
    """
    graph = suite.build(slots).compile(checkpointer=store.saver, name=suite.slots[0].partition(".")[0])
    check_restorable(graph, pure)
    with _worlds(store) as folder:
        configurable = {} if temperature is None else {"temperature": temperature}
        versions = {name: slot.version_now() for name, slot in slots.items()}
        place = Place(store, suite, graph, folder, versions, configurable, returns)
        return _Forks(place, threads, settings, on_failure, progress).run(rewards or {})


@dataclass
class _Forks:
    """One run of ``value_steps``."""

    place: Place
    tasks: Mapping[str, SuiteTask]
    settings: Forking
    on_failure: OnFailure | None
    progress: Progress | None

    def run(self, rewards: Mapping[str, float]) -> dict[str, StepValues]:
        episodes = {thread: read_episode(self.place.store, thread) for thread in self.tasks}
        outcomes = {thread: rewards[thread] if thread in rewards else self._outcome(thread) for thread in self.tasks}
        refused = self._refused(episodes)
        paths = [
            self._path(episodes[thread], task, outcomes[thread])
            for thread, task in self.tasks.items()
            if thread not in refused
        ]
        if refused and not paths:
            raise CannotTravel(next(iter(refused.values())))
        returns = self._play(paths, episodes, refused)
        return {
            thread: self._values(episodes[thread], task, outcomes[thread], returns, refused.get(thread))
            for thread, task in self.tasks.items()
        }

    def _outcome(self, thread: str) -> float:
        found = return_of(self.place.store, thread, self.place.source)
        if found is None:
            raise BadCredit(
                f"thread {thread!r} has no reward of {self.place.source!r}; only finished episodes of the suite can be "
                f"forked, so play it with `threadmill rollout {self.place.suite.name}`, or give rewards"
            )
        return found

    def _refused(self, episodes: Mapping[str, Episode]) -> dict[str, str]:
        """Thread to why its world cannot be restored, tried once up to its last call, before anything is spent."""

        def check(thread: str) -> str | None:
            calls = [call for call in episodes[thread].calls if call.checkpoint is not None]
            if not calls:
                return (
                    f"thread {thread!r} holds no checkpoint in front of any of its {len(episodes[thread].calls)} turns"
                )
            try:
                check_world(self.place, thread, self.tasks[thread], calls[-1])
            except CannotTravel as error:
                return str(error)
            return None

        with ThreadPoolExecutor(self.settings.workers, thread_name_prefix="restore") as pool:
            reasons = dict(zip(episodes, pool.map(check, episodes), strict=True))
        return {thread: reason for thread, reason in reasons.items() if reason is not None}

    def _path(self, episode: Episode, task: SuiteTask, reward: float) -> StatePath:
        histories = [*(call.history for call in episode.calls), episode.messages]
        return StatePath(episode.thread, task.id, reward, tuple(state_key(task.id, one) for one in histories))

    def _play(
        self, paths: Sequence[StatePath], episodes: Mapping[str, Episode], refused: dict[str, str]
    ) -> dict[str, list[float]]:
        """State to the returns from there; a thread that cannot be restored after all is added to ``refused``."""
        parted = disagreements(paths) if self.settings.steps == "disagree" else {}
        wanted = {
            path.thread: {
                turn
                for turn in parted.get(path.thread, set(range(len(path.states) - 1)))
                if (self.settings.first is None or turn < self.settings.first)
                and episodes[path.thread].calls[turn].checkpoint is not None
            }
            for path in paths
        }
        most = None if self.settings.budget is None else self.settings.budget // self.settings.k
        states = within_budget(paths, wanted, most)
        found: dict[str, dict[int, float]] = {key: {} for key, _, _ in states}
        stop = threading.Event()
        mark = self._mark()

        def one(thread: str, turn: int, number: int) -> float | None:
            if stop.is_set() or thread in refused:
                return None
            name = f"{thread}.s{turn}.{mark}.k{number}"
            seed = random.Random(f"{self.settings.seed}/{name}").randrange(2**31)
            call = episodes[thread].calls[turn]
            try:
                return play_continuation(self.place, thread, self.tasks[thread], call, name, seed=seed, turn=turn)
            except CannotTravel as error:
                refused[thread] = str(error)
                return None
            except NOT_OF_AN_EPISODE:
                raise
            except Exception as error:
                if self.on_failure is None:
                    raise
                self.on_failure(name, error)
                return None

        with ThreadPoolExecutor(self.settings.workers, thread_name_prefix="fork") as pool:
            futures = {
                pool.submit(one, path.thread, turn, number): (key, number)
                for key, path, turn in states
                for number in range(self.settings.k)
            }
            try:
                for done, future in enumerate(as_completed(futures), 1):
                    key, number = futures[future]
                    reached = future.result()
                    if reached is not None:
                        found[key][number] = reached
                    if self.progress is not None:
                        self.progress(done, len(futures))
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise
        return {key: [by_number[at] for at in sorted(by_number)] for key, by_number in found.items()}

    def _mark(self) -> str:
        told = [self.place.versions, dict(self.place.configurable), self.settings.seed]
        return sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:4]

    def _values(
        self,
        episode: Episode,
        task: SuiteTask,
        reward: float,
        returns: Mapping[str, list[float]],
        refused: str | None,
    ) -> StepValues:
        steps = tuple(
            StepValue(
                call.message,
                call.checkpoint,
                () if refused else tuple(returns.get(state_key(task.id, call.history), ())),
            )
            for call in episode.calls
        )
        opening = episode.calls[0].history[-1:] if episode.calls else ()
        first = next((message.id for message in opening), None)
        return StepValues(episode.thread, task.id, reward, steps, first, episode.leaf, refused)


@contextmanager
def _worlds(store: Store) -> Iterator[Path]:
    """A folder for the worlds of continuations, beside the store's file; gone in the end if nothing is left in it."""
    folder = store.place.with_suffix(".forks")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()
