"""Calls written as Python, ``look(id=1, city='Rome')``, read into JSON as far as they go; nothing is evaluated."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

State = Literal["whole", "begun", "wrong"]

_NAME = re.compile(r"\s*([\w.-]+)\s*\(")
_NAME_BEGUN = re.compile(r"\s*(?:[\w.-]+\s*)?\Z")
_KEY = re.compile(r"\s*([^\s=,()'\"]+)\s*=")
_KEY_BEGUN = re.compile(r"\s*(?:[^\s=,()'\"]+\s*)?\Z")
_COMMA = re.compile(r"\s*,")
_COMMA_BEGUN = re.compile(r"\s*\Z")
_CLOSE = re.compile(r"\s*,?\s*\)")
_TOKEN = re.compile(
    r"""\s*+(?:
        (?P<string> '(?:[^'\\]++|\\.)*+' | "(?:[^"\\]++|\\.)*+" )
      | (?P<unfinished> ['"].*+ | \Z )
      | (?P<word> [-+.\w]++ )
      | (?P<mark> [][{}():,] )
    )""",
    re.VERBOSE | re.DOTALL,
)
_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_IN_JSON = {"True": "true", "False": "false", "None": "null", "(": "[", ")": "]"}
_ESCAPE = re.compile(r"\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U(000[\da-fA-F]{5}|0010[\da-fA-F]{4})|(.))", re.DOTALL)
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "v": "\v", "0": "\0", "\n": ""}
_HALF_OPEN = r"[dD][89abAB][\da-fA-F]{2}(?:\\(?:u[\da-fA-F]{0,3})?)?\Z"
_CERTAIN = re.compile(rf"(?:[^\\]++|\\(?:x[\da-fA-F]{{2}}|u(?!{_HALF_OPEN})[\da-fA-F]{{4}}|U[\da-fA-F]{{8}}|[^xuU]))*+")
"""A string up to an escape, or half of a character, that may go on."""
_HALF = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class PythonCall:
    """A call as far as it was written."""

    end: int
    """Behind it; or the end of the text, or where it goes wrong."""
    state: State
    name: str | None = None
    args: str = ""
    """JSON text, or its beginning."""


def scan_call(text: str, start: int = 0) -> PythonCall:
    """The call at ``start``. Its arguments must be named.

    >>> scan_call("look(id=1, city='Ro")
    PythonCall(end=19, state='begun', name='look', args='{"id": 1, "city": "Ro')
    """
    head = _NAME.match(text, start)
    if head is None:
        return _stopped(text, start, _NAME_BEGUN, None, "")
    name, at, args = head[1], head.end(), "{"
    while (close := _CLOSE.match(text, at)) is None:
        if args != "{":
            comma = _COMMA.match(text, at)
            if comma is None:
                return _stopped(text, at, _COMMA_BEGUN, name, args)
            at = comma.end()
        key = _KEY.match(text, at)
        if key is None:
            return _stopped(text, at, _KEY_BEGUN, name, args)
        at, state, value = _scan_value(text, key.end())
        args += ("" if args == "{" else ", ") + f"{_quoted(key[1])}: {value}"
        if state != "whole":
            return PythonCall(at, state, name, args)
    return PythonCall(close.end(), "whole", name, args + "}")


def write_call(name: str, args: Mapping[str, Any]) -> str:
    """The call as Python text; nested values in JSON.

    >>> print(write_call("look", {"id": 1, "city": "Val d'Isère", "deep": {"yes": True}}))
    look(id=1, city='Val d\\'Isère', deep={"yes": true})
    """
    return f"{name}({', '.join(f'{key}={_written(value)}' for key, value in args.items())})"


def _written(value: Any) -> str:
    if isinstance(value, str):
        for plain, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r")):
            value = value.replace(plain, escaped)
        return f"'{value}'"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _stopped(text: str, at: int, begun: re.Pattern[str], name: str | None, args: str) -> PythonCall:
    if begun.match(text, at):
        return PythonCall(len(text), "begun", name, args)
    return PythonCall(at, "wrong", name, args)


def _scan_value(text: str, start: int) -> tuple[int, State, str]:
    """Where the value at ``start`` ends, and its JSON text; of one that is begun only what is certain."""
    open_marks: list[str] = []
    parts: list[str] = []
    at = start
    while True:
        token = _TOKEN.match(text, at)
        if token is None or token.lastgroup is None:
            return at, "wrong", ""
        kind = token.lastgroup
        word = token[kind]
        if kind == "unfinished" or (kind == "word" and token.end() == len(text)):
            certain = _CERTAIN.match(word, 1) if word[:1] in ("'", '"') and not parts else None
            return len(text), "begun", _quoted(_unescaped(certain[0]))[:-1] if certain else ""
        if kind == "mark" and word in _CLOSERS:
            open_marks.append(word)
        elif kind == "mark" and (not open_marks or word not in (",", ":", _CLOSERS[open_marks[-1]])):
            return at, "wrong", ""
        elif word in ("}", "]", ")"):
            open_marks.pop()
            if parts[-1] == ",":
                parts.pop()
        parts.append(_quoted(_unescaped(word[1:-1])) if kind == "string" else _IN_JSON.get(word, word))
        at = token.end()
        if not open_marks:
            return (at, "whole", "".join(parts)) if _is_json("".join(parts)) else (start, "wrong", "")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _unescaped(body: str) -> str:
    def character(escape: re.Match[str]) -> str:
        code = escape[1] or escape[2] or escape[3]
        return chr(int(code, 16)) if code else _LETTERS.get(escape[4], escape[4] if escape[4] in "\\'\"" else escape[0])

    text = _ESCAPE.sub(character, body)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")  # joins halves of characters


def _quoted(text: str) -> str:
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", json.dumps(text, ensure_ascii=False))
