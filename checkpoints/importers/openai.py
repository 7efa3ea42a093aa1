"""OpenAI chat: rows for fine-tuning, preferences, and logged requests with their responses.

Built from the public documentation at https://platform.openai.com/docs/api-reference/fine-tuning/chat-input,
https://platform.openai.com/docs/guides/direct-preference-optimization and
https://platform.openai.com/docs/api-reference/chat/object, no sample at hand. A row is one of

- ``{"messages": […], "tools": […]}`` (or the older ``functions``); an answer with ``weight`` 0 is not trained;
- ``{"input": {"messages": […]}, "preferred_output": […], "non_preferred_output": […]}``: two threads of one task;
- ``{"request": {"messages": […]}, "response": {"choices": […]}}``, the same with a ``body`` in each as in a batch, or
  ``choices`` beside ``messages``: a thread for each choice. What was said before the response is context: it was logged
  with a response of its own. A choice that was cut at its longest is not trained.

Images, audio and files are no text: such rows are set aside. ``task_id``, ``trial``, ``reward`` and ``success``, which
others add to such rows, are taken for what they say.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from . import anthropic
from .calls import Asked, read_call
from .conversation import CUT_SHORT, Conversation, name_thread
from .outcome import outcome_of
from .preference import CHOSEN, REJECTED, prefer
from .record import BadRow, Record
from .tool_text import tools_in

NAME = "openai"
ROLES = ("system", "developer", "user", "assistant", "tool", "function")
TOOLS = ("tools", "functions")
PREFERENCE = ("input", "preferred_output", "non_preferred_output")


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` look like OpenAI's chat, and not like Anthropic's?"""
    if all(key in row for key in PREFERENCE):
        return True
    asked = _asked(row)
    messages = asked.get("messages")
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(isinstance(message, dict) and message.get("role") in ROLES for message in messages)
        and any("content" in message or "tool_calls" in message for message in messages)
        and not anthropic.fits(row)
    )


def read(row: dict[str, Any], file: Path) -> Iterable[Record]:
    """The records of a row: one, two for a preference, one for each choice of a response.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    if all(key in row for key in PREFERENCE):
        return list(_preference(row))
    return list(_logged(row)) if "choices" in _answered(row) else [_example(row)]


def _example(row: dict[str, Any]) -> Record:
    asked = _asked(row)
    chat = Conversation(name_thread(NAME, row, row.get("id")))
    say_all(chat, asked.get("messages"))
    return _record(chat, row, asked)


def _logged(row: dict[str, Any]) -> Iterator[Record]:
    asked, answered = _asked(row), _answered(row)
    choices = answered["choices"]
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices) or not choices:
        raise BadRow("the choices are no list of objects")
    thread = name_thread(NAME, row, row.get("id") or answered.get("id"))
    task = f"{thread}-request" if len(choices) > 1 else None
    for number, choice in enumerate(choices):
        chat = Conversation(thread if task is None else f"{thread}-{number}")
        _say_context(chat, asked.get("messages"))
        chat.is_context = choice.get("finish_reason") in CUT_SHORT
        say(chat, choice.get("message"))
        about = {key: choice[key] for key in ("finish_reason",) if isinstance(choice.get(key), str)}
        yield _record(chat, row, asked, answered, task=task, trial=None if task is None else number, metadata=about)


def _preference(row: dict[str, Any]) -> Iterator[Record]:
    asked = row["input"]
    if not isinstance(asked, dict):
        raise BadRow("input is no object with messages")
    thread = name_thread(NAME, row, row.get("id"))
    for liking, key in ((CHOSEN, "preferred_output"), (REJECTED, "non_preferred_output")):
        chat = Conversation(f"{thread}-{liking}")
        _say_context(chat, asked.get("messages"))
        say_all(chat, row[key] if isinstance(row[key], list) else [row[key]])
        yield prefer(_record(chat, row, asked), thread, liking)


def _record(
    chat: Conversation,
    row: dict[str, Any],
    asked: dict[str, Any],
    answered: dict[str, Any] | None = None,
    *,
    task: str | None = None,
    trial: int | None = None,
    metadata: dict[str, Any] | None = None,
) -> Record:
    about = dict(metadata or {})
    if isinstance(asked.get("parallel_tool_calls"), bool):
        about["parallel_tool_calls"] = asked["parallel_tool_calls"]
    model = next(
        (place["model"] for place in (answered or {}, asked, row) if isinstance(place.get("model"), str)), None
    )
    return Record(
        thread=chat.thread,
        agent=NAME,
        messages=chat.messages(),
        model=model,
        tools=tools_in(next((place[key] for place in (asked, row) for key in TOOLS if place.get(key)), None)),
        metadata=about,
        **{"task": task, "trial": trial, **outcome_of(row)},
    )


def _say_context(chat: Conversation, messages: Any) -> None:
    chat.is_context = True
    say_all(chat, messages)
    chat.place += 1
    chat.is_context = False


def say_all(chat: Conversation, messages: Any) -> None:
    """Say every one of ``messages``, counting them.

    Raises:
        BadRow: they are no list, or one of them is no message.
    """
    if not isinstance(messages, list):
        raise BadRow("messages are no list")
    for place, message in enumerate(messages, chat.place):
        chat.place = place
        say(chat, message)


def say(chat: Conversation, message: Any) -> None:
    """Say one message in OpenAI's form.

    Raises:
        BadRow: it has no known role, or holds what is no text.
    """
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadRow(f"message {chat.place} has no role")
    role, named = message["role"], {"name": message["name"]} if isinstance(message.get("name"), str) else {}
    text = _text(chat, message.get("content"), "" if role == "assistant" else "\n")
    if role == "system":
        chat.system(text, **named)
    elif role == "developer":
        chat.system(text, additional_kwargs={"__openai_role__": "developer"}, **named)
    elif role == "user":
        chat.human(text, **named)
    elif role == "assistant" and message.get("audio"):
        raise BadRow(f"message {chat.place} is audio, which is no text")
    elif role == "assistant":
        reasoning = message.get("reasoning_content") or message.get("reasoning")
        refusal = message.get("refusal")
        chat.ai(
            text or refusal,
            _calls(chat, message),
            reasoning=reasoning if isinstance(reasoning, str) else "",
            trained=message.get("weight") != 0,
        )
    elif role in ("tool", "function"):
        chat.result(text, id_=message.get("tool_call_id"), name=message.get("name"))
    else:
        raise BadRow(f"message {chat.place} has the unknown role {role!r:.100}")


def _calls(chat: Conversation, message: dict[str, Any]) -> list[Asked]:
    asked = message.get("tool_calls") or []
    if not isinstance(asked, list):
        raise BadRow(f"the tool_calls of message {chat.place} are no list")
    calls = []
    for call in [*asked, *([{"function": message["function_call"]}] if message.get("function_call") else [])]:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(call, dict) or not isinstance(function, dict):
            raise BadRow(f"a call of message {chat.place} has no function")
        try:
            calls.append(read_call(function.get("name"), function.get("arguments"), call.get("id")))
        except BadRow as error:
            raise BadRow(f"message {chat.place}: {error}") from error
    return calls


def _text(chat: Conversation, content: Any, glue: str) -> Any:
    if not isinstance(content, list):
        return content
    texts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in ("text", "refusal", "input_text", "output_text"):
            raise BadRow(f"message {chat.place} holds a part of type {kind!r:.100}, which is no text")
        texts.append(chat.text(part.get("refusal" if kind == "refusal" else "text")))
    return glue.join(texts)


def _asked(row: dict[str, Any]) -> dict[str, Any]:
    asked = row["request"] if isinstance(row.get("request"), dict) else row
    return asked["body"] if isinstance(asked.get("body"), dict) else asked


def _answered(row: dict[str, Any]) -> dict[str, Any]:
    answered = row.get("response")
    if not isinstance(answered, dict):
        return row
    return answered["body"] if isinstance(answered.get("body"), dict) else answered
