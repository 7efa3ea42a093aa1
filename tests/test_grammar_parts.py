"""Numbers within bounds and regular expressions as grammars, against Python's own comparison and search."""

import math
import re
from datetime import date, datetime, time
from ipaddress import IPv4Address
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadmill.nodes.models.grammar_numbers import decimals, integers, multiples
from threadmill.nodes.models.grammar_parts import Part, one_of
from threadmill.nodes.models.grammar_patterns import FORMATS, CannotWrite, pattern

QUICK = settings(max_examples=60, deadline=None)


class Grammar:
    """One part as a grammar over bytes."""

    def __init__(self, part: Part) -> None:
        import xgrammar

        texts = [*(bytes([byte]) for byte in range(256)), b""]
        info = xgrammar.TokenizerInfo(texts, xgrammar.VocabType.RAW, vocab_size=257, stop_token_ids=[256])
        compiled = xgrammar.GrammarCompiler(info, max_threads=1).compile_grammar(f"root ::= {part.rule}")
        self.matcher = xgrammar.GrammarMatcher(compiled)

    def takes(self, text: str) -> bool:
        self.matcher.reset()
        return self.matcher.accept_string(text) and self.matcher.is_completed()

    def draw(self, dice: np.random.Generator) -> str:
        """A random text of the grammar."""
        self.matcher.reset()
        row, text = np.zeros((1, 9), dtype=np.int32), b""
        while True:
            self.matcher.fill_next_token_bitmask(row)
            allowed = np.flatnonzero(np.unpackbits(row[0].view(np.uint8), bitorder="little")[:257])
            ascii_or_end = allowed[(allowed < 128) | (allowed == 256)]
            byte = int(dice.choice(ascii_or_end if len(ascii_or_end) else allowed))
            if byte == 256 or (allowed[-1] == 256 and dice.random() < 0.2):
                return text.decode()
            self.matcher.accept_token(byte)
            text += bytes([byte])


WHOLE = st.one_of(st.none(), st.integers(-120, 120), st.integers(-(10**17), 10**17))


@QUICK
@given(low=WHOLE, high=WHOLE, tries=st.lists(st.integers(-150, 150), max_size=8))
def test_whole_numbers_between_two(low: int | None, high: int | None, tries: list[int]):
    part = integers(low, high)
    least, most = -(10**17) if low is None else low, 10**17 if high is None else high
    if part is None:
        assert least > most
        return
    grammar = Grammar(part)
    edges = [least - 1, least, most, most + 1] if None not in (low, high) else []
    for value in [*tries, *edges]:
        assert grammar.takes(str(value)) == (least <= value <= most)
    assert least <= int(part.least) <= most


BOUND = st.one_of(st.none(), st.integers(-3, 3), st.floats(-9, 9).map(lambda it: round(it, 2)), st.just(0.005))


@QUICK
@given(low=BOUND, high=BOUND, open_low=st.booleans(), open_high=st.booleans(), dice=st.integers(0, 99))
def test_numbers_between_two(low: Any, high: Any, open_low: bool, open_high: bool, dice: int):
    part = decimals(low, high, open_low=open_low, open_high=open_high)

    def inside(value: float) -> bool:
        above = low is None or value > low or (value == low and not open_low)
        return above and (high is None or value < high or (value == high and not open_high))

    if part is None:
        assert None not in (low, high)
        assert low > high or (low == high and (open_low or open_high))
        return
    grammar = Grammar(part)
    for text in (part.least, *(grammar.draw(np.random.default_rng([dice, turn])) for turn in range(4))):
        assert inside(float(text))
    for value in (-9.01, -1.5, -1, -0.25, 0, 0.005, 0.1, 0.994, 1, 2.75, 3, 3.001, 8):
        assert grammar.takes(str(value)) == inside(value)


def test_multiples_are_listed_if_they_are_few():
    part = multiples(-10, 10, 5)
    assert part is not None
    assert [value for value in range(-12, 12) if Grammar(part).takes(str(value))] == [-10, -5, 0, 5, 10]
    assert multiples(0, None, 5) is None
    assert multiples(1, 4, 5) is None


EXPRESSIONS = (
    *(r"^\d+$", r"\w", r"^a|b$", r"^(a|b)?c$", r"[^\w]", r"^x{2,3}?$", "^abc|^abd", "^[^a]$", "^(?:ab)+$", "(?P<n>a)"),
    *("", "^$", r"^[^\s\d]{3}\S$", r"^\W\D\s$", "^.{2,4}$", r"^[A-Z]{2}-\d{1,3}(é|€)?$", "^(ab)*c$", r"^\.\\\"$"),
)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_text_of_a_pattern_is_found_by_python(expression: str):
    found = pattern(expression, one_of)
    grammar = Grammar(found.part)
    texts = [found.part.least, *(grammar.draw(np.random.default_rng(dice)) for dice in range(12))]
    assert [text for text in texts if not re.search(expression, text)] == []
    assert all(found.shortest <= len(text) <= found.longest for text in texts)


@pytest.mark.parametrize(
    "expression", ["(?=a)", "(?<!a)b", r"(a)\1", r"\bfoo", "(?i)a", "a++", "(^a)", "[", "[^\\s\\S]"]
)
def test_what_no_grammar_can_write_is_refused(expression: str):
    with pytest.raises(CannotWrite):
        pattern(expression, one_of)


def test_a_repeated_character_keeps_to_a_length():
    found = pattern("^[a-z]+$", one_of, 2, 3)
    assert (found.shortest, found.longest) == (2, 3)
    assert [text for text in ("a", "ab", "abc", "abcd") if Grammar(found.part).takes(text)] == ["ab", "abc"]
    assert pattern("^[a-z]+b$", one_of, 2, 3).longest == math.inf


READERS = {
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "date-time": datetime.fromisoformat,
    "uuid": UUID,
    "ipv4": IPv4Address,
    "email": re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+").fullmatch,
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_text_of_a_format_can_be_read(name: str):
    part = pattern(f"^({FORMATS[name]})$", one_of).part
    grammar = Grammar(part)
    for text in (part.least, *(grammar.draw(np.random.default_rng(dice)) for dice in range(60))):
        assert READERS[name](text), text


def test_a_date_knows_its_months_and_leap_years():
    grammar = Grammar(pattern(f"^({FORMATS['date']})$", one_of).part)
    tried = "2024-02-29 2023-02-29 2000-02-29 1900-02-29 2023-04-30 2023-04-31 2023-12-31 2023-13-01 2023-01-00".split()
    assert [day for day in tried if grammar.takes(day)] == "2024-02-29 2000-02-29 2023-04-30 2023-12-31".split()
