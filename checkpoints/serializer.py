"""How values become bytes in a database: LangGraph's msgpack, read strictly, and sealed if there is a key.

Reading a checkpoint never makes an object of a type that is not on the allow-list: messages, LangGraph's own
records and plain data are on it, and what the caller adds. See CVE-2026-28277 for why.
"""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import ormsgpack
from langgraph.checkpoint.serde._msgpack import SAFE_MSGPACK_TYPES
from langgraph.checkpoint.serde.base import CipherProtocol, SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import (
    EXT_DELTA_SNAPSHOT,
    EXT_NUMPY_ARRAY,
    LC_REVIVER,
    JsonPlusSerializer,
    _create_msgpack_ext_hook,
)
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from ..errors import BadKey, UnknownType

KEY = "THREADMILL_KEY"
"""The environment variable with the key: 64 hexadecimal digits."""
Allowed = Iterable[type | tuple[str, str]]
_PLACES: Mapping[tuple[str, ...], tuple[str, ...]] = LC_REVIVER.import_mappings
"""Where a type that LangChain calls by another name lives."""


def make_serializer(allow: Allowed = (), *, key: bytes | None = None, refuse: bool = True) -> SerializerProtocol:
    """A serializer for savers and readers.

    ``allow`` adds types, or (module, name) of types, to those that may be read. Of other types it raises, or
    without ``refuse`` (for looking at threads of others) gives their plain content. With ``key``
    (16, 24 or 32 bytes) what is written is encrypted; what was written without a key can still be read.
    """
    names = {(kind.__module__, kind.__name__) if isinstance(kind, type) else kind for kind in allow}
    strict = StrictSerializer(names, refuse=refuse)
    return EncryptedSerializer(_Aes(key), strict) if key else strict


class StrictSerializer(JsonPlusSerializer):
    """LangGraph's serializer, but a type that is not allowed is an error and not silently plain data."""

    def __init__(self, allow: Collection[tuple[str, ...]], *, refuse: bool) -> None:
        self._allow = {tuple(name) for name in allow}
        self._refuse = refuse
        self._read = _create_msgpack_ext_hook(self._allow)
        super().__init__(
            allowed_msgpack_modules=list(self._allow),
            allowed_json_modules=[(*module.split("."), name) for module, name in self._allow],
            __unpack_ext_hook__=self._checked,
        )

    def with_msgpack_allowlist(self, extra_allowlist: Iterable[tuple[str, ...] | type]) -> "StrictSerializer":
        """A serializer that allows these too; LangGraph asks for one for the types of a graph's state."""
        names = {(kind.__module__, kind.__name__) if isinstance(kind, type) else kind for kind in extra_allowlist}
        return StrictSerializer(self._allow | names, refuse=self._refuse)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        """The value.

        Raises:
            UnknownType, BadKey
        """
        kind = data[0]
        if "+" in kind:
            raise BadKey(f"the content is encrypted ({kind}); set {KEY} to the key that it was written with")
        if kind == "pickle":
            raise UnknownType("the content is a pickle, which can run any code when read; it is not opened")
        try:
            return super().loads_typed(data)
        except ValueError as error:
            if kind == "msgpack" and (names := self._unknown_in(data[1])):  # msgpack does not say why its hook failed
                raise _not_allowed(names) from None
            raise error

    def _checked(self, code: int, data: bytes) -> Any:
        """Build an extension value, after everything inside of it was looked at."""
        if self._refuse:
            self._check(code, data)
            return self._read(code, data)
        if code == EXT_DELTA_SNAPSHOT:
            return _DeltaSnapshot(_unpack(data, self._checked))
        if code == EXT_NUMPY_ARRAY or self._knows(_type_name(data)):
            return self._read(code, data)
        return _unpack(data, self._checked)[2]

    def _check(self, code: int, data: bytes) -> None:
        """Raises ValueError with the name of the first unknown type; builds nothing."""
        if code != EXT_NUMPY_ARRAY:
            if code != EXT_DELTA_SNAPSHOT and not self._knows(name := _type_name(data)):
                raise ValueError(name)
            _unpack(data, self._check)

    def _knows(self, name: tuple[str, str]) -> bool:
        return name in SAFE_MSGPACK_TYPES or name in self._allow

    def _unknown_in(self, content: bytes) -> list[tuple[str, str]]:
        found: dict[tuple[str, str], None] = {}

        def look(code: int, data: bytes) -> None:
            if code != EXT_NUMPY_ARRAY:
                if code != EXT_DELTA_SNAPSHOT and not self._knows(name := _type_name(data)):
                    found[name] = None
                _unpack(data, look)

        if self._refuse:
            _unpack(content, look)
        return list(found)

    def _reviver(self, value: dict[str, Any]) -> Any:
        """As above for JSON, which LangGraph wrote until 2024."""
        if value.get("lc") not in (1, 2) or value.get("type") != "constructor":
            return super()._reviver(value)
        *module, kind = _PLACES.get(tuple(value["id"]), tuple(value["id"]))
        if self._knows(name := (".".join(module), kind)):
            return super()._reviver(value)
        if self._refuse:
            raise _not_allowed([name])
        return value.get("kwargs") or value.get("args")


def _not_allowed(names: list[tuple[str, str]]) -> UnknownType:
    first, *others = (f"{module}.{name}" for module, name in names)
    also = f" (nor is {', '.join(others)})" if others else ""
    return UnknownType(
        f"a checkpoint holds a {first}, which is not on the allow-list{also}; if you trust it, open the database "
        f"with open_store(url, allow={names})"
    )


def _unpack(data: bytes, hook: Callable[[int, bytes], Any]) -> Any:
    return ormsgpack.unpackb(data, ext_hook=hook, option=ormsgpack.OPT_NON_STR_KEYS)


def _type_name(data: bytes) -> tuple[str, str]:
    """Module and name at the head of an extension value, without reading what follows."""
    place, parts = 1, []
    while len(parts) < 2 and data[0] >> 4 == 0x9:  # a msgpack array of up to 15
        head = data[place]
        if head >> 5 == 0b101:  # a string of up to 31 bytes
            size, start = head & 0x1F, place + 1
        elif head == 0xD9:  # a string of up to 255 bytes
            size, start = data[place + 1], place + 2
        else:
            break
        place = start + size
        parts.append(data[start:place].decode())
    if len(parts) < 2:
        parts = [str(part) for part in _unpack(data, lambda code, content: None)[:2]]
    return parts[0], parts[1]


def key_from_environment() -> bytes | None:
    """The key in ``THREADMILL_KEY``, or None if it is not set.

    Raises:
        BadKey: it is set, but is not 64 hexadecimal digits.
    """
    text = os.environ.get(KEY)
    if not text:
        return None
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        wrong = f"{len(text)} characters" if len(text) != 64 else "others among them"  # a key is never shown
        raise BadKey(f"{KEY} must hold 64 hexadecimal digits, not {wrong}; make one with `openssl rand -hex 32`")
    return key


class _Aes(CipherProtocol):
    """AES-EAX as LangGraph's ``EncryptedSerializer`` lays it out, so that either reads what the other wrote."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        from Crypto.Cipher import AES

        cipher = AES.new(self._key, AES.MODE_EAX)
        content, tag = cipher.encrypt_and_digest(plaintext)
        return "aes", cipher.nonce + tag + content

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        from Crypto.Cipher import AES

        if ciphername != "aes":
            raise BadKey(f"the content is encrypted by {ciphername!r}; only 'aes' can be read")
        try:
            cipher = AES.new(self._key, AES.MODE_EAX, nonce=ciphertext[:16])
            return cipher.decrypt_and_verify(ciphertext[32:], ciphertext[16:32])
        except ValueError as error:
            raise BadKey(f"the content was encrypted with another key than the one in {KEY}") from error
