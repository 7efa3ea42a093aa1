"""The end-state check: what of a task came true, as k met conditions out of n."""

import re
from dataclasses import dataclass

from .database import EndState, initial_state, make_world
from .tasks import Task


@dataclass(frozen=True)
class Outcome:
    """The result of a check: ``met`` of ``conditions``."""

    met: int
    conditions: int
    failed: tuple[str, ...]
    """The conditions that were not met, in words."""

    @property
    def reward(self) -> float:
        """Partial credit k/n, between 0 and 1."""
        return self.met / self.conditions

    @property
    def success(self) -> bool:
        """True if every condition was met."""
        return self.met == self.conditions


def check(task: Task, end: EndState, answer: str) -> Outcome:
    """Compare the database at the end, and the last message, with what ``task`` asks for.

    One condition for each change that is due, one for everything that must stay as it was, and one
    for each fact that the answer must state (whole words, case ignored).
    """
    before = initial_state(make_world(task.split, task.seed))
    conditions: list[tuple[str, bool]] = []
    for order, status in task.statuses.items():
        conditions.append((f"{order} is {status}", end.orders[order][0] == status))
    for order, city in task.cities.items():
        conditions.append((f"{order} goes to {city}", end.orders[order][1] == city))
    paid = {order: sum(amount for id_, amount in end.refunds if id_ == order) for order, _ in end.refunds}
    for order, amount in task.refunds.items():
        conditions.append((f"{amount} refunded for {order}", paid.get(order) == amount))
    kept = all(
        (order in task.statuses or end.orders[order][0] == status)
        and (order in task.cities or end.orders[order][1] == city)
        for order, (status, city) in before.orders.items()
    )
    conditions.append(("nothing else changed", kept and set(paid) <= set(task.refunds)))
    for fact in task.answer:
        conditions.append((f"the answer says {fact!r}", says(answer, fact)))
    failed = tuple(words for words, met in conditions if not met)
    return Outcome(len(conditions) - len(failed), len(conditions), failed)


def says(answer: str, fact: str) -> bool:
    """Does ``fact`` stand in ``answer``, as whole words, case ignored?"""
    return re.search(rf"(?<!\w){re.escape(fact)}(?!\w)", answer, re.IGNORECASE) is not None
