"""``threadmill threads``: list and show threads, answer what they ask, label and import them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .run import DEFAULT_DB, Database

if TYPE_CHECKING:
    from ..checkpoints.threads import ThreadSummary

app = typer.Typer(help="Threads: look at them, answer them, label and import them.", no_args_is_help=True)

ThreadId = Annotated[str, typer.Argument(help="The thread's id.")]
CallId = Annotated[str | None, typer.Option("--call", help="The call that is meant, to be sure.")]
By = Annotated[str | None, typer.Option(help="Who answers (default: the user of this machine).")]
Model = Annotated[str | None, typer.Option(help="Model SPEC (default: the slot's live version).")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


@app.command("list")
def list_command(
    agent: Annotated[str | None, typer.Option(help="Only threads of this agent.")] = None,
    task: Annotated[str | None, typer.Option(help="Only threads of this task.")] = None,
    status: Annotated[str | None, typer.Option(help="done, paused, failed or running.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="Leave out so many first.")] = 0,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """List threads.

    Example: threadmill threads list --status paused
    """
    from typing import get_args

    from ..checkpoints.store import open_store
    from ..checkpoints.threads import Status, list_threads

    if status is not None and status not in get_args(Status):
        raise typer.BadParameter(f"{status!r} is none of {', '.join(get_args(Status))}", param_hint="--status")
    wanted: Any = status
    with open_store(db, create=False) as store:
        threads = list_threads(store, agent=agent, task=task, status=wanted, limit=limit, offset=offset)
    if as_json:
        typer.echo(json.dumps({"threads": [_record(thread) for thread in threads]}))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("thread", "agent", "status", "turns", "versions", "labels", "updated"):
        table.add_column(column, overflow="fold")
    for thread in threads:
        labels = ", ".join(f"{label.kind} {_short(label.value)}" for label in thread.labels)
        row = (thread.thread, thread.agent, thread.status, str(thread.turns), ", ".join(thread.versions), labels)
        table.add_row(*row, thread.updated_at[:19])
    Console(markup=False, emoji=False).print(table)
    if len(threads) == limit:
        typer.echo(f"more may follow: --offset {offset + limit}", err=True)


@app.command()
def show(thread: ThreadId, db: Database = DEFAULT_DB, as_json: AsJson = False) -> None:
    """Show who said what in a thread, with tool calls, versions, edits, and what it asks now.

    Example: threadmill threads show helpdesk-1a2b3c4d
    """
    from langchain_core.messages import message_to_dict

    from ..checkpoints.reading import latest_metadata, read_messages, read_questions
    from ..checkpoints.store import open_store

    with open_store(db, create=False) as store:
        messages = read_messages(store, thread)
        questions = read_questions(store, thread)
        metadata = latest_metadata(store, thread)
    if as_json:
        record = {
            "thread": thread,
            "metadata": metadata,
            "messages": [message_to_dict(message) for message in messages],
            "questions": questions,
        }
        typer.echo(json.dumps(record, ensure_ascii=False))
        return
    from .timeline import print_timeline

    print_timeline(thread, metadata, messages, questions)


@app.command()
def approve(
    thread: ThreadId,
    call: CallId = None,
    by: By = None,
    model: Model = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Agree to what a paused thread asks, and run it on.

    Example: threadmill threads approve helpdesk-1a2b3c4d
    """
    _answer(thread, {"type": "approve"}, call, by, model, db, as_json)


@app.command()
def edit(
    thread: ThreadId,
    args: Annotated[str, typer.Option(help="A JSON object of the arguments to change.")],
    call: CallId = None,
    by: By = None,
    model: Model = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Change the arguments of the call that is asked about, and run the thread on.

    Example: threadmill threads edit helpdesk-1a2b3c4d --args '{"amount": 60}'
    """
    try:
        changed = json.loads(args)
    except ValueError as error:
        raise typer.BadParameter(f"{args!r} is not JSON: {error}", param_hint="--args") from error
    if not isinstance(changed, dict):
        raise typer.BadParameter(f"{args!r} is no JSON object", param_hint="--args")
    _answer(thread, {"type": "edit", "args": changed}, call, by, model, db, as_json)


@app.command()
def reject(
    thread: ThreadId,
    reason: Annotated[str, typer.Option(help="Told to the model.")],
    call: CallId = None,
    by: By = None,
    model: Model = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Refuse the call that is asked about, and run the thread on.

    Example: threadmill threads reject helpdesk-1a2b3c4d --reason "too late for a refund"
    """
    _answer(thread, {"type": "reject", "text": reason}, call, by, model, db, as_json)


@app.command()
def respond(
    thread: ThreadId,
    text: Annotated[str, typer.Option(help="What the tool would have said.")],
    call: CallId = None,
    by: By = None,
    model: Model = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Answer in the tool's place, and run the thread on.

    Example: threadmill threads respond helpdesk-1a2b3c4d --text "refunded by hand"
    """
    _answer(thread, {"type": "respond", "text": text}, call, by, model, db, as_json)


@app.command()
def label(
    thread: ThreadId,
    kind: Annotated[str, typer.Argument(help="reward, success, preference or feedback.")],
    value: Annotated[str, typer.Argument(help="A number, or text.")],
    source: Annotated[str, typer.Option(help="Who says so.")] = "person",
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Say what came of a thread.

    Example: threadmill threads label helpdesk-1a2b3c4d success 1
    """
    from math import isfinite
    from typing import get_args

    from ..checkpoints.labels import NUMERIC, Kind, Label, add_label
    from ..checkpoints.reading import latest_checkpoint
    from ..checkpoints.store import open_store

    if kind not in get_args(Kind):
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(get_args(Kind))}", param_hint="KIND")
    known: Any = kind
    try:
        meant: float | str = float(value)
    except ValueError:
        meant = value
    if isinstance(meant, float) and not isfinite(meant):
        raise typer.BadParameter(f"{value!r} is no finite number", param_hint="VALUE")
    if isinstance(meant, str) and kind in NUMERIC:
        raise typer.BadParameter(f"{value!r} is no number, and {kind} needs one", param_hint="VALUE")
    with open_store(db, create=False) as store:
        latest_checkpoint(store, thread)
        add_label(store, Label(thread, None, None, known, meant, source))
    record = {"thread": thread, "kind": kind, "value": meant, "source": source}
    typer.echo(json.dumps(record) if as_json else f"{thread}: {kind} {meant} ({source})")


@app.command("import")
def import_command(
    files: Annotated[list[Path], typer.Argument(help="Files to import; .gz is read too.")],
    format: Annotated[str | None, typer.Option(help="tau-bench or intercode-sql (default: look).")] = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Import runs of others as threads; bad rows are set aside and listed.

    Example: threadmill threads import trajectories.jsonl.gz --format tau-bench
    """
    from ..checkpoints.importers import import_files
    from ..checkpoints.store import open_store
    from .progress import progress_bar

    with open_store(db) as store, progress_bar("import") as progress:
        report = import_files(store, files, format=format, progress=progress)
    record = {
        "imported": report.imported,
        "already": report.already,
        "set_aside": report.set_aside,
        "messages": report.messages,
        "tool_calls": report.tool_calls,
        "labels": report.labels,
        "format": report.format,
    }
    if as_json:
        typer.echo(json.dumps(record))
        return
    typer.echo(
        f"{report.imported} threads imported ({report.already} were there already): {report.messages} messages, "
        f"{report.tool_calls} tool calls, {report.labels} labels, format {report.format}"
    )
    for row in report.set_aside:
        typer.echo(f"set aside {row['file']}:{row['line']}: {row['reason']}")


def _answer(
    thread: str,
    answer: dict[str, Any],
    call: str | None,
    by: str | None,
    model: str | None,
    db: str,
    as_json: bool,
) -> None:
    """Give one answer to the question about ``call``, or to every question if there is no ``call``."""
    from ..checkpoints.reading import latest_metadata, read_questions
    from ..checkpoints.store import open_store
    from ..graphs.run import answer_thread
    from .agents import open_agent

    with open_store(db, create=False) as store:
        metadata = latest_metadata(store, thread)
        answers = make_answers(thread, read_questions(store, thread), answer, call, by or _user())
        agent = open_agent(store, str(metadata.get("agent")), model=model)
        outcome = answer_thread(agent, thread, answers)
    record = {"thread": thread, "status": outcome.status, "answer": outcome.answer}
    typer.echo(json.dumps(record) if as_json else f"{thread} · {outcome.status}\n{outcome.answer or ''}".rstrip())


def make_answers(
    thread: str, questions: list[dict[str, Any]], answer: dict[str, Any], call: str | None, by: str
) -> list[dict[str, Any]]:
    """The answers that ``answer`` means; an edit's arguments are laid over those proposed.

    Raises:
        NotPaused: nothing is asked. BadAnswer: ``call`` is not asked about, or is needed.
    """
    from ..errors import BadAnswer, NotPaused

    if not questions:
        raise NotPaused(f"thread {thread!r} asks nothing; see `threadmill threads show {thread}`")
    ids = [str(question["id"]) for question in questions]
    if call is not None and call not in ids:
        raise BadAnswer(f"thread {thread!r} does not ask about the call {call!r}; it asks about {', '.join(ids)}")
    if len(questions) > 1 and (call is not None or answer["type"] in ("edit", "respond")):
        raise BadAnswer(
            f"thread {thread!r} asks about {len(questions)} calls ({', '.join(ids)}), which are answered together; "
            "approve or reject all, or answer each from Python with threadmill.graphs.answer_thread"
        )
    made = []
    for question in questions:
        whole = {**answer, "id": question["id"], "by": by}
        if "args" in answer:
            whole["args"] = {**question["args"], **answer["args"]}
        made.append(whole)
    return made


def _user() -> str:
    from getpass import getuser

    try:
        return getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "human"


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def _record(thread: "ThreadSummary") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(thread)
