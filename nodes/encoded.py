"""What a text says besides what it shows: escaped, encoded, or in characters that nobody sees.

The ways that models read without effort, and what is encoded twice. Ciphers and languages are not among them.
"""

import html
import re
from base64 import b64decode
from collections.abc import Iterator
from urllib.parse import unquote

WRITTEN_OUT = re.compile(r"<U\+([0-9A-F]{4,6})>")
"""A hidden character, as ``marking.py`` shows it."""
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")
_BETWEEN_LINES = re.compile(r"(?<=[A-Za-z0-9+/]{60})\s+(?=[A-Za-z0-9+/])")
_HEX = re.compile(r"(?<![0-9a-zA-Z])(?:[0-9a-fA-F]{2}){4,}(?![0-9a-zA-Z])")
_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))")
_QUOTED = re.compile(r"=(?=[0-9A-F]{2})")
_LEVELS = 2
"""How often a text may have been encoded."""


def decoded(text: str, levels: int = _LEVELS) -> Iterator[str]:
    """What ``text`` says besides, and what that says.

    >>> list(decoded("eve%2540evil.example"))
    ['eve%40evil.example', 'eve@evil.example']
    """
    for inner in _decoded(text):
        yield inner
        if levels > 1:
            yield from decoded(inner, levels - 1)


def _decoded(text: str) -> Iterator[str]:
    if not text.isascii() or "<U+" in text:
        yield from _unseen(WRITTEN_OUT.sub(lambda found: chr(int(found[1], 16)), text))
    if "%" in text and (unquoted := unquote(text)) != text:
        yield unquoted
    if "=" in text and (printable := _QUOTED.sub("%", text)) != text:
        yield unquote(printable)
    if "&" in text and (unescaped := html.unescape(text)) != text:
        yield unescaped
    if "\\" in text:
        yield _ESCAPE.sub(_escaped, text)
    for found in _BASE64.findall(_BETWEEN_LINES.sub("", text)):
        plain = found.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            yield from _shown(b64decode(plain + "=" * (-len(plain) % 4), validate=True))
        except ValueError:
            continue
    for found in _HEX.findall(text):
        yield from _shown(bytes.fromhex(found))


def _unseen(text: str) -> Iterator[str]:
    """What stands in tag characters (U+E0020 to U+E007E), and in bytes written as variation selectors."""
    if tags := "".join(chr(ord(sign) - 0xE0000) for sign in text if "\U000e0020" <= sign <= "\U000e007e"):
        yield tags
    if selected := bytes(byte for sign in text if (byte := _byte_of(ord(sign))) is not None):
        yield from _shown(selected)


def _byte_of(code: int) -> int | None:
    """The byte that a variation selector stands for; None for other characters."""
    if 0xFE00 <= code <= 0xFE0F:
        return code - 0xFE00
    return code - 0xE0100 + 16 if 0xE0100 <= code <= 0xE01EF else None


def _shown(data: bytes) -> Iterator[str]:
    """``data`` as text, if it is one."""
    try:
        text = data.decode()
    except ValueError:
        return
    if text and " ".join(text.split()).isprintable():
        yield text


def _escaped(found: re.Match[str]) -> str:
    if code := found[1] or found[2]:
        return chr(int(code, 16))
    return " " if found[3] in "bfnrt" else found[3]
