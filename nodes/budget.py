"""How much of a thread the model gets: whole turns, from the end, as many as a budget of tokens holds.

Only the newest turn may be cut itself, by whole rounds (a call with its results) from its start; what the user asked
in it stays. A trim goes well below the budget, so that the prompts of the next turns continue one another.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from ..errors import BadBudget, ContextOverflow
from .context import Context, seen
from .models.slot import Slot
from .token_counts import Besides, count_prompt, surely_at_most, window_of

ANSWER = 1024
"""Tokens left for the answer of a model that does not say how long its answers get."""


@dataclass(frozen=True, slots=True)
class Budget:
    """How many tokens a prompt may have, system prompt and tools included.

    Raises:
        BadBudget: no tokens, no turns, or nothing to trim down to.
    """

    tokens: int | None = None
    """None: what the slot's model can read and still answer; a model that does not tell has no limit."""
    trim_to: float = 0.6
    """The share of the budget that a trim leaves at most, if ``keep_turns`` allow."""
    keep_turns: int = 1
    """User turns that stay as long as the budget holds them, the newest included."""
    summarise: Slot | None = None
    """Who puts in words what is trimmed; None: nobody, it is gone for the model."""

    def __post_init__(self) -> None:
        if (self.tokens is not None and self.tokens < 1) or self.keep_turns < 1 or not 0 < self.trim_to <= 1:
            raise BadBudget(
                f"a budget of tokens={self.tokens}, trim_to={self.trim_to}, keep_turns={self.keep_turns} is none; "
                "give at least one token and one turn, and trim to a share between 0 and 1"
            )


def room_in(budget: Budget, model: Any) -> int | None:
    """The tokens that a prompt for ``model`` may have; None if nobody knows."""
    if budget.tokens is not None:
        return budget.tokens
    window = window_of(model)
    answer = _longest_answer(model) or ANSWER
    return None if window is None else max(window - answer, window // 2)


def _longest_answer(model: Any) -> int | None:
    inner = getattr(model, "inner", None)
    return getattr(model, "max_new_tokens", None) or (inner is not None and _longest_answer(inner)) or None


def keep_within(
    budget: Budget,
    room: int,
    model: Any,
    version: str,
    messages: Sequence[BaseMessage],
    context: Context,
    besides: Besides,
) -> Context:
    """``context`` itself if the prompt has at most ``room`` tokens, else one that begins later.

    Raises:
        ContextOverflow: not even the user's last message and the last round fit.
    """
    if surely_at_most(messages, context, version, besides) <= room:
        return context

    def size(view: Mapping[str, Any]) -> int:
        return count_prompt(model, messages, view, besides)

    if (whole := size(context)) <= room:
        return context
    smallest = whole
    for views in _later_views(seen(messages, context), context, budget.keep_turns):
        first = bisect_left(views, -budget.trim_to * room, key=lambda view: -size(view))
        chosen = views[min(first, len(views) - 1)]
        if (smallest := size(chosen)) <= room:
            return chosen
    raise ContextOverflow(
        f"the prompt has {smallest} tokens with nothing but this turn's question and its last round, and the budget is "
        f"{room}; raise Budget(tokens=…), let tools show less at once (max_chars), or fork the thread before this turn"
    )


def _later_views(shown: Sequence[BaseMessage], context: Context, keep_turns: int) -> list[list[Context]]:
    """What could be seen instead of ``shown``, each list from most to least: turns to keep, fewer turns, rounds.

    At last messages of the user without an answer between them, of which one may be too long, the first ones going.
    """
    turns = _places(shown, HumanMessage)
    later = [_view(context, shown[place]) for place in turns if place]
    dropped = max(0, len(later) + 1 - keep_turns)
    last = turns[-1] if turns else 0
    asked = [one for one in shown[last : _after(shown, last)] if one.id]
    rounds = [place for place in _places(shown, AIMessage) if place > last]
    within = [_view(context, shown[place], asked) for place in rounds[1:]]
    newest = [
        _view(context, shown[rounds[-1]], asked[gone:]) if rounds else _view(context, asked[gone])
        for gone in range(1, len(asked))
    ]
    return [views for views in (later[:dropped], later[dropped:], within, newest) if views]


def _places(messages: Sequence[BaseMessage], kind: type[BaseMessage]) -> list[int]:
    """Where messages of ``kind`` begin to stand, one after the other counted once."""
    return [
        place
        for place, message in enumerate(messages)
        if isinstance(message, kind) and not (place and isinstance(messages[place - 1], kind))
    ]


def _after(messages: Sequence[BaseMessage], place: int) -> int:
    while place < len(messages) and isinstance(messages[place], HumanMessage):
        place += 1
    return place


def _view(context: Context, first: BaseMessage, pinned: Sequence[BaseMessage] = ()) -> Context:
    view: Context = {**context, "start": first.id or ""}
    view.pop("pinned", None)
    if pinned:
        view["pinned"] = [message.id or "" for message in pinned]
    return view
