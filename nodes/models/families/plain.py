"""Text without calls, for chat templates that know no tools or write them in a form that nobody here reads."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage

from .chat import as_chat
from .family import Family, Said
from .thinking import CLOSE, OPEN, read_thought, think_aloud


def read(opening: str, text: str) -> Said:
    """Thinking and content."""
    thought = read_thought(opening, text)
    return Said(text[thought.rest :].strip(), thought.reasoning)


def write(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The thinking in the text; malformed calls are text, too."""
    return think_aloud(messages, as_chat(messages))


PLAIN = Family(name="plain", markers=(OPEN, CLOSE), read=read, write=write, takes_tools=False)
