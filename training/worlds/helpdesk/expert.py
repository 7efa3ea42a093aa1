"""The scripted expert: solves every helpdesk task, or errs on purpose in a chosen way.

It reads only the instruction and the tool results. Its demonstrations teach the seed policy; with
mistakes it is the fallible demonstrator from whom the seed policy has its bad habits.
"""

import random
import re
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import ToolException

from .database import REFUND_DAYS
from .names import AMOUNTS, CITIES, ORDERS, STATUSES
from .tasks import Call, Task
from .tools import TOOLS

MISTAKES = ("invent", "claim", "stop_early", "act_first", "wrong_amount", "give_up", "guess")
"""Ways to err: answer without looking, say it is done without doing it, leave out the rest, act before
looking, refund another amount, stop at an error, and guess what should be asked for."""

Steps = Generator["list[Call] | str", list[str], str]
"""Yields calls (gets their results) or a question (gets the customer's reply); returns the answer."""


def demonstrate(task: Task, world: Path, *, mistake: str | None = None, seed: int = 0) -> list[BaseMessage]:
    """The messages of one episode in the world at ``world``, which is changed by it.

    ``mistake`` is one of those that ``mistakes_for(task)`` names, or None for a right solution.
    """
    rng = random.Random(f"expert/{task.id}/{mistake}/{seed}")
    messages: list[BaseMessage] = [HumanMessage(task.text)]
    steps = PLANS[task.kind](task.facts, mistake, rng)
    results: list[str] | None = None
    while True:
        try:
            step = next(steps) if results is None else steps.send(results)
        except StopIteration as end:
            messages.append(AIMessage(end.value))
            return messages
        if isinstance(step, str):
            messages += [AIMessage(step), HumanMessage(task.reply or "I do not know.")]
            results = [task.reply or ""]
        else:
            first = sum(isinstance(message, ToolMessage) for message in messages)
            calls = [{"name": name, "args": args, "id": f"call-{first + i}"} for i, (name, args) in enumerate(step)]
            messages.append(AIMessage("", tool_calls=calls))
            results = [_run(name, args, world) for name, args in step]
            messages += [
                ToolMessage(result, tool_call_id=call["id"], name=call["name"])
                for call, result in zip(calls, results, strict=True)
            ]


def mistakes_for(task: Task) -> tuple[str, ...]:
    """The mistakes that are possible in a task of this kind."""
    return POSSIBLE[task.kind]


def _run(name: str, args: dict[str, Any], world: Path) -> str:
    tool = next(tool for tool in TOOLS if tool.name == name)
    try:
        return str(tool.invoke(args, {"configurable": {"world": str(world)}}))
    except ToolException as error:
        return str(error)


def _after(word: str, text: str) -> str:
    """The word that follows ``word`` in a tool result."""
    found = re.search(rf"\b{word} (\S+?)(?:,|$|\s)", text)
    return found.group(1) if found else ""


def _look(order: str) -> Call:
    return ("get_order", {"order_id": order})


def _cancel(order: str) -> Call:
    return ("cancel_order", {"order_id": order})


def _pay(order: str, amount: int) -> Call:
    return ("refund", {"order_id": order, "amount": amount})


def _status(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    order = facts["order"]
    if mistake == "invent":
        return f"Order {order} is {rng.choice(STATUSES[:3])}."
    (seen,) = yield [_look(order)]
    if mistake == "stop_early":
        return "I have looked it up."
    return f"Order {order} is {_after('status', seen)}."


def _city(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    order = facts["order"]
    if mistake == "invent":
        return f"Order {order} goes to {rng.choice(CITIES)}."
    (seen,) = yield [_look(order)]
    if mistake == "stop_early":
        return "I have looked it up."
    return f"Order {order} goes to {_after('city', seen)}."


def _cancel_one(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    if mistake != "claim":
        yield [_cancel(facts["order"])]
    return f"Order {facts['order']} is cancelled."


def _readdress(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    if mistake != "claim":
        yield [("change_address", {"order_id": facts["order"], "city": facts["city"]})]
    return f"Order {facts['order']} goes to {facts['city']}."


def _policy(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    if mistake == "invent":
        return f"It is {rng.randint(2, 60)}."
    (note,) = yield [("search_policy", {"query": facts["query"]})]
    return f"It is {re.findall(r'[0-9]+', note)[0]}."


def _total(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    if mistake == "invent":
        return f"It is {rng.choice(range(20, 600, 10))}."
    (value,) = yield [("calculator", {"expression": facts["expression"]})]
    return f"It is {value}."


def _status_by_email(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    item = facts["item"]
    if mistake == "invent":
        return f"Your {item} is {rng.choice(STATUSES[:3])}."
    (orders,) = yield [("find_orders", {"email": facts["email"]})]
    if mistake == "stop_early":
        return f"Your {item} is {rng.choice(STATUSES[:3])}."
    (seen,) = yield [_look(_after(item, orders))]
    return f"Your {item} is {_after('status', seen)}."


def _cancel_by_email(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    if mistake == "guess":
        order = rng.choice(ORDERS)
        yield [_cancel(order)]
        return f"Order {order} is cancelled."
    (orders,) = yield [("find_orders", {"email": facts["email"]})]
    order = _after(facts["item"], orders)
    if mistake != "claim":
        yield [_cancel(order)]
    return f"Order {order} is cancelled."


def _refund_in_full(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    order = facts["order"]
    if mistake == "act_first":
        yield [_pay(order, rng.choice(AMOUNTS))]
        return f"Order {order} is refunded."
    if mistake == "claim":
        return f"Order {order} is refunded."
    (seen,) = yield [_look(order)]
    amount = int(_after("amount", seen))
    if mistake == "wrong_amount":
        amount = rng.choice([other for other in AMOUNTS if other != amount])
    yield [_pay(order, amount)]
    return f"Order {order} is refunded."


def _total_of_order(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    (seen,) = yield [_look(facts["order"])]
    amount, shipping = _after("amount", seen), _after("shipping", seen)
    if mistake == "stop_early":
        return f"It costs {amount}."
    (value,) = yield [("calculator", {"expression": f"{amount} + {shipping}"})]
    return f"It costs {value}."


def _two_statuses(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    first, second = facts["order"], facts["other"]
    if mistake == "stop_early":
        (seen,) = yield [_look(first)]
        return f"Order {first} is {_after('status', seen)}, {second} is {rng.choice(STATUSES[:3])}."
    if mistake == "invent":
        return f"Order {first} is {rng.choice(STATUSES[:3])}, {second} is {rng.choice(STATUSES[:3])}."
    seen, also = yield [_look(first), _look(second)]
    return f"Order {first} is {_after('status', seen)}, {second} is {_after('status', also)}."


def _two_cancels(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    first, second = facts["order"], facts["other"]
    if mistake == "stop_early":
        yield [_cancel(first)]
    elif mistake != "claim":
        yield [_cancel(first), _cancel(second)]
    return f"Orders {first} and {second} are cancelled."


def _cancel_and_readdress(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    first, second, city = facts["order"], facts["other"], facts["city"]
    if mistake == "stop_early":
        yield [_cancel(first)]
    elif mistake != "claim":
        yield [_cancel(first), ("change_address", {"order_id": second, "city": city})]
    return f"Order {first} is cancelled, {second} goes to {city}."


def _refund_if_allowed(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    order = facts["order"]
    if mistake == "claim":
        return f"Order {order} is refunded."
    (seen,) = yield [_look(order)]
    amount = int(_after("amount", seen))
    allowed = int(_after("days", seen)) <= REFUND_DAYS
    if mistake == "wrong_amount":
        amount = rng.choice([other for other in AMOUNTS if other != amount])
    if not allowed and mistake != "act_first":
        return f"It is too late to refund order {order}."
    if mistake == "give_up":
        return f"It is too late to refund order {order}."
    yield [_pay(order, amount)]
    return f"Order {order} is refunded."


def _cancel_wrong_number(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    wrong = facts["order"]
    if mistake == "claim":
        return f"Order {wrong} is cancelled."
    yield [_cancel(wrong)]
    if mistake == "give_up":
        return f"I cannot cancel order {wrong}."
    if mistake == "invent":
        return f"Order {wrong} is cancelled."
    (orders,) = yield [("find_orders", {"email": facts["email"]})]
    order = _after(facts["item"], orders)
    yield [_cancel(order)]
    return f"Order {order} is cancelled."


def _cancel_or_refund(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    order = facts["order"]
    if mistake == "claim":
        return f"Order {order} is cancelled."
    if mistake == "act_first":
        yield [_pay(order, rng.choice(AMOUNTS))]
        return f"Order {order} is refunded."
    (result,) = yield [_cancel(order)]
    if "already" not in result:
        return f"Order {order} is cancelled."
    if mistake == "give_up":
        return f"I cannot cancel order {order}."
    (seen,) = yield [_look(order)]
    yield [_pay(order, int(_after("amount", seen)))]
    return f"Order {order} is refunded."


def _cancel_unnamed(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    if mistake == "guess":
        order = rng.choice(ORDERS)
        yield [_cancel(order)]
        return f"Order {order} is cancelled."
    if mistake == "invent":
        return "Your order is cancelled."
    (reply,) = yield "What is the number of your order?"
    order = re.findall(r"O[0-9]+", reply)[0]
    if mistake != "claim":
        yield [_cancel(order)]
    return f"Order {order} is cancelled."


def _cancel_dearer(facts: Any, mistake: str | None, rng: random.Random) -> Steps:
    first, second = facts["order"], facts["other"]
    if mistake == "act_first":
        yield [_cancel(first)]
        return f"Order {first} is cancelled."
    one, two = yield [_look(first), _look(second)]
    dearer = first if int(_after("amount", one)) > int(_after("amount", two)) else second
    if mistake != "claim":
        yield [_cancel(dearer)]
    return f"Order {dearer} is cancelled."


PLANS: dict[str, Callable[[Any, str | None, random.Random], Steps]] = {
    "status": _status,
    "city": _city,
    "cancel": _cancel_one,
    "readdress": _readdress,
    "policy": _policy,
    "total": _total,
    "status_by_email": _status_by_email,
    "cancel_by_email": _cancel_by_email,
    "refund_in_full": _refund_in_full,
    "total_of_order": _total_of_order,
    "two_statuses": _two_statuses,
    "two_cancels": _two_cancels,
    "cancel_and_readdress": _cancel_and_readdress,
    "refund_if_allowed": _refund_if_allowed,
    "cancel_wrong_number": _cancel_wrong_number,
    "cancel_or_refund": _cancel_or_refund,
    "cancel_unnamed": _cancel_unnamed,
    "cancel_dearer": _cancel_dearer,
}

POSSIBLE: dict[str, tuple[str, ...]] = {
    "status": ("invent", "stop_early"),
    "city": ("invent", "stop_early"),
    "cancel": ("claim",),
    "readdress": ("claim",),
    "policy": ("invent",),
    "total": ("invent",),
    "status_by_email": ("invent", "stop_early"),
    "cancel_by_email": ("guess", "claim"),
    "refund_in_full": ("act_first", "claim", "wrong_amount"),
    "total_of_order": ("stop_early",),
    "two_statuses": ("stop_early", "invent"),
    "two_cancels": ("stop_early", "claim"),
    "cancel_and_readdress": ("stop_early", "claim"),
    "refund_if_allowed": ("claim", "act_first", "wrong_amount", "give_up"),
    "cancel_wrong_number": ("claim", "give_up", "invent"),
    "cancel_or_refund": ("claim", "act_first", "give_up"),
    "cancel_unnamed": ("guess", "invent", "claim"),
    "cancel_dearer": ("act_first", "claim"),
}
