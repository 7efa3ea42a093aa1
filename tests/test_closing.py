"""The end of an answer when tokens run short is found from anywhere, and is short."""

from typing import Any

import numpy as np
import pytest
from constrained_world import FAMILIES, World, obj, tool
from threadmill.nodes.models.closing import Closer
from threadmill.nodes.models.schema_grammar import schema_grammar


def matcher(ebnf: str) -> Any:
    import xgrammar

    texts = [*(bytes([byte]) for byte in range(256)), b""]
    info = xgrammar.TokenizerInfo(texts, xgrammar.VocabType.RAW, vocab_size=257, stop_token_ids=[256])
    return xgrammar.GrammarMatcher(xgrammar.GrammarCompiler(info, max_threads=1).compile_grammar(ebnf))


ORDER = {
    **obj(
        ["id", "part", "lines"],
        id={"type": "integer", "minimum": 10},
        note={"type": "string"},
        part={"enum": ["status", "price"]},
        lines={"type": "array", "items": obj(["n"], n={"type": "number"}), "minItems": 1},
        code={"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"},
    ),
}
ENDS = [
    # what was said, the end
    ("", '{"id":10,"part":"price","lines":[{"n":0}]}'),
    ('{"id": 1', '0,"part":"price","lines":[{"n":0}]}'),
    ('{"id": 17, "no', 'te":"","part":"price","lines":[{"n":0}]}'),
    ('{"id": 17, "note": "it is', '","part":"price","lines":[{"n":0}]}'),
    ('{"id": 17, "note": "it is \\', '"","part":"price","lines":[{"n":0}]}'),
    ('{"id": 17, "part": "st', 'atus","lines":[{"n":0}]}'),
    ('{"id": 17, "part": "price", "lines": [{"n": -', "0}]}"),
    ('{"id": 17, "part": "price", "lines": [{"n": 1}, ', '{"n":0}]}'),
    ('{"id": 17, "part": "price", "lines": [{"n": 1}], "code": "', 'AA-0"}'),
    ('{"id": 17, "part": "price", "lines": [{"n": 1}], "code": "XY-', '0"}'),
    ('{"id": 17, "part": "price", "lines": [{"n": 1}]}', ""),
]


@pytest.mark.parametrize(("said", "end"), ENDS, ids=[said[-20:] or "nothing" for said, _ in ENDS])
def test_the_end_of_a_json_text(said: str, end: str):
    made = schema_grammar(ORDER)
    closer = Closer(matcher(made.ebnf), [hint.encode() for hint in made.hints])
    closer.feed(said.encode())
    assert closer.end() == end.encode()


def test_half_a_character_is_made_whole():
    closer = Closer(matcher('root ::= "\\"" [a-zé🙂]* "\\""'), [])
    closer.feed(b'"a' + "🙂".encode()[:2])
    assert closer.end() == "🙂".encode()[2:] + b'"'


def test_a_known_end_is_kept_while_it_holds():
    closer = Closer(matcher('root ::= [a-z]* ";" ("x" "y")?'), [b";"])
    assert closer.end() == b";"
    closer.feed(b"abc")
    assert closer.end() == b";"
    assert closer.end_after(b"d", search=False) == (b";", False)
    assert closer.end_after(b";", search=False) == (b"", False)
    assert closer.end_after(b";x", search=False) == (None, False)
    assert closer.end_after(b";x", search=True) == (b"y", True)
    assert closer.end_after(b"?", search=True) == (None, False)
    closer.feed(b";x")
    assert closer.end() == b"y"


@pytest.mark.parametrize("family", FAMILIES)
def test_every_beginning_of_a_call_finds_its_end(family: str):
    world = World(family)
    tools = [tool("look", ORDER), tool("look_up", obj(["name"], name={"type": "string"})), tool("lo", obj())]
    constraint = world.maker.for_tools(world.family, tools, "required")
    assert constraint is not None
    grammar = constraint.grammar
    whole = b""
    for hint in grammar.hints:  # the calls of all three tools, one behind the other where the family allows that
        fresh = matcher_of(grammar)
        if fresh.accept_string(whole + hint) and fresh.is_completed():
            whole += hint
    assert len(whole) > 15
    for length in range(len(whole)):
        closer = Closer(matcher_of(grammar), grammar.hints)
        closer.feed(whole[:length])
        end = closer.end()
        assert end is not None, whole[:length]
        done = matcher_of(grammar)
        assert done.accept_string(whole[:length] + end)
        assert done.is_completed()
        assert len(end) <= 2 * len(whole)


def matcher_of(grammar: Any) -> Any:
    import xgrammar

    return xgrammar.GrammarMatcher(grammar.bytewise)


def test_random_beginnings_of_random_texts_find_their_end():
    made = schema_grammar({"type": "object", "additionalProperties": ORDER})
    dice = np.random.default_rng(0)
    for _ in range(60):
        running = matcher(made.ebnf)
        said, row = b"", np.zeros((1, 9), dtype=np.int32)
        for _ in range(int(dice.integers(0, 120))):
            running.fill_next_token_bitmask(row)
            allowed = np.flatnonzero(np.unpackbits(row[0].view(np.uint8), bitorder="little")[:256])
            likely = allowed[(allowed < 127) & (allowed > 32)] if dice.random() < 0.9 else allowed
            if not len(allowed):
                break
            said += bytes([int(dice.choice(likely if len(likely) else allowed))])
            running.accept_string(said[-1:])
        closer = Closer(matcher(made.ebnf), [hint.encode() for hint in made.hints])
        closer.feed(said)
        end = closer.end()
        assert end is not None, said
        done = matcher(made.ebnf)
        assert done.accept_string(said + end)
        assert done.is_completed()
