"""The branches of a thread, each with its tokens and the outcome that its labels give it.

A label on a checkpoint speaks for the branches that pass through it, a label on the whole thread for
every branch that has none of its own, but not for recorded replays: nobody has seen how they would have ended.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from ..checkpoints.bulk import Leaf, Leaves, read_leaves
from ..checkpoints.importers.record import CANNED_KEY
from ..checkpoints.labels import Label, labels_of
from ..checkpoints.store import Store
from ..checkpoints.where import Head
from ..checkpoints.writers import slots_noted
from ..errors import BadCheckpoint, CannotRender, ThreadmillError
from ..nodes.bound_tools import system_at, tools_at
from ..nodes.models.families.chat import reasoning_of
from ..nodes.models.trace import EDIT_KEY, TRACE_KEY
from .trajectory import Proposal, Span, Trajectory, read_traces
from .views import View, views_of

if TYPE_CHECKING:
    from ..nodes.models.render import Renderer
    from ..nodes.models.rendered import Rendered

Tokens = Literal["recorded", "rendered"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the labels say about a branch; None where they say nothing."""

    success: bool | None = None
    reward: float | None = None
    source: str = "unlabelled"


@dataclass(frozen=True, slots=True)
class Branch:
    """One path from a thread's root to a leaf."""

    thread: str
    checkpoint: str
    task: str | None
    messages: tuple[BaseMessage, ...]
    tokens: Tokens
    trajectories: tuple[Trajectory, ...]
    outcome: Outcome
    agent: str | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    """The schemas of the tools that the model had, as OpenAI writes them; empty if nobody noted them."""
    nodes: Mapping[str, str] = field(default_factory=dict)
    """Message of a model to the node that wrote it, where that is known."""
    slots: Mapping[str, str] = field(default_factory=dict)
    """Message of a model to the slot that answered, where that is known."""
    labels: tuple[Label, ...] = ()
    """All labels of the thread."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Of the leaf."""
    path: tuple[str, ...] = ()
    """Its checkpoints, the leaf first."""
    forgotten: tuple[str, ...] = ()
    """Messages of the model that are in no trajectory, because what it had seen was taken out of the thread."""


@dataclass(frozen=True, slots=True)
class Unnoted:
    """What the model of a thread had, if the thread itself does not say it: LangGraph keeps neither."""

    tools: tuple[Mapping[str, Any], ...] = ()
    """Schemas as OpenAI writes them."""
    system: str | None = None
    """The system prompt."""


@dataclass(frozen=True, slots=True)
class Read:
    """What became of reading one thread: its branches, or why there are none."""

    thread: str
    branches: list[Branch]
    error: ThreadmillError | None = None


AT_ONCE = 256
"""Threads whose labels are read together."""


def stream_branches(
    store: Store, heads: Iterable[Head], *, renderer: "Renderer | None", unnoted: "Unnoted | None" = None
) -> Iterator[Read]:
    """The branches of each thread, in the order of ``heads``; a thread that cannot be read stops nothing.

    ``unnoted``: what the model had in threads that did not note it.
    """
    waiting = iter(heads)
    while part := list(islice(waiting, AT_ONCE)):
        names = [head.thread for head in part]
        labels = labels_of(store, names)
        for head, found in zip(part, read_leaves(store, names), strict=True):
            try:
                branches = _branches(found, head.task, labels.get(head.thread, []), renderer, unnoted or Unnoted())
            except ThreadmillError as error:
                yield Read(head.thread, [], error)
            except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
                yield Read(head.thread, [], BadCheckpoint(f"thread {head.thread!r} cannot be read: {error!r}"))
            else:
                yield Read(head.thread, [replace(branch, agent=head.agent or None) for branch in branches])


def read_branches(
    store: Store, thread: str, *, task: str | None, labels: Sequence[Label], renderer: "Renderer | None"
) -> list[Branch]:
    """Every branch of ``thread``, oldest leaf first; before them what only subgraphs said.

    A branch with traces is read from them, and its untraced messages are context only. A branch
    without any is rendered by ``renderer``, or has no trajectory if that is None.

    Raises:
        UnknownThread
        BadTrace: recorded tokens are damaged.
        BadCheckpoint: a checkpoint is.
        CannotRender: the template refuses messages without recorded tokens.
    """
    (found,) = read_leaves(store, [thread])
    return _branches(found, task, labels, renderer, Unnoted())


def _branches(
    found: Leaves,
    task: str | None,
    labels: Sequence[Label],
    renderer: "Renderer | None",
    unnoted: "Unnoted",
) -> list[Branch]:
    if found.error is not None:
        raise found.error
    whole = [leaf for leaf in found.leaves if not leaf.namespace]
    handed_on = _handed_on(found.leaves)
    branches = []
    for leaf in whole:
        own = [label for label in labels if label.checkpoint] if leaf.metadata.get("replay") == "recorded" else labels
        outcome = read_outcome(own, leaf.path, only_leaf=len(whole) == 1)
        branch = _branch(found.thread, leaf, task, labels, renderer, outcome, unnoted)
        branches.append(replace(_without_turns(branch, handed_on) if handed_on else branch, path=leaf.path))
    spoken = {message.id for leaf in whole for message in leaf.messages if isinstance(message, AIMessage)} - handed_on
    # In front, because the last branch is taken for the thread's trial of its task.
    return [
        _branch(found.thread, leaf, task, labels, renderer, _outcome_around(leaf, branches, labels), unnoted)
        for leaf in _spoken_apart(found.leaves, spoken)
    ] + branches


def _outcome_around(leaf: Leaf, branches: Sequence[Branch], labels: Sequence[Label]) -> Outcome:
    """The outcome of the branch that a subgraph ran on; where several have it, what labels of the thread say."""
    at = (leaf.metadata.get("parents") or {}).get("")
    around = [branch for branch in branches if at in branch.path]
    return around[0].outcome if len(around) == 1 else read_outcome(labels, [])


def _handed_on(leaves: Sequence[Leaf]) -> set[str | None]:
    """Answers of subgraphs that the thread's own messages repeat without their tokens and after other messages.

    What the model saw stands in the subgraph's conversation alone.
    """
    if all(not leaf.namespace for leaf in leaves):
        return set()
    inside: dict[str | None, set[int]] = {}
    repeated: dict[str | None, set[int]] = {}
    for leaf in leaves:
        before = 0
        for message in leaf.messages:
            if leaf.namespace and isinstance(message, AIMessage):
                inside.setdefault(message.id, set()).add(before)
            elif isinstance(message, AIMessage) and TRACE_KEY not in message.response_metadata:
                repeated.setdefault(message.id, set()).add(before)
            before = hash((before, message.id))
    return {message for message, places in repeated.items() if message in inside and not places & inside[message]}


def _without_turns(branch: Branch, messages: Set[str | None]) -> Branch:
    """``branch`` with these turns made given, as if a tool had said them."""
    kept = (_without(trajectory, messages) for trajectory in branch.trajectories)
    return replace(branch, trajectories=tuple(one for one in kept if any(span.origin != "given" for span in one.spans)))


def _without(trajectory: Trajectory, messages: Set[str | None]) -> Trajectory:
    spans = tuple(Span("given", span.tokens) if span.message in messages else span for span in trajectory.spans)
    return Trajectory(spans, tuple(one for one in trajectory.proposals if one.span.message not in messages))


def _spoken_apart(leaves: Sequence[Leaf], spoken: set[str | None]) -> Iterator[Leaf]:
    """Conversations of subgraphs with turns that the thread's own messages do not have."""
    for leaf in leaves:
        own = {message.id for message in leaf.messages if isinstance(message, AIMessage)}
        if leaf.namespace and own - spoken:
            spoken |= own
            yield leaf


def _branch(
    thread: str,
    leaf: Leaf,
    task: str | None,
    labels: Sequence[Label],
    renderer: "Renderer | None",
    outcome: Outcome,
    unnoted: "Unnoted",
) -> Branch:
    messages = leaf.messages
    tools = [*(tools_at(messages) or map(dict, unnoted.tools))]
    if unnoted.system and not system_at(messages) and not isinstance(next(iter(messages), None), SystemMessage):
        messages = (SystemMessage(unnoted.system), *messages)
    recorded = read_traces(messages)
    trajectories = tuple(recorded.trajectories)
    tokens: Tokens = "recorded"
    spoken = any(isinstance(message, AIMessage) for message in messages)
    if spoken and not trajectories and not recorded.forgotten and renderer is not None:
        tokens, trajectories = "rendered", render_trajectory(messages, renderer, tools)
    return Branch(
        thread,
        leaf.checkpoint,
        task,
        messages,
        tokens,
        trajectories,
        outcome,
        tools=tuple(tools),
        nodes=leaf.writers,
        slots=slots_noted(messages, leaf.metadata),
        labels=tuple(labels),
        metadata=leaf.metadata,
        forgotten=tuple(recorded.forgotten),
    )


def read_outcome(labels: Sequence[Label], path: Sequence[str], *, only_leaf: bool = False) -> Outcome:
    """The outcome of the branch with these checkpoints; of several labels of a kind the last one counts.

    With ``only_leaf`` the thread has a single branch, and every checkpoint of it is taken to be on the path.
    """
    found: dict[str, tuple[bool, Label]] = {}
    for label in labels:
        own = label.checkpoint is not None
        if label.message is not None or (own and not only_leaf and label.checkpoint not in path):
            continue
        if own or label.kind not in found or not found[label.kind][0]:
            found[label.kind] = (own, label)
    success, reward = (found.get(kind, (False, None))[1] for kind in ("success", "reward"))
    deciding = success or reward
    return Outcome(
        success=None if success is None else float(success.value) >= 1.0,
        reward=None if reward is None else float(reward.value),
        source=deciding.source if deciding else "unlabelled",
    )


def render_trajectory(
    messages: Sequence[BaseMessage], renderer: "Renderer", tools: list[dict[str, Any]] | None = None
) -> tuple[Trajectory, ...]:
    """The trajectories that a chat template makes of messages without traces; none if no model speaks in them.

    Their prompts hold what the model saw, with ``tools`` where no answer noted any. Their spans carry no logprobs:
    nobody recorded any. There are several where the template rewrites what was said before, and where the context was
    trimmed, the system prompt or the tools changed. Answers that no model wrote are given.

    Raises:
        CannotRender: the template refuses these messages.
    """
    return tuple(
        _rendered(view, had, row, renderer)
        for view in views_of(messages)
        for had in [list((tools or ()) if view.tools is None else view.tools)]
        for row in renderer.training_rows(view.messages, had)
        if any(view.messages[turn.message].id in view.answers for turn in row.turns)
    )


def _rendered(view: View, tools: list[dict[str, Any]], row: "Rendered", renderer: "Renderer") -> Trajectory:
    messages = view.messages
    spans: list[Span] = []
    proposals: list[Proposal] = []
    at = 0
    for turn in row.turns:
        message = messages[turn.message]
        if message.id not in view.answers or message.response_metadata.get(CANNED_KEY) or _says_nothing(message):
            continue  # given, up to the next turn
        edited = EDIT_KEY in message.response_metadata
        spans.append(Span("given", row.ids[at : turn.low]))
        if edited and (proposed := _rendered_proposal(messages[: turn.message], message, tools, renderer)):
            before, tokens = proposed
            if before == row.ids[: turn.low]:
                span = Span("sampled", tokens, message=message.id)
                proposals.append(Proposal(span, len(spans), replaced=True))
        spans.append(Span("human" if edited else "sampled", row.ids[turn.low : turn.high], message=message.id))
        at = turn.high
    if row.ids[at:]:
        spans.append(Span("given", row.ids[at:]))
    return Trajectory(tuple(spans), tuple(proposals))


def _says_nothing(message: BaseMessage) -> bool:
    """Is it an answer without text, thinking and calls, as of an agent that broke off? Its end alone is no example."""
    spoken = isinstance(message, AIMessage) and (message.tool_calls or message.invalid_tool_calls)
    return not (spoken or message.text.strip() or reasoning_of(message))


def _rendered_proposal(
    before: Sequence[BaseMessage], edited: BaseMessage, tools: list[dict[str, Any]], renderer: "Renderer"
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The tokens in front of what a human replaced, and of that itself; None if it cannot be rendered."""
    kept = {key: value for key, value in edited.response_metadata.items() if key != EDIT_KEY}
    proposal = edited.response_metadata[EDIT_KEY]["proposal"]
    proposed = edited.model_copy(update={**proposal, "response_metadata": kept})
    try:
        row = renderer.training_rows([*before, proposed], tools)[-1]
    except CannotRender:  # a call that could not be read
        return None
    turn = row.turns[-1]
    return row.ids[: turn.low], row.ids[turn.low : turn.high]
