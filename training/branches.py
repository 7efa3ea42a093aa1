"""The branches of a thread, each with its tokens and the outcome that its labels give it.

A label on a checkpoint speaks for the branches that pass through it, a label on the whole thread for
every branch that has none of its own, but not for recorded replays: nobody has seen how they would have ended.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Protocol

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from ..checkpoints.branch import branch_messages
from ..checkpoints.labels import Label, labels_of
from ..checkpoints.reading import checkpoint_tree, list_namespaces, read_messages
from ..checkpoints.store import Store
from ..errors import BadCheckpoint, CannotRender, ThreadmillError
from ..nodes.bound_tools import system_at, tools_at
from ..nodes.models.trace import EDIT_KEY
from .trajectory import Proposal, Span, Trajectory, read_trajectory

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
    labels: tuple[Label, ...] = ()
    """All labels of the thread."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """Of the leaf."""
    path: tuple[str, ...] = ()
    """Its checkpoints, the leaf first."""


class Head(Protocol):
    """A thread to read; ``checkpoints.where`` finds them."""

    @property
    def thread(self) -> str: ...

    @property
    def task(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Read:
    """What became of reading one thread: its branches, or why there are none."""

    thread: str
    branches: list[Branch]
    error: ThreadmillError | None = None


AT_ONCE = 200
"""Threads whose labels are read together."""


def stream_branches(store: Store, heads: Iterable[Head], *, renderer: "Renderer | None") -> Iterator[Read]:
    """The branches of each thread, in the order of ``heads``; a thread that cannot be read stops nothing."""
    waiting = iter(heads)
    while part := list(islice(waiting, AT_ONCE)):
        labels = labels_of(store, [head.thread for head in part])
        for head in part:
            own = labels.get(head.thread, [])
            try:
                found = read_branches(store, head.thread, task=head.task, labels=own, renderer=renderer)
            except ThreadmillError as error:
                yield Read(head.thread, [], error)
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                yield Read(head.thread, [], BadCheckpoint(f"thread {head.thread!r} cannot be read: {error!r}"))
            else:
                agent = getattr(head, "agent", None) or None
                yield Read(head.thread, [replace(branch, agent=agent) for branch in found])


def read_branches(
    store: Store, thread: str, *, task: str | None, labels: Sequence[Label], renderer: "Renderer | None"
) -> list[Branch]:
    """Every branch of ``thread``, oldest leaf first.

    A branch with traces is read from them, and its untraced messages are context only. A branch
    without any is rendered by ``renderer``, or has no trajectory if that is None.

    Raises:
        BadTrace: recorded tokens are damaged.
        CannotRender: the template refuses messages without recorded tokens.
    """
    nodes = checkpoint_tree(store, thread)
    inner = {node.parent for node in nodes}
    leaves = [node for node in nodes if node.checkpoint not in inner]
    parents = {node.checkpoint: node.parent for node in nodes}
    branches = []
    for leaf in leaves:
        messages = tuple(branch_messages(store, thread, leaf.checkpoint))
        own = [label for label in labels if label.checkpoint] if leaf.metadata.get("replay") == "recorded" else labels
        path = tuple(_path(leaf.checkpoint, parents))
        outcome = read_outcome(own, path, only_leaf=len(leaves) == 1)
        branch = _branch(thread, leaf.checkpoint, task, messages, renderer, outcome, labels, leaf.metadata)
        branches.append(replace(branch, path=path))
    spoken = {message.id for branch in branches for message in branch.messages if isinstance(message, AIMessage)}
    apart = _spoken_apart(store, thread, spoken)
    # In front, because the last branch is taken for the thread's trial of its task.
    outcome = read_outcome(labels, [])
    first = [_branch(thread, at, task, messages, renderer, outcome, labels, noted) for at, messages, noted in apart]
    return first + branches


def _spoken_apart(
    store: Store, thread: str, spoken: set[str | None]
) -> list[tuple[str, tuple[BaseMessage, ...], Mapping[str, Any]]]:
    """Conversations of subgraphs with turns that the thread's own messages do not have: leaf, messages, metadata."""
    found = []
    for namespace in list_namespaces(store, thread):
        nodes = checkpoint_tree(store, thread, namespace=namespace)
        inner = {node.parent for node in nodes}
        for leaf in (node for node in nodes if node.checkpoint not in inner):
            messages = tuple(read_messages(store, thread, leaf.checkpoint, namespace=namespace))
            own = {message.id for message in messages if isinstance(message, AIMessage)}
            if own - spoken:
                found.append((leaf.checkpoint, messages, leaf.metadata))
                spoken |= own
    return found


def _branch(
    thread: str,
    checkpoint: str,
    task: str | None,
    messages: tuple[BaseMessage, ...],
    renderer: "Renderer | None",
    outcome: "Outcome",
    labels: Sequence[Label],
    metadata: Mapping[str, Any],
) -> Branch:
    trajectories = tuple(read_trajectory(messages))
    tokens: Tokens = "recorded"
    if not trajectories and renderer is not None:
        tokens, trajectories = "rendered", render_trajectory(messages, renderer)
    return Branch(
        thread,
        checkpoint,
        task,
        messages,
        tokens,
        trajectories,
        outcome,
        tools=tuple(tools_at(messages)),
        nodes=_nodes(messages),
        labels=tuple(labels),
        metadata=metadata,
    )


def _nodes(messages: Sequence[BaseMessage]) -> dict[str, str]:
    """By the slots in the traces: ``helpdesk.think@0003`` spoke in the node ``think``."""
    versions = {message.id or "": message.response_metadata.get("trace", {}).get("version", "") for message in messages}
    return {id_: slot.rpartition(".")[2] for id_, version in versions.items() if (slot := version.partition("@")[0])}


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


def render_trajectory(messages: Sequence[BaseMessage], renderer: "Renderer") -> tuple[Trajectory, ...]:
    """The trajectories that a chat template makes of messages without traces; none if no model speaks in them.

    Their prompts hold the tools and the system prompt that were noted last. Their spans carry no logprobs: nobody
    recorded any. There are several where the template rewrites what was said before.

    Raises:
        CannotRender: the template refuses these messages.
    """
    tools = tools_at(messages)
    if system := system_at(messages):
        messages = [SystemMessage(system), *messages]
    rows = renderer.training_rows(messages, tools)
    return tuple(_rendered(messages, tools, row, renderer) for row in rows if row.turns)


def _rendered(
    messages: Sequence[BaseMessage], tools: list[dict[str, Any]], row: "Rendered", renderer: "Renderer"
) -> Trajectory:
    spans: list[Span] = []
    proposals: list[Proposal] = []
    at = 0
    for turn in row.turns:
        message = messages[turn.message]
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


def _path(leaf: str, parents: Mapping[str, str | None]) -> list[str]:
    path = []
    at: str | None = leaf
    while at is not None:
        path.append(at)
        at = parents.get(at)
    return path
