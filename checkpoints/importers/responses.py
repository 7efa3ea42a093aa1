"""Runs in the items of OpenAI's Responses API, as NeMo Gym records its rollouts, with a reward.

A row is ``{"responses_create_params": {"input", "tools", …}, "response": {"output", "model", …}, "reward"}``, or a
logged ``{"request", "response"}``, or a response that holds its ``input``. What the model gave in one go (reasoning,
text and calls until results come) is one answer. Rows with the same input are trials of one task. What the provider's
own tools did (searches, code) is not told by these items: such rows are set aside.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .calls import read_call
from .conversation import Conversation, name_thread, spell
from .record import BadRow, Record, digest_of, read_number
from .schemas import read_tools

NAME = "responses"
PARAMS = ("responses_create_params", "request")
CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
RESULTS = ("function_call_output", "custom_tool_call_output")
TEXTS = ("input_text", "output_text", "text", "summary_text", "reasoning_text", "refusal")


def fits(row: dict[str, Any]) -> bool:
    """Does ``row`` look like a run in Responses items?"""
    asked, answered = _asked(row), _answered(row)
    output = answered.get("output")
    return "input" in asked and isinstance(output, list) and all(isinstance(item, dict) for item in output)


def read(row: dict[str, Any], file: Path) -> Record:
    """The record of one run.

    Raises:
        BadRow: a field is missing or not what it should be.
    """
    asked, answered = _asked(row), _answered(row)
    said, output = asked.get("input"), answered.get("output")
    if not isinstance(said, str | list) or not isinstance(output, list):
        raise BadRow("no input, or no output that is a list")
    named = answered.get("id") if isinstance(answered.get("id"), str) else None
    thread = f"{NAME}-{named}" if named else name_thread(NAME, row)
    chat = Conversation(thread)
    instructions = asked.get("instructions") or answered.get("instructions")
    if isinstance(instructions, str):
        chat.system(instructions)
    items = [{"type": "message", "role": "user", "content": said}] if isinstance(said, str) else said
    answer = _Answer(chat)
    for place, item in enumerate([*items, *output]):
        chat.place = place
        answer.say(item)
    answer.end()
    model = answered.get("model") or asked.get("model")
    reward = row.get("reward")
    parallel = asked.get("parallel_tool_calls")
    return Record(
        thread=thread,
        agent=NAME,
        task=f"{NAME}-{_digest([instructions, said])}",
        model=model if isinstance(model, str) else None,
        messages=chat.messages(),
        reward=None if reward is None else read_number(reward, "reward"),
        tools=read_tools(_functions(asked.get("tools") or answered.get("tools"))),
        metadata={"parallel_tool_calls": parallel} if isinstance(parallel, bool) else {},
    )


class _Answer:
    """Gathers the items of one answer until something else comes."""

    def __init__(self, chat: Conversation) -> None:
        self._chat = chat
        self._is_open = False
        self._thought = ""

    def say(self, item: Any) -> None:
        """Say one item.

        Raises:
            BadRow: it is of a kind that tells nothing, or malformed.
        """
        if not isinstance(item, Mapping):
            raise BadRow(f"item {self._chat.place} is no object")
        kind, role = item.get("type") or "message", item.get("role")
        if kind == "reasoning":
            if self._is_open:
                self.end()
            self._thought += _text(item.get("content")) or _text(item.get("summary"))
        elif kind in list(CALLS):
            arguments = item.get(CALLS[kind])
            call = read_call(
                item.get("name"), {"input": arguments} if kind == "custom_tool_call" else arguments, item.get("call_id")
            )
            self._more("", [call])
        elif kind in RESULTS:
            self.end()
            failed = True if item.get("status") in ("failed", "incomplete") else None
            self._chat.result(_result(item.get("output")), id_=item.get("call_id"), failed=failed)
        elif kind != "message":
            raise BadRow(f"item {self._chat.place} is of the type {kind!r}, which does not say what was done")
        elif role == "assistant":
            self._more(_text(item.get("content")), [])
        elif role in ("system", "developer"):
            self.end()
            self._chat.system(_text(item.get("content")))
        elif role == "user":
            self.end()
            self._chat.human(_text(item.get("content")))
        else:
            raise BadRow(f"item {self._chat.place} has the unknown role {role!r}")

    def end(self) -> None:
        """The answer is over; a thought that led to nothing is an answer without words."""
        if self._thought:
            self._more("", [])
        self._is_open = False

    def _more(self, text: str, calls: list[Any]) -> None:
        thought, self._thought = self._thought, ""
        if self._is_open:
            self._chat.more(text, calls, reasoning=thought)
        else:
            self._chat.ai(text, calls, reasoning=thought)
        self._is_open = True


def _asked(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return next((row[key] for key in PARAMS if isinstance(row.get(key), Mapping)), row)


def _answered(row: Mapping[str, Any]) -> Mapping[str, Any]:
    return row["response"] if isinstance(row.get("response"), Mapping) else row


def _functions(tools: Any) -> Any:
    """Of a list of tools those that are functions, and not the provider's own."""
    if not isinstance(tools, list):
        return tools
    return [tool for tool in tools if not isinstance(tool, Mapping) or tool.get("type", "function") == "function"]


def _text(content: Any) -> str:
    """The text of a content: itself, or its parts joined.

    Raises:
        BadRow: a part is no text, such as an image.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise BadRow(f"a content is neither text nor a list: {content!r:.100}")
    parts = []
    for part in content:
        if not isinstance(part, Mapping) or part.get("type") not in TEXTS:
            raise BadRow(f"a part of a content is no text: {part!r:.100}")
        text = part.get("text", part.get("refusal"))
        if not isinstance(text, str):
            raise BadRow(f"a part of a content has no text: {part!r:.100}")
        parts.append(text)
    return "".join(parts)


def _result(output: Any) -> str:
    return _text(output) if isinstance(output, list) and output else spell(output if output is not None else "")


def _digest(value: Any) -> str:
    try:
        return digest_of(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRow(f"the input is no JSON: {error}") from error
