"""Names of tools that the APIs of OpenAI and Anthropic take."""

import re

from .reading import Chat

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def names_fit(chat: Chat) -> bool:
    """Does every tool, and every call, have a name that both APIs take?"""
    names = [str(function["name"]) for function in chat.tools]
    names += [call["name"] for one in chat.said for call in one.calls]
    return all(NAME.fullmatch(name) for name in names)
