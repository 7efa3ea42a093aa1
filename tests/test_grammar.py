"""Constrained decoding: with any tools, a model that knows nothing makes valid calls only, and ends in time."""

import os
from typing import Any

import pytest
from constrained_world import FAMILIES, World, obj, tool
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

NAMES = st.sampled_from(["look", "look_up", "loo", "l", "größe", "go-2.x"])
KEYS = st.sampled_from(["id", "city", "ci", "größe", "naïve key", "x/y", 'a"b'])
SAFE_KEYS = st.sampled_from(["id", "city", "ci", "größe", "x-y"])


@st.composite
def bounds(draw: Any, low: int = -1000, high: int = 1000) -> dict[str, Any]:
    least, most = sorted([draw(st.integers(low, high)), draw(st.integers(low, high))])
    kinds = draw(st.sets(st.sampled_from(["low", "high"])))
    return {**({"minimum": least} if "low" in kinds else {}), **({"maximum": most} if "high" in kinds else {})}


@st.composite
def texts(draw: Any) -> dict[str, Any]:
    least = draw(st.integers(0, 4))
    return draw(
        st.sampled_from(
            [
                {"type": "string"},
                {"type": "string", "minLength": least},
                {"type": "string", "minLength": least, "maxLength": least + 5},
                {"type": "string", "pattern": "^[A-Z]{2}-\\d+$"},
                {"type": "string", "pattern": "^(a|bc)*d$"},
                {"type": "string", "format": "date"},
                {"enum": ["red", "green", "größe", ""]},
                {"const": 'it\'s "so"\\'},
            ]
        )
    )


SCALARS = st.one_of(
    texts(),
    bounds().map(lambda limits: {"type": "integer", **limits}),
    bounds().map(lambda limits: {"type": "number", **limits}),
    st.just({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
    st.just({"type": "boolean"}),
    st.just({"type": ["string", "null"]}),
    st.just({"enum": [1, "1", None, True, 2.5]}),
    st.just({}),
)


@st.composite
def objects(draw: Any, values: Any, keys: Any = KEYS) -> dict[str, Any]:
    names = draw(st.lists(keys, max_size=4, unique=True))
    return obj(draw(st.lists(st.sampled_from(names), unique=True)) if names else [], **{n: draw(values) for n in names})


SCHEMAS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        objects(inner),
        st.tuples(inner, st.integers(0, 2)).map(lambda it: {"type": "array", "items": it[0], "minItems": it[1]}),
        st.lists(inner, min_size=1, max_size=3).map(lambda them: {"anyOf": them}),
        inner.map(lambda it: {"oneOf": [{"type": "null"}, {"type": "array", "items": it, "maxItems": 3}]}),
    ),
    max_leaves=5,
)
TOOLS = st.lists(
    st.tuples(NAMES, objects(SCHEMAS, SAFE_KEYS)), min_size=1, max_size=3, unique_by=lambda named: named[0]
).map(lambda named: [tool(name, parameters) for name, parameters in named])


@pytest.fixture(scope="module")
def worlds() -> dict[str, World]:
    return {family: World(family) for family in FAMILIES}


def valid_calls(world: World, tools: list[Any], choice: str, more: int, dice: int) -> int:
    """How many calls the model makes; its answer has ``more`` tokens than the shortest one. All must be valid."""
    checks = {t["function"]["name"]: Draft202012Validator(t["function"]["parameters"]) for t in tools}
    constraint = world.maker.for_tools(world.family, tools, choice)
    assert constraint is not None
    assert constraint.notes == ()
    text, ended = world.answer(constraint, constraint.shortest + more, dice)
    calls, broken = world.calls(text, tools)
    assert not broken, (world.family.name, text, broken)
    assert ended
    for call in calls:
        checks[call["name"]].validate(call["args"])
    if choice in checks:
        assert [call["name"] for call in calls] == [choice]
    assert calls or choice == "auto", (world.family.name, text)
    return len(calls)


def test_calls_of_random_tools_are_all_valid(worlds: dict[str, World]):
    wanted = int(os.environ.get("THREADMILL_CALLS", "150"))
    counted: list[int] = []

    def ask(tools: list[Any], dice: int) -> None:
        for place in range(3):
            world = worlds[FAMILIES[(dice + place) % len(FAMILIES)]]
            for choice in ("required", tools[dice % len(tools)]["function"]["name"], "auto"):
                counted.append(valid_calls(world, tools, choice, (0, 3, 20, 70)[(dice + place) % 4], dice))

    rules = settings(
        max_examples=5, deadline=None, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    rounds = 0
    while sum(counted) < wanted:
        rules(seed(rounds)(given(TOOLS, st.integers(0, 10**6))(lambda tools, dice: ask(tools, dice))))()
        rounds += 1
    print(f"{sum(counted)} valid calls in {len(counted)} answers")
