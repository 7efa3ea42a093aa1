"""The think node: one model call through its slot, one ``AIMessage`` with its trace."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from time import perf_counter
from typing import Any

from langchain_core.messages import AIMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool

from .bound_tools import note_system, note_tools, tool_schemas
from .models.slot import Heard, Slot


def make_think(slot: Slot, tools: Sequence[BaseTool], system: str = "") -> Callable[..., dict[str, Any]]:
    """Build a node that asks the model of this run's version for the next message.

    ``config["configurable"]`` may hold ``seed`` and ``temperature``. The model gets
    ``seed + number of AI messages so far``, so every call of a thread has a seed of its own. The answer says who
    gave it and how long that took, and what the model was given besides the messages, if no answer before it does.
    """
    schemas = tool_schemas(tools)

    @lru_cache(maxsize=4)
    def bound(version: str, opened: int) -> Runnable[Any, AIMessage]:  # what was let go comes back as another object
        return slot.model(version).bind_tools(tools)

    def think(state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
        messages = state["messages"]
        version = state["versions"][slot.name]
        begins = bool(messages) and isinstance(messages[0], SystemMessage)
        put_first = "" if begins else system
        prompt = [SystemMessage(put_first), *messages] if put_first else messages
        settings = _settings(config.get("configurable", {}), messages)
        model = bound(version, id(slot.model(version)))
        begun = perf_counter()
        answer = model.invoke(prompt, config, **settings)
        seconds = round(perf_counter() - begun, 6)
        spoken = {**answer.response_metadata, "node": "think", "version": version, "seconds": seconds}
        answer = answer.model_copy(update={"response_metadata": spoken})
        if (overhear := slot.overhear) is not None:  # another thread may close the shadow meanwhile
            overhear(Heard(config.get("configurable", {}).get("thread_id", ""), prompt, tools, settings, answer))
        return {"messages": [note_system(note_tools(answer, schemas, messages), put_first, messages)]}

    return think


def _settings(configurable: Mapping[str, Any], messages: Sequence[Any]) -> dict[str, Any]:
    settings = {}
    if "seed" in configurable:
        settings["seed"] = configurable["seed"] + sum(isinstance(m, AIMessage) for m in messages)
    if "temperature" in configurable:
        settings["temperature"] = configurable["temperature"]
    return settings
