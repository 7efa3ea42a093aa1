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
    key, low, at = "", -1, start
    while True:
        token = _TOKEN.match(text, at)
        kind = token.lastgroup if token else "wrong"
        word = token.group(kind) if token else ""
        at = token.end() - len(word) if token else at
        if kind == "plain" and not _good(word):
            kind = "unfinished" if token and token.end() == len(text) and _begun(word) else "wrong"
        then = _then(want, str(kind), word, marks)
        if low < 0 and want == "value" and len(marks) - (word in _CLOSERS) == 1 and marks[0] == "{":
            low = at
        if kind == "unfinished" or not then:
            if low >= 0:
                members.append(Member(json.loads(key), low, at if kind != "unfinished" else len(text), whole=False))
            state = "begun" if kind == "unfinished" else "wrong"
            return JsonText(len(text) if state == "begun" else at, state, tuple(members))
        at += len(word)
        if then == ":" and len(marks) == 1:
            key = word
        if then == "more" and len(marks) == 1 and low >= 0:
            members.append(Member(json.loads(key), low, at, whole=True))
            low = -1
        if not marks:
            return JsonText(at, "whole", tuple(members))
        want = then


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


def _good(word: str) -> bool:
    return word in _WORDS or _PLAIN.fullmatch(word) is not None


def _begun(word: str) -> bool:
    return any(known.startswith(word) for known in _WORDS) or _PLAIN_BEGUN.fullmatch(word) is not None
