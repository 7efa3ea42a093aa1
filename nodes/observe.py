"""The observe node: a new user turn fixes which versions speak until the next one, and what the model sees.

With a budget it trims what the model sees of the thread, with a memory it looks up what is remembered. The thread
itself keeps every message.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool

from ..errors import BadConfig, ContextOverflow, StillPaused
from .models.slot import Slot

if TYPE_CHECKING:
    from .budget import Budget
    from .context import Context
    from .memory import Memory

FIXED = "__threadmill_versions"
"""The key in ``config["configurable"]`` of the versions that an agent inside of another one's run stays on."""

Look = Callable[[Sequence[BaseMessage], "Context", Mapping[str, str], RunnableConfig], "Context"]
"""From messages, context and versions to the context of the next model call."""

log = logging.getLogger("threadmill.observe")


def make_observe(
    slots: Sequence[Slot],
    *,
    budget: "Budget | None" = None,
    memory: "Memory | None" = None,
    system: str | None = None,
    tools: Sequence[BaseTool] | None = None,
) -> Callable[..., dict[str, Any]]:
    """Build a node that writes ``versions`` when a run begins and nothing while it lasts.

    A run begins with a human message; a thread that never had versions (an import, say) gets them too.
    A message that comes while the calls before it wait for an answer raises ``StillPaused``: LangGraph itself would
    drop the question and go on. The ``budget`` is one of tokens of the first slot's model; whenever the prompt would
    exceed it, and when a run begins with a ``memory``, the node writes ``context`` too. ``system`` and ``tools`` are
    those of think, and counted; None counts what earlier answers noted. Its attribute ``slots`` says whose versions it
    fixes.

    Raises:
        BadConfig: something in ``slots`` is none.

    Raises (the node):
        ContextOverflow: the newest turn alone exceeds the budget.
        BadMemory: the graph has no store, or nothing says whose memories are wanted.
    """
    for slot in slots:
        if not isinstance(slot, Slot):
            raise BadConfig(
                f"a {type(slot).__name__} stands where a slot should; give Slot.fixed('agent.think', model, 'v1')"
            )
    if budget is not None and budget.summarise is not None and budget.summarise not in slots:
        slots = [*slots, budget.summarise]
    trim = None if budget is None else _make_trim(slots[0], budget, system, tools)

    def observe(state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
        messages = state.get("messages", [])
        begins = bool(messages) and isinstance(messages[-1], HumanMessage)
        if begins:
            _refuse_to_pass(messages)
        versions = state.get("versions", {})
        update: dict[str, Any] = {}
        if begins or not all(slot.name in versions for slot in slots):
            configurable = config.get("configurable", {})
            fixed, thread = configurable.get(FIXED, {}), configurable.get("thread_id", "")
            kept = {} if begins else versions
            versions = {
                slot.name: kept.get(slot.name)
                or fixed.get(slot.name)
                or slot.version_for(thread, versions.get(slot.name))
                for slot in slots
            }
            update["versions"] = versions
        before: Context = state.get("context") or {}
        context = before
        if memory is not None and begins:
            context = _remembering(memory, messages, context, config)
        if trim is not None:
            context = trim(messages, context, versions, config)
        if context != before:
            update["context"] = context
        return update

    observe.slots = tuple(slots)  # pyright: ignore[reportFunctionMemberAccess]
    return observe


def _make_trim(slot: Slot, budget: "Budget", system: str | None, tools: Sequence[BaseTool] | None) -> Look:
    from .bound_tools import tool_schemas
    from .budget import keep_within, room_in
    from .context import seen
    from .summary import build_summariser, with_summary
    from .token_counts import Besides, noted_besides

    schemas = None if tools is None else tool_schemas(tools)
    summariser = None if budget.summarise is None else build_summariser(budget.summarise)

    def trim(
        messages: Sequence[BaseMessage], context: "Context", versions: Mapping[str, str], config: RunnableConfig
    ) -> "Context":
        version, noted = versions[slot.name], noted_besides(messages)
        besides = Besides(noted.system if system is None else system, noted.tools if schemas is None else schemas)

        def fitting(context: "Context") -> "Context":
            model = slot.model(version)
            if (room := room_in(budget, model)) is None:
                return context
            return keep_within(budget, room, model, version, messages, context, besides)

        try:
            trimmed = view = fitting(context)
        except ContextOverflow:
            raise
        except Exception as error:  # it cannot be loaded, or render these messages: think says so, or asks a fallback
            log.warning("what %s would see is not counted: %s", version, error)
            return context
        told = context
        if summariser is None:
            return view
        try:
            while view is not told:  # a summary takes room itself, so more may have to go
                kept = {message.id for message in seen(messages, view)}
                dropped = [message for message in seen(messages, told) if message.id not in kept]
                told = with_summary(view, summariser, versions, dropped, config)
                view = fitting(told)
        except ContextOverflow:
            return {**trimmed, "unsummarised": "the summary leaves no room for this turn"}
        return told

    return trim


def _remembering(
    memory: "Memory", messages: Sequence[BaseMessage], context: "Context", config: RunnableConfig
) -> "Context":
    from .memory import recall

    remembered = recall(memory, messages, config)
    others: Context = {**context}
    others.pop("memory", None)
    return {**others, "memory": remembered} if remembered else others


def _refuse_to_pass(messages: Sequence[BaseMessage]) -> None:
    message = next((one for one in reversed(messages) if not isinstance(one, HumanMessage)), None)
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    if calls:
        asked = ", ".join(
            f"{call['name']}({', '.join(f'{k}={v!r}' for k, v in call['args'].items())})" for call in calls
        )
        raise StillPaused(
            f"the thread waits for an answer about {asked}; approve, edit, reject or respond before anything else is "
            "said, or fork the thread before the question"
        )
