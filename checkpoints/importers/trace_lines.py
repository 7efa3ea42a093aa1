"""The conversations in the runs of a trace: lines of model calls, each of which continues the one before."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .langchain_messages import Said, read_message, read_messages
from .record import BadRow

GIVEN = ("messages", "input", "question", "query", "prompt")
ANSWERED = ("messages", "output", "answer", "result", "response", "content")


@dataclass
class Line:
    """Model calls each of which continues the one before."""

    said: list[Said] = field(default_factory=list)
    by: dict[int, str] = field(default_factory=dict)
    """Place in ``said`` to the id of the run that said it."""
    model: str | None = None
    tools: list[Any] = field(default_factory=list)
    error: str | None = None


def lines_in(runs: list[dict[str, Any]]) -> list[Line]:
    """The lines of model calls, in the order in which they begin."""
    lines: list[Line] = []
    for run in runs:
        inputs = run.get("inputs")
        if run.get("run_type") != "llm" or not isinstance(inputs, dict) or "messages" not in inputs:
            continue
        given = [*_prompt(inputs), *read_messages(inputs["messages"])]
        for answer in _answers(run.get("outputs")) or [None]:
            line = next((line for line in lines if _continues(given, line.said)), None)
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


def ends_of(runs: list[dict[str, Any]]) -> Line:
    """What the first run that holds an answer was given and gave back; a failed one may lack its answer.

    A state that it gives back holds what it was given once more, and what was before.

    Raises:
        BadRow: there is no such run.
    """
    for run in runs:
        given, gave = _found(run.get("inputs"), GIVEN, "human"), _found(run.get("outputs"), ANSWERED, "ai")
        if any(said.role == "ai" for said in gave) or (given and run.get("error")):
            break
    else:
        raise BadRow("no run of the trace holds an answer")
    seen = [place for place, said in enumerate(gave) if given and said.is_same(given[-1])]
    new = seen[-1] + 1 if seen else len(given)
    line = Line(gave if seen else given + gave, model=_model(run), tools=_tools(run))
    line.by = {place: str(run.get("id")) for place in range(new, len(line.said)) if line.said[place].role == "ai"}
    return line


def add_results(line: Line, runs: list[dict[str, Any]]) -> None:
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
    told = [metadata_of(run).get("ls_model_name"), invoked.get("model"), invoked.get("model_name")]
    inputs = run.get("inputs")
    told.append(inputs.get("model") if isinstance(inputs, dict) else None)
    return next((name for name in told if isinstance(name, str) and name), None)


def _tools(run: dict[str, Any]) -> list[Any]:
    """The tools that were offered, without those that the provider runs: they have no schema."""
    inputs = run.get("inputs")
    tools = _invoked(run).get("tools") or (inputs.get("tools") if isinstance(inputs, dict) else None)
    return [
        tool
        for tool in (tools if isinstance(tools, list) else [])
        if isinstance(tool, dict) and ("function" in tool or "parameters" in tool or "input_schema" in tool)
    ]


def metadata_of(run: dict[str, Any]) -> dict[str, Any]:
    """What the caller noted on a run."""
    extra = run.get("extra")
    metadata = extra.get("metadata") if isinstance(extra, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def _invoked(run: dict[str, Any]) -> dict[str, Any]:
    extra = run.get("extra")
    invoked = extra.get("invocation_params") if isinstance(extra, dict) else None
    return invoked if isinstance(invoked, dict) else {}
