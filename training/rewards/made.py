"""The calls that the policy made in an episode, each with what became of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ...checkpoints.importers.record import CANNED_KEY
from ...nodes.calls import Kind
from ...nodes.models.trace import EDIT_KEY
from ...nodes.repair import repaired_calls
from ..pairing.sources import kind_of, turns_with_results

Became = Kind | Literal["edited", "unanswered"]
"""As the tool node notes it; ``edited``: a human put other arguments in; ``unanswered``: nothing came back."""

WORKED = frozenset({"result", "responded"})
AMONG_MODELS = frozenset({"hand_off", "plan"})
"""Tools by which the models of an agent share out the work."""
ANSWERS = frozenset({"verdict", "doubts"})
"""Tools that nobody runs: a judge inside of an agent answers in the form of a call."""
MALFORMED = frozenset({"invalid", "unknown_tool"})


@dataclass(frozen=True, slots=True)
class Made:
    """One call as the policy proposed it."""

    name: str
    args: Mapping[str, Any]
    """Empty if it could not be read."""
    became: Became
    turn: int
    """Of the model, from 0."""
    id: str
    by: str | None = None
    """Who decided, where the tool node noted it."""
    message: str | None = None
    """Id of the model's message."""
    answer: ToolMessage | None = None
    """What came back."""
    repaired: bool = False
    """Whether it had to be put right before it could be run; name and arguments are those that were run."""
    conversation: int = 0
    """Which of the episode's: 0 is the thread's own, the others are those inside of its nodes."""


def spoken(messages: Sequence[BaseMessage]) -> list[AIMessage]:
    """What the policy said: not the answers of a conversation that it was given."""
    return [
        message
        for message in messages
        if isinstance(message, AIMessage) and not message.response_metadata.get(CANNED_KEY)
    ]


def made_calls(messages: Sequence[BaseMessage]) -> list[Made]:
    """All calls, in order; those of a turn that could not be read come after its others.

    Messages of agents that are not ours note no kinds: there an error is ``failed``, and anything else a ``result``.

    >>> call = {"name": "look", "args": {"order": 7}, "id": "c1"}
    >>> spoken = AIMessage("", tool_calls=[call])
    >>> [made.became for made in made_calls([spoken, ToolMessage("shipped", tool_call_id="c1")])]
    ['result']
    >>> [made.became for made in made_calls([spoken])]
    ['unanswered']
    """
    return [
        made
        for turn, (message, results) in enumerate(turns_with_results(messages))
        if not message.response_metadata.get(CANNED_KEY)
        for made in _of(message, results, turn)
    ]


def calls_of(conversations: Sequence[Sequence[BaseMessage]]) -> list[Made]:
    """The calls of all conversations of an episode, one after the other; a judge's answer is no call."""
    return [
        replace(made, conversation=number) if number else made
        for number, messages in enumerate(conversations)
        for made in made_calls(messages)
        if not (number and made.name in ANSWERS and made.became == "unanswered")
    ]


def answers_of(conversations: Sequence[Sequence[BaseMessage]]) -> list[AIMessage]:
    """What the policy said in all conversations of an episode, one after the other."""
    return [message for messages in conversations for message in spoken(messages)]


def worked_for(calls: Sequence[Made]) -> list[Made]:
    """``calls`` without those that share out the work among the models of an agent: no task needs them by name.

    An agent without conversations inside makes none; there they are tools like others.
    """
    inside = any(call.conversation for call in calls)
    return [call for call in calls if not inside or call.name not in AMONG_MODELS]


def _of(message: AIMessage, results: Sequence[ToolMessage], turn: int) -> Iterator[Made]:
    waiting = list(results)
    proposed = message.response_metadata.get(EDIT_KEY, {}).get("proposal", {}).get("tool_calls", message.tool_calls)
    ids = [call.get("id") or f"{message.id}:{place}" for place, call in enumerate(message.tool_calls)]
    mended = repaired_calls(message)
    if mended:
        proposed = [*proposed, *message.tool_calls[len(proposed) :]]
    for place, call in enumerate(proposed):
        id_ = ids[place] if place < len(ids) else call.get("id") or ""
        result = _take(waiting, id_)
        standing = message.tool_calls[place] if place < len(message.tool_calls) else None
        edited = standing is None or (standing["name"], standing["args"]) != (call["name"], call["args"])
        became: Became = "edited" if edited else _became(result)
        about = became, turn, id_, _decided_by(result), message.id, result
        yield Made(call["name"], call["args"], *about, repaired=id_ in mended)
    for place, broken in enumerate(message.invalid_tool_calls, len(message.tool_calls)):
        id_ = broken.get("id") or f"{message.id}:{place}"
        result = _take(waiting, id_)
        yield Made(broken.get("name") or "", {}, "invalid", turn, id_, _decided_by(result), message.id, result)


def _take(waiting: list[ToolMessage], id_: str) -> ToolMessage | None:
    """The first answer to the call ``id_`` that is not taken yet: models repeat ids."""
    for place, result in enumerate(waiting):
        if result.tool_call_id == id_:
            return waiting.pop(place)
    return None


def _became(result: ToolMessage | None) -> Became:
    if result is None:
        return "unanswered"
    noted: Any = kind_of(result)
    return noted or ("failed" if result.status == "error" else "result")


def _decided_by(result: ToolMessage | None) -> str | None:
    return None if result is None else result.additional_kwargs.get("by")
