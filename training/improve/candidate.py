"""The stage that trains: how much time there is for it, what came of it, and the version it is registered as."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...checkpoints.registry import aliases_of, list_versions, point, register_version
from ..recipes.lineage import lineage_of
from .budget import MARGIN, SHORTEST_S, UNKNOWN_SHARE, round_seconds, share_out
from .data import data_of, what_is_trained
from .evaluating import all_episodes, seconds_an_episode
from .settings import spoken_time
from .state import Round
from .training import Lesson, Stage, train_methods
from .work import Work

Told = dict[str, Any]


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
