"""Which recorded episodes offline GRPO can learn from, and as what; everything else is counted by reason. Pure.

An importance ratio needs the probability that a token was drawn with. So an episode is left out if that is not known
or was another: no logprobs, settings that nobody noted, logprobs of another distribution than the sampling one (an
endpoint's ``raw``, ``processed`` or ``masked``), another temperature, a choice narrowed by a grammar or by top-p,
top-k or min-p, or tokens that redaction changed. Text that a human put in the policy's place has no logprob: it is
read, but not trained.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from .credited import Member
from .group_rows import GIVEN, GroupRow

Row = Mapping[str, Any]
Narrowed = Literal["leave_out", "keep"]


@dataclass(frozen=True)
class Recorded:
    """What a data set of groups holds for us."""

    groups: list[list[Member]]
    temperature: float
    left_out: Counter[str]
    """Episodes by reason."""
    noted: Counter[str]


def recorded_groups(
    rows: Sequence[Row],
    *,
    temperature: float | None = None,
    narrowed: Narrowed = "leave_out",
    context: int,
    with_values: bool = False,
) -> Recorded:
    """The groups of ``rows`` in order, each with its episodes and their rows in order.

    ``temperature`` None is the one that most episodes were sampled at. ``narrowed`` episodes may be kept: their
    recorded logprobs are those before the choice was narrowed, so ratios are too large where it was. ``with_values``
    wants step values for every turn.
    """
    episodes: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        episodes[row["group"], row["thread"]].append(row)
    reasons = {key: _trouble(parts, context, narrowed, with_values) for key, parts in episodes.items()}
    warm = Counter(
        parts[0]["sampling"]["temperature"] for key, parts in episodes.items() if reasons[key] is None
    ).most_common(1)
    chosen = temperature if temperature is not None else warm[0][0] if warm else 1.0
    left_out: Counter[str] = Counter()
    noted: Counter[str] = Counter()
    groups: dict[str, list[Member]] = defaultdict(list)
    for (group, thread), parts in episodes.items():
        reason = reasons[group, thread]
        if reason is None and parts[0]["sampling"]["temperature"] != chosen:
            reason = "sampled at another temperature"
        if reason is not None:
            left_out[reason] += 1
            continue
        groups[group].append(_member(thread, sorted(parts, key=lambda row: row.get("part", 0)), noted, with_values))
    left_out["alone in its group"] += sum(len(members) == 1 for members in groups.values())
    kept = [members for members in groups.values() if len(members) > 1]
    noted["episodes"] = sum(map(len, kept))
    return Recorded(kept, chosen, +left_out, noted)


def _trouble(parts: Sequence[Row], context: int, narrowed: Narrowed, with_values: bool) -> str | None:
    """Why an episode is of no use."""
    if len(parts) != parts[0].get("parts", 1):
        return "not all of its parts are here"
    return next(filter(None, (_trouble_of_row(row, context, narrowed, with_values) for row in parts)), None)


def _trouble_of_row(row: Row, context: int, narrowed: Narrowed, with_values: bool) -> str | None:
    sampling = row.get("sampling")
    trained = [value for value, bit in zip(row["logprobs"], row["mask"], strict=True) if bit]
    if row.get("redacted"):
        return "redacted"
    if not any(value is not None for value in trained):
        return "no logprobs"
    if len(row["input_ids"]) > context:
        return "longer than the model can read"
    if not sampling or sampling.get("temperature") is None:
        return "how it was sampled is not known"
    if sampling.get("logprobs", "sampling") != "sampling":
        return f"logprobs are {sampling['logprobs']}"
    if sampling["temperature"] <= 0:
        return "sampled at temperature 0"
    if narrowed == "leave_out" and is_narrowed(sampling):
        return "narrowed by a grammar, top-p, top-k or min-p"
    if with_values and (not row.get("step_values") or len(row["step_values"]) != len(list(_turns(row)))):
        return "no step values"
    return None


def is_narrowed(sampling: Mapping[str, Any]) -> bool:
    """Whether less than the whole distribution could be drawn from.

    >>> is_narrowed({"temperature": 1.0, "top_p": 1.0}), is_narrowed({"top_p": 0.9}), is_narrowed({"constrained": True})
    (False, True, True)
    """
    return (
        bool(sampling.get("constrained"))
        or (sampling.get("top_p") or 1.0) < 1.0
        or (sampling.get("top_k") or 0) > 0
        or (sampling.get("min_p") or 0.0) > 0.0
    )


def _member(thread: str, rows: Sequence[Row], noted: Counter[str], with_values: bool) -> Member:
    parts: list[GroupRow] = []
    values: list[float | None] = []
    first_turn = 0
    for row in rows:
        part, turns = _part(row, first_turn, noted)
        first_turn += turns
        parts.append(part)
        values += row["step_values"] if with_values else []
    noted["rows"] += len(parts)
    return Member(thread, float(rows[0]["reward"]), parts, step_values=values if with_values else None)


def _part(row: Row, first_turn: int, noted: Counter[str]) -> tuple[GroupRow, int]:
    """The row for the trainer, and how many turns it has."""
    ids, logprobs = row["input_ids"], row["logprobs"]
    turns = [GIVEN] * len(ids)
    count = 0
    for number, places in enumerate(_turns(row), first_turn):
        count += 1
        for place in places:
            if logprobs[place] is None:
                noted["tokens of humans, not trained"] += 1
            elif place:  # nothing predicts the first token
                turns[place] = number
    start = next(place for place, turn in enumerate(turns) if turn != GIVEN)
    end = len(turns) - next(place for place, turn in enumerate(reversed(turns)) if turn != GIVEN)
    mask = [int(turn != GIVEN) for turn in turns[start:end]]
    recorded = [value if bit else 0.0 for value, bit in zip(logprobs[start:end], mask, strict=True)]
    versions = tuple(row.get("versions") or ())
    return GroupRow(list(ids[:start]), list(ids[start:end]), mask, recorded, turns[start:end], versions), count


def _turns(row: Row) -> Iterator[list[int]]:
    """The places of each turn: tokens that are trained, with others between two turns."""
    for bit, run in groupby(range(len(row["mask"])), key=lambda place: row["mask"][place]):
        if bit:
            yield list(run)
