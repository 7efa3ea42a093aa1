"""A node that LangGraph's ``invoke`` runs and ``ainvoke`` awaits.

Both are driven by one generator of requests, so that the node's story is told once: it yields what it wants to have
done (a call, a pause) and gets the result, or the error, back.
"""

from collections.abc import Callable, Generator
from typing import Any, Protocol

from langchain_core.runnables import Runnable, RunnableConfig


class Request(Protocol):
    """Something to be done, at once or by and by."""

    def run(self) -> Any:
        """Do it; the result."""

    async def arun(self) -> Any:
        """The same without blocking the event loop."""


Story = Callable[..., Generator[Request, Any, dict[str, Any]]]
"""From the state (or what was sent instead) and the config: requests, and in the end what changed."""


class Step(Runnable[Any, dict[str, Any]]):
    """``story`` as a node, under its own name; it can be called like a function, too."""

    def __init__(self, story: Story) -> None:
        self.name = story.__name__
        self.story = story

    def __call__(self, state: Any, config: RunnableConfig, *more: Any) -> dict[str, Any]:
        """What changed; what a story takes besides, LangGraph would not give."""
        story = self.story(state, config, *more)
        try:
            wanted = next(story)
            while True:
                try:
                    done = wanted.run()
                except BaseException as error:
                    wanted = story.throw(error)
                else:
                    wanted = story.send(done)
        except StopIteration as end:
            return end.value

    async def awaited(self, state: Any, config: RunnableConfig, *more: Any) -> dict[str, Any]:
        """What changed, without a thread for the waiting."""
        story = self.story(state, config, *more)
        try:
            wanted = next(story)
            while True:
                try:
                    done = await wanted.arun()
                except BaseException as error:
                    wanted = story.throw(error)
                else:
                    wanted = story.send(done)
        except StopIteration as end:
            return end.value

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """What changed."""
        return self(input, config or {})

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """What changed."""
        return await self.awaited(input, config or {})
