"""Generations of GRPO out of episodes that the policy plays while it is trained."""

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from json import dumps
from time import perf_counter
from typing import Any, NamedTuple

from ...checkpoints.store import Store
from ...errors import BadConfig, BadDataset, BadTrace, TrainingFailed, UnknownSlot
from ...nodes.models.slot import Slot
from ..curriculum import draw_tasks, tier_weights
from ..rewards.compose import Rewards, Scored, score
from ..rewards.finished import Finished
from ..rewards.series import observe
from ..rewards.stored import record_scores
from ..rollout import Trial, play
from ..slots import open_slot
from ..suites import Suite, SuiteTask
from .credited import Credited, Member, credit_groups
from .generation_note import component_means, joined, note_of
from .group_rows import EpisodeRows, episode_rows
from .grpo import GrpoConfig, run_name
from .held_out import held_out_success, is_due
from .losses import BY_SEQUENCE
from .processes import process_count, process_number
from .step_notes import StepNotes


class Scorable(NamedTuple):
    """An episode that counts."""

    finished: Finished
    scored: Scored
    rows: EpisodeRows


class LiveGroups:
    """Plays the tasks of each generation; episodes are threads ``{run}-{first step}-{task}-t{trial}``."""

    def __init__(
        self, store: Store, suite: Suite, config: GrpoConfig, rewards: Rewards, notes: StepNotes, tokenizer: Any
    ) -> None:
        self.store = store
        self.suite = suite
        self.rewards = rewards
        self.config = config
        self.notes = notes
        self.tokenizer = tokenizer
        self.run = run_name(config)
        self.tasks: list[SuiteTask] = list(suite.tasks("train", config.tasks, config.seed))
        self.tiers = list(dict.fromkeys(task.tier for task in self.tasks))
        self.data = WhatWasPlayed(notes)
        self._known = {task.id: task for task in self.tasks}
        self._frozen = open_frozen(store, suite, config)
        if len(self.tasks) < config.tasks_per_step:
            raise BadDataset(
                f"GRPO draws {config.tasks_per_step} tasks for each step, but {len(self.tasks)} were given; "
                "take more tasks of each tier, or a smaller tasks_per_step"
            )
        if config.tasks_per_step % process_count():
            raise BadConfig(
                f"tasks_per_step is {config.tasks_per_step}, which {process_count()} processes cannot share; "
                f"give a multiple of {process_count()}"
            )

    def __call__(self, model: Any, step: int) -> Credited:
        """The generation that ``step`` belongs to; finished episodes of it are read back.

        Raises:
            TrainingFailed: every episode was stopped by an exception.
        """
        with self._slots(model, step) as slots:
            return self._generation(slots, step - step % self.config.updates)

    def finish(self, model: Any, step: int) -> None:
        """Play the held-out tasks once more, with what was learnt, if the config wants evaluations."""
        if self.config.evaluate_every:
            with self._slots(model, step) as slots:
                self._evaluate(slots, step)

    @contextmanager
    def _slots(self, model: Any, step: int) -> Iterator[dict[str, Slot]]:
        """The agent's slots: frozen ones, and the policy as it is at ``step``."""
        from ...nodes.models.local import LocalChatModel

        chat = LocalChatModel.from_model(
            model.get_base_model() if hasattr(model, "peft_config") else model,
            self.tokenizer,
            version=f"{self.run}@{step:04d}",
            temperature=self.config.temperature,
            max_new_tokens=self.config.max_new_tokens,
        )
        slots = {
            name: self._frozen[name] if name in self._frozen else Slot.fixed(name, chat, chat.version)
            for name in self.suite.slots
        }
        try:
            yield slots
        finally:
            chat.close()

    def _generation(self, slots: Mapping[str, Slot], begins: int) -> Credited:
        begun = perf_counter()
        if is_due(self.config, begins):
            self._evaluate(slots, begins)
        counts: Counter[str] = Counter()
        ended: list[tuple[Finished, Scored | None]] = []
        groups: list[list[Scorable]] = []
        for chosen, replaced in self._rounds(begins, groups):
            counts["groups replaced"] += replaced
            for trials in self._play(chosen, slots, begins):
                groups.append(self._score(trials, counts))
                scored = {one.finished.thread: one.scored for one in groups[-1]}
                ended += [(trial.finished, scored.get(trial.finished.thread)) for trial in trials]
        values = self._step_values(groups, slots, counts)
        played_s = perf_counter() - begun
        members = [[_member(one, values) for one in group] for group in groups]
        found = credit_groups(
            members,
            self.config.credit,
            by_sequence=self.config.loss in BY_SEQUENCE,
            keep_rows=self.config.beta > 0,
        )
        counts.update(found.noted)
        note = joined(_from_all_processes(note_of(ended, counts)))
        digest = "".join(_from_all_processes(_digest(found)))
        if begins not in [one["step"] for one in self.notes.of("generation")]:
            self.notes.take("generation", begins, **note, digest=digest, versions=_versions(found))
            self._note_rewards(groups, begins)
            earned = {finished.thread: scored for finished, scored in ended if scored is not None}
            record_scores(self.store, earned, self.rewards.weights)
        return Credited(found.rows, found.rewards, found.tokens, found.noted, played_s, component_means(note))

    def _evaluate(self, slots: Mapping[str, Slot], begins: int) -> None:
        """Play held-out tasks with the weights as they are, unless that was done."""
        if begins in [note["step"] for note in self.notes.of("held_out")]:
            return
        prefix = f"{self.run}-{begins:04d}-heldout-"
        own = held_out_success(self.store, self.suite, slots, self.config, prefix=prefix)
        success = {task: value for part in _from_all_processes(own) for task, value in part.items()}
        self.notes.take("held_out", begins, success=success)

    def _note_rewards(self, groups: Sequence[Sequence[Scorable]], begins: int) -> None:
        """What can be watched of the rewards; of several processes, in the episodes of the first."""
        scored = [[one.scored for one in group] for group in groups if group]
        if scored:
            tokens = [one.finished.sampled_tokens for group in groups for one in group]
            seen = asdict(observe(begins, scored, tokens))
            self.notes.take("rewards", seen.pop("step"), **seen)

    def _rounds(self, begins: int, groups: list[list[Scorable]]) -> Iterator[tuple[list[SuiteTask], int]]:
        """The tasks of each round, and how many of ``groups`` they replace: those whose rewards are all equal go."""
        earlier = [note for note in self.notes.of("generation") if note["step"] < begins]
        drawn = [task for note in earlier for task in note["tasks"]]
        weights = tier_weights(
            self.tiers,
            [{tier: (of["successes"], of["episodes"]) for tier, of in note["tiers"].items()} for note in earlier],
            self.config.curriculum,
        )
        rng = random.Random(f"{self.config.seed}/{begins}")
        chosen = draw_tasks(self.tasks, self.config.tasks_per_step, drawn, weights, rng)
        used = {task.id for task in chosen}
        mine = slice(process_number(), None, process_count())
        yield chosen[mine], 0
        own = self.tasks[mine]
        for _ in range(self.config.resample):
            silent = [group for group in groups if len({round(one.scored.total, 9) for one in group}) < 2]
            left = [task for task in own if task.id not in used]
            chosen = draw_tasks(left, len(silent), drawn, weights, rng)
            if not chosen:
                return
            used |= {task.id for task in chosen}
            for group in silent[: len(chosen)]:
                groups.remove(group)
            yield chosen, len(chosen)

    def _play(self, tasks: Sequence[SuiteTask], slots: Mapping[str, Slot], begins: int) -> Iterator[list[Trial]]:
        size = self.config.group_size
        trials = play(
            self.store,
            self.suite,
            tasks,
            slots,
            trials=size,
            seed=self.config.seed + begins,
            workers=self.config.workers,
            prefix=f"{self.run}-{begins:04d}-",
            keep_failures=True,
        )
        errors = [trial.error for trial in trials if trial.error is not None]
        if trials and len(errors) == len(trials):
            raise TrainingFailed(
                f"all {len(errors)} episodes of step {begins + 1} were stopped by exceptions, such as {errors[0]}; "
                f"try one with `threadmill threads show {trials[0].finished.thread}`"
            )
        for start in range(0, len(trials), size):
            yield trials[start : start + size]

    def _score(self, trials: Sequence[Trial], counts: Counter[str]) -> list[Scorable]:
        """The episodes of a group that count, with what they earned; the others are counted by reason."""
        kept: list[tuple[Finished, EpisodeRows]] = []
        for trial in trials:
            status = trial.finished.status
            if (status == "failed" and self.config.failed == "leave_out") or (
                status == "truncated" and self.config.truncated == "leave_out"
            ):
                counts[f"{status} and left out"] += 1
                continue
            try:
                inner = [one.messages for one in trial.finished.inner]
                kept.append((trial.finished, episode_rows(trial.finished.messages, self._is_ours, inner)))
            except BadTrace:
                counts["damaged and left out"] += 1
        scored = score([finished for finished, _ in kept], self.rewards)
        return [Scorable(finished, one, rows) for (finished, rows), one in zip(kept, scored, strict=True)]

    def _is_ours(self, version: str) -> bool:
        return version.rpartition("@")[0] == self.run

    def _step_values(
        self, groups: Sequence[Sequence[Scorable]], slots: Mapping[str, Slot], counts: Counter[str]
    ) -> Mapping[str, Any]:
        """The values of turns by forking, if credit is given by them."""
        if self.config.credit.assign != "forks":
            return {}
        from ..credit.forking import Forking, value_steps

        episodes = [one for group in groups for one in group if one.rows.parts]
        forks = self.config.forks
        failed: list[str] = []
        values = value_steps(
            self.store,
            self.suite,
            slots,
            {one.finished.thread: self._known[one.finished.task] for one in episodes},
            Forking(
                k=forks.k, steps=forks.steps, budget=forks.budget, seed=self.config.seed, workers=self.config.workers
            ),
            rewards={one.finished.thread: one.scored.total for one in episodes},
            returns=lambda finished: score([finished], self.rewards)[0].total,
            temperature=self.config.temperature,
            on_failure=lambda name, _: failed.append(name),
        )
        counts["continuations that crashed"] += len(failed)
        counts["episodes that could not be restored"] += sum(one.refused is not None for one in values.values())
        return values


class WhatWasPlayed(Mapping[str, Any]):
    """What a run was trained on, as far as its notes go; empty before the first generation."""

    def __init__(self, notes: StepNotes) -> None:
        self.notes = notes

    def __getitem__(self, name: str) -> Any:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def threads(self) -> list[str]:
        """The episodes."""
        return [thread for note in self.notes.of("generation") for thread in note["episodes"]]

    def _now(self) -> dict[str, Any]:
        notes = self.notes.of("generation")
        if not notes:
            return {}
        digests = "".join(note["digest"] for note in notes)
        counts: Counter[str] = Counter()
        for note in notes:
            counts.update(note["counts"])
            counts.update({f"episodes {status}": number for status, number in note["statuses"].items()})
        return {
            "digest": sha256(digests.encode()).hexdigest(),
            "generations": len(notes),
            "episodes": len(self.threads()),
            **dict(sorted(counts.items())),
        }


def open_frozen(store: Store, suite: Suite, config: GrpoConfig) -> dict[str, Slot]:
    """The slots that are not trained, each with its own model.

    Raises:
        UnknownSlot: the config names a slot that the suite's agent does not have.
        BadConfig: no slot is trained, or one is both.
    """
    trained = set(config.train_slots or suite.slots)
    specs = config.frozen
    for name in [*config.train_slots, *specs]:
        if name not in suite.slots:
            raise UnknownSlot(f"the suite {suite.name} has no slot {name!r}; it has {', '.join(suite.slots)}")
    if both := sorted(config.train_slots and trained & specs.keys()):
        raise BadConfig(f"the slot {both[0]!r} is to be trained and frozen; name it in one of the two")
    frozen = [name for name in suite.slots if name in specs or name not in trained]
    if len(frozen) == len(suite.slots):
        raise BadConfig(f"all slots of {suite.name} are frozen; leave one of {', '.join(frozen)} to be trained")
    return {name: open_slot(store, name, specs.get(name), temperature=config.temperature) for name in frozen}


def _member(one: Scorable, values: Mapping[str, Any]) -> Member:
    steps = [int(version.rpartition("@")[2]) for part in one.rows.parts for version in part.versions]
    of_thread = values.get(one.finished.thread)
    return Member(
        one.finished.thread,
        one.scored.total,
        one.rows.parts,
        step_values=None if of_thread is None else of_thread.values_of(one.rows.turns),
        sampled_at=min(steps, default=None),
    )


def _from_all_processes(told: Any) -> list[Any]:
    from accelerate.utils import gather_object

    return gather_object([told])


def _versions(found: Credited) -> list[str]:
    return sorted({version for one in found.rows for version in one.row.versions})


def _digest(found: Credited) -> str:
    """Of what was trained on, so that a version can be traced to the threads of its episodes."""
    digest = sha256()
    for one in found.rows:
        row = [one.row.prompt_ids, one.row.completion_ids, one.row.env_mask, one.advantages]
        digest.update(dumps(row).encode() + b"\n")
    return digest.hexdigest()
