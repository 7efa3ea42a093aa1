"""How far a JSON text goes, also while it is still being written or after it has gone wrong.

Values are not made here; what is whole is what ``json.loads`` can read.
"""

import json
import re
from dataclasses import dataclass
from typing import Literal

_TOKEN = re.compile(
    r"""[ \t\n\r]*+(?:
        (?P<string> "(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[\da-fA-F]{4})*+" )
      | (?P<unfinished> "(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[\da-fA-F]{4})*+(?:\\(?:u[\da-fA-F]{0,3})?)?\Z | \Z )
      | (?P<plain> [-+.\w]++ )
      | (?P<mark> [][{}:,] )
    )""",
    re.VERBOSE | re.ASCII,
)
_PLAIN = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?", re.ASCII)
_PLAIN_BEGUN = re.compile(r"-?(?:\d+(?:\.\d*)?(?:[eE][-+]?\d*)?)?", re.ASCII)
_WORDS = ("true", "false", "null", "NaN", "Infinity", "-Infinity")
_CLOSERS = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object: its key, and where its value stands in the text."""

    key: str
    low: int
    high: int
    """Behind the value, or where reading stopped."""
    whole: bool


@dataclass(frozen=True, slots=True)
class JsonText:
    """A JSON value in a text, as far as it was written."""

    end: int
    """Behind the value; or the end of the text, or where it goes wrong."""
    state: Literal["whole", "begun", "wrong"]
    members: tuple[Member, ...] = ()
    """Of the outermost object, in their order; a key may come twice."""


def scan_json(text: str, start: int = 0) -> JsonText:
    """The JSON value at ``start``, white space in front of it included.

    >>> found = scan_json('{"name": "look", "arguments": {"id": 1')
    >>> found.state, [(member.key, member.whole) for member in found.members]
    ('begun', [('name', True), ('arguments', False)])
    """
    members: list[Member] = []
    marks: list[str] = []  # the brackets that are open
    want = "value"
    key, low, at = "", -1, start  # low: where the value of the outermost object's key begins, if it has begun
    while True:
        kind, at, word = _token(text, at)
        if want == "value" and marks == ["{"]:
            low = at
        want = _then(want, kind, word, marks)
        if not want:
            state = "begun" if kind == "unfinished" else "wrong"
            end = len(text) if kind == "unfinished" else at
            if low >= 0:
                members.append(Member(json.loads(key), low, end, whole=False))
            return JsonText(end, state, tuple(members))
        at += len(word)
        if want == ":" and marks == ["{"]:
            key = word
        elif want == "more" and marks == ["{"] and low >= 0:
            members.append(Member(json.loads(key), low, at, whole=True))
            low = -1
        if not marks:
            return JsonText(at, "whole", tuple(members))


def _token(text: str, at: int) -> tuple[str, int, str]:
    """The kind of the next token, where it begins, and itself; ``wrong`` and nothing if there is none."""
    token = _TOKEN.match(text, at)
    if token is None or token.lastgroup is None:
        return "wrong", at, ""
    kind, word = token.lastgroup, token[token.lastgroup]
    if kind == "plain" and not (word in _WORDS or _PLAIN.fullmatch(word)):
        grows = token.end() == len(text) and (_PLAIN_BEGUN.fullmatch(word) or any(w.startswith(word) for w in _WORDS))
        kind = "unfinished" if grows else "wrong"
    return kind, token.end() - len(word), word


def _then(want: str, kind: str, word: str, marks: list[str]) -> str:
    """What is wanted after this token, which opens or closes ``marks``; empty if it cannot stand here."""
    if want in ("value", "value or ]") and word in _CLOSERS:
        marks.append(word)
        return "key or }" if word == "{" else "value or ]"
    if want in ("value", "value or ]") and kind in ("string", "plain"):
        return "more"
    if want in ("key", "key or }") and kind == "string":
        return ":"
    if want == ":" and word == ":":
        return "value"
    if want == "more" and word == ",":
        return "key" if marks[-1] == "{" else "value"
    if want in ("more", "key or }", "value or ]") and marks and word == _CLOSERS[marks[-1]]:
        marks.pop()
        return "more"
    return ""
