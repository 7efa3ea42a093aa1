"""What a person types when an agent asks, read as an answer to the question."""

import json
from collections.abc import Mapping
from typing import Any

from ..errors import BadAnswer
from .chat_screen import is_for_user

WAYS = {"a": "approve", "e": "edit", "r": "reject", "s": "respond"}
HELP = '[a]pprove · [e]dit {"arg": value} · [r]eject REASON · re[s]pond TEXT'


def read_answer(question: Mapping[str, Any], line: str) -> dict[str, Any] | None:
    """The answer that ``line`` is; None if it is none, or an edit whose arguments are still to be typed.

    What the agent wants to know from its user is answered by plain text, or by ``/reject`` and the others.

    >>> about = {"id": "c1", "args": {"amount": 300}, "choices": ["approve", "edit"], "who": "human"}
    >>> read_answer(about, 'e {"amount": 60}')
    {'type': 'edit', 'args': {'amount': 60}, 'id': 'c1'}

    Raises:
        BadAnswer: with what is wrong about it.
    """
    word, _, rest = line.partition(" ")
    way = word.removeprefix("/").lower()
    if is_for_user(question) and not word.startswith("/"):
        return {"type": "respond", "text": line, "id": question["id"]} if line else None
    kind = next((name for letter, name in WAYS.items() if way in (letter, name)), None)
    if kind not in question["choices"]:
        return None
    if kind == "edit":
        return {**read_edit(rest, question["args"]), "id": question["id"]} if rest.strip() else None
    if kind == "respond" and not rest.strip():
        raise BadAnswer("what should the tool have said? write it behind the s")
    said = {"text": rest.strip()} if kind in ("reject", "respond") and rest.strip() else {}
    return {"type": kind, **said, "id": question["id"]}


def is_edit(line: str) -> bool:
    """Whether ``line`` says that arguments are to be typed."""
    return line.lower().removeprefix("/") in ("e", "edit")


def read_edit(text: str, proposed: Mapping[str, Any]) -> dict[str, Any]:
    """An edit by the JSON object ``text``, laid over the arguments ``proposed``.

    Raises:
        BadAnswer: it is no JSON object.
    """
    try:
        args = json.loads(text)
    except ValueError as error:
        raise BadAnswer(f"{text!r} is not JSON: {error}") from error
    if not isinstance(args, dict):
        raise BadAnswer(f'{text!r} is no JSON object; write it as {{"amount": 60}}')
    return {"type": "edit", "args": {**proposed, **args}}
