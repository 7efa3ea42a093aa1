"""Seeded helpdesk tasks in four tiers: an instruction, a world, and what must be true at the end.

``simple`` needs one call; in ``sequential`` a result feeds the next call; ``parallel`` takes
independent calls in one turn; ``complex`` branches on a result, meets an error to recover from, or
lacks something that must be asked for. The scripted expert that solves them is in ``expert.py``.
"""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ....errors import UnknownSuite
from .database import REFUND_DAYS, Order, World, make_world
from .names import CITIES, ORDERS

TIERS = ("simple", "sequential", "parallel", "complex")
SPLITS = ("train", "heldout")

Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """An instruction with its world and its end-state check."""

    id: str
    tier: str
    kind: str
    text: str
    split: str
    seed: int
    """Of the world."""
    needed: tuple[Call, ...]
    """The calls of the shortest solution; any other call is unneeded."""
    answer: tuple[str, ...] = ()
    """Words that the last message must contain."""
    statuses: Mapping[str, str] = field(default_factory=dict)
    """Order id to the status it must end with, if that changes."""
    cities: Mapping[str, str] = field(default_factory=dict)
    """Order id to the city it must end with, if that changes."""
    refunds: Mapping[str, int] = field(default_factory=dict)
    """Order id to the amount that must be refunded."""
    reply: str | None = None
    """What the customer says when asked for what is missing."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What the instruction says, for the scripted expert: nothing that the agent could not read."""

    @property
    def due(self) -> Literal["act", "ask", "refuse"]:
        """What is right to do: ask for what the customer left out, refuse what came too late, or act."""
        if self.reply is not None:
            return "ask"
        return "refuse" if self.kind == "refund_if_allowed" and not self.refunds else "act"


def make_tasks(split: str, per_tier: int, seed: int = 0) -> list[Task]:
    """``per_tier`` tasks of each tier, kinds in rotation; equal arguments give equal tasks.

    Tasks of the splits ``train`` and ``heldout`` share no world and no combination of names.

    Raises:
        UnknownSuite: ``split`` is neither.
    """
    if split not in SPLITS:
        raise UnknownSuite(f"helpdesk has no split {split!r}; it has {' and '.join(SPLITS)}")
    return [make_task(split, tier, index, seed) for tier in TIERS for index in range(per_tier)]


def make_task(split: str, tier: str, index: int, seed: int = 0) -> Task:
    """The task number ``index`` of a tier, in a world of its own."""
    kinds = KINDS[tier]
    kind = kinds[index % len(kinds)]
    world_seed = (seed * len(TIERS) + TIERS.index(tier)) * 100_000 + index
    rng = random.Random(f"task/{split}/{world_seed}")
    for attempt in range(100):
        world = make_world(split, world_seed + attempt * 1_000_000_007)
        try:
            made = kind(rng, world)
        except _Unsuited:
            continue
        return Task(
            id=f"{split}-{seed}-{tier}-{index:04d}",
            tier=tier,
            kind=kind.__name__,
            split=split,
            seed=world_seed + attempt * 1_000_000_007,
            **made,
        )
    raise AssertionError(f"no world suits {kind.__name__}")  # one in 100 worlds always does


_ID = re.compile(rf"({'|'.join(SPLITS)})-[0-9]+-({'|'.join(TIERS)})-[0-9]{{4,}}")


def split_of(task: str) -> str | None:
    """The split that a task's id names; None if it is no id of ours.

    >>> split_of("heldout-0-simple-0007"), tier_of("heldout-0-simple-0007"), tier_of("tau-airline-7")
    ('heldout', 'simple', None)
    """
    found = _ID.fullmatch(task)
    return found[1] if found else None


def tier_of(task: str) -> str | None:
    """The tier that a task's id names; None if it is no id of ours."""
    found = _ID.fullmatch(task)
    return found[2] if found else None


class _Unsuited(Exception):
    """This world has no order of the sort that the task needs."""


def _pick(rng: random.Random, world: World, count: int, *statuses: str) -> list[Order]:
    orders = [order for order in world.orders if not statuses or order.status in statuses]
    if len(orders) < count:
        raise _Unsuited
    return rng.sample(orders, count)


def _city(rng: random.Random, *orders: Order) -> str:
    return rng.choice([city for city in CITIES if city not in {order.city for order in orders}])


# simple -------------------------------------------------------------------------------------------


def status(rng: random.Random, world: World) -> dict[str, Any]:
    (order,) = _pick(rng, world, 1)
    text = rng.choice(("What is the status of order {0}?", "Has order {0} been shipped? Tell me its status."))
    return dict(
        text=text.format(order.id),
        needed=(("get_order", {"order_id": order.id}),),
        answer=(order.id, order.status),
        facts={"order": order.id},
    )


def city(rng: random.Random, world: World) -> dict[str, Any]:
    (order,) = _pick(rng, world, 1)
    text = rng.choice(("Where does order {0} go?", "Which city does order {0} go to?"))
    return dict(
        text=text.format(order.id),
        needed=(("get_order", {"order_id": order.id}),),
        answer=(order.id, order.city),
        facts={"order": order.id},
    )


def cancel(rng: random.Random, world: World) -> dict[str, Any]:
    (order,) = _pick(rng, world, 1, "pending")
    text = rng.choice(("Please cancel order {0}.", "I no longer want order {0}, cancel it."))
    return dict(
        text=text.format(order.id),
        needed=(("cancel_order", {"order_id": order.id}),),
        answer=(order.id,),
        statuses={order.id: "cancelled"},
        facts={"order": order.id},
    )


def readdress(rng: random.Random, world: World) -> dict[str, Any]:
    (order,) = _pick(rng, world, 1, "pending")
    to = _city(rng, order)
    text = rng.choice(("Send order {0} to {1}.", "I moved. Order {0} must go to {1}."))
    return dict(
        text=text.format(order.id, to),
        needed=(("change_address", {"order_id": order.id, "city": to}),),
        answer=(order.id,),
        cities={order.id: to},
        facts={"order": order.id, "city": to},
    )


QUESTIONS = {
    "warranty": ("How many months does the warranty last?", "warranty"),
    "express": ("What does express shipping cost?", "express shipping"),
    "gift": ("What does gift wrapping cost?", "gift wrapping"),
    "pickup": ("For how many days are pickup orders held?", "pickup orders"),
}


def policy(rng: random.Random, world: World) -> dict[str, Any]:
    topic = rng.choice(list(QUESTIONS))
    text, query = QUESTIONS[topic]
    return dict(
        text=text,
        needed=(("search_policy", {"query": query}),),
        answer=(str(world.numbers[topic]),),
        facts={"query": query},
    )


def total(rng: random.Random, world: World) -> dict[str, Any]:
    first, second = rng.sample(range(10, 310, 10), 2)
    expression = f"{first} + {second}"
    return dict(
        text=f"What is {expression}?",
        needed=(("calculator", {"expression": expression}),),
        answer=(str(first + second),),
        facts={"expression": expression},
    )


# sequential ---------------------------------------------------------------------------------------


def status_by_email(rng: random.Random, world: World) -> dict[str, Any]:
    (order,) = _pick(rng, world, 1)
    return dict(
        text=f"I am {order.email}. What is the status of my {order.item}?",
        needed=(("find_orders", {"email": order.email}), ("get_order", {"order_id": order.id})),
        answer=(order.status,),
        facts={"email": order.email, "item": order.item},
    )


def cancel_by_email(rng: random.Random, world: World) -> dict[str, Any]:
    (order,) = _pick(rng, world, 1, "pending")
    return dict(
        text=f"I am {order.email}. Please cancel my {order.item}.",
        needed=(("find_orders", {"email": order.email}), ("cancel_order", {"order_id": order.id})),
        answer=(order.id,),
        statuses={order.id: "cancelled"},
        facts={"email": order.email, "item": order.item},
    )


def refund_in_full(rng: random.Random, world: World) -> dict[str, Any]:
    (order,) = _pick(rng, world, 1, "delivered")
    text = rng.choice(("My order {0} arrived broken. Refund it in full.", "Refund order {0} in full."))
    return dict(
        text=text.format(order.id),
        needed=(
            ("get_order", {"order_id": order.id}),
            ("refund", {"order_id": order.id, "amount": order.amount}),
        ),
        answer=(order.id,),
        refunds={order.id: order.amount},
        facts={"order": order.id},
    )


def total_of_order(rng: random.Random, world: World) -> dict[str, Any]:
    (order,) = _pick(rng, world, 1)
    expression = f"{order.amount} + {order.shipping}"
    return dict(
        text=f"What does order {order.id} cost with shipping?",
        needed=(("get_order", {"order_id": order.id}), ("calculator", {"expression": expression})),
        answer=(str(order.amount + order.shipping),),
        facts={"order": order.id},
    )


# parallel -----------------------------------------------------------------------------------------


def two_statuses(rng: random.Random, world: World) -> dict[str, Any]:
    first, second = _pick(rng, world, 2)
    return dict(
        text=f"What is the status of orders {first.id} and {second.id}?",
        needed=(("get_order", {"order_id": first.id}), ("get_order", {"order_id": second.id})),
        answer=(f"{first.id} is {first.status}", f"{second.id} is {second.status}"),
        facts={"order": first.id, "other": second.id},
    )


def two_cancels(rng: random.Random, world: World) -> dict[str, Any]:
    first, second = _pick(rng, world, 2, "pending")
    return dict(
        text=f"Please cancel orders {first.id} and {second.id}.",
        needed=(("cancel_order", {"order_id": first.id}), ("cancel_order", {"order_id": second.id})),
        answer=(first.id, second.id),
        statuses={first.id: "cancelled", second.id: "cancelled"},
        facts={"order": first.id, "other": second.id},
    )


def cancel_and_readdress(rng: random.Random, world: World) -> dict[str, Any]:
    first, second = _pick(rng, world, 2, "pending")
    to = _city(rng, second)
    return dict(
        text=f"Cancel order {first.id} and send order {second.id} to {to}.",
        needed=(
            ("cancel_order", {"order_id": first.id}),
            ("change_address", {"order_id": second.id, "city": to}),
        ),
        answer=(first.id, second.id),
        statuses={first.id: "cancelled"},
        cities={second.id: to},
        facts={"order": first.id, "other": second.id, "city": to},
    )


# complex ------------------------------------------------------------------------------------------


def refund_if_allowed(rng: random.Random, world: World) -> dict[str, Any]:
    (order,) = _pick(rng, world, 1, "delivered")
    allowed = order.days <= REFUND_DAYS
    look = ("get_order", {"order_id": order.id})
    pay = ("refund", {"order_id": order.id, "amount": order.amount})
    return dict(
        text=f"Refund order {order.id} in full if it is not too late.",
        needed=(look, pay) if allowed else (look,),
        answer=(order.id,) if allowed else (order.id, "too late"),
        refunds={order.id: order.amount} if allowed else {},
        facts={"order": order.id},
    )


def cancel_wrong_number(rng: random.Random, world: World) -> dict[str, Any]:
    (order,) = _pick(rng, world, 1, "pending")
    wrong = rng.choice([number for number in ORDERS if number not in {o.id for o in world.orders}])
    return dict(
        text=f"I am {order.email}. Cancel order {wrong}, my {order.item}.",
        needed=(
            ("cancel_order", {"order_id": wrong}),
            ("find_orders", {"email": order.email}),
            ("cancel_order", {"order_id": order.id}),
        ),
        answer=(order.id,),
        statuses={order.id: "cancelled"},
        facts={"email": order.email, "item": order.item, "order": wrong},
    )


def cancel_or_refund(rng: random.Random, world: World) -> dict[str, Any]:
    (order,) = _pick(rng, world, 1, *rng.choice((("pending",), ("shipped", "delivered"))))
    pending = order.status == "pending"
    steps: list[Call] = [("cancel_order", {"order_id": order.id})]
    if not pending:
        steps += [
            ("get_order", {"order_id": order.id}),
            ("refund", {"order_id": order.id, "amount": order.amount}),
        ]
    return dict(
        text=f"Cancel order {order.id}. If that fails, refund it in full.",
        needed=tuple(steps),
        answer=(order.id,),
        statuses={order.id: "cancelled"} if pending else {},
        refunds={} if pending else {order.id: order.amount},
        facts={"order": order.id},
    )


def cancel_unnamed(rng: random.Random, world: World) -> dict[str, Any]:
    (order,) = _pick(rng, world, 1, "pending")
    text = rng.choice(("Please cancel my order.", "I want to cancel my order.", "Cancel my {0}, please."))
    return dict(
        text=text.format(order.item),
        needed=(("cancel_order", {"order_id": order.id}),),
        answer=(order.id,),
        statuses={order.id: "cancelled"},
        reply=f"It is order {order.id}.",
        facts={},
    )


def cancel_dearer(rng: random.Random, world: World) -> dict[str, Any]:
    first, second = _pick(rng, world, 2, "pending")
    if first.amount == second.amount:
        raise _Unsuited
    dearer = max(first, second, key=lambda order: order.amount)
    return dict(
        text=f"Cancel the dearer one of orders {first.id} and {second.id}.",
        needed=(
            ("get_order", {"order_id": first.id}),
            ("get_order", {"order_id": second.id}),
            ("cancel_order", {"order_id": dearer.id}),
        ),
        answer=(dearer.id,),
        statuses={dearer.id: "cancelled"},
        facts={"order": first.id, "other": second.id},
    )


Kind = Callable[[random.Random, World], dict[str, Any]]

KINDS: dict[str, tuple[Kind, ...]] = {
    "simple": (status, city, cancel, readdress, policy, total),
    "sequential": (status_by_email, cancel_by_email, refund_in_full, total_of_order),
    "parallel": (two_statuses, two_cancels, cancel_and_readdress),
    "complex": (refund_if_allowed, cancel_wrong_number, cancel_or_refund, cancel_unnamed, cancel_dearer),
}
