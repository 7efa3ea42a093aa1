"""Write the records of a thread into SQLite or PostgreSQL, as the saver of that database would have written them."""

import json
from collections.abc import Mapping
from hashlib import sha256
from math import copysign, isfinite
from typing import Any, Literal

from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from sqlalchemy import Connection, Text, bindparam, cast, insert
from sqlalchemy.dialects.postgresql import JSONB

from .records import ABOUT, AT_ONCE, LABEL, PLACE, Record, version_text
from .store import Store
from .typed import Typed, fits_postgres, from_json, is_snapshot, pack, postgres_json, sealed, unpack, untyped


class RecordWriter:
    """Writes records into a database, under the id ``thread``, as its saver would have; ``flush`` after the last."""

    def __init__(self, store: Store, connection: Connection, thread: str) -> None:
        self._store, self._connection, self._thread = store, connection, thread
        self._is_sealed = isinstance(store.serde, EncryptedSerializer)
        tables = store.tables
        place: Any = insert(tables.checkpoints)
        if tables.postgres:
            place = place.values(
                {name: cast(bindparam(f"{name}_json", type_=Text()), JSONB) for name in ("checkpoint", "noted")}
            )
        self._into: list[Any] = [place, insert(tables.writes), insert(LABEL)]
        if tables.blobs is not None:
            self._into.append(insert(tables.blobs))
        self._waiting: list[list[Record]] = [[] for _ in self._into]
        self._contents: dict[tuple[str, str, str], list[bytes]] = {}

    def add(self, record: Record) -> None:
        """Write one record, now or with the next.

        Raises:
            ValueError, TypeError, KeyError: it is malformed, or holds what this database cannot.
        """
        kind = record.pop("record")
        if kind == "checkpoint":
            add = self._add_to_postgres if self._store.tables.postgres else self._add_to_sqlite
            add(
                {
                    "thread_id": self._thread,
                    "checkpoint_ns": _text(record, "namespace"),
                    "checkpoint_id": _text(record, "id"),
                    "parent_checkpoint_id": None if record["parent"] is None else _text(record, "parent"),
                },
                record,
                {channel: from_json(value) for channel, value in record["values"].items()},
            )
        elif kind == "write":
            content = sealed(self._store.serde, from_json(record["value"]))
            place = {name: _text(record, key) for key, name in PLACE.items()}
            rest = {"idx": int(record["index"]), "channel": _text(record, "channel")}
            self._waiting[1].append(
                {"thread_id": self._thread, **place, **rest, "type": content[0], "value": content[1]}
            )
        elif kind == "label":
            about = {name: record[name] for name in ABOUT}
            self._check_label(about["value"])
            self._waiting[2].append({"thread": self._thread, **about})
        else:
            raise ValueError(f"there are no records of the kind {kind!r}")
        if max(map(len, self._waiting)) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        for statement, rows in zip(self._into, self._waiting, strict=True):
            if rows:
                self._connection.execute(statement, rows)
                rows.clear()

    def _check_label(self, value: Any) -> None:
        if self._store.tables.postgres:
            json.dumps(value, allow_nan=False)
        elif isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError(f"SQLite makes another number of a label's {value}")

    def _add_to_sqlite(self, row: Record, record: Record, values: Mapping[str, Typed]) -> None:
        serde = self._store.serde
        whole = {**record["checkpoint"], "channel_values": {name: untyped(one, serde) for name, one in values.items()}}
        if "pending_sends" in record:
            whole["pending_sends"] = untyped(from_json(record["pending_sends"]), serde)
        kind, content = sealed(serde, ("msgpack", pack(whole)))
        self._waiting[0].append({**row, "type": kind, "checkpoint": content, "noted": record["metadata"]})

    def _add_to_postgres(self, row: Record, record: Record, values: Mapping[str, Typed]) -> None:
        inline: Record = {}
        versions: Record = {}
        for channel, version in record["checkpoint"]["channel_versions"].items():
            versions[channel] = version
            if (value := values.get(channel)) is None:
                continue
            plain = unpack(value[1]) if value[0] == "msgpack" else None
            is_inline = value[0] == "null" or _is_inline(plain, self._is_sealed)
            versions[channel], is_new = self._version(row["checkpoint_ns"], channel, version, not is_inline and value)
            if is_inline:
                inline[channel] = plain
            elif is_new:
                self._waiting[3].append(self._blob(row["checkpoint_ns"], channel, versions[channel], value))
            if is_snapshot(value):
                inline[channel] = True  # the mark by which LangGraph finds it
        if strangers := values.keys() - versions.keys():
            raise ValueError(f"the channels {sorted(strangers)} have values, but no versions")
        fields = {**record["checkpoint"], "channel_versions": versions, "channel_values": inline}
        noted = postgres_json(record["metadata"])
        self._waiting[0].append({**row, "checkpoint_json": postgres_json(fields), "noted_json": noted})

    def _version(self, namespace: str, channel: str, version: Any, apart: Typed | Literal[False]) -> tuple[Any, bool]:
        """The version to keep a value under, and whether nothing was kept under it yet; ``apart`` is its blob, if any.

        PostgreSQL has one value for each version. SQLite may have several, if a node changed an object in place:
        the others are kept under the version with a number behind it, which reading takes off again.
        """
        known = self._contents.setdefault((namespace, channel, version_text(version)), [])
        content = sha256(f"{apart[0]}:".encode() + apart[1]).digest() if apart else b""
        is_new = content not in known
        if is_new:
            known.append(content)
        number = known.index(content)
        return (f"{version}#{number}" if number else version), is_new

    def _blob(self, namespace: str, channel: str, version: Any, value: Typed) -> Record:
        kind, content = sealed(self._store.serde, value)
        place = {"thread_id": self._thread, "checkpoint_ns": namespace, "channel": channel}
        return {**place, "version": version_text(version), "type": kind, "value": content}


def _is_inline(plain: Any, is_sealed: bool) -> bool:
    """Whether the PostgreSQL saver keeps ``plain`` in its JSON column, and that gives it back as it was."""
    if isinstance(plain, float):
        return isfinite(plain) and (plain != 0 or copysign(1, plain) > 0)
    return isinstance(plain, int) or (isinstance(plain, str) and not is_sealed and fits_postgres(plain))


def _text(record: Record, key: str) -> str:
    if not isinstance(record[key], str):
        raise ValueError(f"{key} is {record[key]!r} and not text")
    return record[key]
