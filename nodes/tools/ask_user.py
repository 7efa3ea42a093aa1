"""A tool by which the model asks the user a question, and the rule that makes act put it to the user.

The tool does nothing itself: act pauses the thread with its one question for all calls, and whoever answers with
``respond`` speaks in the tool's place. Where nobody is asked, the model reads that.
"""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.tools import BaseTool, StructuredTool

from ..act import Ask
from ..approval import Asked
from ..traits import as_tool, with_traits

ASKS_KEY = "threadmill_asks"
"""Key in ``BaseTool.metadata``: who answers the calls of the tool."""

NOBODY = "nobody can be asked here: go on with what you know, or say in your answer what is missing"


def make_ask_user() -> BaseTool:
    """The tool ``ask_user(question)``; ``ask_for`` makes an agent that has it pause."""

    def ask_user(question: str) -> str:
        """Ask the user one question, where something is missing or unclear that only the user knows."""
        return NOBODY

    tool = StructuredTool.from_function(ask_user, metadata={ASKS_KEY: "user"})
    return with_traits(tool, acts=False, trusted=True, idempotent=True, retries=0)


def ask_for(tools: Sequence[BaseTool | Callable[..., Any]], ask: Ask | None = None) -> Ask | None:
    """A rule for act: the calls of those ``tools`` that ask somebody wait for the answer; ``ask`` decides about others.

    >>> rule = ask_for([make_ask_user()])
    >>> rule("ask_user", {"question": "Which order?"})
    Asked(why='the agent asks: Which order?', who='user', choices=('respond', 'reject'))
    """
    known = [(tool.name, tool.metadata or {}) for tool in map(as_tool, tools)]
    answered_by = {name: metadata[ASKS_KEY] for name, metadata in known if ASKS_KEY in metadata}
    if not answered_by:
        return ask

    def asks(name: str, args: dict[str, Any]) -> str | Asked | None:
        if name in answered_by:
            return Asked(f"the agent asks: {args.get('question', '')}", answered_by[name], ("respond", "reject"))
        return ask(name, args) if ask is not None else None

    return asks
