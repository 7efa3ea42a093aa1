"""LangSmith: exported runs; those of one trace make a thread.

Built from the public documentation at https://docs.langchain.com/langsmith/run-data-format and
https://docs.langchain.com/langsmith/log-llm-trace, and tried with what LangChain's own tracer sends; no exported sample
at hand. A row is a run, with ``child_runs`` or without, or ``{"runs": […]}``; the runs of a trace may stand anywhere in
their file, which is therefore held in memory.

The conversation is what the model calls (``run_type`` llm) were given and answered. Calls that do not continue each
other, of several agents for instance, make a thread each. Without such calls it is what the root was given and gave
back. Only answers that were given in the trace are trained: earlier ones have traces of their own, and examples in a
prompt are nobody's answers. Feedback becomes labels, of the answer or of the whole thread.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..labels import Kind
from .conversation import Conversation, name_thread
from .feedback import labels_in
from .files import parse, rows_of
from .langchain_messages import say
from .record import BadRow, Record, read_id
from .schemas import read_tools
from .trace_lines import Line, add_results, ends_of, lines_in, metadata_of

NAME = "langsmith"
THREADS = ("thread_id", "session_id", "conversation_id")
"""What LangSmith looks at in the metadata for the conversation that a trace is a turn of."""


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` look like a run, or like a list of them?"""
    runs = row["runs"] if isinstance(row.get("runs"), list) and row["runs"] else [row]
    return all(
        isinstance(run, dict) and isinstance(run.get("run_type"), str) and isinstance(run.get("inputs"), dict)
        for run in runs
    )


def rows(file: Path) -> Iterator[tuple[int, Any]]:
    """One row a trace, ``{"trace_id": …, "runs": […]}``, in the order in which the traces begin in ``file``.

    What is no run, or a run without ids, stays a row of its own.
    """
    traces: dict[str, tuple[int, list[dict[str, Any]]]] = {}
    for line, raw in rows_of(file):
        try:
            row = parse(raw)
            runs = list(_flat(row, None, 0)) if isinstance(row, dict) and fits(row) else []
        except BadRow:
            runs = []
        if not runs or not all(trace for trace, _ in runs):
            yield line, raw
            continue
        for trace, run in runs:
            traces.setdefault(trace, (line, []))[1].append(run)
    for trace, (line, runs) in traces.items():
        yield line, {"trace_id": trace, "runs": runs}


def read(row: dict[str, Any], file: Path) -> Iterable[Record | BadRow]:
    """The records of a trace: one, or one for each line of model calls; the reason in place of one that is odd.

    Raises:
        BadRow: no run of it holds messages, or one is in no known form.
    """
    told = [run for _, run in _flat(row, None, 0)]
    runs = list({str(run["id"]) if run.get("id") else id(run): run for run in told}.values())  # each only once
    if not runs:
        raise BadRow("there are no runs")
    runs.sort(key=lambda run: str(run.get("dotted_order") or run.get("start_time") or ""))
    root = next((run for run in runs if not run.get("parent_run_id")), runs[0])
    trace = row.get("trace_id") or root.get("trace_id") or root.get("id")
    thread = f"{NAME}-{read_id(trace, 'trace_id')}" if trace else name_thread(NAME, row)
    lines = lines_in(runs) or [ends_of([root, *runs])]
    found: list[Record | BadRow] = []
    for number, line in enumerate(lines):
        add_results(line, runs)
        try:
            found.append(_record(thread if number == 0 else f"{thread}-{number}", line, root, runs))
        except BadRow as error:
            found.append(error)
    return found


def _record(thread: str, line: Line, root: dict[str, Any], runs: list[dict[str, Any]]) -> Record:
    chat = Conversation(thread)
    answers: dict[str, str] = {}
    for place, said in enumerate(line.said):
        chat.place = place
        say(chat, said, trained=place in line.by)
        if place in line.by:
            answers[line.by[place]] = chat.last_id()
    about = metadata_of(root)
    metadata = {"trace_id": str(trace)} if (trace := root.get("trace_id") or root.get("id")) else {}
    turn_of = next((about[key] for key in THREADS if isinstance(about.get(key), str)), None)
    errors = [line.error, None if root.get("run_type") == "llm" else root.get("error")]
    errors = [error for error in errors if isinstance(error, str) and error]
    metadata |= {"conversation": turn_of} if turn_of else {}
    metadata |= {"error": errors[0]} if errors else {}
    elsewhere = {str(run.get("id")) for run in runs if run.get("run_type") == "llm"} - answers.keys()
    labels: list[tuple[str | None, Kind, float | str]] = [
        (answers.get(str(run.get("id"))), kind, value)
        for run in runs
        if str(run.get("id")) not in elsewhere
        for kind, value in labels_in(run)
    ]
    return Record(
        thread=thread,
        agent=root["name"] if isinstance(root.get("name"), str) and root["name"] else NAME,
        messages=chat.messages(),
        model=line.model,
        tools=read_tools(line.tools),
        metadata={**metadata},
        labels=tuple(labels),
    )


def _flat(row: Any, trace: str | None, depth: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every run in ``row`` with the id of its trace, those within others too."""
    if not isinstance(row, dict) or depth > 200:
        raise BadRow("a run is no object, or nested too deeply")
    if isinstance(row.get("runs"), list):
        for run in row["runs"]:
            yield from _flat(run, trace, depth + 1)
        return
    trace = str(row.get("trace_id") or trace or row.get("id") or "")
    yield trace, row
    children = row.get("child_runs")
    for run in children if isinstance(children, list) else []:
        yield from _flat(run, trace, depth + 1)
