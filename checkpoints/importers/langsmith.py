"""LangSmith: exported runs; those of one trace make a thread.

Built from the public documentation at https://docs.langchain.com/langsmith/run-data-format and
https://docs.langchain.com/langsmith/log-llm-trace, no sample at hand. A row is a run, with ``child_runs`` or without,
or ``{"runs": […]}``; the runs of a trace may stand anywhere in their file, which is therefore held in memory.

The conversation is what the model calls (``run_type`` llm) were given and answered. Calls that do not continue each
other, of several agents for instance, make a thread each. Without such calls it is what the root was given and gave
back. Only answers that were given in the trace are trained: earlier ones have traces of their own, and examples in a
prompt are nobody's answers. Feedback becomes labels, of the answer or of the whole thread.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..labels import Kind
from .conversation import Conversation, name_thread
from .feedback import labels_in
from .files import parse, rows_of
from .langchain_messages import Said, read_message, read_messages, say
from .record import BadRow, Record, read_id
from .schemas import read_tools

NAME = "langsmith"
GIVEN = ("messages", "input", "question", "query", "prompt")
ANSWERED = ("messages", "output", "answer", "result", "response", "content")
THREADS = ("thread_id", "session_id", "conversation_id")
"""What LangSmith looks at in the metadata for the conversation that a trace is a turn of."""


@dataclass
class Line:
    """Model calls each of which continues the one before."""

    said: list[Said] = field(default_factory=list)
    by: dict[int, str] = field(default_factory=dict)
    """Place in ``said`` to the id of the run that said it."""
    model: str | None = None
    tools: Any = None
    error: str | None = None


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` look like a run, or like a list of them?"""
    runs = row["runs"] if isinstance(row.get("runs"), list) and row["runs"] else [row]
    return all(
        isinstance(run, dict) and isinstance(run.get("run_type"), str) and isinstance(run.get("inputs"), dict)
        for run in runs
    )


def rows(file: Path) -> Iterator[tuple[int, Any]]:
    """One row a trace, ``{"trace_id": …, "runs": […]}``, in the order in which the traces begin in ``file``."""
    traces: dict[str, tuple[int, list[dict[str, Any]]]] = {}
    for line, raw in rows_of(file):
        try:
            row = parse(raw)
            runs = list(_flat(row, None, 0)) if isinstance(row, dict) and fits(row) else []
        except BadRow:
            runs = []
        if not runs:
            yield line, raw  # it is set aside with its reason when it is read
        for trace, run in runs:
            traces.setdefault(trace, (line, []))[1].append(run)
    for trace, (line, runs) in traces.items():
        yield line, {"trace_id": trace, "runs": runs}


def read(row: dict[str, Any], file: Path) -> Iterable[Record]:
    """The records of a trace: one, or one for each line of model calls.

    Raises:
        BadRow: no run of it holds messages, or one is in no known form.
    """
    runs = [run for _, run in _flat(row, None, 0)]
    if not runs:
        raise BadRow("there are no runs")
    runs.sort(key=lambda run: str(run.get("dotted_order") or run.get("start_time") or ""))
    root = next((run for run in runs if not run.get("parent_run_id")), runs[0])
    trace = row.get("trace_id") or root.get("trace_id") or root.get("id")
    thread = f"{NAME}-{read_id(trace, 'trace_id')}" if trace else name_thread(NAME, row)
    lines = _lines(runs) or [_ends_of(root)]
    for line in lines:
        _add_results(line, runs)
    return [
        _record(thread if number == 0 else f"{thread}-{number}", line, root, runs) for number, line in enumerate(lines)
    ]


def _record(thread: str, line: Line, root: dict[str, Any], runs: list[dict[str, Any]]) -> Record:
    chat = Conversation(thread)
    answers: dict[str, str] = {}
    for place, said in enumerate(line.said):
        chat.place = place
        say(chat, said, trained=place in line.by)
        if place in line.by:
            answers[line.by[place]] = chat.last_id()
    about = _metadata(root)
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
        tools=read_tools(line.tools if isinstance(line.tools, list) else None),
        metadata={**metadata},
        labels=tuple(labels),
    )


def _lines(runs: list[dict[str, Any]]) -> list[Line]:
    """The lines of model calls, in the order in which they begin."""
    lines: list[Line] = []
    for run in runs:
        inputs = run.get("inputs")
        if run.get("run_type") != "llm" or not isinstance(inputs, dict) or "messages" not in inputs:
            continue
        given = [*_prompt(inputs), *read_messages(inputs["messages"])]
        for answer in _answers(run.get("outputs")) or [None]:
            before = [line for line in lines if _continues(given, line.said)]
            line = max(before, key=lambda one: len(one.said), default=None)
            if line is None:
                line = Line()
                lines.append(line)
            line.said += given[len(line.said) :]
            line.error = run["error"] if isinstance(run.get("error"), str) and run["error"] else None
            line.model, line.tools = _model(run) or line.model, _tools(run) or line.tools
            if answer is not None:
                line.by[len(line.said)] = str(run.get("id"))
                line.said.append(answer)
    return lines


def _ends_of(root: dict[str, Any]) -> Line:
    """What the root was given and gave back: a state holds what it was given once more, and what was before."""
    inputs, outputs = root.get("inputs"), root.get("outputs")
    given, gave = _found(inputs, GIVEN, "human"), _found(outputs, ANSWERED, "ai")
    if not given and not gave:
        raise BadRow(f"no run of trace {str(root.get('trace_id') or root.get('id'))!r:.100} holds messages")
    seen = [place for place, said in enumerate(gave) if given and said.is_same(given[-1])]
    new = seen[-1] + 1 if seen else len(given)
    line = Line(gave if seen else given + gave, model=_model(root), tools=_tools(root))
    line.by = {place: str(root.get("id")) for place in range(new, len(line.said)) if line.said[place].role == "ai"}
    return line


def _add_results(line: Line, runs: list[dict[str, Any]]) -> None:
    """The results of the last calls, which no model was given any more."""
    last = line.said[-1] if line.said else None
    if last is None or last.role != "ai" or not last.calls:
        return
    for call in last.calls:
        found = (_result(run, call.id) for run in runs if run.get("run_type") == "tool" and call.id is not None)
        line.said += [said for said in found if said is not None][:1]


def _result(run: dict[str, Any], call: str | None) -> Said | None:
    outputs, extra = run.get("outputs"), run.get("extra")
    output = outputs.get("output") if isinstance(outputs, dict) else None
    if isinstance(output, dict) and ("kwargs" in output or "data" in output or "tool_call_id" in output):
        said = next(read_message(output), None)
        return said if said is not None and said.role == "tool" and said.call == call else None
    if not isinstance(extra, dict) or extra.get("tool_call_id") != call:
        return None
    if isinstance(run.get("error"), str) and run["error"]:
        return Said("tool", run["error"], call=call, failed=True)
    return Said("tool", output, call=call) if isinstance(output, str) else None


def _answers(outputs: Any) -> list[Said]:
    """The answers in what a model call gave back, one for each choice; none if it failed."""
    if not isinstance(outputs, dict):
        return []
    found: Any = outputs
    for key in ("generations", "choices", "messages", "message", "output"):
        if outputs.get(key):
            found = outputs[key]
            break
    while isinstance(found, list) and len(found) == 1 and isinstance(found[0], list):
        found = found[0]
    told = []
    for one in found if isinstance(found, list) else [found]:
        message = one["message"] if isinstance(one, dict) and one.get("message") else one
        if isinstance(message, dict) and not {"role", "type", "kwargs"} & message.keys():
            message = {"role": "assistant", "content": message.get("text") or message.get("content")}
        elif isinstance(message, dict) and "text" in message and "content" not in message and "kwargs" not in message:
            message = {"role": "assistant", "content": message["text"]}  # a generation of a model without messages
        told += [said for said in read_message(message) if said.role == "ai"]
    return told


def _found(held: Any, keys: Iterable[str], role: str) -> list[Said]:
    if not isinstance(held, dict):
        return []
    for key in keys:
        value = held.get(key)
        if isinstance(value, list) and value:
            return read_messages(value)
        if isinstance(value, dict) and ({"kwargs", "role"} & value.keys()):
            return list(read_message(value))
        if isinstance(value, str) and value:
            return list(read_message([role, value]))
    return []


def _prompt(inputs: dict[str, Any]) -> list[Said]:
    """The system prompt that Anthropic's requests hold beside the messages."""
    system = inputs.get("system")
    return list(read_message({"role": "system", "content": system})) if system else []


def _continues(given: list[Said], said: list[Said]) -> bool:
    return len(given) >= len(said) and all(one.is_same(other) for one, other in zip(given, said, strict=False))


def _model(run: dict[str, Any]) -> str | None:
    invoked = _invoked(run)
    told = [_metadata(run).get("ls_model_name"), invoked.get("model"), invoked.get("model_name")]
    inputs = run.get("inputs")
    told.append(inputs.get("model") if isinstance(inputs, dict) else None)
    return next((name for name in told if isinstance(name, str) and name), None)


def _tools(run: dict[str, Any]) -> Any:
    inputs = run.get("inputs")
    return _invoked(run).get("tools") or (inputs.get("tools") if isinstance(inputs, dict) else None)


def _metadata(run: dict[str, Any]) -> dict[str, Any]:
    extra = run.get("extra")
    metadata = extra.get("metadata") if isinstance(extra, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _invoked(run: dict[str, Any]) -> dict[str, Any]:
    extra = run.get("extra")
    invoked = extra.get("invocation_params") if isinstance(extra, dict) else None
    return invoked if isinstance(invoked, dict) else {}


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
