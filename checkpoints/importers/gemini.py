"""Google's Gemini: contents with parts, as requests, logged responses, and rows for tuning.

Built from the public documentation at https://ai.google.dev/api/generate-content,
https://ai.google.dev/gemini-api/docs/function-calling and
https://cloud.google.com/vertex-ai/generative-ai/docs/models/tune-function-calling, no sample at hand. A row is
``{"systemInstruction": …, "contents": […], "tools": [{"functionDeclarations": […]}]}``; beside it may stand a response
(``{"request": …, "response": {"candidates": […]}}``, a thread for each candidate) or ``completions`` with scores, which
become grades of a preference; what was said before them is context then. Names are read in camelCase and in snake_case.
Thought signatures are not kept; images, files and code that Google ran set the row aside.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .calls import Asked, read_call
from .conversation import CUT_SHORT, Conversation, name_thread, spell
from .record import BadRow, Record, read_number
from .schemas import read_tools

NAME = "gemini"
COUNTS = {"minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"}
"""Google writes whole numbers of 64 bits as texts."""


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` hold contents made of parts?"""
    contents = _asked(row).get("contents")
    return (
        isinstance(contents, list)
        and bool(contents)
        and all(isinstance(content, dict) and isinstance(content.get("parts"), list) for content in contents)
    )


def read(row: dict[str, Any], file: Path) -> Iterable[Record]:
    """One record, or one for each candidate or completion.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    asked, answers = _asked(row), list(_answers(row))
    tools = read_tools(list(_declared(asked.get("tools"))))
    thread = name_thread(NAME, row, row.get("id") or _of(row.get("response"), "responseId"))
    told = [_of(row.get("response"), "modelVersion"), asked.get("model"), row.get("model")]
    model = next((name for name in told if isinstance(name, str)), None)
    task = f"{thread}-request" if len(answers) > 1 else None
    records = []
    for number, (answer, score, stopped) in enumerate(answers or [(None, None, None)]):
        chat = Conversation(thread if task is None else f"{thread}-{number}")
        chat.is_context = answer is not None
        _instruct(chat, _of(asked, "systemInstruction"))
        contents = asked.get("contents")
        for content in contents if isinstance(contents, list) else []:
            say(chat, content)
            chat.place += 1
        chat.is_context = stopped in CUT_SHORT
        if answer is not None:
            say(chat, {"role": "model", **answer})
        records.append(
            Record(
                thread=chat.thread,
                agent=NAME,
                messages=chat.messages(),
                task=task,
                trial=None if task is None else number,
                model=model,
                tools=tools,
                labels=() if score is None else ((None, "preference", score),),
            )
        )
    return records


def say(chat: Conversation, content: Any) -> None:
    """Say the parts of one content: an answer of the model, or results and what the user says.

    Raises:
        BadRow: a part is neither text, nor a call, nor a result.
    """
    if not isinstance(content, dict) or not isinstance(content.get("parts", []), list):
        raise BadRow(f"content {chat.place} has no parts")
    role = content.get("role") or "user"
    if role not in ("user", "model", "function", "system"):
        raise BadRow(f"content {chat.place} has the unknown role {role!r:.100}")
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[Asked] = []
    for part in content.get("parts", []):
        if role == "model" and isinstance(called := _of(part, "functionCall"), dict):
            try:
                calls.append(read_call(called.get("name"), called.get("args"), called.get("id")))
            except BadRow as error:
                raise BadRow(f"content {chat.place}: {error}") from error
        elif role in ("user", "function") and isinstance(given := _of(part, "functionResponse"), dict):
            if texts:
                raise BadRow(f"content {chat.place} has a result behind a text; results come first")
            _result(chat, given)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            (thoughts if part.get("thought") is True else texts).append(part["text"])
        else:
            held = ", ".join(str(key) for key in part) if isinstance(part, dict) else repr(part)
            raise BadRow(f"content {chat.place} holds a part that is no text: {held:.100}")
    if role == "model":
        chat.more("".join(texts), calls, reasoning="".join(thoughts))
    elif role == "system":
        chat.system("\n".join(texts))
    elif texts or not content.get("parts"):
        chat.human("\n".join(texts))


def _result(chat: Conversation, given: dict[str, Any]) -> None:
    """By the documentation ``output`` holds the output and ``error`` the error; without them all of it is the output.

    ``result`` is what Google's own client writes instead of ``output``.
    """
    response = {} if given.get("response") is None else given["response"]
    held = next(iter(response)) if isinstance(response, dict) and len(response) == 1 else None
    text = spell(response[held] if held in ("output", "error", "result") else response)
    failed = True if held == "error" else None
    chat.result(text, id_=given.get("id"), name=given.get("name"), failed=failed)


def _instruct(chat: Conversation, instruction: Any) -> None:
    if instruction is None:
        return
    if isinstance(instruction, str):
        chat.system(instruction)
    elif isinstance(instruction, dict):
        say(chat, {**instruction, "role": "system"})
    else:
        raise BadRow("the systemInstruction is neither a text nor a content")


def _answers(row: dict[str, Any]) -> Iterable[tuple[dict[str, Any], float | None, Any]]:
    """The contents that answer the request, each with its score and why it stopped."""
    response = row.get("response")
    candidates = (response if isinstance(response, dict) else row).get("candidates") or []
    completions = row.get("completions") or []
    if not isinstance(candidates, list) or not isinstance(completions, list):
        raise BadRow("the candidates or completions are no list")
    for candidate in candidates:
        if not isinstance(content := _of(candidate, "content"), dict):
            raise BadRow("a candidate has no content")
        yield content, None, _of(candidate, "finishReason")
    for completion in completions:
        if not isinstance(content := _of(completion, "completion"), dict):
            raise BadRow("a completion holds no content")
        score = completion.get("score")
        yield content, None if score is None else read_number(score, "score"), None


def _declared(tools: Any) -> Iterable[Any]:
    """The function declarations in ``tools``; what Google itself runs, such as its search, has none."""
    if tools is None:
        return
    if not isinstance(tools, list):
        raise BadRow("the tools are no list")
    for tool in tools:
        declared = _of(tool, "functionDeclarations")
        if declared is None and isinstance(tool, dict) and "name" in tool:
            declared = [tool]
        if not isinstance(declared, list | None):
            raise BadRow("the functionDeclarations are no list")
        for one in declared or []:
            schema = _of(one, "parametersJsonSchema") or _of(one, "parameters")
            yield {**one, "parameters": _counted(schema)} if isinstance(one, dict) else one


def _counted(schema: Any, depth: int = 0) -> Any:
    """``schema`` with numbers where they are written as texts."""
    if depth > 100:
        raise BadRow("a tool's schema is nested too deeply")
    if isinstance(schema, list):
        return [_counted(one, depth + 1) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: int(value)
        if key in COUNTS and isinstance(value, str) and value.isdecimal()
        else _counted(value, depth + 1)
        for key, value in schema.items()
    }


def _asked(row: dict[str, Any]) -> dict[str, Any]:
    return next((row[key] for key in ("request", "body") if isinstance(row.get(key), dict)), row)


def _of(place: Any, key: str) -> Any:
    """What ``place`` holds under ``key``, in camelCase or in snake_case."""
    if not isinstance(place, dict):
        return None
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in key)
    return place[key] if place.get(key) is not None else place.get(snake)
