"""τ-bench runs (Yao et al. 2024, github.com/sierra-research/tau-bench): OpenAI chat messages with a reward.

Calls and results are paired by their position: recorded ids repeat, within a thread too, so every call
gets an id of its own. The tools' schemas are not in these files.
"""

import json
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import ToolCall

from .record import BadRow, Record, read_id, read_number

NAME = "tau-bench"


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` look like a τ-bench trajectory?"""
    return "traj" in row and "task_id" in row


def read(row: dict[str, Any], file: Path) -> Record:
    """The record of one trajectory.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    missing = [key for key in ("task_id", "trial", "reward", "traj") if key not in row]
    if missing:
        raise BadRow(f"no {', '.join(missing)}")
    if not isinstance(row["traj"], list) or not row["traj"]:
        raise BadRow("traj is no list of messages")
    domain = "retail" if "retail" in file.name else "airline"
    task = f"tau-{domain}-{read_id(row['task_id'], 'task_id')}"
    trial = read_number(row["trial"], "trial")
    if not trial.is_integer():
        raise BadRow(f"trial is no whole number: {row['trial']!r}")
    model = "gpt-4o" if "gpt-4o" in file.name else None
    thread = f"{task}-{model}-{int(trial)}" if model else f"{task}-{int(trial)}"
    return Record(
        thread=thread,
        agent=f"tau-bench-{domain}",
        task=task,
        trial=int(trial),
        model=model,
        messages=tuple(_messages(row["traj"], thread)),
        reward=read_number(row["reward"], "reward"),
    )


def _messages(trajectory: list[Any], thread: str) -> list[BaseMessage]:
    messages: list[BaseMessage] = []
    waiting: list[ToolCall] = []  # calls without a result yet, oldest first
    for place, message in enumerate(trajectory):
        if not isinstance(message, dict) or "role" not in message:
            raise BadRow(f"message {place} has no role")
        role, content, id_ = message["role"], message.get("content") or "", f"{thread}:{place}"
        if not isinstance(content, str):
            raise BadRow(f"the content of message {place} is no text")
        if waiting and role != "tool":
            raise BadRow(f"message {place} comes before the result of the call of {waiting[0]['name']!r}")
        if role == "system":
            messages.append(SystemMessage(content, id=id_))
        elif role == "user":
            messages.append(HumanMessage(content, id=id_))
        elif role == "assistant":
            asked = message.get("tool_calls") or []
            if not isinstance(asked, list):
                raise BadRow(f"the tool_calls of message {place} are no list")
            calls = [_call(call, f"{id_}:{i}", place) for i, call in enumerate(asked)]
            waiting += calls
            messages.append(AIMessage(content, id=id_, tool_calls=calls))
        elif role == "tool":
            if not waiting:
                raise BadRow(f"message {place} is a result without a call")
            call = waiting.pop(0)
            failed = content.startswith("Error")
            messages.append(
                ToolMessage(
                    content,
                    id=id_,
                    tool_call_id=call["id"] or "",
                    name=call["name"],
                    status="error" if failed else "success",
                    additional_kwargs={"kind": "failed" if failed else "result"},
                )
            )
        else:
            raise BadRow(f"message {place} has the unknown role {role!r}")
    return messages


def _call(call: Any, id_: str, place: int) -> ToolCall:
    try:
        name, raw = call["function"]["name"], call["function"]["arguments"]
        args = json.loads(raw) if isinstance(raw, str) else raw
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadRow(f"a call of message {place} cannot be read: {error!r}") from error
    if not isinstance(name, str):
        raise BadRow(f"a call of message {place} names no tool: {name!r}")
    if not isinstance(args, dict):
        raise BadRow(f"the arguments of a call of message {place} are no object")
    return ToolCall(name=name, args=args, id=id_, type="tool_call")
