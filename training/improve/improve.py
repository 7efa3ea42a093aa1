"""From threads to a verdict: label, export, train, evaluate, gate, promote, report, one after the other.

Every stage is remembered when it is over, so that the same call after a kill goes on. Nothing goes live that the gate
has not let through, and what has been learnt already is not learnt again, so that a second call promotes no noise.
"""

import time
from dataclasses import replace
from pathlib import Path

from ...checkpoints.registry import resolve
from ...checkpoints.store import Store
from ...checkpoints.tables import now
from ..gate.policy import GatePolicy
from .budget import round_seconds
from .candidate import newest_candidate
from .report import write_report
from .settings import ImproveConfig
from .stages import RUN, why_in_vain
from .state import Round, Stage, alone_in, folder_of, open_round, write_round
from .training import Stage as Announce
from .work import Work, open_work

NO_SUITE = (
    "Nothing to evaluate on: no suite is known for this agent, and without one nothing is promoted. Name its tasks "
    "with --suite FILE.jsonl or file.py:make_suite."
)
NO_CANDIDATE = "There is no candidate: nothing was trained now, and nothing from what is live before."


def improve(store: Store, config: ImproveConfig, policy: GatePolicy, stage: Announce) -> Round:
    """The round that was unfinished in ``config.out``, or a new one, to its end.

    Raises:
        FolderBusy: another process is at work in ``config.out``.
        BadConfig, UnknownSlot, UnknownSuite, UnknownVersion: it cannot begin.
        KeyboardInterrupt: somebody stopped it; what was finished is kept.
    """
    with alone_in(config.out):
        work, round = begin(store, config, policy)
        for name, run in RUN.items():
            if name == "baseline" and _will_train(work, round) and (why := why_in_vain(work, round)):
                round.close("nothing to do", f"Nothing new: {why}.")
            if _is_over(name, round):
                continue
            if why := _left_out(name, work, round):
                round.stages[name] = Stage(left_out=why)
            else:
                began = time.monotonic()
                told = run(work, round, stage)
                round.stages[name] = Stage(round_seconds(time.monotonic() - began), told)
            write_round(config.out, round)
        _conclude(work, round)
        if "report" not in config.left_out:
            write_report(config.out, round, store)
        round.finished = True
        write_round(config.out, round)
    return round


def begin(store: Store, config: ImproveConfig, policy: GatePolicy) -> tuple[Work, Round]:
    """What the stages work with, and the round that they belong to; nothing is written in ``config.out``."""
    work = open_work(store, config, policy, Path())
    live = None if work.base is None else work.base.name
    settings = {**config.what_counts(), "policy": work.policy.model_dump(mode="json"), "db": store.name}
    round = open_round(config.out, settings, live, now())
    base = work.base if round.base in (None, live) else resolve(store, round.base)  # its candidate is live already
    return replace(work, base=base, folder=folder_of(config.out, round.number)), round


def _will_train(work: Work, round: Round) -> bool:
    return "train" not in work.config.left_out and not _is_over("train", round)


def _is_over(name: str, round: Round) -> bool:
    """Whether a stage need not be looked at any more. What was skipped before may be wanted now."""
    if name in round.stages and round.stages[name].left_out is None:
        return True
    return round.decision is not None and name != "promote"


def _left_out(name: str, work: Work, round: Round) -> str | None:
    """Why a stage is not run; None if it is."""
    if name in work.config.left_out:
        return work.config.left_out[name]
    if name in ("baseline", "evaluate", "gate") and not work.suites:
        return "there is no suite"
    if name == "promote" and round.decision != "promote":
        return "the gate has not let anything through"
    if name in ("evaluate", "gate"):
        round.candidate = round.candidate or newest_candidate(work)
        if round.candidate is None:
            return "there is no candidate"
    return None


def _conclude(work: Work, round: Round) -> None:
    """Say what came of a round in which nobody has decided, or in which what was decided was not done."""
    if round.decision is None:
        if round.candidate is None:
            round.close("hold", NO_CANDIDATE)
        elif not work.suites:
            round.close("hold", NO_SUITE)
        else:
            round.close("hold", f"{round.candidate} was not judged: the gate was skipped.")
    elif round.decision == "promote" and not round.promoted:
        how = f'threadmill models promote {round.candidate} --because "the gate let it through"'
        round.reasons.append(f"Not promoted, for that was skipped; do it with: {how}")
