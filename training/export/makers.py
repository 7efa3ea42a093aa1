"""What makes the rows of each kind, in one form: rows of all threads of a task, and what was wrong with them later."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, Protocol

from ...checkpoints.labels import Label
from ..branches import Branch
from ..chats import ChatRows
from ..chats import Format as ChatFormat
from ..pairs import Continuation, Pairs
from ..rows import SftRows

CONTRADICTED = "another pair says the opposite"


class Maker(Protocol):
    """Makes rows of one kind and counts what it leaves out."""

    @property
    def left_out(self) -> Counter[str]:
        """Why there are no rows."""
        ...

    def of(self, threads: Sequence[Sequence[Branch]]) -> Iterator[dict[str, Any]]:
        """The rows of these threads: all those of one task, or a single one."""
        ...

    def remember(self, row: Mapping[str, Any]) -> None:
        """Know a row as made; an interrupted export tells those that it has."""
        ...

    def dropped(self) -> Mapping[str, str]:
        """Rows that turned out to be wrong after they were made: their ``pair``, and why."""
        ...


class _EachThread:
    """Rows that need no other thread, and are never wrong afterwards."""

    def __init__(self, rows: SftRows | ChatRows) -> None:
        self._rows = rows

    @property
    def left_out(self) -> Counter[str]:
        return self._rows.left_out

    def of(self, threads: Sequence[Sequence[Branch]]) -> Iterator[dict[str, Any]]:
        for branches in threads:
            yield from self._rows.of(branches)

    def remember(self, row: Mapping[str, Any]) -> None:
        """Nothing: which row trains a turn is decided among the rows that stay."""

    def dropped(self) -> Mapping[str, str]:
        return {}


def sft_maker(nodes: Set[str] | None) -> Maker:
    """Rows in which every turn of ``nodes`` is trained; ``turns`` says where each is."""
    return _EachThread(SftRows(nodes=nodes, taken=None))


def chat_maker(format: ChatFormat, nodes: Set[str] | None) -> Maker:
    """Conversations as others read them."""
    return _EachThread(ChatRows(format, nodes, taken=None))


class _PairMaker:
    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs

    @property
    def left_out(self) -> Counter[str]:
        return self._pairs.left_out

    def of(self, threads: Sequence[Sequence[Branch]]) -> Iterator[dict[str, Any]]:
        yield from self._pairs.of(threads)

    def remember(self, row: Mapping[str, Any]) -> None:
        self._pairs.remember(row)

    def dropped(self) -> Mapping[str, str]:
        return dict.fromkeys(self._pairs.contradictions(), CONTRADICTED)


def pair_maker(
    nodes: Set[str] | None,
    *,
    continuation: Continuation,
    max_pairs_per_task: int,
    min_reward_gap: float,
    preferences: Iterable[Label],
) -> Maker:
    """Preference pairs."""
    return _PairMaker(
        Pairs(
            continuation,
            max_pairs_per_task,
            min_reward_gap=min_reward_gap,
            nodes=nodes,
            preferences=preferences,
        )
    )
