"""From threads to a data set folder: read, redact, make rows, select, write; resumable, in constant memory.

The same threads and the same query give the same bytes.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from ...checkpoints.store import Store
from ...checkpoints.where import Where, find_heads, state_of
from ...errors import BadRedaction, BadTrace, BadWhere, CannotRender, ThreadmillError
from ..branches import Branch, Unnoted, stream_branches
from ..dataset import LIBRARIES, Format, line_of, refuse_place, version_of
from ..selection.duplicates import branch_text
from ..selection.facts import Facts, facts_of
from ..selection.filters import refuse
from ..selection.settings import Selection
from .fitting import refuse_selection
from .journal import NOTED, Entry, Journal, Origin
from .makers import Maker
from .selected import longest_sequence, write_selected
from .units import Place, in_units
from .writing import writing

if TYPE_CHECKING:
    from ...nodes.models.render import Renderer
    from ..selection.redaction import Redactor

Progress = Callable[[int, int], None]
"""Told how many threads are done, and of how many."""
COMMIT_EVERY = 100
"""Threads whose work an interruption may cost."""
NO_TOOLS = "rows with calls of tools that nobody noted"


@dataclass(frozen=True)
class Recipe:
    """What is exported, and how; all that decides which rows there are."""

    kind: str
    where: Where
    maker: Callable[[Journal], Maker]
    selection: Selection
    renderer: "Renderer | None" = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What else the maker was told."""
    together: bool = False
    """Whether the threads of one task are needed at once."""
    links: Sequence[tuple[str, str]] = ()
    """Threads that are needed at once besides."""
    by_outcome: bool = True
    """Whether the selection's outcomes decide which branches give rows at all: bad examples make pairs, too."""
    remembers: bool = False
    """Whether the maker must be told its earlier rows, to go on after an interruption."""
    redactor: "Redactor | None" = None
    unnoted: Unnoted = field(default_factory=Unnoted)
    """Given for threads that did not note it."""

    def query(self) -> dict[str, Any]:
        """What was asked, JSON-safe."""
        return {
            "kind": self.kind,
            "where": self.where.to_dict(),
            "selection": self.selection.to_dict(),
            "redaction": self.redactor.to_dict() if self.redactor else None,
            "tools": [tool.get("function", tool).get("name") for tool in self.unnoted.tools],
            "system": self.unnoted.system,
            **self.settings,
        }


@dataclass(frozen=True, slots=True)
class _Made:
    """A branch as its rows may be made of it."""

    branch: Branch
    origin: Origin
    facts: Facts
    redacted: Counter[str]
    text: str
    """For finding near duplicates, where that is asked for."""


@dataclass(frozen=True, slots=True)
class _Thread:
    """What became of reading a thread."""

    place: Place
    made: tuple[_Made, ...]
    left_out: tuple[tuple[int, str, str | None, str], ...]
    """Database, thread, checkpoint and reason."""


def run_export(
    stores: Sequence[Store],
    out: Path,
    recipe: Recipe,
    *,
    format: Format = "jsonl",
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write the data set to the folder ``out`` and return its manifest.

    Interrupted and called again, it goes on where it was, unless the threads or the query have changed.

    Raises:
        BadDataset: ``out`` exists and is not a data set, is being written by another export, or cannot be written, or
            ``format`` cannot hold such rows.
        BadSelection: rows of this kind cannot be selected so.
        BadWhere: a database is named twice.
        StoreFull: there is no room for it.
    """
    with writing(out):
        return _export(stores, out, recipe, format, progress)


def _export(
    stores: Sequence[Store], out: Path, recipe: Recipe, format: Format, progress: Progress | None
) -> dict[str, Any]:
    refuse_place(out, recipe.kind, format)
    refuse_selection(recipe.kind, recipe.selection)
    names = [store.name for store in stores]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadWhere(f"the database {twice[0]!r} is named twice; name it once")
    found = ((db, head) for db, store in enumerate(stores) for head in find_heads(store, recipe.where))
    heads = in_units(found, together=recipe.together, links=recipe.links)
    journal = Journal(out, _fingerprint(recipe, stores, heads))
    try:
        maker = recipe.maker(journal)
        if recipe.remembers:
            for line in journal.lines(entry.place for entry in journal.entries()):
                maker.remember(orjson.loads(line))
        _fill(recipe, stores, heads, journal, maker, progress)
        manifest = write_selected(recipe, stores, journal, maker.dropped(), out, format, len(heads))
    except BaseException:
        journal.close()
        raise
    journal.remove()
    return manifest


def _fingerprint(recipe: Recipe, stores: Sequence[Store], heads: Sequence[Place]) -> str:
    states = [
        (store.name, state_of(store, [place.head for place in heads if place.db == db]))
        for db, store in enumerate(stores)
    ]
    tokenizer = recipe.renderer.fingerprint if recipe.renderer else None
    libraries = [version_of(name) for name in LIBRARIES]
    said = json.dumps(
        [recipe.query(), [*recipe.unnoted.tools], tokenizer, states, libraries], default=str, sort_keys=True
    )
    return hashlib.sha256(said.encode()).hexdigest()


def _fill(
    recipe: Recipe,
    stores: Sequence[Store],
    heads: Sequence[Place],
    journal: Journal,
    maker: Maker,
    progress: Progress | None,
) -> None:
    """Make the rows of all threads that are not yet in the journal."""
    done = saved = journal.done
    for _, threads in groupby(_read(recipe, stores, heads, done), key=lambda thread: thread.place.unit):
        group = list(threads)
        _make(maker, group, journal, redacts=recipe.redactor is not None)
        done += len(group)
        if done - saved >= COMMIT_EVERY or done == len(heads):
            journal.commit(done)
            saved = done
        if progress is not None:
            progress(done, len(heads))


def _make(maker: Maker, group: Sequence[_Thread], journal: Journal, *, redacts: bool) -> None:
    """Keep the rows of these threads, and why others gave none."""
    for thread in group:
        for found in thread.left_out:
            journal.leave_out(*found)
    left_out, noted = Counter(maker.left_out), Counter(maker.noted)
    known = {(made.branch.thread, made.branch.checkpoint): made for thread in group for made in thread.made}
    for row in maker.of([[made.branch for made in thread.made] for thread in group if thread.made]):
        places = [*zip(*(row.get(f"{name}s") or [row[name]] for name in ("thread", "checkpoint")), strict=True)]
        made = [known[place] for place in places]
        first, *_ = made
        if row["tokens"] != "recorded" and first.facts.calls and not first.branch.tools:
            journal.count(Counter({f"{NOTED}{NO_TOOLS}": 1}))
        redacted = Counter({kind: n for one in made for kind, n in one.redacted.items()})
        row = {**row, "facts": first.facts.to_row(), **({"redacted": redacted.total()} if redacts else {})}
        entry = Entry(
            0,
            first.facts.to_dict(),
            _digest(row),
            longest_sequence(row),
            first.text,
            row["source"],
            row.get("pair"),
            redacted,
        )
        journal.add(row, entry, [one.origin for one in made])
    journal.count(Counter({f"{NOTED}{name}": n for name, n in (Counter(maker.noted) - noted).items()}))
    reasons = Counter(maker.left_out) - left_out
    if len(group) == 1:
        _, db, head = group[0].place
        for reason, n in reasons.items():
            journal.leave_out(db, head.thread, None, reason, n)
    else:  # of which thread they are is not known
        journal.count(reasons)


def _read(recipe: Recipe, stores: Sequence[Store], heads: Sequence[Place], done: int) -> Iterator[_Thread]:
    """Each thread behind the first ``done``, in order."""
    ids = Counter(place.head.thread for place in heads)
    for db, run in groupby(heads[done:], key=lambda place: place.db):
        store, places = stores[db], list(run)
        ahead = [place.head for place in places]
        stream = stream_branches(store, ahead, renderer=recipe.renderer, unnoted=recipe.unnoted)
        for place, read in zip(places, stream, strict=True):
            head = place.head
            name = head.thread if ids[head.thread] == 1 else f"{head.thread} (database {db + 1})"
            made: list[_Made] = []
            left_out: list[tuple[int, str, str | None, str]] = []
            if read.error is not None:
                left_out.append((db, head.thread, None, trouble(read.error)))
            for branch in read.branches:
                origin = Origin(db, head.thread, branch.checkpoint)
                facts = facts_of(branch, suites=bool(recipe.selection.suites))
                reason = refuse(facts, recipe.selection) if recipe.by_outcome else None
                if reason is None:
                    try:
                        made.append(_prepare(recipe, replace(branch, thread=name), origin, facts))
                    except BadRedaction:
                        reason = "its tokens are not of the redactor's tokenizer"
                if reason is not None:
                    left_out.append((db, head.thread, branch.checkpoint, reason))
            yield _Thread(place, tuple(made), tuple(left_out))


def _prepare(recipe: Recipe, branch: Branch, origin: Origin, facts: Facts) -> _Made:
    redacted: Counter[str] = Counter()
    if recipe.redactor is not None:
        from ..selection.redaction import redact_branch

        branch, redacted = redact_branch(branch, recipe.redactor)
    text = branch_text(branch) if recipe.selection.near is not None else ""
    return _Made(branch, origin, facts, redacted, text)


def _digest(row: Mapping[str, Any]) -> bytes:
    """Of what the row trains, wherever it comes from."""
    names = ("input_ids", "labels", "prompt_ids", "chosen_ids", "rejected_ids", "completion_ids", "label", "record")
    said = [row[name] for name in names if name in row]
    return hashlib.blake2b(line_of({"row": said}), digest_size=16).digest()


def trouble(error: ThreadmillError) -> str:
    """Why a thread gave nothing, as the manifest counts it."""
    if isinstance(error, BadTrace):
        return "tokens cannot be read"
    return "the chat template refuses it" if isinstance(error, CannotRender) else "the thread cannot be read"
