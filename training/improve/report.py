"""The report of a round: what was decided and why, first; then what it is based on, to be checked or done again."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...checkpoints.store import PREFIX, Store
from ..evaluation.metrics import METRIC
from .markdown import render_markdown
from .page import render_page
from .parts import Command, Items, Part, Report, Section, Table, Text
from .report_work import data_parts, settings_part, stages_part, training_parts
from .state import Round, folder_of

TITLES = {
    "promote": "{candidate} is live",
    "hold": "{base} stays live",
    "reject": "{base} stays live",
    "nothing to do": "{base} stays live",
}
MEANING = {
    "promote": "Promoted.",
    "hold": "Held: what was seen does not suffice to let a candidate go live.",
    "reject": "Rejected: the candidate is worse, or not safe.",
    "nothing to do": "Nothing to do.",
}


def write_report(out: Path, round: Round, store: Store) -> None:
    """Write ``report.md`` and ``report.html`` into ``out``, and into the round's own folder if it has one."""
    db = store.url if store.url.startswith(PREFIX) else store.name  # whose password is hidden
    report = make_report(round, out=out, db=db)
    own = folder_of(out, round.number)
    for folder in [out, *([own] if own.exists() else [])]:
        (folder / "report.md").write_text(render_markdown(report, folder), encoding="utf-8")
        (folder / "report.html").write_text(render_page(report), encoding="utf-8")


def make_report(round: Round, *, out: Path, db: str) -> Report:
    """All that is said of ``round``, whose folders are in ``out``."""
    told = {"base": round.base or "what is live", "candidate": round.candidate or ""}
    decision = round.decision or "hold"
    title = TITLES["hold" if decision == "promote" and not round.promoted else decision].format(**told)
    sections = [
        Section("Verdict", [*_verdict(round, decision, db)]),
        Section("Evaluation", [*_evaluation(round)]),
        Section("What got worse", [*_worse(round)]),
        Section("Failures", [*_failures(round, db)]),
        Section("Trained on", [*data_parts(round)]),
        Section("Training", [*training_parts(round)]),
        Section("Stages", [stages_part(round)]),
        Section("To do it again", [settings_part(round, out, db)]),
    ]
    return Report(f"{round.settings['agent']}: {title}", decision, [one for one in sections if one.parts])


def _verdict(round: Round, decision: str, db: str) -> Iterator[Part]:
    promoted = decision != "promote" or round.promoted
    yield Text(MEANING[decision] if promoted else "Judged better, but not promoted.", loud=True)
    yield Items(round.reasons)
    verdict = round.told("gate").get("verdict")
    if verdict:
        look, figures = verdict["look"], verdict["figures"]
        yield Text(
            f"{verdict['candidate']} was compared with {verdict['live']}; look {look} at it. Intervals leave out "
            f"{100 * figures['level_of_look']:.2g} % on each side."
        )
    if round.promoted:
        yield Text("The way back:")
        slot = str(round.candidate).partition("@")[0]
        yield Command(f'threadmill models rollback {slot} --because "…" --db {db}')


def _evaluation(round: Round) -> Iterator[Part]:
    verdict = round.told("gate").get("verdict")
    if verdict:
        for name, suite in verdict["figures"]["suites"].items():
            yield Text(f"Suite {name}: success on held-out tasks, {suite['k']} trials each.")
            yield Table(
                [
                    "tier",
                    "tasks",
                    verdict["live"],
                    verdict["candidate"],
                    "difference",
                    "interval",
                    f"pass^{suite['k']}",
                ],
                [_tier(tier, figures) for tier, figures in suite["tiers"].items()],
            )
        for name, suite in verdict["figures"]["safety"].items():
            yield Text(f"Safety suite {name}: {len(suite['failures'])} of {suite['trials']} trials failed.")
    played = {stage: round.told(stage).get("suites", {}) for stage in ("baseline", "evaluate")}
    for name in dict.fromkeys([*played["baseline"], *played["evaluate"]]):
        sides = [suites[name] for suites in played.values() if name in suites]
        yield Text(f"Suite {name}, each version by itself: success with its 95 % interval.")
        yield Table(
            ["tier", *(f"{side['version']}" for side in sides)],
            [
                [tier, *(_share(side["tiers"].get(tier)) for side in sides)]
                for tier in dict.fromkeys(tier for side in sides for tier in side["tiers"])
            ],
        )


def _tier(tier: str, figures: Mapping[str, Any]) -> list[str]:
    both = figures["pass_hat_k"]
    return [
        tier,
        str(figures["tasks"]),
        _percent(figures["live"]),
        _percent(figures["candidate"]),
        _points(figures["mean"]),
        f"{_points(figures['low'])} to {_points(figures['high'])}",
        f"{_percent(both['live'])} → {_percent(both['candidate'])}",
    ]


def _share(figures: Mapping[str, Any] | None) -> str:
    if figures is None:
        return "–"
    ends = "" if figures["low"] is None else f" ({_percent(figures['low'])} to {_percent(figures['high'])})"
    return f"{_percent(figures['mean'])}{ends}"


def _worse(round: Round) -> Iterator[Part]:
    """Tiers and metrics that moved the wrong way, the sure ones first."""
    verdict = round.told("gate").get("verdict")
    if not verdict:
        return
    rows: list[tuple[bool, list[str]]] = []
    for name, suite in verdict["figures"]["suites"].items():
        for tier, one in suite["tiers"].items():
            if one["mean"] < 0:
                change = [
                    _percent(one["live"]),
                    _percent(one["candidate"]),
                    f"{_points(one['low'])} to {_points(one['high'])}",
                ]
                rows.append((one["high"] < 0, [f"success, {tier} ({name})", *change]))
    for name, one in verdict["figures"]["metrics"].items():
        sign = {"higher": 1, "lower": -1}.get(METRIC[name].better or "", 0) if name in METRIC else 0
        if one["tasks"] and sign * one["mean"] < 0:
            values = [_number(one["live"]), _number(one["candidate"])]
            values.append(f"{_number(one['low'], '+')} to {_number(one['high'], '+')}")
            rows.append((max(sign * one["low"], sign * one["high"]) < 0, [name.replace("_", " "), *values]))
    if not rows:
        yield Text("Nothing that was measured.")
        return
    rows.sort(key=lambda row: not row[0])
    yield Table(
        ["what", verdict["live"], verdict["candidate"], "change", "sure"],
        [[*row, "yes" if sure else "no"] for sure, row in rows],
    )


def _failures(round: Round, db: str) -> Iterator[Part]:
    before, after = (round.told(stage).get("suites", {}) for stage in ("baseline", "evaluate"))
    for name, suite in (after or before).items():
        if not suite["failures"]:
            continue
        was = {one["kind"]: one["episodes"] for one in before.get(name, {}).get("failures", [])}
        yield Text(f"Suite {name}: episodes of {suite['version']} that failed, by what went wrong in them.")
        yield Table(
            ["kind", "threads to look at", "before", "now"],
            [
                [
                    one["kind"].replace("_", " "),
                    ", ".join(example["thread"] for example in one["examples"]),
                    str(was.get(one["kind"], 0)) if after else "–",
                    str(one["episodes"]),
                ]
                for one in suite["failures"]
            ],
            left=2,
        )
    if after or before:
        yield Command(f"threadmill threads show THREAD --db {db}")


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"


def _number(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3g}" if abs(value) < 1000 else f"{value:{sign},.0f}"
