"""Checkpoints taken apart into typed values and put together again, without reading what the values hold.

A typed value is a type and bytes, as LangGraph's serializer writes them. Objects inside stay the bytes that they
are: none is made, so those of types that are not on the allow-list come through whole.
"""

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import EXT_DELTA_SNAPSHOT

from ..errors import BadKey, UnknownType
from .serializer import KEY

Typed = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Packed:
    """An object that stays packed: a msgpack extension."""

    code: int
    content: bytes


def unpack(content: bytes) -> Any:
    """The plain data in msgpack, objects as ``Packed``.

    >>> unpack(pack({"mood": Packed(0, b"x"), (1, 2): [1.5, None]}))
    {'mood': Packed(code=0, content=b'x'), (1, 2): [1.5, None]}
    """
    return ormsgpack.unpackb(content, ext_hook=Packed, option=ormsgpack.OPT_NON_STR_KEYS)


def pack(value: Any) -> bytes:
    """The msgpack of what ``unpack`` gave: the same bytes as LangGraph's serializer wrote."""
    option = ormsgpack.OPT_NON_STR_KEYS | ormsgpack.OPT_PASSTHROUGH_DATACLASS
    return ormsgpack.packb(value, default=_as_extension, option=option)


def _as_extension(value: Any) -> ormsgpack.Ext:
    if not isinstance(value, Packed):
        raise TypeError(f"a {type(value).__name__} cannot be packed")
    return ormsgpack.Ext(value.code, value.content)


def typed(value: Any) -> Typed:
    """A value of ``unpack``, or of JSON, as the serializer would write it on its own."""
    if value is None:
        return "null", b""
    if isinstance(value, bytes):
        return "bytes", value
    try:
        return "msgpack", pack(value)
    except ormsgpack.MsgpackEncodeError:  # a number of more than 64 bits, out of JSON
        return "json", json.dumps(value).encode()


def untyped(value: Typed, serde: SerializerProtocol) -> Any:
    """The value, objects as ``Packed``; what LangGraph kept as JSON before it used msgpack is written anew.

    Raises:
        ValueError: it is of a kind that cannot be part of a whole checkpoint.
    """
    kind, content = value
    if kind == "null":
        return None
    if kind in ("bytes", "bytearray"):
        return content
    if kind == "msgpack":
        return unpack(content)
    if kind == "json":
        kind, content = bare(serde, serde.dumps_typed(serde.loads_typed(value)))
        return unpack(content) if kind == "msgpack" else untyped((kind, content), serde)
    raise ValueError(f"a value is of the kind {kind!r}, which is not opened")


def is_snapshot(value: Typed) -> bool:
    """Whether it is the whole value of a delta channel."""
    plain = unpack(value[1]) if value[0] == "msgpack" else None
    return isinstance(plain, Packed) and plain.code == EXT_DELTA_SNAPSHOT


def split_whole(content: Typed) -> tuple[dict[str, Any], dict[str, Typed]]:
    """A checkpoint as SQLite keeps it: its other fields, and the value of each channel.

    Raises:
        UnknownType: it is a pickle.
    """
    kind, data = content
    if kind == "msgpack":
        whole = unpack(data)
        return whole, {channel: typed(value) for channel, value in whole.pop("channel_values").items()}
    if kind == "json":
        whole = json.loads(data)
        values = whole.pop("channel_values")
        return whole, {channel: ("json", json.dumps(value).encode()) for channel, value in values.items()}
    raise UnknownType(f"a checkpoint is of the kind {kind!r}, which is not opened")


def bare(serde: SerializerProtocol, value: Typed) -> Typed:
    """``value`` without encryption.

    Raises:
        BadKey: there is no key, or another one.
    """
    kind, _, cipher = value[0].partition("+")
    if not cipher:
        return value
    if not isinstance(serde, EncryptedSerializer):
        raise BadKey(f"the content is encrypted ({value[0]}); set {KEY} to the key that it was written with")
    return kind, serde.cipher.decrypt(cipher, value[1])


def sealed(serde: SerializerProtocol, value: Typed) -> Typed:
    """``value``, encrypted if there is a key."""
    if not isinstance(serde, EncryptedSerializer):
        return value
    cipher, content = serde.cipher.encrypt(value[1])
    return f"{value[0]}+{cipher}", content


def postgres_json(value: Any) -> str:
    """JSON that PostgreSQL gives back as it is: a large float keeps its point, or it would return as an integer.

    >>> postgres_json({"a": [1e16, 1e-07, 1.0, 1, None, True, "é"]})
    '{"a": [10000000000000000.0, 0.0000001, 1.0, 1, null, true, "\\\\u00e9"]}'

    Raises:
        ValueError: it holds what PostgreSQL's JSON cannot: NaN, an infinity, a NUL or half a surrogate pair.
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{postgres_json(str(key))}: {postgres_json(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(postgres_json, value)) + "]"
    if isinstance(value, float):
        if not isfinite(value):
            raise ValueError(f"PostgreSQL's JSON has no {value}")
        text = format(Decimal(repr(value)), "f")
        return text if "." in text else text + ".0"
    if isinstance(value, str) and not fits_postgres(value):
        raise ValueError(f"PostgreSQL's JSON cannot hold the text {value!r}")
    return json.dumps(value)


def fits_postgres(text: str) -> bool:
    """Whether PostgreSQL can hold ``text``: not if there is a NUL, or half a surrogate pair, in it."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)


def as_json(value: Typed) -> list[str]:
    """A typed value in JSON: its type, and its bytes in base64."""
    return [value[0], b64encode(value[1]).decode()]


def from_json(value: Any) -> Typed:
    """What ``as_json`` gave.

    Raises:
        ValueError, TypeError: it is something else.
    """
    kind, content = value
    if not isinstance(kind, str) or "+" in kind:
        raise ValueError(f"{kind!r} is no kind of value")
    return kind, b64decode(content, validate=True)
