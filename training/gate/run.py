"""Run the gate: play what is missing, decide, record. What was seen of a candidate at earlier looks stays in.

A verdict to promote or to reject stands: asked again under the same policy, it is given again. After a hold the next
call is a further look, with fresh tasks beside all those before.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any

from ...checkpoints.registry import Version, list_versions, resolve
from ...checkpoints.store import Store
from ...checkpoints.verdicts import Verdict, list_verdicts, record_verdict
from ...errors import CannotGate, EpisodesCrash, UnknownVersion
from ..evaluation.run import Evaluation, evaluate
from ..suites import BUILT_IN, Suite, open_suite
from .decide import decide
from .evidence import Evidence, safety_evidence, suite_evidence
from .learnt import tasks_learnt
from .policy import GatePolicy, SuiteRule

SEEDS_A_VERSION = 100
"""Between the seeds of one live version and the next: tasks that helped a version to go live do not judge the next."""
SEEDS_TRIED = 20
"""To find tasks that the candidate did not learn from."""
SPLIT = "heldout"
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Round:
    """What one look added of one suite."""

    suite: str
    look: int
    tasks_per_tier: int
    k: int
    seed: int


def run_gate(
    store: Store,
    candidate: str,
    *,
    policy: GatePolicy,
    live: str | None = None,
    workers: int = 32,
    progress: Progress | None = None,
) -> Verdict:
    """The recorded verdict about the version ``candidate``, against ``live``: a version, or what the slot has there.

    An interrupted run goes on where it stopped: finished episodes are not played again.

    Raises:
        UnknownSlot, UnknownVersion, BadModelFolder: one of the two cannot be opened.
        CannotGate: both are the same weights, of different slots, or no suite is known for the slot.
        EpisodesCrash: one episode of a version after the other crashed; nothing is decided or recorded.
    """
    new, old = _both(store, candidate, live)
    earlier = [*_between(store, new, old)]
    if earlier and earlier[-1].decision != "hold" and earlier[-1].policy == policy.model_dump(mode="json"):
        return earlier[-1]
    look = len(earlier) + 1
    rules = {rule.name: rule for rule in policy.suites or (_rule_of(new.slot),)}
    suites = {name: _suite_of(name, new.slot) for name in rules}
    learnt = tasks_learnt(store, new.name)
    seed = _fresh_seed(seed_of(policy, old, look), rules, suites, learnt, earlier)
    rounds = [*_rounds_before(earlier, rules)]
    rounds += [Round(rule.name, look, rule.tasks_per_tier, rule.k, seed) for rule in rules.values()]
    played = _play(store, rounds, rules, suites, (old, new), workers, progress)
    evidence = _evidence(rules, rounds, played, (old, new), learnt)
    if any(set(_rules_then(verdict)) != set(rules) for verdict in earlier):
        evidence = replace(evidence, sizes=())
    evidence = replace(evidence, place=_place(store, new, old))
    verdict = decide(policy, evidence, look)
    figures = {**verdict.figures, "rounds": [_as_json(one) for one in rounds]}
    return record_verdict(store, replace(verdict, figures=figures))


def seed_of(policy: GatePolicy, live: Version, look: int = 1) -> int:
    """Of the tasks that a look at a candidate adds."""
    return policy.seed + SEEDS_A_VERSION * live.number + look - 1


def _both(store: Store, candidate: str, live: str | None) -> tuple[Version, Version]:
    new = resolve(store, candidate, verify=True)
    try:
        old = resolve(store, live or f"{new.slot}@live", verify=True)
    except UnknownVersion as error:
        if live is not None:
            raise
        raise CannotGate(
            f"{new.slot} has no live version to compare {new.name} with; name one with --live, or begin with "
            f'`threadmill models promote {new.name} --because "the first"`'
        ) from error
    if old.slot != new.slot:
        raise CannotGate(f"{new.name} and {old.name} are versions of different slots; compare two of one slot")
    if old.name == new.name:
        raise CannotGate(f"{new.name} is what is live already; name another version, see `threadmill models list`")
    if old.digest == new.digest:
        raise CannotGate(f"{new.name} has the same files as {old.name}, which is live; register what was trained")
    return new, old


def _between(store: Store, new: Version, old: Version) -> Iterator[Verdict]:
    """Verdicts about these weights against those, oldest first; registering a folder twice is no fresh start."""
    digests = {version.name: version.digest for version in list_versions(store, new.slot)}
    for verdict in list_verdicts(store, new.slot):
        if digests.get(verdict.candidate) == new.digest and digests.get(verdict.live) == old.digest:
            yield verdict


def _place(store: Store, new: Version, old: Version) -> int:
    """The place of these weights among the candidates that were compared with ``old``, from 1."""
    digests = {version.name: version.digest for version in list_versions(store, new.slot)}
    against = [verdict for verdict in list_verdicts(store, new.slot) if digests.get(verdict.live) == old.digest]
    candidates = list(dict.fromkeys(digests.get(verdict.candidate) for verdict in against))
    return candidates.index(new.digest) + 1 if new.digest in candidates else len(candidates) + 1


def _rule_of(slot: str) -> SuiteRule:
    agent = slot.partition(".")[0]
    if agent not in BUILT_IN:
        raise CannotGate(
            f"no suite is known for the slot {slot}; name one in the policy with [[suites]] "
            "(`threadmill gate --print-policy > gate.toml` writes one), and pass --policy gate.toml"
        )
    return SuiteRule(name=agent)


def _suite_of(name: str, slot: str) -> Suite:
    suite = open_suite(name)
    if slot not in suite.slots:
        raise CannotGate(
            f"the agent of suite {name} has no slot {slot}, but {', '.join(suite.slots)}; name a suite of its agent"
        )
    return suite


def _rules_then(verdict: Verdict) -> list[str]:
    return list(dict.fromkeys(one["suite"] for one in _rounds_of(verdict)))


def _rounds_of(verdict: Verdict) -> list[dict[str, Any]]:
    return verdict.figures.get("rounds", [])


def _rounds_before(earlier: Sequence[Verdict], rules: Mapping[str, SuiteRule]) -> dict[Round, None]:
    rounds = (Round(**one) for verdict in earlier for one in _rounds_of(verdict))
    return dict.fromkeys(one for one in rounds if one.suite in rules)


def _fresh_seed(
    first: int,
    rules: Mapping[str, SuiteRule],
    suites: Mapping[str, Suite],
    learnt: Collection[str],
    earlier: Sequence[Verdict],
) -> int:
    """The first seed from ``first`` on that no look has had yet, and whose tasks the candidate did not learn from.

    Otherwise the first that no look has had: the tasks of a fixed list are the same for every seed.
    """
    used = {one["seed"] for verdict in earlier for one in _rounds_of(verdict)}
    fresh = (seed for seed in count(first) if seed not in used)
    for seed in islice(fresh, SEEDS_TRIED if learnt else 1):
        tasks = (task for name, rule in rules.items() for task in suites[name].tasks(SPLIT, rule.tasks_per_tier, seed))
        if not any(task.id in learnt for task in tasks):
            return seed
    return next(seed for seed in count(first) if seed not in used)


Played = dict[tuple[str, int, str], Evaluation]
"""By suite, seed and version."""


def _play(
    store: Store,
    rounds: Sequence[Round],
    rules: Mapping[str, SuiteRule],
    suites: Mapping[str, Suite],
    versions: tuple[Version, Version],
    workers: int,
    progress: Progress | None,
) -> Played:
    """Evaluate both versions, and on safety suites the candidate alone; what is done already is read back."""
    wanted = [(one, version) for one in rounds for version in (versions[1:] if rules[one.suite].safety else versions)]
    sizes = [len(suites[one.suite].tasks(SPLIT, one.tasks_per_tier, one.seed)) * one.k for one, _ in wanted]
    played: Played = {}
    others: dict[str, dict[str, str]] = {}  # what answers in the agent's other slots must not change in between
    for number, (one, version) in enumerate(wanted):
        before = sum(sizes[:number])
        try:
            done = evaluate(
                store,
                suites[one.suite],
                {**others.get(one.suite, {}), version.slot: version.name},
                tasks_per_tier=one.tasks_per_tier,
                k=one.k,
                seed=one.seed,
                split=SPLIT,
                workers=workers,
                progress=None
                if progress is None
                else lambda ended, _, before=before: progress(before + ended, sum(sizes)),
            )
        except EpisodesCrash as error:
            raise EpisodesCrash(f"{version.name} cannot be judged on {one.suite}: {error}") from error
        others[one.suite] = done.versions
        played[one.suite, one.seed, version.name] = done
    return played


def _evidence(
    rules: Mapping[str, SuiteRule],
    rounds: Sequence[Round],
    played: Played,
    versions: tuple[Version, Version],
    learnt: Collection[str],
) -> Evidence:
    old, new = versions

    def of(name: str, version: Version) -> list[Any]:
        found = [played[name, one.seed, version.name] for one in rounds if one.suite == name]
        return [pair for one in found for pair in zip(one.episodes, one.measured, strict=True)]

    tasks = dict.fromkeys(episode.task for one in played.values() for episode in one.episodes)
    trials_by_look: dict[int, int] = {}
    for one in rounds:
        if not rules[one.suite].safety:
            seen = len(played[one.suite, one.seed, new.name].episodes)
            trials_by_look[one.look] = trials_by_look.get(one.look, 0) + seen
    sizes = [sum(n for look, n in trials_by_look.items() if look <= until) for until in trials_by_look]
    return Evidence(
        slot=new.slot,
        candidate=new.name,
        live=old.name,
        suites={
            name: suite_evidence(of(name, old), of(name, new), k=rule.k)
            for name, rule in rules.items()
            if not rule.safety
        },
        safety={name: safety_evidence(of(name, new)) for name, rule in rules.items() if rule.safety},
        sizes=tuple(sizes),
        trained_on=tuple(task for task in tasks if task in learnt),
        evaluations=tuple(dict.fromkeys(one.id for one in played.values())),
    )


def _as_json(one: Round) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Round.__slots__}
