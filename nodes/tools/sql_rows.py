"""Rows of a query: as compact text for a model, and as JSON-safe records for programs."""

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

MAX_VALUE = 10_000
"""Characters of one value that are kept."""
MAX_SHOWN = 200
"""Characters of one value that a model sees."""
MAX_ALL = 20_000_000
"""Characters of all values that are kept; where there are many, less is kept of each."""


class Rows(NamedTuple):
    """What a statement gave back: the first rows, whether there are more, and how many rows it changed."""

    columns: list[str]
    rows: list[list[Any]]
    more: bool = False
    changed: int = 0


def longest_value(columns: int, max_rows: int) -> int:
    """How many characters of each value are kept.

    >>> longest_value(3, 100), longest_value(60, 100), longest_value(1500, 100)
    (10000, 3300, 200)
    """
    return max(MAX_SHOWN, min(MAX_VALUE, MAX_ALL // ((max_rows + 1) * max(1, columns))))


def rows_of(names: Sequence[str], rows: Iterable[Sequence[Any]], max_rows: int, changed: int = 0) -> Rows:
    """The first ``max_rows`` of ``rows``, one of which more is taken; values JSON-safe, columns of one name told apart.

    >>> rows_of(["id", "id"], [(1, b"ab"), (2, None)], max_rows=1)
    Rows(columns=['id', 'id_2'], rows=[[1, '6162']], more=True, changed=0)
    """
    columns: list[str] = []
    for name in names:
        number = 2
        told_apart = name
        while told_apart in columns:
            told_apart, number = f"{name}_{number}", number + 1
        columns.append(told_apart)
    longest = longest_value(len(columns), max_rows)
    safe = [[_json_safe(value, longest) for value in row] for row in islice(rows, max_rows + 1)]
    return Rows(columns, safe[:max_rows], more=len(safe) > max_rows, changed=changed)


def records(found: Rows) -> list[dict[str, Any]]:
    """One record per row, by column."""
    return [dict(zip(found.columns, row, strict=True)) for row in found.rows]


def as_table(found: Rows) -> str:
    """A line of column names and one per row, and how many there are.

    >>> print(as_table(Rows(["id", "note"], [[1, "a\\nb"], [2, None]], more=True)))
    id | note
    1 | a\\nb
    2 | NULL
    [the first 2 rows of more; add ORDER BY with LIMIT and OFFSET to see others]
    """
    lines = [" | ".join(_cell(value) for value in row) for row in (found.columns, *found.rows)]
    count = len(found.rows)
    if found.more:
        lines.append(f"[the first {count} rows of more; add ORDER BY with LIMIT and OFFSET to see others]")
    else:
        lines.append(f"[{count} row{'' if count == 1 else 's'}]")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    text = str(value)
    if len(text) > MAX_SHOWN:
        text = f"{text[:MAX_SHOWN]}[… {len(text) - MAX_SHOWN} characters more]"
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("|", "\\|")


def _json_safe(value: Any, longest: int) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    text = value.hex() if isinstance(value, bytes) else str(value)
    return text if len(text) <= longest else f"{text[:longest]}[…]"
