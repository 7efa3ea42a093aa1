"""As many rows of one tier, or of one tool, as of any other."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from .entry import Entry, shuffled
from .settings import Balance

NO_TOOL = "no tool"
"""The class of rows that call none."""


def beyond_balance(entries: Sequence[Entry], by: Balance, cap: int | None, seed: int) -> dict[int, str]:
    """The places to leave out so that no class has more rows than the smallest, or than ``cap`` if that is given.

    A row with several tools is in the class of the rarest of them, one with none in a class of its own; one without a
    tier is left out. Which rows of a class stay depends on ``seed``.
    """
    left_out = {}
    classes: dict[str, list[Entry]] = defaultdict(list)
    rows_by_tool = Counter(tool for entry in entries for tool in entry.tools)
    for entry in entries:
        name = entry.tier if by == "tier" else _rarest(entry, rows_by_tool)
        if name is None:
            left_out[entry.place] = "no tier to balance by"
        else:
            classes[name].append(entry)
    limit = cap or min(map(len, classes.values()), default=0)
    for name, members in classes.items():
        reason = f"more than {limit} with {by} {name}" if name != NO_TOOL else f"more than {limit} with {name}"
        left_out |= dict.fromkeys((entry.place for entry in shuffled(members, seed)[limit:]), reason)
    return left_out


def _rarest(entry: Entry, rows_by_tool: Mapping[str, int]) -> str:
    return min(entry.tools, key=lambda tool: (rows_by_tool[tool], tool), default=NO_TOOL)
