"""The scripted expert: puts each question to the calculator and marks the answer, or errs on purpose.

It reads only the question and the calculator's result. Its demonstrations teach a policy that has never seen such
questions how the agent works; with mistakes it is the fallible demonstrator from whom the policy has bad habits too.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from .calculator import as_text, value_of
from .tasks import Task

MISTAKES = ("guess", "stop_early", "unmarked")
"""Ways to err: answer without calculating and be a little off, leave the last number (or kind of animal) out of
the calculation, and give the answer without its tags."""
_NUMBERS = re.compile(r"\d+")
_ANIMALS = re.compile(r"(\d+) ([a-z ]+?)(?=,|\?)")


def make_expert(
    tasks: Sequence[Task], mistake_rates: Mapping[str, float], seed: int = 0
) -> Callable[[list[BaseMessage]], AIMessage]:
    """What the expert says next in the episodes of ``tasks``: the replies of a ``ScriptedModel``.

    ``mistake_rates`` maps a tier to the share of its tasks in which the expert errs; in which and how depends on
    the seed and the question alone.
    """
    tiers = {task.text: task.tier for task in tasks}

    def reply(messages: list[BaseMessage]) -> AIMessage:
        question = next(message.text for message in reversed(messages) if isinstance(message, HumanMessage))
        rng = random.Random(f"expert/{seed}/{question}")
        wrong = rng.random() < mistake_rates.get(tiers[question], 0.0)
        mistake = rng.choice(MISTAKES) if wrong else None
        last = messages[-1]
        if isinstance(last, ToolMessage):
            return _say(last.text, marked=mistake != "unmarked")
        if mistake == "guess":
            right = value_of(calculation(question))
            return _say(as_text(right + rng.choice((-3, -2, -1, 1, 2, 3))))
        expression = calculation(question, short=mistake == "stop_early")
        call = {"name": "calculator", "args": {"expression": expression}, "id": "call-0", "type": "tool_call"}
        return AIMessage("", tool_calls=[call])

    return reply


def calculation(question: str, *, short: bool = False) -> str:
    """What to give to the calculator; ``short`` leaves out the last number, or the last kind of animal.

    >>> calculation("Find the Least Common Multiple (LCM) of these numbers: 4, 6, 9")
    'lcm(4, 6, 9)'
    >>> calculation("State the final answer to the following arithmetic problem: 4 - 1 - 7 =", short=True)
    '4 - 1'
    >>> calculation("how many legs are there in total if you have 3 cats, 1 praying mantis?")
    '3 * 4 + 1 * 6'
    """
    if "legs" in question:
        found = _ANIMALS.findall(question)
        return _joined([f"{count} * {_legs(int(count), animal)}" for count, animal in found], " + ", short)
    for sign, function in (("(GCD)", "gcd"), ("(LCM)", "lcm")):
        if sign in question:
            numbers = _NUMBERS.findall(question)
            if short and len(numbers) == 2:
                return " + ".join(numbers)  # the function takes two at least: this is another way to be careless
            return f"{function}({_joined(numbers, ', ', short)})"
    expression = _expression(question)
    return _shortened(expression) if short else expression


def _expression(question: str) -> str:
    text = re.sub(r"^[^:]*: |^Calculate ", "", question)
    return re.match(r"[-+*/() \d]+", text)[0].strip()  # pyright: ignore[reportOptionalSubscript]


def _joined(parts: Sequence[str], glue: str, short: bool) -> str:
    kept = parts[:-1] if short and len(parts) > 1 else parts
    return glue.join(kept)


def _shortened(expression: str) -> str:
    """Without the last number and the sign before it; brackets stay even."""
    shorter = re.sub(r" [-+*/] -?\d+(?=[ )]*$)", "", expression)
    return shorter if shorter != expression else _NUMBERS.findall(expression)[0]


def _legs(count: int, animal: str) -> int:
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    return ANIMALS[animal if animal in ANIMALS else animal.removesuffix("s")]


def _say(result: str, *, marked: bool = True) -> AIMessage:
    return AIMessage(f"<answer>{result}</answer>" if marked else f"It is {result}.")
