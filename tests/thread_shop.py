"""The shop in which the threads of ``test_thread_machine.py`` live: what its agent says, and what its tools do.

Real and model threads share it; of how threads are run it knows nothing.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MAX_CALLS = 3
PAY_ASKS_FROM = 5

Call = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class Todo:
    """One call on its way: ``text`` is the answer if it is not to be run."""

    call: Call
    text: str | None = None


@dataclass(eq=False)
class World:
    """What the agent meets, and what may change from run to run."""

    price: int = 300
    live: str = "v1"
    down: bool = False
    """The model cannot be reached."""


class ModelDown(Exception):
    """Its text goes through the agent unharmed."""


def reply(said: Sequence[tuple[str, str]], version: str | None) -> tuple[str, list[Call]]:
    """The agent's policy: it does what the user's words say, turn by turn; ``v2`` pays one more than it should.

    >>> reply([("human", "look lamp; pay seen + pay 2"), ("ai", ""), ("tool", "lamp costs 300")], "v2")
    ('', [('pay', {'amount': 301}), ('pay', {'amount': 3})])
    """
    begin = max(place for place, (role, _) in enumerate(said) if role == "human")
    turns = said[begin][1].split("; ")
    spoken = sum(role == "ai" for role, _ in said[begin:])
    if spoken >= len(turns) or " " not in turns[spoken]:
        return f"Done: {said[-1][1]}", []
    calls: list[Call] = []
    for part in turns[spoken].split(" + "):
        name, word = part.split()
        if name == "pay":
            seen = re.findall(r"\d+", said[-1][1]) if word == "seen" else []
            amount = int(seen[-1]) if seen else int(word) if word.isdigit() else word
            calls.append((name, {"amount": amount + 1 if isinstance(amount, int) and version == "v2" else amount}))
        else:
            calls.append((name, {"item": word}))
    return "", calls


def told(call: Call) -> str:
    """A call as text."""
    return json.dumps([*call], sort_keys=True)


def complaint(call: Call) -> str | None:
    """Why a call cannot run; None if it can."""
    name, args = call
    if name not in ("look", "pay", "fail"):
        return f"there is no tool {name!r}; there are pay, look, fail"
    if name == "pay" and not isinstance(args["amount"], int):
        return f"invalid arguments for pay: amount: {args['amount']!r} is not of type 'integer'"
    return None


def is_asked(call: Call) -> bool:
    return call[0] == "pay" and call[1]["amount"] >= PAY_ASKS_FROM


def answered(todo: Todo, answer: Mapping[str, Any]) -> Todo:
    match answer["type"]:
        case "edit":
            return Todo((todo.call[0], answer["args"]))
        case "reject":
            return Todo(todo.call, f"a person refused this call: {answer['text']}")
        case "respond":
            return Todo(todo.call, answer["text"])
        case _:
            return todo


def effect(call: Call) -> str:
    """What a tool leaves behind in the world."""
    return {"pay": f"paid {call[1].get('amount')}", "look": f"looked {call[1].get('item')}"}.get(call[0], "")


def result(call: Call, world: World) -> str:
    name, args = call
    match name:
        case "look":
            return f"{args['item']} costs {world.price}"
        case "pay":
            return f"paid {args['amount']}"
        case _:
            return f"ValueError: no {args['item']}"
