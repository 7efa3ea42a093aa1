"""A node that has another agent do a call: its graph runs inside of this thread, on a conversation of its own.

The agent gets the task and nothing else, with a note of what people really said; its answer comes back as the call's
result. Its questions pause the whole thread. When a thread is replayed from its record, the agent answers as recorded.
"""

from collections.abc import Generator, Mapping
from time import perf_counter
from typing import Any, NamedTuple

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig

from .calls import Call
from .marking import mark_as_data
from .observe import FIXED
from .step import Request, Step
from .taint import AGENT_KEY, PEOPLE_KEY
from .tool import RECORD


def make_hand_over(name: str, agent: Any, *, mark: bool = False) -> Step:
    """Build a node that runs the compiled graph ``agent``, called ``name``, on the task of one call.

    It is sent the call with ``versions``, on which the agent stays, and ``people``, what people said in the thread.
    With ``mark`` the answer is marked as data: it may repeat what tools told the agent.
    """

    def hand_over(call: Mapping[str, Any], config: RunnableConfig) -> Generator[Request, Any, dict[str, Any]]:
        if recorded := _recorded(call, config):
            return recorded
        begun = perf_counter()
        values = yield _Asked(agent, _task(call), _staying(call, config))
        return _answer(call, values, begun)

    def _answer(call: Mapping[str, Any], values: Mapping[str, Any], begun: float) -> dict[str, Any]:
        last = values["messages"][-1]
        spoke = isinstance(last, AIMessage) and not (last.tool_calls or last.invalid_tool_calls)
        text = last.text if spoke else f"{name} had to stop before it had an answer"
        message = ToolMessage(
            mark_as_data(text, call["id"], name) if mark and spoke else text,
            id=call["id"],
            tool_call_id=call["call"]["id"] or "",
            name=call["call"]["name"],
            status="success" if spoke else "error",
            additional_kwargs={
                "duration_s": round(perf_counter() - begun, 6),
                "kind": "result" if spoke else "failed",
                AGENT_KEY: name,
                **{key: call[key] for key in ("by", "at") if key in call},
            },
        )
        return {"messages": [message]}

    return Step(hand_over)


class _Asked(NamedTuple):
    """The request that ``agent`` does a task."""

    agent: Any
    task: Mapping[str, Any]
    config: RunnableConfig

    def run(self) -> Mapping[str, Any]:
        return self.agent.invoke(self.task, self.config)

    async def arun(self) -> Mapping[str, Any]:
        return await self.agent.ainvoke(self.task, self.config)


def _task(call: Mapping[str, Any]) -> dict[str, Any]:
    told = {PEOPLE_KEY: call["people"]}
    message = HumanMessage(call["call"]["args"]["task"], id=f"{call['id']}:task", additional_kwargs=told)
    return {"messages": [message]}


def _recorded(call: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any] | None:
    recorded = config.get("configurable", {}).get(RECORD)
    if recorded is None:
        return None
    asked: Call = {key: call[key] for key in ("id", "call", "kind", "text")}  # type: ignore[assignment]
    return {"messages": [recorded(asked)]}


def _staying(call: Mapping[str, Any], config: RunnableConfig) -> RunnableConfig:
    """``config`` for an agent that must not choose versions anew."""
    return {**config, "configurable": {**config.get("configurable", {}), FIXED: dict(call["versions"])}}
