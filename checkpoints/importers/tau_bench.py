"""τ-bench runs (Yao et al. 2024, github.com/sierra-research/tau-bench): OpenAI chat messages with a reward.

Calls and results are paired by their position: recorded ids repeat, within a thread too. The tools' schemas are not in
these files; they are taken from a ``tools.json`` beside them. A run that was stopped after 30 steps has a reward of 0
that nobody computed, and says so in its ``termination_reason``.
"""

import re
from pathlib import Path
from typing import Any

from .calls import Asked, read_call
from .conversation import Conversation
from .notes import note_spelled_calls
from .record import BadRow, Record, read_id, read_number
from .schemas import tools_beside

NAME = "tau-bench"
DOMAINS = ("retail", "airline")
_MODEL = (
    re.compile(r"^(?:trajectories|results|tau[a-z_0-9]*)\.(.+?)(?:\.sample)?$"),
    re.compile(r"^(?:tool-calling|few-shot|react|act)-(.+?)-[0-9.]+_range_"),
    re.compile(r"^(.+?)-(?:new-)?(?:airline|retail)$"),
)
"""Where the name of a file names the model, once its suffixes are taken off."""


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
    domain = _domain(row["traj"], file)
    task = f"tau-{domain}-{read_id(row['task_id'], 'task_id')}"
    trial = read_number(row["trial"], "trial")
    if not trial.is_integer():
        raise BadRow(f"trial is no whole number: {row['trial']!r}")
    model = model_of(file)
    chat = Conversation("-".join([task, *([model] if model else []), str(int(trial))]))
    for place, message in enumerate(row["traj"]):
        chat.place = place
        _say(chat, message, place)
    info = row.get("info")
    unfinished = isinstance(info, dict) and "reward_info" in info and info["reward_info"] is None
    return Record(
        thread=chat.thread,
        agent=f"tau-bench-{domain}",
        task=task,
        trial=int(trial),
        model=model,
        messages=note_spelled_calls(chat.messages()),
        reward=read_number(row["reward"], "reward"),
        tools=tools_beside(file),
        metadata={"termination_reason": "max_steps"} if unfinished else {},
    )


def model_of(file: Path) -> str | None:
    """The model that the name of ``file`` names, or None.

    >>> [model_of(Path(name)) for name in ("gpt-4o-airline.json", "trajectories.gpt-4o.jsonl.gz", "runs.jsonl")]
    ['gpt-4o', 'gpt-4o', None]
    """
    stem = re.sub(r"(\.jsonl|\.json)?(\.gz)?$", "", file.name)
    found = (pattern.search(stem) for pattern in _MODEL)
    return next((match.group(1) for match in found if match), None)


def _domain(trajectory: list[Any], file: Path) -> str:
    first = trajectory[0]
    prompt = str(first.get("content")) if isinstance(first, dict) and first.get("role") == "system" else ""
    told = (domain for text in (file.name, prompt[:200].lower()) for domain in DOMAINS if domain in text)
    return next(told, "airline")


def _say(chat: Conversation, message: Any, place: int) -> None:
    if not isinstance(message, dict) or "role" not in message:
        raise BadRow(f"message {place} has no role")
    role, content = message["role"], message.get("content")
    if role == "system":
        chat.system(content)
    elif role == "user":
        chat.human(content)
    elif role == "assistant":
        asked = message.get("tool_calls") or []
        if not isinstance(asked, list):
            raise BadRow(f"the tool_calls of message {place} are no list")
        chat.ai(content, [_call(call, place) for call in asked], reasoning=message.get("reasoning_content"))
    elif role == "tool":
        chat.result(content, failed=str(content).startswith("Error"))
    else:
        raise BadRow(f"message {place} has the unknown role {role!r}")


def _call(call: Any, place: int) -> Asked:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise BadRow(f"a call of message {place} cannot be read: {call!r:.100}")
    return read_call(function.get("name"), function.get("arguments"))
