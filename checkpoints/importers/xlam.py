"""xLAM: a question, the tools there were, and the calls that answer it.

Built from the public documentation at https://huggingface.co/datasets/Salesforce/xlam-function-calling-60k, no sample
at hand. ``tools`` and ``answers`` are lists or their JSON. Types are Python's, such as ``List[int], optional``; a
parameter is required unless it is optional by its type or has a default. Nobody ran the calls, so a thread ends with
them; a row without answers says nothing of what a model answered, and is set aside.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .calls import read_call, read_literal
from .conversation import Conversation, name_thread
from .python_types import schema_of
from .record import BadRow, Record
from .schemas import read_tools

NAME = "xlam"


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` hold a question, tools and answers?"""
    return isinstance(row.get("query"), str) and "tools" in row and "answers" in row


def read(row: dict[str, Any], file: Path) -> Record:
    """The record of a row.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    tools, answers = _list_in(row, "tools"), _list_in(row, "answers")
    chat = Conversation(name_thread(NAME, row, row.get("id")))
    chat.human(row.get("query"))
    chat.place = 1
    if not answers:
        raise BadRow("there are no answers, and nobody tells what the model said instead")
    if not all(isinstance(answer, Mapping) for answer in answers):
        raise BadRow("an answer is no object with name and arguments")
    chat.ai("", [read_call(answer.get("name"), answer.get("arguments")) for answer in answers])
    return Record(
        thread=chat.thread,
        agent=NAME,
        messages=chat.messages(),
        tools=read_tools([_tool(tool) for tool in tools]),
    )


def _list_in(row: dict[str, Any], key: str) -> list[Any]:
    value = row.get(key)
    found = read_literal(value) if isinstance(value, str) else value
    if not isinstance(found, list):
        raise BadRow(f"{key} are no list: {value!r:.100}")
    return found


def _tool(tool: Any) -> Any:
    """``tool`` with the schema of its arguments, if it has the parameters by their names only."""
    parameters = tool.get("parameters") if isinstance(tool, Mapping) else None
    if not isinstance(parameters, Mapping) or isinstance(parameters.get("properties"), Mapping):
        return tool
    if not all(isinstance(about, Mapping) for about in parameters.values()):
        return tool
    properties = {name: _parameter(about) for name, about in parameters.items()}
    required = [name for name, about in parameters.items() if _is_required(about)]
    schema = {"type": "object", "properties": properties, **({"required": required} if required else {})}
    return {**tool, "parameters": schema}


def _parameter(about: Mapping[str, Any]) -> dict[str, Any]:
    typed = about.get("type")
    rest = {key: value for key, value in about.items() if key not in ("type", "required") and value is not None}
    return {**(schema_of(typed) if isinstance(typed, str) else {}), **rest}


def _is_required(about: Mapping[str, Any]) -> bool:
    if isinstance(about.get("required"), bool):
        return about["required"]
    typed = about.get("type")
    optional = isinstance(typed, str) and "optional" in typed.lower()
    return not optional and about.get("default") is None
