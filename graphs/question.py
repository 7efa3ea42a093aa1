"""A route that is asked and nothing more.

LangGraph opens a callback run for every plain function on a conditional edge, which costs as much as a node.
"""

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig


class Question(Runnable[Mapping[str, Any], bool]):
    """``predicate`` as the path of a conditional edge, under its own name."""

    def __init__(self, predicate: Callable[[Mapping[str, Any]], bool]) -> None:
        self.name = predicate.__name__
        self.predicate = predicate

    def invoke(self, input: Mapping[str, Any], config: RunnableConfig | None = None, **kwargs: Any) -> bool:
        """The answer."""
        return self.predicate(input)

    async def ainvoke(self, input: Mapping[str, Any], config: RunnableConfig | None = None, **kwargs: Any) -> bool:
        """The answer, without a thread."""
        return self.predicate(input)
