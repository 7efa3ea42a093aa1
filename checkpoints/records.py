"""The rows of one thread as records that are the same in SQLite and in PostgreSQL, one JSON object each.

SQLite keeps a checkpoint in one piece; PostgreSQL keeps numbers and text in a JSON column, and the other values in a
table of blobs, once for each version of a channel. In a record every value stands on its own: its type and its bytes.
"""

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Table, and_, select, tuple_

from .store import Store
from .tables import LabelRow
from .typed import Typed, as_json, bare, is_snapshot, postgres_json, split_whole, typed

AT_ONCE = 50
"""Rows that are in memory at a time."""
LABEL: Any = LabelRow.__table__
ABOUT = ("checkpoint", "message", "kind", "value", "source", "created_at")
PLACE = {"namespace": "checkpoint_ns", "checkpoint": "checkpoint_id", "task": "task_id", "path": "task_path"}
Record = dict[str, Any]


def read_records(store: Store, connection: Connection, thread: str) -> Generator[Record, None, None]:
    """All that the database holds of ``thread``, in an order that depends on the content alone."""
    yield from _checkpoints(store, connection, thread)
    yield from _writes(store, connection, thread)
    if store.has_labels:
        labels = select(*(LABEL.c[name].label(name) for name in ABOUT)).where(LABEL.c.thread == thread)
        for row in connection.execute(labels.order_by(LABEL.c.id)):
            yield {"record": "label", **row._mapping, "value": _as_sqlite_keeps_it(row.value)}


def _as_sqlite_keeps_it(value: Any) -> Any:
    """The value of a label: SQLite makes 1 of 1.0 there, and nobody compares them as text."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**63 else value


def _checkpoints(store: Store, connection: Connection, thread: str) -> Iterator[Record]:
    tables = store.tables
    table = tables.checkpoints
    order = _in_order(store, table.c.checkpoint_ns, table.c.checkpoint_id)
    query = select(table).where(table.c.thread_id == thread).order_by(*order)
    if tables.postgres:
        above = table.alias()
        same = [above.c[name] == table.c[name] for name in ("thread_id", "checkpoint_ns")]
        query = query.outerjoin_from(table, above, and_(*same, above.c.checkpoint_id == table.c.parent_checkpoint_id))
        query = query.add_columns(above.c.checkpoint["channel_versions"].label("versions_above"))
    with connection.execute(query, execution_options={"yield_per": AT_ONCE}) as found:
        for rows in found.partitions():
            apart = {} if tables.blobs is None else _blobs(store, connection, thread, tables.blobs, rows)
            for row in rows:
                if tables.blobs is None:
                    fields, values = split_whole(bare(store.serde, (row.type, row.checkpoint)))
                else:
                    fields, values = _gather(row, apart)
                yield _checkpoint(row, fields, values)


def _checkpoint(row: Any, fields: Record, values: Mapping[str, Typed]) -> Record:
    sends = fields.pop("pending_sends", None)  # before LangGraph 0.5; objects are in it
    return {
        "record": "checkpoint",
        "namespace": row.checkpoint_ns,
        "id": row.checkpoint_id,
        "parent": row.parent_checkpoint_id,
        "checkpoint": fields,
        "values": {channel: as_json(value) for channel, value in values.items()},
        "metadata": row.noted,
        **({"pending_sends": as_json(typed(sends))} if sends else {}),
    }


def _blobs(
    store: Store, connection: Connection, thread: str, blobs: Table, rows: Sequence[Any]
) -> dict[tuple[str, str, str], Typed]:
    """Namespace, channel and version to value, for all that ``rows`` refer to."""
    wanted = {
        (row.checkpoint_ns, channel, version_text(version))
        for row in rows
        for channel, version in row.checkpoint["channel_versions"].items()
    }
    key = (blobs.c.checkpoint_ns, blobs.c.channel, blobs.c.version)
    found: dict[tuple[str, str, str], Typed] = {}
    for part in _parts(list(wanted), 1000):
        query = select(*key, blobs.c.type, blobs.c.value).where(blobs.c.thread_id == thread, tuple_(*key).in_(part))
        for namespace, channel, version, kind, content in connection.execute(query):
            if kind != "empty":
                found[namespace, channel, version] = bare(store.serde, (kind, content))
    return found


def _gather(row: Any, apart: Mapping[tuple[str, str, str], Typed]) -> tuple[Record, dict[str, Typed]]:
    """The fields of a checkpoint in PostgreSQL, and its values.

    Of a snapshot LangGraph marks the checkpoint that it was made for. Those that follow seem to have it too, as long
    as they share the version; in SQLite they have not, and look for it above.
    """
    fields = dict(row.checkpoint)
    inline = fields.pop("channel_values", None) or {}
    values = {channel: typed(value) for channel, value in inline.items()}
    for channel, version in fields["channel_versions"].items():
        value = apart.get((row.checkpoint_ns, channel, version_text(version)))
        follows = channel not in inline and (row.versions_above or {}).get(channel) == version
        if value is not None and not (follows and is_snapshot(value)):
            values[channel] = value
    fields["channel_versions"] = {
        channel: re.sub(r"#\d+$", "", version) if isinstance(version, str) else version
        for channel, version in fields["channel_versions"].items()
    }
    return fields, values


def _writes(store: Store, connection: Connection, thread: str) -> Iterator[Record]:
    table = store.tables.writes
    place = [*(table.c[name] for name in ("checkpoint_ns", "checkpoint_id", "task_id")), store.tables.task_path()]
    rest = (table.c.idx, table.c.channel, table.c.type, table.c.value)
    order = (*_in_order(store, *place[:3]), table.c.idx)
    query = select(*place, *rest).where(table.c.thread_id == thread).order_by(*order)
    with connection.execute(query, execution_options={"yield_per": AT_ONCE}) as found:
        for row in found:
            yield {
                "record": "write",
                **{key: row._mapping[name] or "" for key, name in PLACE.items()},
                "index": row.idx,
                "channel": row.channel,
                "value": as_json(bare(store.serde, (row.type, row.value or b""))),
            }


def _in_order(store: Store, *columns: Column[Any]) -> list[Any]:
    """Columns to order by, byte by byte: by its locale PostgreSQL would order otherwise than SQLite."""
    return [column.collate("C") for column in columns] if store.tables.postgres else list(columns)


def _parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def version_text(version: Any) -> str:
    """A channel's version as PostgreSQL's table of blobs has it."""
    return version if isinstance(version, str) else postgres_json(version)
