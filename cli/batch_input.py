"""The lines of a batch: what each says, and the thread that it is, the same whenever the file is read again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from ..errors import BadInput

KNOWN = ("text", "turns", "id", "thread", "metadata", "configurable")
_NOT_OURS = ("thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map")
"""Keys of ``configurable`` by which LangGraph finds a thread."""


@dataclass(frozen=True, slots=True)
class Input:
    """One line."""

    id: str
    """The line's own, or its number."""
    thread: str
    digest: str
    """Of all that the line says, and of who is asked."""
    turns: tuple[str, ...]
    metadata: Mapping[str, Any]
    configurable: Mapping[str, Any]


@dataclass(frozen=True)
class SetAside:
    """A line that cannot be run."""

    file: str
    line: int
    reason: str


def read_inputs(file: Path, asked: Sequence[Any]) -> tuple[list[Input], list[SetAside]]:
    """The inputs in ``file``, in order, and the lines that are none; empty lines don't count.

    A line without ``thread`` becomes the thread ``<file>-<digest>``, the digest made of the line and of who is
    ``asked``. Of lines that say the same, each is a thread.

    Raises:
        BadInput: the file cannot be read.
    """
    try:
        lines = file.read_bytes().split(b"\n")
    except OSError as error:
        raise BadInput(f"{str(file)!r} cannot be read: {error}; name a file of JSON lines") from error
    inputs: list[Input] = []
    set_aside: list[SetAside] = []
    taken: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = _checked(_parsed(line))
            one = _input(record, file, number, asked, taken)
        except (ValueError, RecursionError) as error:
            set_aside.append(SetAside(str(file), number, str(error)))
        else:
            taken[one.thread] = number
            inputs.append(one)
    return inputs, set_aside


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8-sig"))
    except ValueError as error:
        raise BadInput(f"this is no JSON: {error}") from error


def _checked(record: Any) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise BadInput(f'a line is a JSON object such as {{"text": "Hello."}}, not {str(record)[:60]!r}')
    if unknown := sorted(set(record) - set(KNOWN)):
        raise BadInput(f"nothing is done with {', '.join(map(repr, unknown))}; there are {', '.join(KNOWN)}")
    if ("text" in record) == ("turns" in record):
        raise BadInput("give either text or turns")
    turns = record.get("turns", [record.get("text")])
    if not isinstance(turns, list) or not turns or not all(isinstance(one, str) and one.strip() for one in turns):
        raise BadInput(f"what the user says is text, not {json.dumps(turns, ensure_ascii=False)[:60]}")
    for name in ("id", "thread"):
        value = record.get(name, 0)
        if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            raise BadInput(f"{name} is text or a whole number, not {value!r}")
    for name in ("metadata", "configurable"):
        if not isinstance(record.get(name, {}), dict):
            raise BadInput(f"{name} is a JSON object, not {record[name]!r}")
    for name, value in record.get("metadata", {}).items():
        if not isinstance(value, str | int | float | bool):
            raise BadInput(f"metadata {name!r} is text, a number, true or false, not {value!r}")
    if taken := sorted(name for name in record.get("configurable", {}) if name in _NOT_OURS or name.startswith("__")):
        raise BadInput(f"configurable {', '.join(map(repr, taken))} is LangGraph's own; name the thread by thread")
    return record


def _input(record: dict[str, Any], file: Path, number: int, asked: Sequence[Any], taken: Mapping[str, int]) -> Input:
    own = record.get("thread")
    if own is not None and str(own) in taken:
        raise BadInput(f"line {taken[str(own)]} is on thread {str(own)!r}, too; put what is said there into its turns")
    same = 0
    while True:
        whole = json.dumps([*asked, record, same], sort_keys=True, default=str)
        digest = sha256(whole.encode("utf-8", "replace")).hexdigest()[:12]
        thread = f"{file.stem}-{digest}" if own is None else str(own)
        if thread not in taken:
            break
        same += 1
    return Input(
        id=str(record.get("id", number)),
        thread=thread,
        digest=digest,
        turns=tuple(record.get("turns") or [record["text"]]),
        metadata=record.get("metadata", {}),
        configurable=record.get("configurable", {}),
    )
