"""Replays: at every decision in stored threads, what would a candidate have done? Nothing is run, nothing is written.

A decision is one model call: the messages and tools that the model had, and what it proposed. The candidate is asked
there, once, and its proposal is put beside the recorded one, and beside what a person made of that. What the candidate
would have met afterwards nobody knows: agreement is no success.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Literal, get_args

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from ..checkpoints.importers.record import CANNED_KEY
from ..checkpoints.labels import labels_of
from ..checkpoints.reading import read_messages
from ..checkpoints.store import Store
from ..checkpoints.where import Head, Where, find_heads
from ..checkpoints.writers import slots_noted, writers_noted
from ..errors import ThreadmillError
from ..nodes.bound_tools import tools_at
from ..nodes.calls import make_check
from ..nodes.models.slot import Slot
from ..nodes.models.trace import EDIT_KEY
from .branches import read_outcome
from .credit.think_calls import Episode, read_episode
from .pairing.sources import REJECTED, kind_of, turns_with_results
from .views import prompt_before

Kind = Literal["same", "same_tool", "other_tool", "both_answer", "calls_instead", "answers_instead", "invalid"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""``same``: the same calls with the same arguments. ``both_answer``: neither calls, whatever they say. ``invalid``: the
candidate's call cannot be read, names no tool, or has arguments that do not fit."""
AGREEING = ("same", "both_answer")
UNNOTED = "nobody noted which tools its model had"
Decided = Literal["edited", "rejected"]


@dataclass(frozen=True, slots=True)
class Decision:
    """One recorded model call."""

    thread: str
    slot: str
    """The agent, and the node that asked the model."""
    checkpoint: str | None
    """Where the model was about to be asked: to fork or replay from."""
    message: str
    prompt: tuple[BaseMessage, ...]
    """What the model had, the system prompt included."""
    tools: tuple[dict[str, Any], ...]
    proposed: AIMessage
    """By the model itself, also where a person wrote something else."""
    decided: Decided | None
    """What a person did about its calls, if one did."""
    instead: AIMessage | None
    """What the person wrote."""
    refused: tuple[str, ...]
    """The calls that the person rejected, as ``calls_of`` gives them."""
    success: bool | None
    """How the thread ended; None if no label says so."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A decision and what the candidate would have done there."""

    decision: Decision
    proposal: AIMessage | None
    """None where the candidate could not be asked."""
    kind: Kind | None
    trouble: str = ""
    """Why it could not be asked."""

    @property
    def as_the_human(self) -> bool | None:
        """Whether the candidate is with the person: makes their calls, or none that they rejected.

        None where no person decided, or the candidate could not be asked.
        """
        if self.decision.decided is None or self.proposal is None:
            return None
        if self.decision.instead is not None:
            return calls_of(self.proposal) == calls_of(self.decision.instead)
        return not {*self.decision.refused} & {*calls_of(self.proposal)}


@dataclass(frozen=True, slots=True)
class Decisions:
    """What is to be asked."""

    found: list[Decision]
    left_out: dict[str, int]
    """Threads by reason."""


def read_decisions(store: Store, where: Where, *, nodes: Set[str] | None = None) -> Decisions:
    """Every model call on the newest branches of the threads of ``where``, thread by thread.

    ``nodes`` (or those of ``where``) are whose calls are meant, or slots; None is all. Answers that no model wrote are
    none.
    """
    heads = find_heads(store, where)
    chosen = where.writers or nodes
    found: list[Decision] = []
    left_out: Counter[str] = Counter()
    for head in heads:
        try:
            episode = read_episode(store, head.thread)
            decisions = list(_decisions(store, head, episode, chosen))
        except ThreadmillError:
            left_out["cannot be read"] += 1
            continue
        if _calls_unnoted_tools(episode.messages):
            left_out[UNNOTED] += 1
            continue
        if not decisions:
            left_out["no turn of a model" if chosen is None else f"no turn of {' or '.join(sorted(chosen))}"] += 1
        found += decisions
    return Decisions(found, dict(left_out))


def replay(
    decisions: Sequence[Decision],
    slot: Slot,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    workers: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> list[Replayed]:
    """Ask the model of ``slot`` at each of ``decisions``, in their order; ``workers`` at a time, decoded together.

    Temperature 0 asks for the candidate's first choice. A decision at which it cannot be asked (its context is too
    short, an endpoint refuses) keeps the reason.

    Raises:
        BadModelFolder, OutOfMemory, …: the model cannot be opened at all.
    """
    model = slot.model(slot.version_now())

    def ask(decision: Decision) -> Replayed:
        try:
            asked = model.bind_tools([*decision.tools]) if decision.tools else model
            config: Any = {"configurable": {"thread_id": f"replay-{decision.thread}"}}
            said = asked.invoke([*decision.prompt], config, temperature=temperature, seed=seed)
        except ThreadmillError as error:
            return Replayed(decision, None, None, str(error))
        return Replayed(decision, said, compare(decision.proposed, said, decision.tools))

    with ThreadPoolExecutor(workers, thread_name_prefix="replay") as pool:
        futures = [pool.submit(ask, decision) for decision in decisions]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                if progress is not None:
                    progress(done, len(futures))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]


def compare(recorded: AIMessage, proposal: AIMessage, tools: Sequence[Mapping[str, Any]]) -> Kind:
    """How ``proposal`` stands to ``recorded``; the order of calls in one message means nothing.

    >>> one = AIMessage("", tool_calls=[{"name": "look", "args": {"item": "tea"}, "id": "1"}])
    >>> compare(one, AIMessage("In row 3."), []), compare(one, one, [])
    ('answers_instead', 'same')
    """
    if proposal.invalid_tool_calls or not all(_fits(call, tools) for call in proposal.tool_calls):
        return "invalid"
    calls = bool(recorded.tool_calls or recorded.invalid_tool_calls)
    if not proposal.tool_calls:
        return "answers_instead" if calls else "both_answer"
    if not calls:
        return "calls_instead"
    if not recorded.invalid_tool_calls and calls_of(recorded) == calls_of(proposal):
        return "same"
    return "same_tool" if names_of(recorded) == names_of(proposal) else "other_tool"


def calls_of(message: AIMessage) -> list[str]:
    """Its calls in an order of their own, so that equal ones are equal."""
    return sorted(repr((call["name"], _sorted(call["args"]))) for call in message.tool_calls)


def names_of(message: AIMessage) -> list[str]:
    """The tools that it calls, unreadable calls included, in alphabetical order."""
    return sorted(str(call["name"]) for call in (*message.tool_calls, *message.invalid_tool_calls))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return [(name, _sorted(value[name])) for name in sorted(value)]
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def _fits(call: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]) -> bool:
    functions = [tool["function"] for tool in tools if "function" in tool]
    if not functions:
        return True  # nobody noted which tools there were
    function = next((one for one in functions if one["name"] == call["name"]), None)
    return function is not None and not make_check(function.get("parameters") or {})(call["args"])


def _calls_unnoted_tools(messages: Sequence[BaseMessage]) -> bool:
    """Whether a candidate would be asked without the tools that the model had."""
    return not tools_at(messages) and any(isinstance(one, AIMessage) and one.tool_calls for one in messages)


def _decisions(store: Store, head: Head, episode: Episode, nodes: Set[str] | None) -> Iterator[Decision]:
    path = [episode.leaf, *(call.checkpoint for call in episode.calls if call.checkpoint)]
    success = read_outcome(labels_of(store, [head.thread]).get(head.thread, []), path).success
    said = {message.id: message for message in episode.messages if isinstance(message, AIMessage)}
    refused = {message.id: _refused(message, results) for message, results in turns_with_results(episode.messages)}
    for call in episode.calls:
        message = said[call.message]
        if message.response_metadata.get(CANNED_KEY) or not (nodes is None or _is_of(message, nodes)):
            continue
        before = _in_front(store, head.thread, call.checkpoint, call.history)
        known = [*before, message]
        edit = message.response_metadata.get(EDIT_KEY)
        yield Decision(
            thread=head.thread,
            slot=f"{head.agent or 'agent'}.{_node_of(message) or 'think'}",
            checkpoint=call.checkpoint,
            message=call.message,
            prompt=prompt_before(before, message),
            tools=tuple(tools_at(known)),
            proposed=message.model_copy(update=edit["proposal"]) if edit else message,
            decided="edited" if edit else "rejected" if refused[message.id] else None,
            instead=message if edit else None,
            refused=refused[message.id],
            success=success,
        )


def _refused(message: AIMessage, results: Sequence[ToolMessage]) -> tuple[str, ...]:
    """The calls of ``message`` that a person rejected; their answers name the call, or by its place if it has no id."""
    named = {one.tool_call_id for one in results if kind_of(one) == REJECTED}
    calls = {call["id"] or f"{message.id}:{place}": call for place, call in enumerate(message.tool_calls)}
    rejected = [call for name, call in calls.items() if name in named]
    return tuple(calls_of(AIMessage("", tool_calls=rejected)))


def _in_front(
    store: Store, thread: str, checkpoint: str | None, history: Sequence[BaseMessage]
) -> Sequence[BaseMessage]:
    """What stood in the state where the model was asked; what was cut from its context is not among it."""
    return history if checkpoint is None else read_messages(store, thread, checkpoint)


def _is_of(message: AIMessage, nodes: Set[str]) -> bool:
    return _node_of(message) in nodes or slots_noted([message], {}).get(str(message.id)) in nodes


def _node_of(message: AIMessage) -> str | None:
    return message.response_metadata.get("node") or writers_noted([message], {}).get(str(message.id))
