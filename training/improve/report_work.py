"""The second half of a report: what was trained on, how, how long it took, and what it takes to do it again."""

import sys
from collections.abc import Iterator
from pathlib import Path

from ..dataset import version_of
from ..recipes.lineage import LIBRARIES
from .parts import Curve, Items, Part, Table, Text
from .settings import STAGES, spoken_time
from .state import Round, folder_of


def data_parts(round: Round) -> Iterator[Part]:
    """Who judged which threads, the rows they gave, and what was left out."""
    label, data = round.told("label"), round.told("export").get("data", {})
    if label:
        known = label["judged_before"] | {f"{who} (in this round)": n for who, n in label["labelled"].items()}
        told = ", ".join(f"{n} by {who}" for who, n in known.items()) or "none"
        yield Text(f"Threads that somebody has judged: {told}.")
        if left := label["unlabelled"] | label["left_out"]:
            yield Text("Threads that are not trained on, or only for what a person edited in them:")
            yield Items([f"{n}: {why}" for why, n in left.items()])
    if data:
        yield Text(f"Read were {round.told('export')['threads']} threads.")
        yield Table(
            ["data", "rows", "tokens", "trained tokens", "digest"],
            [
                [kind, *(f"{one[name]:,}" for name in ("rows", "tokens", "trained_tokens")), one["digest"][:12]]
                for kind, one in data.items()
            ],
        )
    for kind, one in data.items():
        if one["left_out"]:
            yield Text(f"Left out of {kind}:")
            yield Items([f"{n}: {why}" for why, n in one["left_out"].items()])


def training_parts(round: Round) -> Iterator[Part]:
    """What each method did."""
    told = round.told("train")
    if lessons := told.get("lessons", []):
        yield Table(
            ["method", "steps", "first loss", "last loss", "took", "had", "tokens/s"],
            [
                [
                    one["method"],
                    str(one["steps"]),
                    f"{one['loss_first']:.4f}",
                    f"{one['loss_last']:.4f}",
                    spoken_time(one["seconds"]),
                    spoken_time(one["share"]),
                    f"{one['tokens_per_second']:,.0f}",
                ]
                for one in lessons
            ],
        )
        yield from (Text(f"{one['method']} stopped {one['stopped']}.") for one in lessons if one["stopped"])
    if refused := told.get("refused"):
        yield Items([f"{method} was not trained: {why}." for method, why in refused.items()])
    for one in lessons:
        yield Curve(f"{one['method']} loss", [tuple(point) for point in one["losses"]], one["folder"])


def stages_part(round: Round) -> Part:
    """How long each stage took."""
    rows = []
    for name in STAGES:
        if name in round.stages:
            one = round.stages[name]
            rows.append([name, one.left_out or "done", "" if one.left_out else spoken_time(one.seconds)])
    return Table(["stage", "what became of it", "took"], [*rows, ["all", "", spoken_time(round.seconds)]], left=2)


def settings_part(round: Round, out: Path, db: str) -> Part:
    """Seeds, digests and libraries."""
    settings = round.settings
    evaluations = [
        one["id"] for stage in ("baseline", "evaluate") for one in round.told(stage).get("suites", {}).values()
    ]
    seeds = {f"of {one['method']}": one["seed"] for one in round.told("train").get("lessons", [])}
    known = {
        "round": f"{round.number}, begun {round.began_at}",
        "database": db,
        "folder": str(folder_of(out, round.number)),
        "base": round.base,
        "candidate": round.candidate,
        "suite": settings["suite"],
        "methods": ", ".join(settings["methods"]),
        "seed": settings["seed"],
        "seeds": ", ".join(f"{seed} {what}" for what, seed in seeds.items()),
        "seed of the gate's policy": settings["policy"]["seed"],
        "evaluations": ", ".join(dict.fromkeys(evaluations)),
        **{f"data, {kind}": one["digest"] for kind, one in round.told("export").get("data", {}).items()},
        "Python": sys.version.split()[0],
        **{name: version_of(name) for name in ("threadmill", "langgraph", *LIBRARIES)},
    }
    return Table(
        ["what", "value"], [[name, str(value)] for name, value in known.items() if value not in (None, "")], left=2
    )
