"""What a round trains on: rows of good branches and pairs, of all judged threads, without any held-out task.

And whether that is anything new: data that the live version has learnt from, or that gave a candidate from it already,
teach nothing when they are trained on once more, and would only give noise another chance at the gate.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ...checkpoints.data_sets import data_of_versions
from ...checkpoints.registry import lineage, list_versions
from ...checkpoints.store import Store
from ...checkpoints.tables import EvaluationRow, TrialRow
from ...checkpoints.where import Where
from ..dataset import read_manifest
from ..export import export_pairs, export_sft
from ..jsonl_suite import JsonlSuite
from ..recipes.report import Progress
from ..selection.settings import Selection
from ..worlds.helpdesk.prompt import AGENT
from .evaluating import gate_seed
from .settings import METHODS
from .state import Round, folder_of
from .threads import knows_evaluations
from .training import READS
from .work import Work

HELD_OUT = "heldout.jsonl"
KINDS = ("sft", "pairs")
KEPT = ("rows", "tokens", "trained_tokens", "left_out", "by_source", "digest")
"""Of a manifest, what the round remembers."""


def write_held_out(work: Work, folder: Path) -> tuple[str, ...]:
    """Write the tasks that must not be trained on, and name them as ``Selection.suites`` wants it.

    They are those that the gate plays, and all held-out tasks that any evaluation has played. The built-in helpdesk is
    known by its name: its tasks say in their ids whether they are held out, and others may use the same words.
    """
    tasks: dict[str, str] = {}
    for rule in work.policy.suites:
        if rule.name == AGENT:
            continue
        suite = work.suites[rule.name]
        per_tier = sys.maxsize if isinstance(suite, JsonlSuite) else rule.tasks_per_tier
        for task in suite.tasks("heldout", per_tier, gate_seed(work)):
            tasks[task.id] = task.text
    for task in evaluated_tasks(work.store):
        tasks.setdefault(task, "")
    folder.mkdir(parents=True, exist_ok=True)
    lines = (json.dumps({"id": task, "text": text}) + "\n" for task, text in sorted(tasks.items()))
    (folder / HELD_OUT).write_text("".join(lines), encoding="utf-8")
    by_name = (AGENT,) if AGENT in work.suites else ()
    return (*by_name, str(folder / HELD_OUT)) if tasks else by_name


def export_data(
    store: Store,
    folder: Path,
    *,
    agent: str,
    slots: Sequence[str],
    threads: Iterable[str],
    tokenizer: str,
    held_out: tuple[str, ...],
    kinds: Sequence[str],
    progress: Progress,
) -> dict[str, dict[str, Any]]:
    """Write the data sets ``folder/sft`` and ``folder/pairs``; kind to what its manifest says in short."""
    where = Where(agent=agent, slots=tuple(slots), among=frozenset(threads))
    exporters = {
        "sft": (export_sft, Selection(success_only=True, suites=held_out)),
        "pairs": (export_pairs, Selection(suites=held_out)),
    }
    found = {}
    for kind in kinds:
        export, selection = exporters[kind]
        manifest = export(
            store, folder / kind, tokenizer=tokenizer, where=where, selection=selection, progress=progress
        )
        found[kind] = {name: manifest[name] for name in KEPT} | {"folder": str(folder / kind)}
    return found


def nothing_new(work: Work, data: Mapping[str, Mapping[str, Any]], settings: Mapping[str, Any]) -> str | None:
    """Why training on ``data`` once more would be in vain; None if it would not.

    ``settings`` are those that decide what is trained, without the seed: another seed is no reason to try again.
    """
    digests = {kind: told["digest"] for kind, told in data.items() if told["rows"]}
    if not digests:
        return "no thread gave a row or a pair to learn from"
    if work.base is None:
        return None
    live = work.base.name
    line = [version.name for version in lineage(work.store, live)]
    trained_on = data_of_versions(work.store)
    if {digest for name in line for digest in trained_on.get(name, ())}.issuperset(digests.values()):
        return f"{live} has learnt from these very rows already"
    for version in list_versions(work.store, work.slot):
        tried = version.lineage.get("improve", {})
        if tried.get("data") != digests or Path(version.folder).is_relative_to(work.folder.resolve()):
            continue  # what this round itself has registered is no reason to stop
        if version.name in line:
            return f"{live} has learnt from these very rows already, as {version.name}"
        if tried.get("base") == live and tried.get("settings") == settings:
            return f"{version.name} was trained from {live} on these very rows already, in the same way"
    return None


def kinds_of(work: Work) -> list[str]:
    """The data sets that the methods need; both if none of them needs any, for what is new is told by them."""
    needed = {READS[method] for method in work.config.methods if method in READS}
    return [kind for kind in KINDS if kind in needed or not needed]


def data_of(work: Work, round: Round) -> Mapping[str, Mapping[str, Any]]:
    """What this round exported, or where that was skipped the newest round before it that did."""
    if told := round.told("export").get("data"):
        return told
    for number in range(round.number, 0, -1):
        folders = [folder_of(work.config.out, number) / "data" / kind for kind in kinds_of(work)]
        if found := {one.name: {**read_manifest(one), "folder": str(one)} for one in folders if one.exists()}:
            return found
    return {}


def what_is_trained(work: Work) -> dict[str, Any]:
    """The settings that decide what comes out of the same data; another seed is no other setting."""
    methods = [method for method in METHODS if method in work.config.methods]
    return {"methods": methods, "recipes": {name: dict(one) for name, one in sorted(work.config.recipes.items())}}


def evaluated_tasks(store: Store) -> set[str]:
    """Held-out tasks that any evaluation has played."""
    if not knows_evaluations(store):
        return set()
    with Session(store.engine) as session:
        rows = session.execute(select(EvaluationRow.id, EvaluationRow.settings)).all()
        meant = {evaluation for evaluation, settings in rows if settings.get("split") != "train"}
        played = session.execute(select(TrialRow.evaluation, TrialRow.task).distinct())
        return {task for evaluation, task in played if evaluation in meant}
