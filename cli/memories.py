"""``threadmill memories``: what agents remember from one thread for others; look at it, and forget it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .place import DEFAULT_DB, AsJson, Database

if TYPE_CHECKING:
    from langgraph.store.base import SearchItem

    from ..checkpoints.store import Store

app = typer.Typer(help="What agents remember: list it, and forget it.", no_args_is_help=True)
Namespace = Annotated[list[str] | None, typer.Argument(help="Whose: the first words of a namespace, as the list says.")]
Thread = Annotated[str | None, typer.Option(help="Only what this thread taught.")]


@app.command("list")
def list_command(
    namespace: Namespace = None, thread: Thread = None, db: Database = DEFAULT_DB, as_json: AsJson = False
) -> None:
    """List what is remembered, the newest last; all of it, or what stands below a namespace.

    Example: threadmill memories list memories ann
    """
    from ..checkpoints.store import open_store

    with open_store(db, create=False, read_only=True) as store:
        found = _found(store, namespace or (), thread)
    if as_json:
        typer.echo(json.dumps({"memories": [_record(item) for item in found]}, ensure_ascii=False, default=str))
        return
    if not found:
        typer.echo("nothing is remembered there" if namespace or thread else "nothing is remembered", err=True)
    from itertools import groupby

    from .timeline import visible

    for words, group in groupby(sorted(found, key=lambda item: item.namespace), lambda item: _words(item.namespace)):
        typer.echo(visible(words))
        for item in group:
            taught = f" (thread {item.value['thread']})" if item.value.get("thread") else ""
            told = " ".join(_text(item.value).split())
            typer.echo(visible(f"  {item.key}  {_time(item.updated_at)[:16]}  {told}{taught}"))


@app.command("forget")
def forget_command(
    namespace: Namespace = None,
    key: Annotated[str | None, typer.Option(help="Only the memory with this key.")] = None,
    thread: Thread = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    db: Database = DEFAULT_DB,
    as_json: AsJson = False,
) -> None:
    """Forget what stands below a namespace, or what one thread taught. Threads that were told of it keep what they saw.

    Example: threadmill memories forget memories ann --yes
    """
    from ..checkpoints.store import open_store
    from ..errors import NoMemory

    if not (namespace or key or thread):
        raise typer.BadParameter("say what to forget: the words of a namespace, --key KEY, or --thread ID")
    with open_store(db, create=False) as store:
        found = [item for item in _found(store, namespace or (), thread) if key in (None, item.key)]
        if not found:
            raise NoMemory(f"nothing is remembered there in {store.name}; see `threadmill memories list`")
        if not yes:
            where = ", ".join(sorted({_words(item.namespace) for item in found}))
            typer.confirm(f"Forget {len(found)} memories of {where} in {store.name}?", abort=True, err=True)
        for item in found:
            store.memories.delete(item.namespace, item.key)
    if as_json:
        typer.echo(json.dumps({"forgotten": [_record(item) for item in found]}, ensure_ascii=False, default=str))
    else:
        typer.echo(f"{len(found)} forgotten")


def _found(store: "Store", words: Sequence[str], thread: str | None) -> "list[SearchItem]":
    """What stands below the namespace that begins with ``words``, oldest first."""
    from ..nodes.memory import as_label

    labels = [(word, as_label(word)) for word in words]
    everything = store.memories.search((), limit=2**31 - 1)
    return [
        item
        for item in reversed(everything)
        if len(item.namespace) >= len(labels)
        and all(part in either for part, either in zip(item.namespace, labels, strict=False))
        and thread in (None, item.value.get("thread"))
    ]


def _words(namespace: Sequence[str]) -> str:
    """The namespace as one writes it in a command."""
    from shlex import join

    return join(part.replace("%2E", ".").replace("%25", "%") for part in namespace)


def _text(value: dict[str, Any]) -> str:
    told = value.get("text", value.get("lesson"))
    return told if isinstance(told, str) else json.dumps(value, ensure_ascii=False, default=str)


def _time(at: datetime) -> str:
    """In UTC, as SQLite keeps it without saying so."""
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="seconds")


def _record(item: "SearchItem") -> dict[str, Any]:
    times = {"created_at": _time(item.created_at), "updated_at": _time(item.updated_at)}
    return {"namespace": list(item.namespace), "key": item.key, "value": item.value, **times}
