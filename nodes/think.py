"""The think node: one model call through its slot, one ``AIMessage`` with its trace."""

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import lru_cache
from time import perf_counter
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool

from .bound_tools import note_system, note_tools, tool_schemas
from .context import note_start, seen, system_of
from .fallback import ask_in_turn
from .first_turn import FIRST_KEY, First, asked_first, is_due
from .models.slot import Heard, Slot
from .step import Request, Step
from .storable import keep_storable
from .tool_choice import CHOICE_KEY, check_choice, choice_now, keep_choice, told_choice


def make_think(
    slot: Slot,
    tools: Sequence[BaseTool],
    system: str = "",
    *,
    fallbacks: Sequence[Slot] = (),
    retries: int = 0,
    tool_choice: str | None = None,
    first: First | None = None,
    response_schema: Mapping[str, Any] | None = None,
    wait_s: float = 0.5,
) -> Callable[..., dict[str, Any]]:
    """Build a node that asks the model of this run's version for the next message.

    ``config["configurable"]`` may hold ``seed`` and ``temperature``. The model gets
    ``seed + number of AI messages so far``, so every call of a thread has a seed of its own. The answer says who
    gave it and how long that took, and what the model was given besides the messages, if no answer before it does.

    A failure that may pass (connections, busy servers) is tried again ``retries`` times, after ``wait_s`` seconds,
    then twice as many, and so on; then the model of the next of ``fallbacks`` is asked. ``tool_choice`` is ``auto``,
    ``any`` or a tool's name, for the first call of a run, or ``none``, for all. ``first`` adds a turn of words before
    the action, see ``first_turn``. An answer by ``response_schema`` is sampled under it where the model can do that.

    Raises:
        UnknownTool: ``tool_choice`` names none of ``tools``.
    """
    slots, schemas = (slot, *fallbacks), tool_schemas(tools)
    system = asked_first(system, first)
    check_choice(tool_choice, schemas)

    @lru_cache(maxsize=8 * len(slots))
    def bound(slot: Slot, version: str, choice: str | None, opened: int) -> Runnable[Any, AIMessage]:
        model = slot.model(version)  # what was let go comes back as another object, so ``opened`` is another number
        chosen: dict[str, Any] = {"tool_choice": told_choice(choice, model)} if choice and tools else {}
        able: Any = model.bind_tools(tools, **chosen)
        return able.bind(response_schema=response_schema) if response_schema and _takes_schema(model) else able

    def think(state: Mapping[str, Any], config: RunnableConfig) -> Generator[Request, Any, dict[str, Any]]:
        messages = state["messages"]
        said: list[AIMessage] = []
        if is_due(first, messages):
            words = yield from speak(state, config, [], "none")
            said.append(_noted(words, {FIRST_KEY: first}))
            if words.invalid_tool_calls:  # it acts nevertheless, and is told that this was not its turn to
                return {"messages": said}
        said.append((yield from speak(state, config, said, choice_now(tool_choice, messages))))
        return {"messages": said}

    def speak(
        state: Mapping[str, Any], config: RunnableConfig, said: Sequence[AIMessage], choice: str | None
    ) -> Generator[Request, Any, AIMessage]:
        """One call, after what was ``said`` in this step."""
        configurable = config.get("configurable", {})
        messages = [*state["messages"], *said] if said else state["messages"]
        put_first, prompt = _prompt(messages, system, state.get("context"))
        settings = _settings(configurable, messages)

        def bind(slot: Slot, version: str) -> Runnable[Any, AIMessage]:
            return bound(slot, version, choice, id(slot.model(version)))

        begun = perf_counter()
        answer = yield from ask_in_turn(
            slots, state["versions"], bind, prompt, settings, config, retries=retries, wait_s=wait_s
        )
        about = {
            "node": config.get("metadata", {}).get("langgraph_node", "think"),
            "version": answer.version,
            "seconds": round(perf_counter() - begun, 6),
        }
        if answer.fell_back_from:
            about["fell_back_from"] = answer.fell_back_from
        if choice:
            about[CHOICE_KEY] = choice
        message = note_start(_noted(keep_storable(answer.message), about), state.get("context"))
        if choice:
            message = keep_choice(message, choice)
        if (overhear := answer.slot.overhear) is not None:  # another thread may close the shadow meanwhile
            overhear(Heard(configurable.get("thread_id", ""), prompt, tools, settings, message))
        return note_system(note_tools(message, schemas, messages), put_first, messages)

    return Step(think)


def _prompt(
    messages: Sequence[BaseMessage], system: str, context: Mapping[str, Any] | None
) -> tuple[str, Sequence[BaseMessage]]:
    """The system prompt that is put before the messages of a thread, and what the model gets."""
    begins = bool(messages) and isinstance(messages[0], SystemMessage)
    if not context:
        put_first = "" if begins else system
        return put_first, [SystemMessage(put_first), *messages] if put_first else messages
    own = messages[0].text if begins else system
    whole = system_of(own, context)
    shown = seen(messages, context)
    rest = shown[1:] if begins and shown and shown[0] is messages[0] else shown
    return "" if begins and whole == own else whole, [SystemMessage(whole), *rest] if whole else rest


def _settings(configurable: Mapping[str, Any], messages: Sequence[Any]) -> dict[str, Any]:
    settings = {}
    if "seed" in configurable:
        settings["seed"] = configurable["seed"] + sum(isinstance(m, AIMessage) for m in messages)
    if "temperature" in configurable:
        settings["temperature"] = configurable["temperature"]
    return settings


def _noted(message: AIMessage, about: Mapping[str, Any]) -> AIMessage:
    return message.model_copy(update={"response_metadata": {**message.response_metadata, **about}})


def _takes_schema(model: BaseChatModel) -> bool:
    from .models.telling import TellingChatModel

    return isinstance(model, TellingChatModel)
