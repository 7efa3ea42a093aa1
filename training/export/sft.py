"""Export SFT rows: what the policy sampled and what humans put in its place, trained once each."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from ..branches import Branch
from ..rows import SftRows


class SftMaker:
    """Rows in which every turn is trained; which row trains it is decided when the rows that stay are known."""

    def __init__(self, nodes: Set[str] | None) -> None:
        self._rows = SftRows(nodes=nodes, taken=None)

    @property
    def left_out(self) -> Counter[str]:
        """Why there are no rows."""
        return self._rows.left_out

    def of(self, threads: Sequence[Sequence[Branch]]) -> Iterator[dict[str, Any]]:
        """The rows of these threads."""
        for branches in threads:
            yield from self._rows.of(branches)

    def dropped(self) -> Mapping[str, str]:
        """None."""
        return {}
