"""Messages out of msgpack, quicker than the serializer: what was valid when it was stored is not validated again.

Only for LangChain's own kinds of messages, and only where every field is of the plainest form; all else is left to
the serializer, and nothing is made here that it would not make.
"""

from collections.abc import Callable
from typing import Any

import ormsgpack
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import EXT_DELTA_SNAPSHOT, EXT_PYDANTIC_V2
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from .typed import Packed, Typed, bare, pack

_KINDS: dict[tuple[str, str], type[BaseMessage]] = {
    (kind.__module__, kind.__name__): kind for kind in (HumanMessage, SystemMessage, AIMessage, ToolMessage)
}
_FIELDS = {kind: frozenset(kind.model_fields) for kind in _KINDS.values()}
_TYPES = {kind: kind.model_fields["type"].default for kind in _KINDS.values()}
_CALL = {"name", "args", "id", "type"}


def load(serde: SerializerProtocol, value: Typed) -> Any:
    """The same as ``serde.loads_typed``."""
    kind, content = bare(serde, value)
    if kind != "msgpack":
        return serde.loads_typed((kind, content))
    return _unpack(content, _reader(serde))


def _reader(serde: SerializerProtocol) -> Callable[[int, bytes], Any]:
    def read(code: int, content: bytes) -> Any:
        if code == EXT_DELTA_SNAPSHOT:
            return _DeltaSnapshot(_unpack(content, read))
        if code == EXT_PYDANTIC_V2:
            module, name, fields, *_ = _unpack(content, Packed)
            kind = _KINDS.get((module, name))
            if kind is not None and _is_plain(kind, fields):
                return _made(kind, fields)
        return serde.loads_typed(("msgpack", pack(Packed(code, content))))

    return read


def _unpack(content: bytes, hook: Callable[[int, bytes], Any]) -> Any:
    return ormsgpack.unpackb(content, ext_hook=hook, option=ormsgpack.OPT_NON_STR_KEYS)


def _is_plain(kind: type[BaseMessage], fields: Any) -> bool:
    """Is every field as the class would leave it? Nothing that is packed may be in it."""
    if not isinstance(fields, dict) or fields.keys() != _FIELDS[kind] or fields["type"] != _TYPES[kind]:
        return False
    texts = type(fields["content"]) is str and all(
        one is None or type(one) is str for one in (fields["id"], fields["name"])
    )
    if not texts or not _is_data(fields["additional_kwargs"], dict) or not _is_data(fields["response_metadata"], dict):
        return False
    if kind is AIMessage:
        return (
            fields["usage_metadata"] is None
            and fields["invalid_tool_calls"] == []
            and type(fields["tool_calls"]) is list
            and all(map(_is_call, fields["tool_calls"]))
            and not (fields["tool_calls"] == [] and "tool_calls" in fields["additional_kwargs"])
        )
    if kind is ToolMessage:
        plain = type(fields["tool_call_id"]) is str and fields["status"] in ("success", "error")
        return plain and fields["artifact"] is None
    return True


def _is_call(call: Any) -> bool:
    return (
        type(call) is dict
        and call.keys() == _CALL
        and call["type"] == "tool_call"
        and type(call["name"]) is str
        and (call["id"] is None or type(call["id"]) is str)
        and _is_data(call["args"], dict)
    )


def _is_data(value: Any, kind: type | None = None) -> bool:
    """Is it plain data all through, and of that kind?"""
    if kind is not None and type(value) is not kind:
        return False
    if type(value) is dict:
        return all(type(key) is str and (type(one) is str or _is_data(one)) for key, one in value.items())
    if type(value) is list:
        return all(map(_is_data, value))
    return value is None or type(value) in (str, int, float, bool)


def _made(kind: type[BaseMessage], fields: dict[str, Any]) -> BaseMessage:
    message = kind.__new__(kind)
    inner: dict[str, Any] = {
        "__dict__": fields,
        "__pydantic_fields_set__": set(fields),
        "__pydantic_extra__": {},
        "__pydantic_private__": None,
    }
    for name, value in inner.items():
        object.__setattr__(message, name, value)
    return message
