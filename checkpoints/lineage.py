"""Where weights come from, and where threads went: both ways, as one tree that any picture can be drawn of.

Back: a message → the version that wrote it → its runs → their data sets → threads; then the version's base.
Forth: a thread → data sets → the versions trained on them → the versions trained on those.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.messages import AIMessage

from ..errors import UnknownThread, UnknownVersion
from .data_sets import DataSet, data_of_versions, data_sets_by_digest, sources_of, threads_of, uses_of
from .reading import leaf_checkpoints, read_messages
from .registry import Version, aliases_of, lineage, list_versions
from .runs import Run, list_runs
from .store import Store

Kind = Literal["message", "version", "weights", "run", "data set", "thread"]


@dataclass(slots=True)
class Origin:
    """One point of a lineage, and what is behind it."""

    kind: Kind
    """``weights`` are those of a folder or hub name that is not registered."""
    name: str
    about: str = ""
    """In few words."""
    details: dict[str, Any] = field(default_factory=dict)
    """JSON-safe."""
    leads: "list[Origin]" = field(default_factory=list)


def origins_of_version(store: Store, spec: str) -> Origin:
    """What the version that ``spec`` names was trained on, and the version that it was trained from, to the first.

    Raises:
        UnknownSlot, UnknownVersion
    """
    line = lineage(store, spec)
    runs: dict[str, list[Run]] = {version.name: [] for version in line}
    for run in list_runs(store):
        if run.version in runs:
            runs[run.version].append(run)
    below: Origin | None = None
    for version in reversed(line):
        point = _version(store, version)
        for run in reversed(runs[version.name]):
            point.leads.append(_run(store, run))
        if below is not None:
            point.leads.append(below)
        elif weights := _first_weights(version, [run.settings for run in runs[version.name]]):
            point.leads.append(weights)
        below = point
    assert below is not None
    return below


def origins_of_message(store: Store, thread: str, message: str | None = None) -> Origin:
    """What the weights that wrote ``message`` were trained on; the last one that a model wrote if None.

    Raises:
        UnknownThread: no such thread, or no such message in it.
        UnknownVersion: the message does not say who wrote it, or its version is not registered here.
    """
    said = {m.id: m for leaf in leaf_checkpoints(store, thread) for m in read_messages(store, thread, leaf)}
    spoken = [one for one in said.values() if isinstance(one, AIMessage)]
    found = said.get(message) if message else (spoken[-1] if spoken else None)
    if found is None:
        wanted = f"message {message!r}" if message else "message of a model"
        raise UnknownThread(f"thread {thread!r} has no {wanted}; see `threadmill threads show {thread} --json`")
    version = found.response_metadata.get("version") if isinstance(found, AIMessage) else None
    if version is None:
        raise UnknownVersion(
            f"message {found.id!r} of thread {thread!r} ({found.type}) does not say which weights wrote it; "
            "only models behind a slot do"
        )
    point = Origin(
        "message", str(found.id), f"in thread {thread}, by {version}", {"thread": thread, "text": found.text}
    )
    if "@" in version:
        point.leads.append(origins_of_version(store, version))
    else:
        point.leads.append(Origin("weights", version, "not registered here"))
    return point


def descendants_of_thread(store: Store, thread: str) -> Origin:
    """The data sets that hold rows of ``thread``, and every version that learnt from it, at first or second hand.

    A thread that was never exported leads nowhere.
    """
    point = Origin("thread", thread)
    uses = uses_of(store, [thread]).get(thread)
    if uses is None:
        return point
    versions = list_versions(store)
    trained_on = data_of_versions(store)
    by_digest: dict[str, list[DataSet]] = {}
    for data_set in uses.data_sets:
        by_digest.setdefault(data_set.digest, []).append(data_set)
    for digest, copies in by_digest.items():
        rows = sources_of(store, digest, thread=thread)
        found = _data_set(digest, copies)
        count = len({(one.split, one.row) for one in rows})
        found.about = f"{found.about}, {_rows(count)} of this thread" if rows else found.about
        found.details["rows"] = [{"split": one.split, "row": one.row, "checkpoint": one.checkpoint} for one in rows]
        taught = [version for version in versions if digest in trained_on.get(version.name, ())]
        found.leads = [_with_children(store, version, versions) for version in taught]
        point.leads.append(found)
    return point


def points(origin: Origin) -> Iterator[Origin]:
    """``origin`` and all behind it, each before what it leads to."""
    yield origin
    for one in origin.leads:
        yield from points(one)


def versions_in(origin: Origin) -> list[str]:
    """The versions of a lineage, each once, in the order of ``points``."""
    return list(dict.fromkeys(point.name for point in points(origin) if point.kind == "version"))


def threads_in(origin: Origin) -> list[str]:
    """The threads of a lineage, each once, in the order of ``points``."""
    return list(dict.fromkeys(point.name for point in points(origin) if point.kind == "thread"))


def to_dict(origin: Origin) -> dict[str, Any]:
    """JSON-safe: ``kind``, ``name``, ``about``, ``details`` and ``leads``."""
    leads = [to_dict(one) for one in origin.leads]
    return {
        "kind": origin.kind,
        "name": origin.name,
        "about": origin.about,
        "details": origin.details,
        "leads": leads,
    }


def _version(store: Store, version: Version) -> Origin:
    names = [alias for alias, name in aliases_of(store, version.slot).items() if name == version.name]
    about = ", ".join([*names, version.created_at[:16].replace("T", " ")])
    return Origin("version", version.name, about, {"folder": version.folder, "digest": version.digest})


def _run(store: Store, run: Run) -> Origin:
    seed = "" if run.seed is None else f", seed {run.seed}"
    point = Origin(
        "run", run.recipe, f"{run.steps} steps{seed}", {"settings": run.settings, "libraries": run.libraries}
    )
    if run.data is None:
        return point
    found = _data_set(run.data, data_sets_by_digest(store, [run.data]).get(run.data, []))
    for thread, rows in threads_of(store, run.data).items():
        found.leads.append(Origin("thread", thread, _rows(rows) if rows else "", {"rows": rows}))
    point.leads.append(found)
    return point


def _data_set(digest: str, copies: list[DataSet]) -> Origin:
    if not copies:
        return Origin("data set", digest[:12], "not exported from this database", {"digest": digest, "folders": []})
    newest = copies[-1]
    details = {"digest": digest, "kind": newest.kind, "folders": [one.folder for one in copies]}
    return Origin("data set", digest[:12], f"{newest.kind}, {newest.folder}", details)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _first_weights(version: Version, settings: list[dict[str, Any]]) -> Origin | None:
    if not settings or not settings[0].get("base"):
        return None
    return Origin("weights", str(version.base or settings[0]["base"]), "not registered here")


def _with_children(store: Store, version: Version, versions: list[Version]) -> Origin:
    point = _version(store, version)
    point.leads = [_with_children(store, child, versions) for child in versions if child.base == version.name]
    return point
