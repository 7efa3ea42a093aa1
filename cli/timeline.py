"""A thread for people: who said what, in order, with calls, durations, versions, edits and questions."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

STYLES = {"human": "cyan", "ai": "bold", "tool": "dim", "system": "dim"}


def print_timeline(
    thread: str, metadata: dict[str, Any], messages: Sequence["AnyMessage"], questions: Sequence[dict[str, Any]]
) -> None:
    """Print the timeline of one thread to stdout."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)
    about = [f"{key} {metadata[key]}" for key in ("agent", "task", "trial") if key in metadata]
    console.print(f"thread {thread} · {' · '.join(about)}", soft_wrap=True)
    for message in messages:
        for line in lines_of(message):
            console.print(Text(_visible(line), style=STYLES.get(message.type, "")), soft_wrap=True)
    for question in questions:
        console.print(Text(_visible(question_line(thread, question)), style="yellow"), soft_wrap=True)


def lines_of(message: "AnyMessage") -> list[str]:
    """The lines for one message, the first with its role."""
    from langchain_core.messages import AIMessage, ToolMessage

    from ..nodes.models.trace import EDIT_KEY

    if isinstance(message, ToolMessage):
        notes = message.additional_kwargs
        took = f", {notes['duration_s'] * 1000:.0f} ms" if "duration_s" in notes else ""
        who = f" by {notes['by']}" if "by" in notes else ""
        return [f"tool   {message.name} ({notes.get('kind', message.status)}{who}{took}): {message.text}"]
    if not isinstance(message, AIMessage):
        return [f"{message.type:<6} {message.text}"]
    version = message.response_metadata.get("version", "")
    lines = [f"ai     [{version}] {message.text}".rstrip()]
    lines += [f"         calls {call_text(call)}" for call in message.tool_calls]
    lines += [f"         cannot be read: {call['args']} ({call['error']})" for call in message.invalid_tool_calls]
    edit = message.response_metadata.get(EDIT_KEY)
    if edit:
        proposed = ", ".join(call_text(call) for call in edit["proposal"]["tool_calls"])
        lines.append(f"         edited by {edit['by']} at {edit['at']}; the model proposed {proposed}")
    return lines


def _visible(line: str) -> str:
    """``line`` with control characters written out: what a tool returned must not steer the terminal."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else ascii(sign)[1:-1] for sign in line)


def call_text(call: Any) -> str:
    """A call as one would write it."""
    return f"{call['name']}({', '.join(f'{name}={json.dumps(value)}' for name, value in call['args'].items())})"


def question_line(thread: str, question: dict[str, Any]) -> str:
    """What is asked, and how to answer."""
    if "tool" not in question:
        return f"asks   {question}"
    call = call_text({"name": question["tool"], "args": question["args"]})
    choices = "|".join(question["choices"])
    return f"asks   {call}: {question['why']} — answer with `threadmill threads {choices} {thread}`"
