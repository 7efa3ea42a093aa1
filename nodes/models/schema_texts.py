"""How texts and other values are written: in JSON, bare on a line of their own, or as in Python.

A form that is read by looking for markers must not hold them, not even in its texts: these are ``banned``.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .grammar_numbers import number
from .grammar_parts import ANY, Part, Ranges, choice, contains, literal, one_of, repeat, sequence, union, without

_ESCAPES = {8: "b", 9: "t", 10: "n", 12: "f", 13: "r"}
_CONTROL = (0, 31)


@dataclass(frozen=True, slots=True)
class Quotes:
    """A way to write a text."""

    mark: str
    """What stands on both sides."""
    inner: str
    """The rule of any characters between the marks."""
    plain: Ranges
    """Characters that are written as they are."""
    escaped: Ranges
    """Those that are written with a backslash."""

    def one_of(self, ranges: Ranges, banned: Ranges = ()) -> Part:
        """One character out of ``ranges``, as it is written; of several, none that is ``banned``.

        Raises:
            ValueError: none of them can be written.
        """
        plain = without(ranges, without(ANY, self.plain))
        if len(plain) > 1 or any(low < high for low, high in plain):
            plain = without(plain, banned)
        options = [one_of(plain)] if plain else []
        codes = [code for low, high in self.escaped for code in range(low, high + 1) if contains(ranges, code)]
        options += [literal("\\" + _ESCAPES.get(code, f"u{code:04x}" if code < 32 else chr(code))) for code in codes]
        if not options:
            raise ValueError("a character that cannot be written here")
        return choice(options)

    def text(self) -> Part:
        """Any text."""
        if self is DOUBLE:
            return Part("text", '""')
        return sequence(literal(self.mark), Part(self.inner, ""), literal(self.mark))

    def around(self, part: Part) -> Part:
        return sequence(literal(self.mark), part, literal(self.mark)) if self.mark else part

    def counted(self, least: int, banned: Ranges) -> Part:
        """The first ``least`` characters of a text; only a single one may be one with a backslash."""
        return self.one_of(ANY, banned) if least == 1 else repeat(one_of(without(self.plain, banned)), least, least)


DOUBLE = Quotes('"', "inner", without(ANY, [_CONTROL, (34, 34), (92, 92)]), (_CONTROL, (34, 34), (92, 92)))
SINGLE = Quotes("'", "single", without(ANY, [_CONTROL, (39, 39), (92, 92)]), (_CONTROL, (39, 39), (92, 92)))
BARE = Quotes("", "bare", without(ANY, [(0, 8), (11, 31)]), ())


@dataclass(frozen=True, slots=True)
class Form:
    """How the values of one place are written."""

    name: str
    quotes: tuple[Quotes, ...]

    def spell(self, value: Any) -> list[str]:
        """The ways to write a value that is known.

        Raises:
            ValueError: it cannot be written.
        """
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()  # halves of characters cannot be stored
        if self.name == "bare" and isinstance(value, str):
            return [value] if all(contains(BARE.plain, ord(character)) for character in value) else []
        if self.name == "python" and isinstance(value, str):
            inner = json.dumps(value, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
            return [f"'{inner}'", text]
        if self.name != "json" and (value is None or isinstance(value, bool)):
            return [str(value), text]
        return [text]


JSON = Form("json", (DOUBLE,))
LINES = Form("bare", (BARE,))
PYTHON = Form("python", (SINGLE, DOUBLE))


def basics(banned: Sequence[str]) -> list[str]:
    """Rules that others refer to. No text holds one of ``banned``."""
    escape = (
        r'"\\" (["\\/bfnrt] | "u" ([0-9a-cefA-CEF] hex hex hex | [dD] ([0-7] hex hex'
        r' | [89abAB] hex hex "\\u" [dD] [c-fC-F] hex hex)))'
    )
    return [
        r'space ::= ("" | " " | "\n" [ \t]{0,24})',
        r'colon ::= ":" ("" | " ")',
        "hex ::= [0-9a-fA-F]",
        f"escape ::= {escape}",
        *_characters("inner", DOUBLE.plain, "escape", banned),
        *_characters("single", SINGLE.plain, f"(escape | {literal(chr(92) + chr(39)).rule})", banned),
        *_characters("bare", BARE.plain, "", banned),
        f'rest ::= ({_body(DOUBLE.plain, "escape", banned) or "inner"} "\\"") (= [ \\n\\t]* [,}}\\]:<)])',
        r'text ::= "\"" rest',
        f"number ::= {number().rule}",
        'any ::= number | text | "true" | "false" | "null" | array | object',
        'array ::= "[" space (any ("," space any)* space)? "]"',
        'object ::= "{" space (text colon any ("," space text colon any)* space)? "}"',
    ]


def _body(plain: Ranges, escape: str, banned: Sequence[str]) -> str:
    """Any number of characters, if no word is banned; in this form xgrammar masks them fastest."""
    letters = one_of(plain).rule
    return "" if banned else f"({letters}* {escape})* {letters}*" if escape else f"{letters}*"


def _characters(name: str, plain: Ranges, escape: str, banned: Sequence[str]) -> list[str]:
    """Rules for any number of characters, one rule for each beginning of a banned word."""
    body = _body(plain, escape, banned)
    if body:
        return [f"{name} ::= {body}"]
    begun = sorted({word[:length] for word in banned for length in range(len(word))})
    rules = []
    for place, seen in enumerate(begun):
        steps = sorted({word[len(seen)] for word in banned if word.startswith(seen) and len(word) > len(seen)})
        turns = {letter for word in banned for letter in word[:1]} | set(steps)
        free = one_of(without(plain, [(ord(letter), ord(letter)) for letter in turns])).rule
        options = ['""', f"{free} {name}"]
        options += [f"{escape} {name}"] if escape else []
        for letter in sorted(turns):
            after = _longest_end(seen + letter, begun)
            if not any((seen + letter).endswith(word) for word in banned):
                options.append(f"{literal(letter).rule} {_named(name, begun.index(after))}")
        rules.append(f"{_named(name, place)} ::= {' | '.join(options)}")
    return rules


def _longest_end(text: str, begun: Sequence[str]) -> str:
    """The longest end of ``text`` with which a banned word may begin."""
    return next(text[at:] for at in range(len(text) + 1) if text[at:] in begun)


def _named(name: str, place: int) -> str:
    return name if place == 0 else f"{name}{place}"


def first_letters(banned: Sequence[str]) -> Ranges:
    """The characters with which a banned word begins."""
    return union((ord(word[0]), ord(word[0])) for word in banned)


def other_name(names: Sequence[str]) -> Part:
    """A name in double quotes that is none of ``names``."""
    return sequence(literal('"'), _not_one_of(names, ""))


def _not_one_of(names: Sequence[str], begun: str) -> Part:
    """How a name that began like some of ``names`` goes on, and its quote, without becoming one of them."""
    going = sorted({name[len(begun)] for name in names if name.startswith(begun) and len(name) > len(begun)})
    options = [] if begun in names else [literal('"')]
    free = without(DOUBLE.plain, [(ord(letter), ord(letter)) for letter in going])
    options.append(sequence(one_of(free), Part(DOUBLE.inner, ""), literal('"')))
    for letter in going:
        if contains(DOUBLE.plain, ord(letter)):
            options.append(sequence(literal(letter), _not_one_of(names, begun + letter)))
    return choice(options)
