"""What a constraint forbids and allows: names, markers, ends of turns, budgets; and who shares a grammar."""

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import pytest
import torch
from constrained_world import FAMILIES, World, obj, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field
from threadmill.errors import CannotConstrain, MissingLibrary
from threadmill.nodes.models.constraint import Constraint, few_of, forbid_, keep_
from threadmill.nodes.models.families.choose import family_named
from threadmill.nodes.models.grammar import GrammarMaker

LOOK = tool("look", obj(["id"], id={"type": "integer"}))
TOOLS = [LOOK, tool("look_up", obj(["name"], name={"type": "string"})), tool("lo", obj())]


@pytest.fixture(scope="module")
def world() -> World:
    return World("hermes")


def allowed(constraint: Constraint, size: int, left: int = 500) -> set[int]:
    """The tokens that may come next."""
    scores = torch.zeros(size)
    constraint.mask_(scores, left)
    return set(torch.nonzero(scores > float("-inf")).flatten().tolist())


def goes(world: World, text: str, *, choice: str = "auto", opening: str = "", tools: Any = TOOLS) -> str:
    """Whether ``text``, letter by letter, is ``refused``, ``open`` or ``whole`` as an answer."""
    constraint = world.maker.for_tools(world.family, tools, choice, opening)
    assert constraint is not None
    for token in world.tokenizer(text, add_special_tokens=False)["input_ids"]:
        if token not in allowed(constraint, world.size):
            return "refused"
        constraint.accept(token)
    return "whole" if world.end_ids <= allowed(constraint, world.size) else "open"


def call(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def test_a_name_is_one_of_the_tools_and_has_its_own_arguments(world: World):
    assert goes(world, call("look", '{"id": 1}')) == "whole"
    assert goes(world, call("look_up", '{"name": "x"}')) == "whole"
    assert goes(world, call("lo", "{}")) == "whole"
    for name in ("l", "loo", "lookup", "look_", "look_up2", "Look", ""):
        assert goes(world, call(name, "{}")) == "refused"
    assert goes(world, call("look", '{"name": "x"}')) == "refused"
    assert goes(world, call("look_up", '{"id": 1}')) == "refused"
    assert goes(world, call("lo", '{"id": 1}')) == "refused"


def test_auto_is_text_or_calls_and_a_call_is_whole(world: World):
    assert goes(world, "It is <b>here</b>, {see}.") == "whole"
    assert goes(world, "I look. " + call("lo", "{}") + call("look", '{"id": 1}') + " Done.") == "whole"
    assert goes(world, "<tool_call>") == "open"
    assert goes(world, "<tool_call>no") == "refused"
    assert goes(world, "</tool_call>") == "refused"


def test_required_is_calls_and_no_text(world: World):
    for choice in ("required", "any"):
        assert goes(world, "", choice=choice) == "open"
        assert goes(world, "I", choice=choice) == "refused"
        assert goes(world, call("lo", "{}"), choice=choice) == "whole"
        assert goes(world, call("lo", "{}") + "\n" + call("look", '{"id": 1}'), choice=choice) == "whole"
        assert goes(world, call("lo", "{}") + " Done.", choice=choice) == "refused"


def test_a_name_is_one_call_of_that_tool(world: World):
    assert goes(world, call("look", '{"id": 1}'), choice="look") == "whole"
    assert goes(world, call("look_up", '{"name": ""}'), choice="look") == "refused"
    assert goes(world, call("look", '{"id": 1}') + call("look", '{"id": 1}'), choice="look") == "refused"


def test_none_opens_no_call_in_whatever_pieces(world: World):
    assert goes(world, "Hello <tool", choice="none") == "whole"
    assert goes(world, "<tool_call>", choice="none") == "refused"
    constraint = world.maker.for_tools(world.family, TOOLS, "none")
    assert constraint is not None
    *letters, last = (world.tokenizer.convert_tokens_to_ids(letter) for letter in "<tool_call>")
    for letter in letters:
        assert letter in allowed(constraint, world.size)
        constraint.accept(letter)
    assert last not in allowed(constraint, world.size)


def test_thinking_comes_first_and_calls_within_it_are_none(world: World):
    assert goes(world, "<think>Hm, <tool_call>?</think>" + call("lo", "{}"), choice="required") == "whole"
    assert goes(world, "Hm.</think>" + call("lo", "{}"), choice="required", opening="<think>\n") == "whole"
    assert goes(world, "Hm.", choice="auto", opening="<think>\n") == "open"
    assert goes(world, call("lo", "{}"), choice="required", opening="<think>\n") == "open"
    assert goes(world, "Yes. <think>", choice="auto") == "refused"
    assert goes(world, call("lo", "{}"), choice="required", opening="<think>\n\n</think>\n\n") == "whole"


@pytest.mark.parametrize("family", FAMILIES)
def test_tokens_that_are_none_or_end_nothing_are_forbidden(family: str):
    world = World(family, padding=9)
    pad = world.tokenizer.convert_tokens_to_ids("<|pad|>")
    for choice in ("auto", "required", "none"):
        constraint = world.maker.for_tools(world.family, TOOLS, choice)
        assert constraint is not None
        may = allowed(constraint, world.size)
        assert max(may) < world.size - 9
        assert pad not in may


def test_every_token_that_ends_a_turn_ends_an_answer_and_nothing_follows(world: World):
    constraint = world.maker.for_tools(world.family, TOOLS, "required")
    assert constraint is not None
    assert len(world.end_ids) == 2
    assert not world.end_ids & allowed(constraint, world.size)
    for token in world.tokenizer(call("lo", "{}"), add_special_tokens=False)["input_ids"]:
        constraint.accept(token)
    assert world.end_ids <= allowed(constraint, world.size)
    with pytest.raises(RuntimeError, match="does not follow the grammar"):
        constraint.accept(world.tokenizer.convert_tokens_to_ids("{"))


def test_too_few_tokens_for_the_shortest_answer_are_refused_at_once(world: World):
    constraint = world.maker.for_tools(world.family, TOOLS, "look")
    assert constraint is not None
    least = '<tool_call>{"name":"look","arguments":{"id":0}}</tool_call>'
    assert constraint.grammar.least == least.encode()
    with pytest.raises(CannotConstrain, match=f"takes {constraint.shortest} tokens, and 5 are left; raise max_new_tok"):
        constraint.mask_(torch.zeros(world.size), 5)


def test_with_just_enough_tokens_the_shortest_answer_is_forced(world: World):
    constraint = world.maker.for_tools(world.family, TOOLS, "look")
    assert constraint is not None
    text, ended = world.answer(constraint, constraint.shortest, seed=0)
    assert ended
    assert text == '<tool_call>{"name":"look","arguments":{"id":0}}</tool_call>'


def test_free_text_is_left_alone_until_a_call_would_have_no_room(world: World):
    constraint = world.maker.for_tools(world.family, TOOLS, "auto")
    assert constraint is not None
    opens = world.tokenizer.convert_tokens_to_ids("<tool_call>")
    assert opens in allowed(constraint, world.size, left=200)
    assert opens not in allowed(constraint, world.size, left=6)
    assert len(allowed(constraint, world.size, left=6)) > 10
    assert allowed(constraint, world.size, left=1) == world.end_ids


def test_what_a_schema_cannot_hold_is_said(world: World):
    price = obj(["eur"], eur={"type": "number", "multipleOf": 0.01})
    never = obj(["a"], a=False)
    constraint = world.maker.for_tools(world.family, [tool("buy", price), tool("sell", never)], "required")
    assert constraint is not None
    assert constraint.notes == (
        "buy.eur: multipleOf cannot be constrained; arguments are checked by act only",
        "sell: its arguments can be any object (nothing fits a); they are checked by act only",
    )
    assert goes(world, call("sell", '{"x": [1]}'), tools=[tool("sell", never)]) == "whole"


class Line(BaseModel):
    """One line of an order."""

    item: str
    count: int = Field(ge=1, le=9)
    inside: "list[Line]" = []


class Order(BaseModel):
    """Order something."""

    lines: list[Line] = Field(min_length=1)
    speed: Literal["slow", "fast"] | None = None


def test_pydantic_models_that_refer_to_others_and_to_themselves(world: World):
    tools = [convert_to_openai_tool(Order)]
    constraint = world.maker.for_tools(world.family, tools, "required")
    assert constraint is not None
    assert constraint.notes == ()
    good = '{"lines": [{"item": "a", "count": 2, "inside": [{"item": "b", "count": 1}]}], "speed": "slow"}'
    assert goes(world, call("Order", good), tools=tools) == "whole"
    for bad in ('{"lines": []}', '{"lines": [{"item": "a", "count": 10}]}', good.replace("slow", "brisk")):
        assert goes(world, call("Order", bad), tools=tools) == "refused"


def test_a_tool_without_parameters_takes_none(world: World):
    bare: dict[str, Any] = {"type": "function", "function": {"name": "stop"}}
    assert goes(world, call("stop", "{}"), tools=[bare]) == "whole"
    assert goes(world, call("stop", '{"x": 1}'), tools=[bare]) == "refused"


@pytest.mark.parametrize("schema", [{"type": "string"}, {"type": "integer"}, {"enum": ["a", "b"]}, obj(["a"], a={})])
def test_an_answer_that_is_data(world: World, schema: Any):
    import json

    from jsonschema import validate

    for seed in range(8):
        constraint = world.maker.for_schema(schema)
        text, ended = world.answer(constraint, constraint.shortest + 10, seed)
        assert ended
        validate(json.loads(text), schema)


def test_a_schema_that_nothing_fits_cannot_be_promised(world: World):
    with pytest.raises(CannotConstrain, match="no answer can be promised to fit the schema: no value of the enum fits"):
        world.maker.for_schema({"enum": []})


def test_a_family_without_calls_has_no_constraint_and_promises_none(world: World):
    plain = family_named("plain")
    assert world.maker.for_tools(plain, TOOLS, "auto") is None
    assert world.maker.for_tools(plain, TOOLS, "none") is None
    with pytest.raises(CannotConstrain, match="the family 'plain' have no grammar"):
        world.maker.for_tools(plain, TOOLS, "required")


def test_a_grammar_is_compiled_once_for_all_who_ask(world: World):
    tools = [tool("once", obj(["x"], x={"type": "string", "maxLength": 40}))]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: world.maker.for_tools(world.family, tools, "auto"), range(16)))
    assert len({id(constraint.grammar) for constraint in made if constraint}) == 1
    assert len({id(constraint) for constraint in made}) == 16
    for number in range(70):  # more than are kept
        world.maker.for_schema({"const": number})
    again = world.maker.for_tools(world.family, tools, "auto")
    assert again is not None
    assert made[0] is not None
    assert again.grammar is not made[0].grammar


def test_masks_are_the_same_for_every_type_of_scores():
    bits = torch.tensor([0b1011, -1], dtype=torch.int32)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        scores = torch.zeros(40, dtype=dtype)
        forbid_(scores, bits)
        assert torch.nonzero(scores == 0).flatten().tolist() == [0, 1, 3, *range(32, 40)]
        few = few_of(bits, 40)
        assert few is not None
        assert few.tolist() == [0, 1, 3, *range(32, 40)]
        keep_(scores, few[:3])
        assert torch.nonzero(scores == 0).flatten().tolist() == [0, 1, 3]


def test_without_xgrammar_the_error_says_what_to_install(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "xgrammar", None)
    with pytest.raises(MissingLibrary, match=r"needs xgrammar; pip install 'threadmill\[grammar\]'"):
        GrammarMaker(world.tokenizer, world.size, world.end_ids)
