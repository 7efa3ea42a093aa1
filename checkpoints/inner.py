"""What was said inside a thread's nodes, by agents, steps, trials and questions that are subgraphs."""

from dataclasses import dataclass

from langchain_core.messages import AnyMessage, BaseMessage

from .prune import messages_at
from .reading import checkpoint_tree, latest_checkpoint, path_to
from .store import Store


@dataclass(frozen=True, slots=True)
class Conversation:
    """That of one subgraph, to its end."""

    namespace: str
    at: str
    """The checkpoint of the graph around it from which it ran; those with the same ran at the same time."""
    messages: tuple[AnyMessage, ...]
    """Also those of the graph around it, if the subgraph began with them."""


def read_inner(store: Store, thread: str, leaf: str | None = None) -> list[Conversation]:
    """The conversations inside of ``thread`` on its way to ``leaf`` (default: the newest checkpoint), oldest first.

    Those inside of another one are among them: their namespaces begin with its own and ``|``. So are those whose
    place on the way was pruned.

    Raises:
        UnknownThread
    """
    namespaces = store.tables.namespaces(thread)
    if not namespaces:
        return []
    tree, end = checkpoint_tree(store, thread), leaf or latest_checkpoint(store, thread)
    elsewhere = {node.checkpoint for node in tree} - {node.checkpoint for node in path_to(tree, end)}
    found: list[tuple[str, Conversation]] = []
    for namespace in namespaces:
        last = store.reader.get_tuple({"configurable": {"thread_id": thread, "checkpoint_ns": namespace}})
        parents = last.metadata.get("parents", {}) if last else {}
        if last is None or parents.get("") in elsewhere:
            continue
        said = [message for message in messages_at(store.reader, last) if isinstance(message, BaseMessage)]
        around = namespace.rpartition("|")[0]
        found.append((last.checkpoint["id"], Conversation(namespace, parents.get(around, ""), tuple(said))))  # type: ignore[arg-type]
    return [one for _, one in sorted(found, key=lambda item: item[0])]
