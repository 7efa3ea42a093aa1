"""The stages of a round, each a function of what is known: it does its work and tells what it did, JSON-safe.

What a stage tells is remembered; a stage that is told of already is not run again. None of them decides alone whether
a round goes on: they ``close`` it, and the round ends.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ...checkpoints.labels import add_labels
from ...checkpoints.registry import aliases_of, list_versions, point, promote, register_version
from ...errors import PromotionConflict
from ..gate.run import run_gate
from ..recipes.lineage import lineage_of
from ..rewards.configured import open_rewards, read_file
from ..rewards.stored import record_scores
from .budget import MARGIN, SHORTEST_S, UNKNOWN_SHARE, share_out
from .data import KINDS, export_data, nothing_new, write_held_out
from .evaluating import all_episodes, evaluate_version, seconds_an_episode, told_of
from .labelling import judge_threads
from .settings import METHODS, spoken_time
from .state import Round, folder_of
from .threads import NOBODY, sort_threads
from .training import READS, Lesson, Stage, train_methods
from .work import Work

Told = dict[str, Any]


def label(work: Work, round: Round, stage: Stage) -> Told:
    """Judge what nobody has judged."""
    threads = sort_threads(work.store, work.config.agent)
    with ExitStack() as opened, stage("label"):
        table = None if work.config.rewards is None else read_file(work.config.rewards)
        rewards = None if table is None else opened.enter_context(open_rewards(table, work.store))
        found = judge_threads(work.store, threads, suite=work.suite, rewards=rewards)
        add_labels(work.store, found.labels)
        if rewards is not None:
            record_scores(work.store, found.scored, rewards.weights)
    labelled = {one.thread for one in found.labels}
    unlabelled = Counter(found.refused.values())
    if left := len(threads.unjudged) - len(labelled) - unlabelled.total():
        unlabelled[NOBODY] += left
    return {
        "judged_before": dict(threads.by_source.most_common()),
        "labelled": dict(Counter(source for _, source in {(one.thread, one.source) for one in found.labels})),
        "unlabelled": dict(unlabelled.most_common()),
        "left_out": dict(threads.left_out.most_common()),
    }


def export(work: Work, round: Round, stage: Stage) -> Told:
    """Write what can be trained on."""
    threads = sort_threads(work.store, work.config.agent)
    heads = [*threads.judged, *(head for head, _ in threads.unjudged)]  # a person may have edited one, or preferred it
    data = work.folder / "data"
    held_out = write_held_out(work, data)
    with stage("export") as progress:
        found = export_data(
            work.store,
            data,
            agent=work.config.agent,
            nodes=work.nodes,
            threads=[head.thread for head in heads],
            tokenizer=work.base_folder,
            held_out=held_out,
            kinds=kinds_of(work),
            progress=progress,
        )
    return {"threads": len(heads), "data": found}


def kinds_of(work: Work) -> list[str]:
    """The data sets that the methods need; both if none of them needs any, for what is new is told by them."""
    needed = {READS[method] for method in work.config.methods if method in READS}
    return [kind for kind in KINDS if kind in needed or not needed]


def data_of(work: Work, round: Round) -> Mapping[str, Mapping[str, Any]]:
    """What this round exported, or where that was skipped the newest round before it that did."""
    if told := round.told("export").get("data"):
        return told
    from ..dataset import read_manifest

    for number in range(round.number, 0, -1):
        folders = [folder_of(work.config.out, number) / "data" / kind for kind in kinds_of(work)]
        if found := {one.name: {**read_manifest(one), "folder": str(one)} for one in folders if one.exists()}:
            return found
    return {}


def what_is_trained(work: Work) -> Told:
    """The settings that decide what comes out of the same data; another seed is no other setting."""
    methods = [method for method in METHODS if method in work.config.methods]
    return {"methods": methods, "recipes": {name: dict(one) for name, one in sorted(work.config.recipes.items())}}


def why_in_vain(work: Work, round: Round) -> str | None:
    """Why this round has nothing to train on; None if it has."""
    return nothing_new(work, data_of(work, round), what_is_trained(work))


def baseline(work: Work, round: Round, stage: Stage) -> Told:
    """Evaluate what is live: the gate compares with it, and it shows how long the candidate's evaluation will take."""
    assert work.base is not None
    began = time.monotonic()
    with stage(f"evaluate {work.base.name}") as progress:
        found = evaluate_version(work, work.base.name, safety=False, progress=progress)
    told = told_of(found)
    seconds = time.monotonic() - began
    pace = seconds_an_episode(work.store, work.config.agent)  # it may have been played long ago
    known = seconds if pace is None else max(seconds, pace * all_episodes(work, safety=False))
    return {"suites": told, "seconds_of_an_evaluation": round_seconds(known)}


def evaluation_seconds(work: Work, round: Round) -> float:
    """How long the candidate's evaluation will take."""
    if "evaluate" in work.config.left_out or not work.suites:
        return 0.0
    known = round.told("baseline").get("seconds_of_an_evaluation")
    if known is not None:
        return known * all_episodes(work, safety=True) / max(all_episodes(work, safety=False), 1)
    pace = seconds_an_episode(work.store, work.config.agent)
    if pace is None:
        return UNKNOWN_SHARE * work.config.budget_s / MARGIN
    return pace * all_episodes(work, safety=True)


def train(work: Work, round: Round, stage: Stage) -> Told:
    """Train what the budget allows, and register what came out as a candidate."""
    assert work.base is not None
    data = data_of(work, round)
    shares = share_out(work.config.budget_s, round.seconds, evaluation_seconds(work, round))
    if shares.train < SHORTEST_S and not (work.folder / "models").exists():
        round.close(
            "hold",
            f"A budget of {spoken_time(work.config.budget_s)} leaves no time to train: {spoken_time(round.seconds)} "
            f"are gone, and {spoken_time(shares.evaluate)} are kept for the candidate's evaluation.",
        )
        return {"shares": {"train": shares.train, "evaluate": shares.evaluate}}
    lessons, refused = train_methods(work, data, shares.train, stage)
    told = {
        "shares": {"train": shares.train, "evaluate": shares.evaluate},
        "lessons": [_lesson(one) for one in lessons],
        "refused": refused,
    }
    if not lessons:
        reasons = "; ".join(f"{method}: {why}" for method, why in refused.items())
        round.close("hold", f"No method could be trained: {reasons}.")
        return told
    return told | {"candidate": _register(work, round, lessons, data)}


def _lesson(lesson: Lesson) -> Told:
    report = lesson.report
    return {
        "method": report.method,
        "folder": str(report.out),
        "steps": report.steps,
        "loss_first": report.loss_first,
        "loss_last": report.loss_last,
        "losses": report.losses,
        "seconds": round_seconds(report.seconds),
        "share": lesson.share_s,
        "tokens": report.tokens,
        "tokens_per_second": round_seconds(report.tokens_per_second),
        "stopped": report.stopped,
        "resumed_at": report.resumed_at,
        "seed": report.config.get("seed"),
        "data": report.config.get("data"),
    }


def _register(work: Work, round: Round, lessons: list[Lesson], data: Mapping[str, Mapping[str, Any]]) -> str:
    """The candidate's name; a folder that is registered already keeps the one it has."""
    assert work.base is not None
    out = lessons[-1].report.out
    known = [one.name for one in list_versions(work.store, work.slot) if Path(one.folder) == out.resolve()]
    if known:
        name = known[-1]
    else:
        learnt = {
            "data": {kind: told["digest"] for kind, told in data.items() if told["rows"]},
            "base": work.base.name,
            "settings": what_is_trained(work),
        }
        lineage = lineage_of(*(one.report for one in lessons)) | {"improve": learnt}
        name = register_version(work.store, work.slot, out, lineage=lineage, base=work.base.name).name
    if aliases_of(work.store, work.slot).get("candidate") != name:
        point(work.store, work.slot, "candidate", name, because=f"improve, round {round.number}")
    round.candidate = name
    return name


def newest_candidate(work: Work) -> str | None:
    """Where nothing is trained: the newest version that was trained from what is live."""
    assert work.base is not None
    children = [one.name for one in list_versions(work.store, work.slot) if one.base == work.base.name]
    return children[-1] if children else None


def evaluate(work: Work, round: Round, stage: Stage) -> Told:
    """Play the gate's tasks with the candidate."""
    assert round.candidate is not None
    with stage(f"evaluate {round.candidate}") as progress:
        found = evaluate_version(work, round.candidate, safety=True, progress=progress)
    return {"suites": told_of(found)}


def gate(work: Work, round: Round, stage: Stage) -> Told:
    """Let the gate judge the candidate."""
    assert round.candidate is not None
    with stage("gate") as progress:
        verdict = run_gate(
            work.store,
            round.candidate,
            policy=work.policy,
            live=round.base,
            workers=work.config.workers,
            progress=progress,
        )
    round.close(verdict.decision, *verdict.reasons)
    return {"verdict": verdict.as_json()}


def switch(work: Work, round: Round, stage: Stage) -> Told:
    """Let the candidate go live, if the gate says so and nobody has moved ``live`` since."""
    assert round.candidate is not None
    if round.decision != "promote":
        return {}
    if aliases_of(work.store, work.slot).get("live") != round.candidate:  # it was, if a kill came right after
        try:
            promote(
                work.store, work.slot, round.candidate, because=round.reasons[0], expecting=round.base, by="improve"
            )
        except PromotionConflict as error:
            round.close("hold", f"Judged better, but not promoted: {error}", *round.reasons)
            return {}
    round.promoted = True
    return {"promoted": round.candidate, "instead_of": round.base}


def round_seconds(value: float) -> float:
    """To a tenth."""
    return float(f"{value:.1f}")


RUN: dict[str, Callable[[Work, Round, Stage], Told]] = {
    "label": label,
    "export": export,
    "baseline": baseline,
    "train": train,
    "evaluate": evaluate,
    "gate": gate,
    "promote": switch,
}
