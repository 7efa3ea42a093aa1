"""A conversation that grows turn by turn: every message gets an id, and every result is paired with its call.

By the recorded id where the call has one, else by the tool's name, else by position. Every call gets an id
of its own, because recorded ids are missing or repeat.
"""

import json
from collections.abc import Iterable
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.messages.tool import ToolCall, invalid_tool_call

from .calls import Asked, looks_failed
from .notes import note_spelled_calls
from .record import CANNED_KEY, REASONING_KEY, BadRow, digest_of, read_id

CUT_SHORT = ("length", "max_tokens", "MAX_TOKENS", "model_length")
"""Why an answer stopped that was not at its end; it is not trained, because nobody knows where it would have ended."""


class Conversation:
    """What was said so far.

    ``place`` counts the turns of the row, for the reasons of bad ones. While ``is_context`` holds, answers are not
    trained: a logged request holds answers that were logged before, or examples that nobody gave.
    """

    def __init__(self, thread: str) -> None:
        self.thread = thread
        self.place = 0
        self.is_context = False
        self._messages: list[BaseMessage] = []
        self._waiting: list[tuple[str, Asked]] = []  # calls without a result yet, oldest first, with their new ids

    def system(self, text: Any, **also: Any) -> None:
        """A system prompt; ``also`` are further fields of the message."""
        self._nobody_waits()
        self._messages.append(SystemMessage(self.text(text), id=self._id(), **also))

    def human(self, text: Any, **also: Any) -> None:
        """What a user says."""
        self._nobody_waits()
        self._messages.append(HumanMessage(self.text(text), id=self._id(), **also))

    def ai(self, text: Any, calls: Iterable[Asked] = (), *, reasoning: Any = "", trained: bool = True) -> None:
        """An answer, with the calls that it makes and what was thought before it.

        An answer right behind another one is another answer; see ``more`` for the rest of the same.
        """
        self._nobody_waits()
        self._messages.append(AIMessage("", id=self._id()))
        self._say(self.text(text), calls, self.text(reasoning), trained)

    def more(self, text: Any, calls: Iterable[Asked] = (), *, reasoning: Any = "") -> None:
        """The rest of the answer before it, if there is one; else an answer of its own."""
        if self._messages and isinstance(self._messages[-1], AIMessage):
            self._say(self.text(text), calls, self.text(reasoning), True)
        else:
            self.ai(text, calls, reasoning=reasoning)

    def result(self, text: Any, *, id_: Any = None, name: Any = None, failed: bool | None = None) -> None:
        """What a tool gave back; ``failed`` None where the format does not say."""
        text = self.text(text)
        own, call = self._answered(id_ if isinstance(id_, str) and id_ else None, name)
        failed = looks_failed(text) if failed is None else failed
        kind = "invalid" if call.error else "failed" if failed else "result"
        self._messages.append(
            ToolMessage(
                text,
                id=self._id(),
                tool_call_id=own,
                name=call.name or "",
                status="success" if kind == "result" else "error",
                additional_kwargs={"kind": kind},
            )
        )

    def waiting(self) -> int:
        """How many calls have no result yet."""
        return len(self._waiting)

    def messages(self) -> tuple[BaseMessage, ...]:
        """All of them, those noted that spell a call as text. A call at the end may lack its result.

        Raises:
            BadRow: there are none.
        """
        if not self._messages:
            raise BadRow("nothing is said in it")
        return note_spelled_calls(self._messages)

    def last_id(self) -> str:
        """The id of the newest message; empty if there is none."""
        return str(self._messages[-1].id) if self._messages else ""

    def text(self, value: Any) -> str:
        """``value`` as a text, empty for None.

        Raises:
            BadRow: it is none.
        """
        if value is not None and not isinstance(value, str):
            raise BadRow(f"message {self.place} holds what is no text: {value!r:.100}")
        return value or ""

    def _say(self, text: str, calls: Iterable[Asked], reasoning: str, trained: bool) -> None:
        answer = self._messages[-1]
        assert isinstance(answer, AIMessage)
        good, bad = list(answer.tool_calls), list(answer.invalid_tool_calls)
        for call in calls:
            own = f"{answer.id}:{len(good) + len(bad)}"
            if call.error:
                bad.append(invalid_tool_call(name=call.name, args=call.raw, id=own, error=call.error))
            else:
                good.append(ToolCall(name=call.name or "", args=call.args, id=own, type="tool_call"))
            self._waiting.append((own, call))
        thought = "\n\n".join(part for part in (answer.additional_kwargs.get(REASONING_KEY), reasoning) if part)
        self._messages[-1] = AIMessage(
            str(answer.content) + text,
            id=answer.id,
            tool_calls=good,
            invalid_tool_calls=bad,
            additional_kwargs={REASONING_KEY: thought} if thought else {},
            response_metadata=answer.response_metadata if trained and not self.is_context else {CANNED_KEY: True},
        )

    def _answered(self, id_: str | None, name: Any) -> tuple[str, Asked]:
        if not self._waiting:
            raise BadRow(f"message {self.place} is a result without a call")
        nameless = [place for place, (_, call) in enumerate(self._waiting) if call.id is None or id_ is None]
        named = [place for place in nameless if self._waiting[place][1].name == name]
        same = [place for place, (_, call) in enumerate(self._waiting) if id_ is not None and call.id == id_]
        fitting = same or named or ([] if name else nameless)
        if not fitting:
            asked = f"the call {id_!r:.100}" if id_ is not None else f"a call of {name!r:.100}"
            raise BadRow(f"message {self.place} is the result of {asked}, which nobody waits for")
        return self._waiting.pop(fitting[0])

    def _nobody_waits(self) -> None:
        if self._waiting:
            raise BadRow(f"message {self.place} comes before the result of the call of {self._waiting[0][1].name!r}")

    def _id(self) -> str:
        return f"{self.thread}:{len(self._messages)}"


def name_thread(format: str, row: Any, id_: Any = None) -> str:
    """The thread of a row: the same for the same row, and another for every other one, whatever its own id.

    >>> name_thread("xlam", {"query": "Hi"}, 7)
    'xlam-7-e57e11ca5f'

    Raises:
        BadRow: the id is neither a whole number nor text, or the row holds more than JSON can, or too deeply.
    """
    named = [] if id_ is None else [read_id(id_, "id")]
    try:
        return "-".join([format, *named, digest_of(row)])
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRow(f"the row is no JSON: {error}") from error


def spell(value: Any) -> str:
    """``value`` as the text of a result: a text as it is, everything else in JSON.

    Raises:
        BadRow: it is nested too deeply.
    """
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRow(f"a result is no JSON: {error}") from error
