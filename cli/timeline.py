"""A thread for people: who said what, in order, with calls, durations, versions, edits and questions."""

import json
from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from ..checkpoints.branch import Step
    from ..checkpoints.diff import BranchDiff
    from ..checkpoints.pauses import Pause

STYLES = {"human": "cyan", "ai": "bold", "tool": "dim", "system": "dim"}


def print_timeline(
    thread: str,
    metadata: dict[str, Any],
    messages: Sequence["AnyMessage"],
    steps: Sequence["Step"],
    questions: Sequence[dict[str, Any]],
    *,
    branches: int = 1,
    namespaces: Sequence[str] = (),
    at_db: str = "",
) -> None:
    """Print the timeline of one branch to stdout: each message where it came, questions with their answers between."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)

    def say(line: str, style: str) -> None:
        console.print(Text(visible(line), style=style), soft_wrap=True)

    about = [f"{key} {metadata[key]}" for key in ("agent", "task", "trial") if key in metadata]
    say(" · ".join([f"thread {thread}", *about]), "")
    final = {message.id: message for message in messages}
    for step in steps:
        for message in step.added:
            if message.id in final:  # as it stands at the end, edits included
                for line in lines_of(final[message.id]):
                    say(line, STYLES.get(message.type, ""))
            else:
                say(f"{message.type:<6} (removed later) {message.text}", "dim")
        for pause in step.pauses:
            for line in pause_lines(pause):
                say(line, "yellow")
    for line in question_lines(thread, questions, at_db):
        say(line, "yellow")
    if branches > 1:
        say(f"one of {branches} branches; see `threadmill threads tree {thread}`", "dim")
    if namespaces:
        say(f"subgraphs with messages of their own: {', '.join(namespaces)}", "dim")


def pause_lines(pause: "Pause") -> list[str]:
    """Answered questions, one line each: what was asked, what was answered, by whom and when."""
    from ..checkpoints.branch import questions_and_answers

    lines = []
    for question, answer in questions_and_answers(pause):
        if answer is None:
            continue
        given = str(answer["type"])
        if "args" in answer:
            given += f" {answer.get('tool', '')}{json.dumps(answer['args'], ensure_ascii=False, default=str)}"
        if answer.get("text"):
            given += f" “{answer['text']}”"
        signed = f" by {answer.get('by', 'human')}" + (f" at {answer['at']}" if answer.get("at") else "")
        lines.append(f"asked  {asked_text(question)} — answered {given}{signed}")
    return lines


def step_record(step: "Step") -> dict[str, Any]:
    """A step for programs: ids of messages, questions and answers."""
    from ..checkpoints.branch import questions_and_answers

    return {
        "checkpoint": step.checkpoint,
        "created_at": step.created_at,
        "source": step.source,
        "added": [message.id for message in step.added],
        "changed": [message.id for message in step.changed],
        "removed": list(step.removed),
        "questions": [
            {"question": question, "answer": answer}
            for pause in step.pauses
            for question, answer in questions_and_answers(pause)
        ],
    }


def print_diff(a: str, b: str, found: "BranchDiff") -> None:
    """Print how two branches differ: the last common message, then each side's own."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, markup=False, emoji=False)

    def say(mark: str, messages: Sequence["AnyMessage"], style: str) -> None:
        for message in messages:
            for line in lines_of(message):
                console.print(Text(f"{mark} {visible(line)}", style=style), soft_wrap=True)

    console.print(f"{len(found.common)} messages in common", soft_wrap=True)
    say(" ", found.common[-1:], "dim")
    console.print(f"- {a}: {len(found.only_a)} more", style="red", soft_wrap=True)
    say("-", found.only_a, "red")
    console.print(f"+ {b}: {len(found.only_b)} more", style="green", soft_wrap=True)
    say("+", found.only_b, "green")


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
    version = message.response_metadata.get("version")
    lines = [f"ai     {f'[{version}] ' if version else ''}{message.text}".rstrip()]
    lines += [f"         calls {call_text(call)}" for call in message.tool_calls]
    lines += [f"         cannot be read: {call['args']} ({call['error']})" for call in message.invalid_tool_calls]
    edit = message.response_metadata.get(EDIT_KEY)
    if edit:
        proposed = ", ".join(call_text(call) for call in edit["proposal"]["tool_calls"])
        lines.append(f"         edited by {edit['by']} at {edit['at']}; the model proposed {proposed}")
    return lines


def visible(line: str) -> str:
    """``line`` with control characters written out: what a tool returned must not steer the terminal."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else ascii(sign)[1:-1] for sign in line)


def call_text(call: Any) -> str:
    """A call as one would write it."""
    args = (f"{name}={json.dumps(value, ensure_ascii=False, default=str)}" for name, value in call["args"].items())
    return f"{call['name']}({', '.join(args)})"


def question_lines(thread: str, questions: Sequence[dict[str, Any]], at_db: str = "") -> list[str]:
    """Who is asked what, a line each, and how to answer; several questions are answered together, by their ids."""
    name = f"{quote(thread)}{at_db}"
    if not all("tool" in question for question in questions):
        return [f"asks   {asked_text(question)} — answer it where the agent runs" for question in questions]
    if len(questions) == 1:
        choices = "|".join(questions[0]["choices"])
        return [f"asks   {asked_text(questions[0])} — answer with `threadmill threads {choices} {name}`"]
    lines = [f"asks   {asked_text(question)} [{question['id']}]" for question in questions]
    if lines:
        answer = json.dumps([{"id": questions[0]["id"], "type": questions[0]["choices"][0]}], ensure_ascii=False)
        for_all = [way for way in ("approve", "reject") if all(way in one["choices"] for one in questions)]
        all_alike = f", or all alike with `threadmill threads {'|'.join(for_all)} {name}`" if for_all else ""
        each = f"`threadmill threads answer {name} '{answer[:-1]}, …]'`"
        lines.append(f"       answer each in one list, {each}{all_alike}")
    return lines


def asked_text(question: dict[str, Any]) -> str:
    """Who is asked about which call, and why."""
    call = call_text({"name": question["tool"], "args": question["args"]}) if "tool" in question else ""
    why = question.get("why") or ""
    why = why if isinstance(why, str) else json.dumps(why, ensure_ascii=False, default=str)
    who = question.get("who", "human")
    if "inside" in question:
        task = " ".join(question["task"].split())
        who += f", in {question['inside']} “{task[:80]}{'…' if len(task) > 80 else ''}”"
    return ": ".join(part for part in (who, call, why) if part)
