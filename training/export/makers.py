"""What makes the rows of each kind, in one form: rows of all threads of a task, and what was wrong with them later."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, Protocol

from ..branches import Branch
from ..chats.openai import Thinking
from ..chats.rows import ChatRows
from ..chats.rows import Format as ChatFormat
from ..groups import Groups
from ..kto import Kto
from ..pairing.pairs import Continuation, Pairs
from ..rows import SftRows
from ..taken import Taken

CONTRADICTED = "another pair says the opposite"


class Maker(Protocol):
    """Makes rows of one kind and counts what it leaves out."""

    @property
    def left_out(self) -> Counter[str]:
        """Why there are no rows."""
        ...

    @property
    def noted(self) -> Counter[str]:
        """What else there is to count."""
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

    def __init__(self, rows: SftRows | Kto | ChatRows) -> None:
        self._rows = rows

    @property
    def left_out(self) -> Counter[str]:
        return self._rows.left_out

    @property
    def noted(self) -> Counter[str]:
        return Counter()

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


def kto_maker(nodes: Set[str] | None, min_reward: float | None, taken: Taken) -> Maker:
    """Answers and branches that are desirable, or not; ``taken`` remembers those that have a row."""
    return _EachThread(Kto(nodes=nodes, min_reward=min_reward, taken=taken))


def chat_maker(format: ChatFormat, nodes: Set[str] | None, thinking: Thinking) -> Maker:
    """Conversations as others read them."""
    return _EachThread(ChatRows(format, nodes, thinking, taken=None))


class _GroupMaker:
    def __init__(self, groups: Groups) -> None:
        self._groups = groups

    @property
    def left_out(self) -> Counter[str]:
        return self._groups.left_out

    @property
    def noted(self) -> Counter[str]:
        return self._groups.noted

    def of(self, threads: Sequence[Sequence[Branch]]) -> Iterator[dict[str, Any]]:
        task = next((branch.task for branches in threads for branch in branches), None)
        if task is None:
            self.left_out["no task"] += len(threads)
        else:
            yield from self._groups.of_task(task, threads)

    def remember(self, row: Mapping[str, Any]) -> None:
        """Nothing: the groups of a task are made at once."""

    def dropped(self) -> Mapping[str, str]:
        return {}


def group_maker(nodes: Set[str] | None, max_tokens: int | None) -> Maker:
    """Trials of one task after the same prompt; longer ones are in no group."""
    return _GroupMaker(Groups(max_length=max_tokens, nodes=nodes))


class _PairMaker:
    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs

    @property
    def left_out(self) -> Counter[str]:
        return self._pairs.left_out

    @property
    def noted(self) -> Counter[str]:
        return Counter()

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
) -> Maker:
    """Preference pairs."""
    return _PairMaker(
        Pairs(
            continuation,
            max_pairs_per_task,
            min_reward_gap=min_reward_gap,
            nodes=nodes,
        )
    )
