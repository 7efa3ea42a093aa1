"""Filters that look at one row: its outcome and its length."""

from .behaviour import went_well
from .facts import Facts
from .settings import Selection


def refuse(facts: Facts, selection: Selection) -> str | None:
    """Why no row of this branch is wanted, or None: an export asks before it makes any.

    Another branch of the thread then trains what the two have in common.
    """
    if selection.success_only:
        good = went_well(facts.success, facts.reward)
        if not good:
            return "no outcome" if good is None else "failure"
    if selection.min_reward is not None:
        if facts.reward is None:
            return "no reward"
        if facts.reward < selection.min_reward:
            return f"reward below {selection.min_reward:g}"
    return None


def refuse_length(tokens: int, selection: Selection) -> str | None:
    """Why a row of so many tokens is not wanted, or None; nothing is known of a row of none, which holds text."""
    if selection.max_tokens is not None and tokens > selection.max_tokens:
        return f"longer than {selection.max_tokens} tokens"
    if selection.min_tokens is not None and 0 < tokens < selection.min_tokens:
        return f"shorter than {selection.min_tokens} tokens"
    return None
