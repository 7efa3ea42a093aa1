"""Messages out of msgpack, quicker than the serializer: what was valid when it was stored is not validated again.

Only for LangChain's own kinds of messages, and only where every field is of the plainest form; all else is left to
the serializer, and nothing is made here that it would not make. Copies are made the same way.
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
    inner: list[int] = []

    def read(code: int, content: bytes) -> Any:
        if code == EXT_DELTA_SNAPSHOT:
            return _DeltaSnapshot(_unpack(content, read))
        if code == EXT_PYDANTIC_V2:
            inner.clear()
            module, name, fields, *_ = _unpack(content, lambda code, content: inner.append(code))
            kind = _KINDS.get((module, name))
            if kind is not None and not inner and _is_plain(kind, fields):
                return _made(kind, fields, set(fields), {})
        return serde.loads_typed(("msgpack", pack(Packed(code, content))))

    return read


def _unpack(content: bytes, hook: Callable[[int, bytes], Any]) -> Any:
    return ormsgpack.unpackb(content, ext_hook=hook, option=ormsgpack.OPT_NON_STR_KEYS)


def _is_plain(kind: type[BaseMessage], fields: Any) -> bool:
    """Is every field as the class would leave it?"""
    if type(fields) is not dict or fields.keys() != _FIELDS[kind] or fields["type"] != _TYPES[kind]:
        return False
    if type(fields["additional_kwargs"]) is not dict or type(fields["response_metadata"]) is not dict:
        return False
    if type(fields["content"]) is not str or not (_is_name(fields["id"]) and _is_name(fields["name"])):
        return False
    if kind is AIMessage:
        calls = fields["tool_calls"]
        if type(calls) is not list or fields["invalid_tool_calls"] != [] or fields["usage_metadata"] is not None:
            return False
        return all(map(_is_call, calls)) if calls else "tool_calls" not in fields["additional_kwargs"]
    if kind is ToolMessage:
        return type(fields["tool_call_id"]) is str and fields["status"] in ("success", "error")
    return True


def _is_name(value: Any) -> bool:
    return value is None or type(value) is str


def _is_call(call: Any) -> bool:
    if type(call) is not dict or call.keys() != _CALL or call["type"] != "tool_call" or type(call["name"]) is not str:
        return False
    return _is_name(call["id"]) and type(call["args"]) is dict and all(type(key) is str for key in call["args"])


def changed(message: BaseMessage, **fields: Any) -> Any:
    """As ``message.model_copy(update=fields)``, and quicker; ``fields`` are some that its class has."""
    if message.__pydantic_private__ is not None:
        return message.model_copy(update=fields)
    known, more = message.model_fields_set, message.model_extra
    return _made(type(message), {**message.__dict__, **fields}, {*known, *fields}, {**(more or {})})


def _made(kind: type[BaseMessage], fields: dict[str, Any], known: set[str], more: dict[str, Any]) -> BaseMessage:
    message = kind.__new__(kind)
    object.__setattr__(message, "__dict__", fields)
    object.__setattr__(message, "__pydantic_fields_set__", known)
    object.__setattr__(message, "__pydantic_extra__", more)
    object.__setattr__(message, "__pydantic_private__", None)
    return message
