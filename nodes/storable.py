"""Calls that no thread can hold, because of a number in them: they are invalid, and go back to the model.

JSON has no NaN and no infinity, with which ``amount > 100`` is never true; databases have no integers of more than
64 bits. A model can write all of them.
"""

import json
from collections.abc import Iterator
from math import isfinite
from typing import Any

from langchain_core.messages import AIMessage, InvalidToolCall


def keep_storable(message: AIMessage) -> AIMessage:
    """``message`` with the calls that hold such numbers among the invalid ones; the same object if there are none."""
    wrong = [(call, found) for call in message.tool_calls if (found := unstorable(call["args"]))]
    if not wrong:
        return message
    invalid = [
        InvalidToolCall(
            type="invalid_tool_call", name=call["name"], args=json.dumps(call["args"]), id=call["id"], error=found
        )
        for call, found in wrong
    ]
    barred = [id(call) for call, _ in wrong]
    return message.model_copy(
        update={
            "tool_calls": [call for call in message.tool_calls if id(call) not in barred],
            "invalid_tool_calls": [*message.invalid_tool_calls, *invalid],
        }
    )


def unstorable(args: Any) -> str:
    """What is wrong with the first such number in ``args``; empty if there is none.

    >>> unstorable({"amount": [1, 2**70]})
    'the integer 1180591620717411303424 is too large: 64 bits at most'
    """
    return next(_complaints(args), "")


def _complaints(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _complaints(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _complaints(inner)
    elif isinstance(value, float) and not isfinite(value):
        yield f"{value} is no number in JSON"
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        yield f"the integer {_shortened(str(value))} is too large: 64 bits at most"


def _shortened(digits: str) -> str:
    return digits if len(digits) <= 40 else f"{digits[:40]}…"
