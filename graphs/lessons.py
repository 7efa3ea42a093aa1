"""Lessons that an agent drew from failed trials, kept in LangGraph's store for the first trials of other threads.

A graph that was compiled without a store forgets them when the run ends. Lessons are what a model made of what it had
read, so they are data.
"""

from collections.abc import Sequence
from hashlib import sha256

from langgraph.store.base import BaseStore

from ..nodes.hidden_text import show_hidden
from ..nodes.marking import mark_as_data
from ..nodes.memory import as_label

HEADING = "Lessons from earlier trials at such tasks:"


def lessons_about(store: BaseStore | None, name: str, kind: str, most: int) -> list[str]:
    """The newest lessons of agent ``name`` about tasks of this ``kind``, oldest first."""
    if store is None or most < 1:
        return []
    found = store.search(_namespace(name, kind), limit=most)
    return [str(item.value["lesson"]) for item in sorted(found, key=lambda item: item.created_at)]


def keep_lesson(store: BaseStore | None, name: str, kind: str, lesson: str, thread: str) -> None:
    """Keep ``lesson``, which ``thread`` has taught; the same one is kept once."""
    if store is not None and lesson:
        shown = show_hidden(lesson)  # as it will be told; and not every database can hold all characters
        key = sha256(shown.encode()).hexdigest()[:32]
        store.put(_namespace(name, kind), key, {"lesson": shown, "thread": thread})


def as_memory(lessons: Sequence[str], name: str) -> str:
    """``lessons`` for a system prompt; empty without any."""
    if not lessons:
        return ""
    listed = "\n".join(f"- {' '.join(lesson.split())}" for lesson in dict.fromkeys(lessons))
    return f"{HEADING}\n{mark_as_data(listed, name, 'earlier trials')}"


def _namespace(name: str, kind: str) -> tuple[str, ...]:
    return tuple(as_label(part) or "-" for part in (name, "lessons", kind))
