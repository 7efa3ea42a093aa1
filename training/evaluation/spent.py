"""What an episode spent: tokens, seconds, and US dollars by a price table. Pure.

What nobody recorded is None: a sum that leaves some calls out would look cheaper than it was.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage

from ...nodes.calls import RAN
from ...nodes.models.trace import TRACE_KEY, read_trace
from ..rewards.finished import Finished
from ..rewards.made import Made, spoken, worked_for
from .calls_measured import seconds_of
from .prices import MILLION, Prices


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one model call."""

    prompt: int
    """All that the model read, ``cached`` included."""
    cached: int
    completion: int


def usages(messages: Sequence[BaseMessage]) -> list[Usage] | None:
    """The tokens of each model call; None if there is no call, or one that did not record them."""
    found = [usage_of(message) for message in spoken(messages)]
    known = [usage for usage in found if usage is not None]
    return known if found and len(known) == len(found) else None


def usage_of(message: AIMessage) -> Usage | None:
    """What ``message`` says of its tokens: its ``usage_metadata``, else its trace.

    >>> usage_of(AIMessage("Hi.", usage_metadata={"input_tokens": 9, "output_tokens": 2, "total_tokens": 11}))
    Usage(prompt=9, cached=0, completion=2)
    """
    if said := message.usage_metadata:
        cached = (said.get("input_token_details") or {}).get("cache_read") or 0
        return Usage(said["input_tokens"], cached, said["output_tokens"])
    trace = read_trace(message) if TRACE_KEY in message.response_metadata else None
    if trace is None:
        return None
    before = 0 if trace.restart else trace.before
    return None if before is None else Usage(before + len(trace.prompt_ids), 0, len(trace.sampled_ids))


def model_seconds(messages: Sequence[BaseMessage]) -> list[float | None]:
    """How long each model call took, by ``seconds`` in its metadata; None for one that does not say."""
    noted = [message.response_metadata.get("seconds") for message in spoken(messages)]
    return [float(seconds) if isinstance(seconds, int | float) else None for seconds in noted]


def tool_seconds(calls: Sequence[Made]) -> list[float | None]:
    """How long each call that ran took; None for one that does not say."""
    return [seconds_of(call) for call in calls if call.became in RAN]


def waited_seconds(messages: Sequence[BaseMessage], calls: Sequence[Made]) -> float | None:
    """Model calls, and of each turn the longest tool: tools of a turn run at once. People are not waited for.

    None if there is no model call, or if a call does not say how long it took.
    """
    thought = total(model_seconds(messages))
    longest: dict[int, float] = {}
    for call in calls:
        if call.became in RAN:
            took = seconds_of(call)
            if took is None:
                return None
            longest[call.turn] = max(longest.get(call.turn, 0.0), took)
    return None if thought is None else thought + sum(longest.values())


def waited_in_all(episode: Finished, calls: Sequence[Made]) -> float | None:
    """``waited_seconds`` of the thread, and of what went on inside its nodes: of what ran at once, the longest."""
    made = worked_for(calls)
    talks = episode.conversations
    own = [
        waited_seconds(messages, [call for call in made if call.conversation == number])
        if number == 0 or spoken(messages)
        else 0.0
        for number, messages in enumerate(talks)
    ]
    if len(talks) == 1 or None in own:
        return None if None in own else own[0]
    at_once: dict[str, dict[str, list[int]]] = {}
    for number, one in enumerate(episode.inner, 1):
        around = one.namespace.rpartition("|")[0]
        at_once.setdefault(around, {}).setdefault(one.at, []).append(number)

    def whole(number: int, namespace: str) -> float:
        groups = at_once.get(namespace, {}).values()
        inside = (max(whole(part, episode.inner[part - 1].namespace) for part in group) for group in groups)
        return (own[number] or 0.0) + sum(inside)

    return whole(0, "")


def total(values: Sequence[float | None]) -> float | None:
    """The sum; None if there are no values, or if one is None.

    >>> total([1.0, 2.0]), total([1.0, None]), total([])
    (3.0, None, None)
    """
    known = [value for value in values if value is not None]
    return sum(known) if known and len(known) == len(values) else None


def cost_usd(messages: Sequence[BaseMessage], prices: Prices) -> tuple[float | None, tuple[str, ...]]:
    """What the model calls cost, and the models without a price; None if there are such, or calls without tokens."""
    parts: list[float | None] = []
    unpriced: dict[str, None] = {}
    for message in spoken(messages):
        price, usage = prices.of(*model_names(message)), usage_of(message)
        if price is None:
            unpriced[next(iter(model_names(message)), "a model without a name")] = None
        if price is None or usage is None:
            parts.append(None)
            continue
        cached = price.prompt if price.cached is None else price.cached
        fresh = usage.prompt - usage.cached
        parts.append((fresh * price.prompt + usage.cached * cached + usage.completion * price.completion) / MILLION)
    return total(parts), tuple(unpriced)


def model_names(message: AIMessage) -> list[str]:
    """What the model of ``message`` goes by: the version of its slot, then the provider's own name for it."""
    said = message.response_metadata
    return [str(said[key]) for key in ("version", "model_name", "model") if said.get(key)]
