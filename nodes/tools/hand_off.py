"""A tool by which an agent passes the conversation to another one.

The tool only says who takes over; the graph that has the agents looks with ``handed_to`` and goes there.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from pydantic import Field, create_model

from ..traits import with_traits

HAND_OFF = "hand_off"


def make_hand_off(names: Sequence[str] | Mapping[str, str]) -> BaseTool:
    """The tool ``hand_off(to, task)``; ``names`` are those who can take over, perhaps each with what it is for.

    Raises:
        ValueError: there is nobody to hand over to.
    """
    if not names or isinstance(names, str):
        raise ValueError(f"hand_off needs the names of those who can take over, not {names!r}")
    whom = ", ".join(f"{name} ({names[name]})" if isinstance(names, Mapping) else name for name in names)
    arguments = create_model(
        "hand_off",
        to=(Literal[tuple(names)], Field(description="Who takes over.")),  # pyright: ignore[reportArgumentType]
        task=(str, Field(description="What is to be done, with all that is needed to do it.")),
    )

    def hand_off(to: str, task: str) -> str:
        return f"{to} takes over: {task}"

    tool = StructuredTool.from_function(
        hand_off, name=HAND_OFF, description=f"Hand the conversation over to {whom}.", args_schema=arguments
    )
    return with_traits(tool, acts=False, trusted=True, idempotent=True, retries=0)


def handed_to(messages: Sequence[BaseMessage]) -> str | None:
    """To whom the newest turn handed over, with success; None if it did not. The first of several counts.

    >>> call = {"name": "hand_off", "args": {"to": "billing", "task": "Refund A1."}, "id": "c"}
    >>> handed_to([AIMessage("", tool_calls=[call]), ToolMessage("billing takes over", tool_call_id="c")])
    'billing'
    """
    done: set[str] = set()
    for message in reversed(messages):
        if isinstance(message, ToolMessage):
            if message.status == "success":
                done.add(message.tool_call_id)
            continue
        calls: Sequence[Any] = message.tool_calls if isinstance(message, AIMessage) else ()
        return next((call["args"]["to"] for call in calls if call["name"] == HAND_OFF and call["id"] in done), None)
    return None
