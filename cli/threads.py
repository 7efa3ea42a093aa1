"""``threadmill threads``: list and show threads, their trees and differences, label and import them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import answer, keep, label, travel
from .keep import read_status, read_time
from .place import DEFAULT_DB, AsJson, Database, ThreadId, at_db

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console
    from rich.table import Table

    from ..checkpoints.threads import ThreadSummary

app = typer.Typer(
    help="Threads: look at them, answer them, fork, replay, label, keep and import them.", no_args_is_help=True
)


@app.command("list")
def list_command(
    agent: Annotated[str | None, typer.Option(help="Only threads of this agent.")] = None,
    task: Annotated[str | None, typer.Option(help="Only threads of this task.")] = None,
    version: Annotated[str | None, typer.Option(help="Only threads in which this version spoke.")] = None,
    label: Annotated[str | None, typer.Option(help="A kind of label, or one and its value: success=1.")] = None,
    min_reward: Annotated[float | None, typer.Option(help="Only threads whose last reward is at least this.")] = None,
    max_reward: Annotated[float | None, typer.Option(help="Only threads whose last reward is at most this.")] = None,
    status: Annotated[str | None, typer.Option(help="done, paused, failed or running.")] = None,
    since: Annotated[str | None, typer.Option(help="Only threads touched since then (ISO 8601, UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Only threads untouched since then.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    offset: Annotated[int, typer.Option(min=0, help="Leave out so many first.")] = 0,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """List threads; paused ones with what they ask.

    Example: threadmill threads list --status paused
    """
    from ..checkpoints.reading import read_questions
    from ..checkpoints.store import open_store
    from ..checkpoints.threads import list_threads

    wanted: Any = read_status(status)
    with open_store(db, create=False, read_only=True) as store:
        threads = list_threads(
            store,
            agent=agent,
            task=task,
            version=version,
            label=label,
            reward=(min_reward, max_reward),
            status=wanted,
            since=read_time(since, "--since"),
            until=read_time(until, "--until"),
            limit=limit,
            offset=offset,
        )
        asks = {thread.thread: read_questions(store, thread.thread) for thread in threads if thread.status == "paused"}
    if as_json:
        records = [_record(thread, asks.get(thread.thread, [])) for thread in threads]
        typer.echo(json.dumps({"threads": records}, default=str))
        return
    from rich.console import Console

    from .timeline import question_lines, visible

    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 200
    if threads:
        console.print(_table(threads, console))
    else:
        typer.echo("no thread is like that; `threadmill threads list` shows all", err=True)
    for thread, questions in asks.items():
        for line in question_lines(thread, questions, at_db(db)):
            typer.echo(visible(f"{thread}  {line}"))
    if len(threads) == limit:
        typer.echo(f"more may follow: --offset {offset + limit}", err=True)


@app.command()
def show(
    thread: ThreadId,
    at: Annotated[str | None, typer.Option("--at", help="The end of another branch (default: the newest).")] = None,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Show who said what in a thread, with tool calls, versions, questions and their answers.

    Example: threadmill threads show helpdesk-1a2b3c4d
    """
    from langchain_core.messages import message_to_dict

    from ..checkpoints.branch import branch_messages, read_steps
    from ..checkpoints.reading import (
        find_checkpoint,
        latest_checkpoint,
        latest_metadata,
        leaf_checkpoints,
        list_namespaces,
        read_questions,
    )
    from ..checkpoints.store import open_store
    from .timeline import print_timeline, step_record

    with open_store(db, create=False, read_only=True) as store:
        leaf = find_checkpoint(store, thread, at) if at else latest_checkpoint(store, thread)
        steps = read_steps(store, thread, leaf)
        messages = branch_messages(store, thread, leaf)
        questions = read_questions(store, thread, leaf)
        metadata = latest_metadata(store, thread)
        namespaces = list_namespaces(store, thread)
        branches = len(leaf_checkpoints(store, thread))
    if as_json:
        record = {
            "thread": thread,
            "checkpoint": leaf,
            "branches": branches,
            "metadata": metadata,
            "messages": [message_to_dict(message) for message in messages],
            "questions": questions,
            "steps": [step_record(step) for step in steps],
            "namespaces": namespaces,
        }
        typer.echo(json.dumps(record, ensure_ascii=False, default=str))
        return
    print_timeline(
        thread, metadata, messages, steps, questions, branches=branches, namespaces=namespaces, at_db=at_db(db)
    )


@app.command()
def tree(thread: ThreadId, db: Database = DEFAULT_DB, as_json: AsJson = False) -> None:
    """Show a thread's checkpoints, with branches and labels.

    Example: threadmill threads tree helpdesk-1a2b3c4d
    """
    from ..checkpoints.branch import read_all_steps
    from ..checkpoints.labels import labels_of
    from ..checkpoints.reading import checkpoint_tree, latest_checkpoint, leaf_checkpoints, list_namespaces
    from ..checkpoints.store import open_store
    from .tree import print_tree, tree_records

    with open_store(db, create=False, read_only=True) as store:
        nodes = checkpoint_tree(store, thread)
        leaves = leaf_checkpoints(store, thread)
        steps = {step.checkpoint: step for step in read_all_steps(store, thread)}
        labels = labels_of(store, [thread]).get(thread, [])
        head = latest_checkpoint(store, thread)
        namespaces = list_namespaces(store, thread)
    records = tree_records(nodes, steps, labels)
    if as_json:
        record = {"thread": thread, "head": head, "leaves": leaves, "checkpoints": records, "namespaces": namespaces}
        typer.echo(json.dumps(record, ensure_ascii=False, default=str))
        return
    print_tree(thread, records, head, namespaces)


@app.command()
def diff(
    a: Annotated[str, typer.Argument(help="A thread, or one of its checkpoints: THREAD@CHECKPOINT.")],
    b: Annotated[str, typer.Argument(help="The other one.")],
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Compare two branches of a thread, or two threads: what is the same, and how each goes on.

    Example: threadmill threads diff helpdesk-1a2b3c4d helpdesk-1a2b3c4d@75b1
    """
    from langchain_core.messages import message_to_dict

    from ..checkpoints.diff import diff_branches, read_place
    from ..checkpoints.store import open_store

    with open_store(db, create=False, read_only=True) as store:
        left, right = read_place(store, a), read_place(store, b)
        found = diff_branches(store, left, right)
    if as_json:
        record = {
            "a": {"thread": left[0], "checkpoint": left[1]},
            "b": {"thread": right[0], "checkpoint": right[1]},
            "common": len(found.common),
            "only_a": [message_to_dict(message) for message in found.only_a],
            "only_b": [message_to_dict(message) for message in found.only_b],
        }
        typer.echo(json.dumps(record, ensure_ascii=False, default=str))
        return
    from .timeline import print_diff

    print_diff(a, b, found)


@app.command("import")
def import_command(
    files: Annotated[list[Path], typer.Argument(help="Files or folders to import; .gz is read too.")],
    format: Annotated[
        str,
        typer.Option(
            help="auto, or openai, anthropic, gemini, sharegpt, hermes, glaive, xlam, langsmith (these from their "
            "documentation), tau-bench, tau2, swe-agent, intercode, react-text, responses, toolbench, functionchat, "
            "api-bank."
        ),
    ] = "auto",
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


for command in (answer.approve, answer.edit, answer.reject, answer.respond, answer.answer):
    app.command()(command)
for command in (label.label, travel.fork, travel.replay, keep.copy, keep.delete, keep.prune):
    app.command()(command)
app.command("continue")(travel.continue_command)
app.command("export-file")(keep.export_file)
app.command("import-file")(keep.import_file)


def _table(threads: "Sequence[ThreadSummary]", console: "Console") -> "Table":
    """As many columns as there is room for; ids are kept whole."""
    from rich.table import Table

    left_out: list[str] = []
    for dropped in ("", "task", "versions", "labels", "agent"):
        left_out += [dropped] if dropped else []
        table = Table(caption=f"no room for {', '.join(left_out)}; --json has all" if left_out else None)
        shown = [name for name in COLUMNS if name not in left_out]
        for name in shown:
            table.add_column(name, overflow="fold", no_wrap=name not in ("task", "versions", "labels"))
        for thread in threads:
            table.add_row(*(COLUMNS[name](thread) for name in shown))
        if console.measure(table, options=console.options.update(width=10_000)).minimum <= console.width:
            break
    return table


COLUMNS: "dict[str, Callable[[ThreadSummary], str]]" = {
    "thread": lambda one: one.thread,
    "agent": lambda one: one.agent,
    "task": lambda one: one.task or "",
    "status": lambda one: one.status,
    "turns": lambda one: str(one.turns),
    "versions": lambda one: ", ".join(one.versions),
    "labels": lambda one: ", ".join(f"{label.kind} {_short(label.value)}" for label in one.labels),
    "updated": lambda one: one.updated_at[:16].replace("T", " "),
}


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.3g}"


def _record(thread: "ThreadSummary", questions: list[dict[str, Any]]) -> dict[str, Any]:
    from dataclasses import asdict

    return {**asdict(thread), "questions": questions}
