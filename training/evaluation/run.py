"""Evaluate one model on a suite: play its tasks as ordinary threads, measure them, and keep every trial.

An evaluation is known by what it depends on: asked for again it is read back, and an interrupted one, killed ones
included, goes on where it stopped. Only models elsewhere, which may change unseen, are evaluated anew each time.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from ...checkpoints.evaluations import (
    RecordedTrial,
    add_trial,
    begin_evaluation,
    end_evaluation,
    read_evaluation,
    trials_in,
    trials_of,
)
from ...checkpoints.store import Store
from ...errors import BadEvaluation, EpisodesCrash, ThreadBusy
from ...graphs.run import graph_digest
from ..episode import Episode, measure
from ..rollout import Trial, play
from ..slots import open_slot
from ..suites import Suite, SuiteTask
from .identity import digest_of, fixed_versions, thread_prefix
from .measured import METRICS, Measured, measure_episode
from .prices import Prices
from .summary import Summary, summarise

CRASHES_IN_A_ROW = 20
"""So many are no longer the agent's failures but a fault of the setup: the evaluation stops."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One model on one list of tasks, done."""

    id: str
    suite: str
    versions: dict[str, str]
    """Slot to the version, folder or endpoint that answered."""
    k: int
    settings: dict[str, Any]
    episodes: list[Episode]
    """By task, then trial, in the suite's order."""
    measured: list[Measured]
    """One for each episode, in their order."""
    errors: list[str | None]
    """One for each episode: what stopped its agent, if an exception did."""
    summary: Summary


def evaluate(
    store: Store,
    suite: Suite,
    versions: Mapping[str, str],
    *,
    tasks_per_tier: int,
    k: int,
    seed: int,
    split: str = "heldout",
    workers: int = 32,
    temperature: float | None = None,
    prices: Prices | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """``k`` trials of each task by ``versions`` (slot to model SPEC; slots left out follow ``live``).

    Two models that are evaluated with the same settings meet the same tasks with the same sampling seeds. An episode
    whose agent crashes is a failed trial; many of them in a row end the evaluation. More tasks or trials of the
    same versions play only what is new.

    Raises:
        UnknownSlot, UnknownVersion, BadModelSpec, BadModelFolder, EndpointFailed: a model cannot be opened.
        ThreadBusy: another process evaluates the same.
        EpisodesCrash: one episode after the other crashed.
        BadEvaluation: there are no tasks.
    """
    fixed = fixed_versions(store, suite, versions)
    slots = {name: open_slot(store, name, spec) for name, spec in fixed.items()}
    played_with = {"seed": seed, "split": split, "temperature": temperature}
    prefix = thread_prefix(suite, fixed, graph_digest(suite.build(slots).compile()), played_with)
    priced = None if prices is None else {name: price.model_dump() for name, price in prices.table.items()}
    settings = {**played_with, "tasks_per_tier": tasks_per_tier, "prices": priced}
    evaluation = digest_of(prefix, settings, k, [metric.name for metric in METRICS])[:16]
    tasks = _checked(suite, suite.tasks(split, tasks_per_tier, seed))

    with _alone(store, lease := prefix.rstrip("-")), ExitStack() as closing:
        begin_evaluation(store, evaluation, suite=suite.name, versions=fixed, k=k, settings=settings)
        wanted = [(task.id, number) for task in tasks for number in range(k)]
        known = _trials(store, evaluation, wanted)
        if len(known) < len(wanted):
            _take_crashes(store, evaluation, [f"{prefix}{task}-t{number}" for task, number in wanted])
            known = _trials(store, evaluation, wanted)
        if len(known) < len(wanted):
            for slot in slots.values():
                closing.callback(slot.close)
                slot.model(fixed[slot.name])  # one that cannot be opened ends it here, not in every episode
            kept = len(known)
            recorder = _Recorder(store, evaluation, lease, prices)
            play(
                store,
                suite,
                tasks,
                slots,
                trials=k,
                seed=seed,
                workers=workers,
                prefix=prefix,
                temperature=temperature,
                keep_failures=True,
                seeded_as="eval-",
                known={trial.thread for trial in known},
                ended=recorder.ended,
                progress=None if progress is None else lambda done, _: progress(kept + done, len(wanted)),
            )
            recorder.finish()
        elif progress is not None:
            progress(len(wanted), len(wanted))
        trials = _trials(store, evaluation, wanted)
        episodes = [Episode(**trial.measured["episode"]) for trial in trials]
        done = Evaluation(
            id=evaluation,
            suite=suite.name,
            versions=fixed,
            k=k,
            settings=settings,
            episodes=episodes,
            measured=[Measured.from_json(trial.measured) for trial in trials],
            errors=[trial.measured["error"] for trial in trials],
            summary=summarise(episodes, k=k),
        )
        if read_evaluation(store, evaluation).status != "done":
            end_evaluation(store, evaluation, asdict(done.summary))
    return done


def _trials(store: Store, evaluation: str, wanted: Sequence[tuple[str, int]]) -> list[RecordedTrial]:
    """Those of the ``wanted`` trials (task and number) that have ended, in their order."""
    known = {(trial.task, trial.trial): trial for trial in trials_of(store, evaluation)}
    return [known[one] for one in wanted if one in known]


def _take_crashes(store: Store, evaluation: str, threads: Sequence[str]) -> None:
    """Record trials that crashed in an evaluation with other tasks or trials: nobody gets another chance by asking."""
    for trial in trials_in(store, threads):
        if trial.measured["error"] is not None:
            add_trial(store, evaluation, trial)


def _checked(suite: Suite, tasks: Sequence[SuiteTask]) -> Sequence[SuiteTask]:
    if not tasks:
        raise BadEvaluation(f"suite {suite.name!r} has no tasks to evaluate; look at its split and its file")
    if len(twice := [name for name, times in Counter(task.id for task in tasks).items() if times > 1]):
        raise BadEvaluation(
            f"suite {suite.name!r} has {len(twice)} task ids twice, such as {twice[0]!r}; mend its tasks"
        )
    return tasks


@contextmanager
def _alone(store: Store, lease: str) -> Iterator[None]:
    """While the body runs, nobody else plays the threads that share this ``lease``."""
    with ExitStack() as held:
        try:
            held.enter_context(store.leases.hold(lease))
        except ThreadBusy as busy:
            raise ThreadBusy(f"the same evaluation runs already: {busy}, and goes on from what it finished") from busy
        yield


class _Recorder:
    """Keeps each trial as it ends; crashes wait until it is clear that they are not those of the setup."""

    def __init__(self, store: Store, evaluation: str, lease: str, prices: Prices | None) -> None:
        self._store = store
        self._evaluation = evaluation
        self._lease = lease
        self._prices = prices
        self._crashed: list[Trial] = []

    def ended(self, trial: Trial) -> None:
        """Take in one trial that was played just now; raises ``LeaseLost`` if another process goes on with them."""
        self._store.leases.check(self._lease)
        if trial.error is None:
            self.finish()
            self._keep(trial)
            return
        self._crashed.append(trial)
        if len(self._crashed) == CRASHES_IN_A_ROW:
            raise EpisodesCrash(
                f"{CRASHES_IN_A_ROW} episodes in a row crashed, the last one, {trial.finished.thread!r}, with "
                f"{trial.error}; mend that and start again: what was finished is kept"
            )

    def finish(self) -> None:
        """Count the crashes so far as failed trials."""
        for trial in self._crashed:
            self._keep(trial)
        self._crashed.clear()

    def _keep(self, trial: Trial) -> None:
        episode = measure(trial.finished, trial.number)
        measured = measure_episode(trial.finished, prices=self._prices)
        if trial.error is not None:
            failures = tuple(
                replace(one, text=trial.error) if one.kind == "crashed" else one for one in measured.failures
            )
            measured = replace(measured, failures=failures)
        add_trial(
            self._store,
            self._evaluation,
            RecordedTrial(
                task=episode.task,
                trial=episode.trial,
                tier=episode.tier,
                thread=episode.thread,
                success=episode.success,
                reward=episode.reward,
                measured={**measured.as_json(), "episode": asdict(episode), "error": trial.error},
            ),
        )
