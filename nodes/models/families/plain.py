"""Text without calls, for chat templates that know no tools or write them in a form that nobody here reads."""

from .chat import as_chat
from .family import Family, Said
from .thinking import CLOSE, OPEN, read_thought


def read(opening: str, text: str) -> Said:
    """Thinking and content."""
    thought = read_thought(opening, text)
    return Said(text[thought.rest :].strip(), thought.reasoning)


PLAIN = Family(name="plain", markers=(OPEN, CLOSE), read=read, write=as_chat, takes_tools=False)
