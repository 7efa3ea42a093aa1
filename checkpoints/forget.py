"""Delete threads from every table, and prune what nobody needs; both say which data sets and versions used them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import Connection, delete, select, update

from ..errors import ReadOnly
from .branch import read_all_steps
from .data_sets import Uses, forget_uses, uses_of
from .labels import labels_of
from .prune import keep_only
from .reading import checkpoint_tree, latest_checkpoint, leaf_checkpoints
from .store import Store
from .tables import LabelRow, LeaseRow, OutcomeRow, PinRow, ProposalRow, TrialRow

Strategy = Literal["keep-leaves", "delete"]


@dataclass(slots=True)
class Pruned:
    """What a prune did, or (dry run) would do."""

    threads: list[str] = field(default_factory=list)
    """Threads that lost something."""
    checkpoints: int = 0
    """Checkpoints that went."""
    kept: dict[str, Uses] = field(default_factory=dict)
    """Threads left as they are because a data set refers to them."""
    used: dict[str, Uses] = field(default_factory=dict)
    """Threads that lost something although a data set refers to them."""


def delete_thread(store: Store, thread: str) -> Uses:
    """Delete ``thread`` from every table and say what used it; data sets on disk and versions keep what they hold.

    Raises:
        UnknownThread, ReadOnly
        ThreadBusy: a process drives the thread.
    """
    _refuse_read_only(store)
    latest_checkpoint(store, thread)
    uses = uses_of(store, [thread]).get(thread, Uses(thread, (), ()))
    with store.leases.hold(thread), store.engine.begin() as connection:
        store.tables.delete(connection, thread)
        for table in (LabelRow, PinRow, OutcomeRow, ProposalRow):
            connection.execute(delete(table).where(table.thread == thread))
        forget_uses(connection, thread)
        _forget_words(connection, thread)
    with store.engine.begin() as connection:  # the lease itself, if an older process left one behind
        connection.execute(delete(LeaseRow).where(LeaseRow.thread == thread))
    return uses


def prune_threads(
    store: Store,
    threads: Sequence[str],
    *,
    strategy: Strategy = "keep-leaves",
    even_used: bool = False,
    dry_run: bool = False,
) -> Pruned:
    """Make ``threads`` smaller, or delete them (``delete``).

    ``keep-leaves`` keeps the end of every branch with its whole conversation, checkpoints with a label, those with a
    question and the next ones, which took the answer, and all checkpoints of subgraphs; the other checkpoints go,
    and with them the chance to fork there.
    Threads that a data set refers to are left alone, unless ``even_used``.

    Raises:
        UnknownThread, ReadOnly, ThreadBusy
    """
    if not dry_run:
        _refuse_read_only(store)
    done = Pruned()
    used = uses_of(store, threads)
    for thread in dict.fromkeys(threads):
        if thread in used and not even_used:
            done.kept[thread] = used[thread]
            continue
        doomed = _doomed(store, thread, strategy)
        if not doomed:
            continue
        if thread in used:
            done.used[thread] = used[thread]
        done.threads.append(thread)
        done.checkpoints += len(doomed)
        if dry_run:
            continue
        if strategy == "delete":
            delete_thread(store, thread)
            continue
        with store.leases.hold(thread):
            every = _checkpoints(store, thread)
            keep = {namespace: ids - {at for ns, at in doomed if ns == namespace} for namespace, ids in every.items()}
            keep_only(store.saver, thread, keep)
    return done


def _doomed(store: Store, thread: str, strategy: Strategy) -> set[tuple[str, str]]:
    every = {(namespace, at) for namespace, ids in _checkpoints(store, thread).items() for at in ids}
    if strategy == "delete":
        return every
    needed = {
        *leaf_checkpoints(store, thread),
        *(label.checkpoint for label in labels_of(store, [thread]).get(thread, ())),
    }
    asked = {step.checkpoint for step in read_all_steps(store, thread) if step.pauses}
    needed |= asked | {node.checkpoint for node in checkpoint_tree(store, thread) if node.parent in asked}
    return {(namespace, at) for namespace, at in every if namespace == "" and at not in needed}


def _checkpoints(store: Store, thread: str) -> dict[str, set[str]]:
    latest_checkpoint(store, thread)
    table = store.tables.checkpoints
    found: dict[str, set[str]] = {}
    query = select(table.c.checkpoint_ns, table.c.checkpoint_id).where(table.c.thread_id == thread)
    for namespace, checkpoint in store.tables.read(query):
        found.setdefault(namespace, set()).add(checkpoint)
    return found


def _forget_words(connection: Connection, thread: str) -> None:
    """An evaluation keeps the figures of a trial, and loses what was quoted of the thread."""
    key = (TrialRow.evaluation, TrialRow.task, TrialRow.trial)
    for *at, measured in connection.execute(select(*key, TrialRow.measured).where(TrialRow.thread == thread)).all():
        failures = [{**failure, "text": ""} for failure in measured.get("failures", ())]
        here = (column == value for column, value in zip(key, at, strict=True))
        connection.execute(update(TrialRow).where(*here).values(measured={**measured, "failures": failures}))


def _refuse_read_only(store: Store) -> None:
    if store.read_only:
        raise ReadOnly(f"{store.name!r} was opened to be read; open it with open_store(url) to delete from it")
