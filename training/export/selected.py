"""The end of an export: which of the rows in the journal are kept, and the folder and manifest made of them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import orjson

from ...checkpoints.data_sets import Source, record_data_set
from ...checkpoints.store import Store
from ..chats.rows import Format as ChatFormat
from ..chats.rows import train_new
from ..dataset import SPLITS, Format, Split, write_dataset
from ..rows import IGNORED
from ..selection.facts import Facts
from ..selection.select import Candidate, select
from .histogram import Histogram
from .journal import NOTED, Journal, Origin

if TYPE_CHECKING:
    from .pipeline import Recipe

ORIGINS = "origins.jsonl"
"""For each row, in order: its split, threads and checkpoints."""
REPEATED = "every turn is trained in another row"
LEFT_OUT = "left_out.jsonl"
"""What was read and is in no row, and why."""


@dataclass
class _Told:
    """What the rows that are written add up to."""

    rows: int = 0
    tokens: int = 0
    trained: int = 0
    by_source: Counter[str] = field(default_factory=Counter)
    lengths: Histogram = field(default_factory=Histogram)
    trained_lengths: Histogram = field(default_factory=Histogram)
    repeated: dict[int, str] = field(default_factory=dict)
    """Places of rows that train nothing new, and why."""

    def add(self, row: Mapping[str, Any]) -> None:
        tokens, trained = token_counts(row)
        self.rows += 1
        self.tokens += tokens
        self.trained += trained
        self.by_source[row["source"]] += 1
        self.lengths.add(tokens)
        self.trained_lengths.add(trained)


def write_selected(
    recipe: "Recipe",
    stores: Sequence[Store],
    journal: Journal,
    dropped: Mapping[str, str],
    out: Path,
    format: Format,
    threads: int,
) -> dict[str, Any]:
    """Write the folder ``out``, remember in the databases whose threads it holds, and return the manifest."""

    def candidates() -> Iterator[Candidate]:
        for entry in journal.entries():
            if entry.pair not in dropped:
                yield Candidate(entry.place, Facts.from_dict(entry.facts), entry.digest, entry.tokens, entry.text)

    selection = (
        recipe.selection if recipe.by_outcome else replace(recipe.selection, success_only=False, min_reward=None)
    )
    selected = select(candidates, selection)
    told = _Told()
    places: dict[Split, list[int]] = {split: [] for split in SPLITS}
    refused: dict[int, str] = {}
    for entry in journal.entries():
        decision = dropped.get(entry.pair or "") or selected.decisions[entry.place]
        if decision == "train" or decision == "test":
            places[decision].append(entry.place)
        else:
            refused[entry.place] = decision.removeprefix("left out: ")
    manifest = write_dataset(
        out,
        _rows(recipe.kind, journal, places["train"], told),
        {
            "kind": recipe.kind,
            "query": recipe.query(),
            "tokenizer": recipe.renderer.fingerprint if recipe.renderer else None,
            "databases": [store.name for store in stores],
        },
        test=_rows(recipe.kind, journal, places["test"], told) if recipe.selection.test else None,
        format=format,
        beside={
            ORIGINS: _origins(stores, journal, places, told),
            LEFT_OUT: _left_out(stores, journal, refused, told.repeated),
        },
        finish=lambda: {**_numbers(journal, told, refused, threads), "selected": selected.to_dict()},
    )
    for db, store in enumerate(stores):
        kept = (place for split in SPLITS for place in places[split] if place not in told.repeated)
        named = {origin.thread for origins in journal.origins(kept) for origin in origins if origin.db == db}
        record_data_set(
            store,
            digest=manifest["digest"],
            kind=recipe.kind,
            folder=str(out.resolve()),
            threads=named,
            rows=_sources(db, journal, places, told),
        )
    return manifest


def token_counts(row: Mapping[str, Any]) -> tuple[int, int]:
    """How many tokens a model reads of ``row``, and how many of them are trained; 0 and 0 if it holds text."""
    if "labels" in row:
        return len(row["labels"]), len(row["labels"]) - row["labels"].count(IGNORED)
    if "mask" in row:
        return len(row["mask"]), sum(row["mask"])
    parts = [name for name in ("chosen", "rejected", "completion") if f"{name}_ids" in row]
    return (
        sum(len(row["prompt_ids"]) + len(row[f"{part}_ids"]) for part in parts),
        sum(sum(row[f"{part}_mask"]) for part in parts),
    )


def longest_sequence(row: Mapping[str, Any]) -> int:
    """How many tokens a model reads of ``row`` at once: of a pair, of its longer side; 0 if it holds text."""
    if "chosen_ids" in row:
        return len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
    return token_counts(row)[0]


def _rows(kind: str, journal: Journal, places: Sequence[int], told: _Told) -> Iterator[dict[str, Any]]:
    """The rows at ``places``; a turn that stands in several of them is trained in the first."""
    for place, line in zip(places, journal.lines(places), strict=True):
        row: dict[str, Any] | str = orjson.loads(line)
        assert isinstance(row, dict)
        if "turns" in row:
            new = journal.take([bytes.fromhex(turn[-2]) for turn in row["turns"]])
            row = train_new(row, cast(ChatFormat, kind), new) if kind in get_args(ChatFormat) else _train_once(row, new)
        if isinstance(row, str):
            told.repeated[place] = row
            continue
        told.add(row)
        yield row.get("record", row)


def _train_once(row: dict[str, Any], new: Sequence[bool]) -> dict[str, Any] | str:
    """``row`` without its ``turns``, of which only the ``new`` ones are trained; or why it is left out."""
    turns = row.pop("turns")
    if not any(new):
        return REPEATED
    for (low, high, _, _), is_new in zip(turns, new, strict=True):
        if not is_new:
            row["labels"][low:high] = [IGNORED] * (high - low)
    trained = [message for (*_, message), is_new in zip(turns, new, strict=True) if is_new and message]
    return {**row, "messages": list(dict.fromkeys(trained))}


def _origins(
    stores: Sequence[Store], journal: Journal, places: Mapping[Split, Sequence[int]], told: _Told
) -> Iterator[dict[str, Any]]:
    for split in SPLITS:
        kept = [place for place in places[split] if place not in told.repeated]
        for number, origins in enumerate(journal.origins(kept)):
            yield {
                "split": split,
                "row": number,
                "threads": [origin.thread for origin in origins],
                "checkpoints": [origin.checkpoint for origin in origins],
                **({"databases": [stores[origin.db].name for origin in origins]} if len(stores) > 1 else {}),
            }


def _sources(db: int, journal: Journal, places: Mapping[Split, Sequence[int]], told: _Told) -> Iterator[Source]:
    """What the rows were made of, as far as it lies in the database ``db``."""
    for split in SPLITS:
        kept = [place for place in places[split] if place not in told.repeated]
        found = zip(journal.origins(kept), journal.digests(kept), strict=True)
        for row, (origins, digest) in enumerate(found):
            for number, origin in enumerate(origins):
                if origin.db == db:
                    yield Source(split, row, number, origin.thread, origin.checkpoint, digest)


def _left_out(
    stores: Sequence[Store], journal: Journal, refused: Mapping[int, str], repeated: Mapping[int, str]
) -> Iterator[dict[str, Any]]:
    """``repeated`` is read when all rows are written."""
    for db, thread, checkpoint, reason, n in journal.left_out():
        times = {"count": n} if n > 1 else {}
        yield {**_missing(stores, Origin(db, thread, checkpoint or ""), reason), **times}
    for reasons in (refused, repeated):
        for reason, origins in zip(reasons.values(), journal.origins(reasons), strict=True):
            for origin in origins:
                yield _missing(stores, origin, reason)


def _missing(stores: Sequence[Store], origin: Origin, reason: str) -> dict[str, Any]:
    database = {"database": stores[origin.db].name} if len(stores) > 1 else {}
    return {"thread": origin.thread, "checkpoint": origin.checkpoint or None, "reason": reason, **database}


def _numbers(journal: Journal, told: _Told, refused: Mapping[int, str], threads: int) -> dict[str, Any]:
    """What the manifest tells of all rows."""
    counts = journal.counts()
    noted = {name.removeprefix(NOTED): n for name, n in counts.items() if name.startswith(NOTED)}
    left_out = Counter({name: n for name, n in counts.items() if not name.startswith(NOTED)})
    left_out.update(refused.values())
    for *_, reason, n in journal.left_out():
        left_out[reason] += n
    left_out.update(told.repeated.values())
    redacted: Counter[str] = Counter()
    for entry in journal.entries():
        if entry.place not in refused and entry.place not in told.repeated:
            redacted.update(entry.redacted)
    return {
        "threads": threads,
        "rows": told.rows,
        "tokens": told.tokens,
        "trained_tokens": told.trained,
        "by_source": dict(sorted(told.by_source.items())),
        "left_out": dict(sorted(left_out.items())),
        **({"noted": dict(sorted(noted.items()))} if noted else {}),
        "redacted": dict(sorted(redacted.items())),
        "token_histogram": told.lengths.to_dict(),
        "trained_token_histogram": told.trained_lengths.to_dict(),
    }
