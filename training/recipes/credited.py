"""From groups of episodes to the rows of a generation, each token with its advantage. Pure; live and offline GRPO.

Statistics are over episodes: one that fills several rows counts once, and all of its rows get its advantages. What
has no gradient is not computed: a group whose advantages are all 0, and a single row of which that is true. The loss
is averaged as if it had been there, so leaving it out changes time and nothing else.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..credit.advantages import Credit, Played, batch_advantages
from .group_rows import GroupRow

NOTHING = 1e-6
"""An advantage that is smaller is rounding: rewards that are all 0.1 have a mean that is not quite 0.1."""


@dataclass(frozen=True)
class Member:
    """One episode of a group."""

    thread: str
    reward: float
    parts: Sequence[GroupRow]
    step_values: Sequence[float | None] | None = None
    sampled_at: int | None = None
    """The optimiser step whose weights sampled it; None if nobody knows."""


@dataclass(frozen=True)
class TrainedRow:
    """A row that has a gradient."""

    row: GroupRow
    advantages: list[float]
    """One for each completion token; 0 where it is given."""
    sampled_at: int | None = None


@dataclass(frozen=True)
class Credited:
    """The rows of a generation, and of how much they are a part."""

    rows: list[TrainedRow]
    rewards: list[float]
    """Of all episodes, those without a gradient too: losses that average over episodes divide by their number."""
    tokens: int
    """All that the policy sampled in them: losses that average over tokens divide by it."""
    noted: Counter[str] = field(default_factory=Counter)
    played_s: float = 0.0
    """What playing them took."""
    components: Mapping[str, float] = field(default_factory=dict)
    """The mean of each reward before its weight."""

    @property
    def episodes(self) -> int:
        """How many there were."""
        return len(self.rewards)


def credit_groups(
    groups: Sequence[Sequence[Member]], credit: Credit, *, by_sequence: bool, keep_rows: bool = False
) -> Credited:
    """Advantages for the members of each group.

    ``by_sequence``: the loss takes the mean over the tokens of each row, so a part of an episode gets the share of
    its tokens, and all parts together weigh as much as one episode. ``keep_rows`` keeps rows of a varying group whose
    own advantage is 0, because a KL term acts on them.

    Raises:
        BadCredit
    """
    noted: Counter[str] = Counter({"groups": len(groups), "groups without variance": 0})
    rows: list[TrainedRow] = []
    everything = [part for group in groups for member in group for part in member.parts]
    noted["episodes of several parts"] = sum(len(member.parts) > 1 for group in groups for member in group)
    for group, numbers in zip(groups, batch_advantages([_played(group) for group in groups], credit), strict=True):
        if all(abs(number) < NOTHING for of_member in numbers for number in of_member):
            noted["groups without variance"] += 1
            continue
        for member, of_member in zip(group, numbers, strict=True):
            found = _rows(member, of_member, by_sequence)
            kept = [row for row in found if keep_rows or any(abs(number) >= NOTHING for number in row.advantages)]
            noted["rows without advantage"] += len(found) - len(kept)
            rows += kept
    rewards = [member.reward for group in groups for member in group]
    return Credited(rows, rewards, sum(part.trained for part in everything), noted)


def _played(group: Sequence[Member]) -> list[Played]:
    return [
        Played(member.reward, [turn for part in member.parts for turn in part.turns], step_values=member.step_values)
        for member in group
    ]


def _rows(member: Member, numbers: Sequence[float], by_sequence: bool) -> list[TrainedRow]:
    trained = sum(part.trained for part in member.parts)
    rows, start = [], 0
    for part in member.parts:
        share = part.trained / trained if by_sequence else 1.0
        own = [number * share for number in numbers[start : start + len(part.turns)]]
        rows.append(TrainedRow(part, own, member.sampled_at))
        start += len(part.turns)
    return rows
