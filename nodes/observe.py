"""The observe node: a new user turn fixes which versions speak until the next one, and what the model sees.

With a budget it trims what the model sees of the thread, with a memory it looks up what is remembered. The thread
itself keeps every message.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

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


def make_observe(
    slots: Sequence[Slot], *, budget: "Budget | None" = None, memory: "Memory | None" = None
) -> Callable[..., dict[str, Any]]:
    """Build a node that writes ``versions`` when a run begins and nothing while it lasts.

    A run begins with a human message; a thread that never had versions (an import, say) gets them too.
    A message that comes while the calls before it wait for an answer raises ``StillPaused``: LangGraph itself would
    drop the question and go on. The ``budget`` is one of tokens of the first slot's model; whenever the prompt would
    exceed it, and when a run begins with a ``memory``, the node writes ``context`` too. Its attribute ``slots`` says
    whose versions it fixes.

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
    trim = None if budget is None else _make_trim(slots[0], budget)

    def observe(state: Mapping[str, Any], config: RunnableConfig) -> dict[str, Any]:
        messages = state.get("messages", [])
        begins = bool(messages) and isinstance(messages[-1], HumanMessage)
        if begins and len(messages) > 1:
            _refuse_to_pass(messages[-2])
        versions = state.get("versions", {})
        update: dict[str, Any] = {}
        if begins or not all(slot.name in versions for slot in slots):
            configurable = config.get("configurable", {})
            fixed, thread = configurable.get(FIXED, {}), configurable.get("thread_id", "")
            versions = {
                slot.name: fixed.get(slot.name) or slot.version_for(thread, versions.get(slot.name)) for slot in slots
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


def _make_trim(slot: Slot, budget: "Budget") -> Look:
    from .budget import keep_within, room_in
    from .context import seen

    @lru_cache(maxsize=16)
    def room_for(version: str) -> int | None:
        return room_in(budget, slot.model(version))

    def trim(
        messages: Sequence[BaseMessage], context: "Context", versions: Mapping[str, str], config: RunnableConfig
    ) -> "Context":
        version = versions[slot.name]
        if (room := room_for(version)) is None:
            return context
        model = slot.model(version)
        view = keep_within(budget, room, model, version, messages, context)
        if view is context or (summarise := budget.summarise) is None:
            return view
        from .summary import with_summary

        kept = {message.id for message in seen(messages, view)}
        dropped = [message for message in seen(messages, context) if message.id not in kept]
        told = with_summary(view, summarise, versions[summarise.name], dropped, config)
        try:
            return keep_within(budget, room, model, version, messages, told)
        except ContextOverflow:
            return {**view, "unsummarised": "the summary leaves no room for this turn"}

    return trim


def _remembering(
    memory: "Memory", messages: Sequence[BaseMessage], context: "Context", config: RunnableConfig
) -> "Context":
    from .memory import recall

    remembered = recall(memory, messages, config)
    others: Context = {**context}
    others.pop("memory", None)
    return {**others, "memory": remembered} if remembered else others


def _refuse_to_pass(message: BaseMessage) -> None:
    calls = message.tool_calls if isinstance(message, AIMessage) else []
    if calls:
        asked = ", ".join(
            f"{call['name']}({', '.join(f'{k}={v!r}' for k, v in call['args'].items())})" for call in calls
        )
        raise StillPaused(
            f"the thread waits for an answer about {asked}; approve, edit, reject or respond before anything else is "
            "said, or fork the thread before the question"
        )
