"""What a person sees of a run: tokens as they come, calls and what tools answered, changes of version.

All text of models and tools is written with its control characters visible: it must not steer the terminal.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from .timeline import asked_text, call_text, visible

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage, AnyMessage, ToolMessage

    from ..graphs.run import Outcome
    from ..graphs.streamed import Event, Token, Told

MOST_LINES = 5
MOST_CHARS = 600


class Screen:
    """Prints events, one after the other."""

    def __init__(self) -> None:
        self._open: str | None = None
        """The message whose line is not ended yet."""
        self._spoken: set[str] = set()
        """The messages whose text was printed."""
        self._versions: dict[tuple[str, str], str] = {}

    def show(self, event: "Event") -> None:
        """Print ``event``; of an outcome only what was not printed yet."""
        from langchain_core.messages import AIMessage, ToolMessage

        from ..graphs.run import Outcome
        from ..graphs.streamed import Stored, Token, Told

        match event:
            case Token():
                self._token(event)
            case Stored(AIMessage() as message):
                self._answered(message, event.inside)
            case Stored(ToolMessage() as message):
                self.say(_result_line(message), dim=True)
            case Stored(message):
                self.say(f"{message.type}: {cut(message.text)}", dim=True)
            case Told():
                self._told(event)
            case Outcome():
                self._ended(event)

    def say(self, text: str, **style: Any) -> None:
        """Print ``text`` on lines of its own."""
        self.end_line()
        typer.secho(visible(text), **style)

    def ask(self, question: dict[str, Any], number: int, of: int) -> None:
        """Print who is asked what."""
        count = f" ({number} of {of})" if of > 1 else ""
        if is_for_user(question):
            self.say(f"? {question['args'].get('question') or question['why']}{count}", fg="yellow")
        else:
            self.say(f"? {asked_text(question)}{count}", fg="yellow")

    def end_line(self) -> None:
        """End the line of a message that is still being said."""
        if self._open is not None:
            typer.echo()
            self._open = None

    def _token(self, token: "Token") -> None:
        if self._open != token.message:
            self.end_line()
            self._open = token.message
            if token.inside:
                typer.secho(f"{visible(token.inside)}: ", nl=False, dim=True)
        if not token.is_reasoning:
            self._spoken.add(token.message)
        typer.secho(visible(token.text), nl=False, dim=token.is_reasoning or None)

    def _answered(self, message: "AIMessage", inside: str) -> None:
        from ..nodes.models.trace import EDIT_KEY

        self.end_line()
        if edit := message.response_metadata.get(EDIT_KEY):
            self.say(f"  edited by {edit['by']}", dim=True)
        elif message.text and message.id not in self._spoken:
            self.say(message.text)
        self._version(message, inside)
        for call in message.tool_calls:
            self.say(f"→ {call_text(call)}", fg="cyan")
        for call in message.invalid_tool_calls:
            self.say(f"→ cannot be read: {cut(str(call['args']))} ({call['error']})", fg="red")

    def _version(self, message: "AIMessage", inside: str) -> None:
        """Say who answered, where it was somebody else before."""
        version = message.response_metadata.get("version")
        place = (inside, message.response_metadata.get("node", ""))
        before = self._versions.get(place)
        if version and version != before:
            self.say(f"  [{version}{f', no longer {before}' if before else ''}]", dim=True)
            self._versions[place] = version

    def _told(self, told: "Told") -> None:
        if not isinstance(told.event, dict) or "event" not in told.event:
            self.say(f"  … {cut(json.dumps(told.event, ensure_ascii=False, default=str))}", dim=True)
        elif told.event["event"] == "progress":
            done, total = told.event.get("done"), told.event.get("total")
            far = "" if done is None else f" {done:g}" if total is None else f" {done:g}/{total:g}"
            self.say(f"  … {told.event['tool']}: {cut(str(told.event['text']))}{far}", dim=True)

    def _ended(self, outcome: "Outcome") -> None:
        self.end_line()
        if outcome.status == "failed":
            self.say("stopped half-way: /continue goes on, /undo takes the turn back", fg="yellow")
        elif outcome.status == "done" and outcome.answer is None:
            self.say("(no answer)", dim=True)


def is_for_user(question: Mapping[str, Any]) -> bool:
    """Whether plain text answers it: the agent wants to know something, and nothing is to be approved."""
    return question.get("who") == "user" and "respond" in question.get("choices", ())


def cut(text: str) -> str:
    """The first few lines of ``text``, and how much follows."""
    lines = text[:MOST_CHARS].splitlines()[:MOST_LINES]
    shown = "\n".join(lines)
    left = len(text) - len(shown)
    return f"{shown} … ({left} more characters; /show shows all)" if left > 1 else shown


def headline(message: "AnyMessage") -> str:
    """Who said what, in one line."""
    return visible(f"{message.type}: {' '.join(cut(message.text).split())}")


def _result_line(message: "ToolMessage") -> str:
    from ..nodes.tool_output import told_by_tool

    notes = message.additional_kwargs
    kind = notes.get("kind", message.status)
    about = [] if kind in ("result", "success") else [kind]
    about += [f"by {notes['by']}"] if "by" in notes else []
    about += [f"{notes['duration_s'] * 1000:.0f} ms"] if "duration_s" in notes else []
    said = told_by_tool(message)
    text = said if isinstance(said, str) else message.text or "(no text)"
    return f"← {message.name} ({', '.join(about)}): {cut(text)}" if about else f"← {message.name}: {cut(text)}"
