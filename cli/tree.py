"""A thread's checkpoints for people: one line each, branches indented, labels beside them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .timeline import call_text, lines_of, visible

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage

    from ..checkpoints.branch import Step
    from ..checkpoints.labels import Label
    from ..checkpoints.reading import CheckpointNode

NOTED = ("editor", "fork_of", "replay", "as_node")


def tree_records(
    nodes: Sequence["CheckpointNode"], steps: Mapping[str, "Step"], labels: Sequence["Label"]
) -> list[dict[str, Any]]:
    """One record for each checkpoint, parents before children, with what it added and its labels."""
    records = []
    for node in nodes:
        step = steps.get(node.checkpoint)
        records.append(
            {
                "checkpoint": node.checkpoint,
                "parent": node.parent,
                "step": node.step,
                "source": node.source,
                "created_at": node.created_at,
                "versions": node.metadata.get("versions", {}),
                "noted": {key: node.metadata[key] for key in NOTED if key in node.metadata},
                "added": [_headline(message) for message in step.added] if step else [],
                "asks": bool(step and step.pauses),
                "labels": [
                    {"kind": label.kind, "value": label.value, "source": label.source}
                    for label in labels
                    if label.checkpoint == node.checkpoint
                ],
            }
        )
    return records


def print_tree(thread: str, records: Sequence[dict[str, Any]], head: str, namespaces: Sequence[str]) -> None:
    """Print the tree; a checkpoint with one child has it on the next line, and several each further in."""
    from rich.console import Console
    from rich.text import Text
    from rich.tree import Tree

    children: dict[str | None, list[dict[str, Any]]] = {}
    known = {record["checkpoint"] for record in records}
    for record in records:
        children.setdefault(record["parent"] if record["parent"] in known else None, []).append(record)
    root = Tree(f"thread {thread}", guide_style="dim")
    waiting = [(root, record, {}, len(children.get(None, [])) > 1) for record in children.get(None, [])][::-1]
    while waiting:
        above, record, noted, begins = waiting.pop()
        below = children.get(record["checkpoint"], [])
        told = record if record["noted"] != noted else {**record, "noted": {}}
        here = above.add(Text(visible(_line(told, head, end=not below))))
        inside = here if begins or len(below) > 1 else above
        waiting += [(inside, child, record["noted"], len(below) > 1) for child in below][::-1]
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = 200
    console.print(root, soft_wrap=True)
    if namespaces:
        console.print(f"subgraphs: {', '.join(namespaces)}", soft_wrap=True)


def _headline(message: "AnyMessage") -> str:
    """A message in one line: its calls if it has any, else what it says."""
    from langchain_core.messages import AIMessage

    if isinstance(message, AIMessage) and message.tool_calls:
        return f"ai     calls {', '.join(map(call_text, message.tool_calls))}"
    return lines_of(message)[0]


def _line(record: Mapping[str, Any], head: str, *, end: bool) -> str:
    said = " · ".join(line.strip() for line in record["added"])
    parts = [record["checkpoint"][-8:], f"{record['source']:<6}", said[:100] + ("…" if len(said) > 100 else "")]
    if record["asks"]:
        parts.append("asks")
    parts += [f"{key} {value[-8:] if key == 'fork_of' else value}" for key, value in record["noted"].items()]
    parts += [f"[{label['kind']} {label['value']}]" for label in record["labels"]]
    if end and record["versions"]:
        parts.append(", ".join(record["versions"].values()))
    if record["checkpoint"] == head:
        parts.append("← here")
    return "  ".join(part for part in parts if part)
