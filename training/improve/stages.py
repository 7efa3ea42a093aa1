"""The stages of a round, each a function of what is known: it does its work and tells what it did, JSON-safe.

What a stage tells is remembered; a stage that is told of already is not run again. None of them decides alone whether
a round goes on: they ``close`` it, and the round ends.
"""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from ...checkpoints.labels import add_labels
from ...checkpoints.registry import aliases_of, promote
from ...errors import EpisodesCrash, PromotionConflict
from ..gate.run import run_gate
from ..rewards.configured import open_rewards, read_file
from ..rewards.stored import record_scores
from .budget import round_seconds
from .candidate import train
from .data import data_of, export_data, kinds_of, nothing_new, what_is_trained, write_held_out
from .evaluating import all_episodes, evaluate_version, seconds_an_episode, told_of
from .labelling import judge_threads
from .state import Round
from .threads import NOBODY, evaluated_threads, sort_threads
from .training import Stage
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
            slots=work.slots,
            threads=[head.thread for head in heads],
            tokenizer=work.base_folder,
            held_out=held_out,
            kinds=kinds_of(work),
            progress=progress,
        )
    return {"threads": len(heads), "data": found}


def why_in_vain(work: Work, round: Round) -> str | None:
    """Why this round has nothing to train on; None if it has."""
    return nothing_new(work, data_of(work, round), what_is_trained(work))


def baseline(work: Work, round: Round, stage: Stage) -> Told:
    """Evaluate what is live: the gate compares with it, and it shows how long the candidate's evaluation will take."""
    assert work.base is not None
    before, began = len(evaluated_threads(work.store)), time.monotonic()
    with stage(f"evaluate {work.base.name}") as progress:
        found = evaluate_version(work, work.base.name, safety=False, progress=progress)
    seconds, played = time.monotonic() - began, len(evaluated_threads(work.store)) - before
    wanted = all_episodes(work, safety=False)
    if 2 * played >= wanted:
        known = seconds * wanted / max(played, 1)
    else:  # most of it was played long ago, and is read back
        known = wanted * (seconds_an_episode(work.store, work.config.agent) or 0.0)
    return {"suites": told_of(found), "seconds_of_an_evaluation": round_seconds(known)}


def evaluate(work: Work, round: Round, stage: Stage) -> Told:
    """Play the gate's tasks with the candidate."""
    assert round.candidate is not None
    try:
        with stage(f"evaluate {round.candidate}") as progress:
            found = evaluate_version(work, round.candidate, safety=True, progress=progress)
    except EpisodesCrash as error:  # the same command would only crash again
        round.close("hold", f"{round.candidate} cannot be judged: {error}.")
        return {}
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


RUN: dict[str, Callable[[Work, Round, Stage], Told]] = {
    "label": label,
    "export": export,
    "baseline": baseline,
    "train": train,
    "evaluate": evaluate,
    "gate": gate,
    "promote": switch,
}
