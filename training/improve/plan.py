"""A dry run: what each stage of ``improve`` would do now, in numbers and seconds. Nothing is changed by it.

Rows are counted by making them, in a folder that is taken away again. How long an evaluation takes is known from
earlier ones; without any it is not said.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ...checkpoints.store import Store
from ..gate.policy import GatePolicy
from ..recipes.report import Progress
from .budget import MARGIN, SHORTEST_S, UNKNOWN_SHARE, next_share, round_seconds, share_out
from .evaluating import all_episodes, seconds_an_episode
from .improve import begin
from .labelling import judge_threads
from .settings import METHODS, STAGES, ImproveConfig, spoken_time
from .stages import export, why_in_vain
from .state import Round
from .state import Stage as Done
from .threads import sort_threads
from .training import why_not
from .work import Work


@dataclass(frozen=True, slots=True)
class Planned:
    """A stage as it would be run."""

    stage: str
    would: str
    seconds: float | None = None
    """About; None if nobody knows."""


def plan(store: Store, config: ImproveConfig, policy: GatePolicy) -> list[Planned]:
    """The stages in their order; ``store`` may be open to be read only.

    Raises:
        BadConfig, UnknownSlot, UnknownSuite, UnknownVersion: as ``improve``.
    """
    work, round = begin(store, config, policy)
    return [*_planned(work, round)]


def _planned(work: Work, round: Round) -> Iterator[Planned]:
    ends: str | None = None
    for stage in STAGES:
        if stage in work.config.left_out:
            yield Planned(stage, work.config.left_out[stage], 0.0)
        elif stage in round.stages and round.stages[stage].left_out is None:
            yield Planned(stage, f"done already in round {round.number}, which would go on", 0.0)
        elif stage == "label":
            yield _label(work)
        elif stage == "export":
            planned, told = _export(work, round)
            yield planned
            round.stages["export"] = Done(told=told)
            if "train" not in work.config.left_out and (why := why_in_vain(work, round)):
                ends = f"nothing to do: {why}"
        elif stage == "report":
            yield Planned(stage, f"write {work.config.out / 'report.md'} and report.html", 1.0)
        elif ends:
            yield Planned(stage, ends, 0.0)
        elif stage in ("baseline", "evaluate", "gate", "promote") and not work.suites:
            yield Planned(stage, "there is no suite: nothing would be promoted", 0.0)
        else:
            yield _rest(stage, work, round)


def _label(work: Work) -> Planned:
    began = time.monotonic()
    threads = sort_threads(work.store, work.config.agent)
    known = ", ".join(f"{n} by {who}" for who, n in threads.by_source.most_common()) or "none"
    waiting = len(threads.unjudged)
    if work.config.rewards is not None:
        would = f"score {waiting} threads with {work.config.rewards}"
    else:
        found = judge_threads(work.store, threads, suite=work.suite, rewards=None)
        would = f"judge {len({one.thread for one in found.labels})} of {waiting} threads that nobody has judged"
    left_out = "".join(f"; left out {n}: {why}" for why, n in threads.left_out.most_common())
    seconds = None if work.config.rewards is not None else round_seconds(time.monotonic() - began)
    return Planned("label", f"{would}; judged already: {known}{left_out}", seconds)


def _export(work: Work, round: Round) -> tuple[Planned, dict[str, Any]]:
    began = time.monotonic()
    with TemporaryDirectory() as folder:
        told = export(replace(work, folder=Path(folder)), round, _silent)
    rows = ", ".join(
        f"{one['rows']:,} {'rows' if kind == 'sft' else 'pairs'} ({one['trained_tokens']:,} trained tokens)"
        for kind, one in told["data"].items()
    )
    return Planned("export", f"{told['threads']} threads give {rows}", round_seconds(time.monotonic() - began)), told


def _rest(stage: str, work: Work, round: Round) -> Planned:
    pace = seconds_an_episode(work.store, work.config.agent)
    episodes = {safety: all_episodes(work, safety=safety) for safety in (False, True)} if work.suites else {}
    live = work.base.name if work.base else "the policy that ships with the package"
    if stage in ("baseline", "evaluate"):
        wanted = episodes[stage == "evaluate"]
        who = live if stage == "baseline" else "the candidate"
        return Planned(
            stage, f"play {wanted} episodes with {who}", None if pace is None else round_seconds(pace * wanted)
        )
    if stage == "train":
        return _train(work, round, pace, episodes)
    if stage == "gate":
        return Planned(
            stage, f"compare the candidate with {live} on these episodes, at level {work.policy.level:g}", 1.0
        )
    return Planned(stage, f"let the candidate go live in {work.slot}, if the gate says promote", 0.0)


def _train(work: Work, round: Round, pace: float | None, episodes: dict[bool, int]) -> Planned:
    data = round.told("export")["data"] if "export" in round.stages else {}
    budget = work.config.budget_s
    one = UNKNOWN_SHARE * budget / MARGIN if pace is None else pace * episodes.get(True, 0)
    spent = round.seconds + (0.0 if pace is None else pace * episodes.get(False, 0))
    left = share_out(budget, spent, one if work.suites and "evaluate" not in work.config.left_out else 0.0).train
    methods = [method for method in METHODS if method in work.config.methods]
    refused = {method: why for method in methods if (why := why_not(method, work, data))}
    if left < SHORTEST_S:
        return Planned("train", f"no time is left of {spoken_time(budget)} after evaluating", 0.0)
    waiting = [method for method in methods if method not in refused]
    shares = []
    rest = left
    while waiting:
        share = next_share(rest, waiting)
        shares.append(f"{waiting.pop(0)} at most {spoken_time(share)}")
        rest -= share
    told = [*shares, *(f"no {method}: {why}" for method, why in refused.items())]
    return Planned("train", "; ".join(told), round_seconds(left) if shares else 0.0)


@contextmanager
def _silent(title: str) -> Iterator[Progress]:
    yield lambda *told, **more: None
